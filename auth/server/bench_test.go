package server_test

import (
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
)

// BenchmarkRevocation measures from the service's answer to the first refusal: at the service itself, and at a node
// that follows it.
func BenchmarkRevocation(b *testing.B) {
	s := start(b, options{})
	m := s.member(s.enrol("edge-1"))
	node, err := token.NewVerifier(token.Config{
		Audience: org, Issuers: token.IssuerMap{m.Issuer().Name: m.Issuer()}, Revocations: m.Revocations(),
	})
	if err != nil {
		b.Fatal(err)
	}
	var same, other []time.Duration
	for b.Loop() {
		raw, c, err := s.service.Mint(b.Context(), service.Owner(),
			service.MintRequest{Principal: token.User, Subject: "ada"})
		if err != nil {
			b.Fatal(err)
		}
		passes := func(v *token.Verifier) bool {
			_, err := v.Verify(b.Context(), raw, token.Thumbprint{})
			return err == nil
		}
		await(b, "the token passes at the node", func() bool { return passes(node) })
		if err := s.service.Revoke(b.Context(), service.Owner(), "jti", c.ID, ""); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		if passes(s.service.Verifier()) {
			b.Fatal("passes at the service after the answer")
		}
		same = append(same, time.Since(answered))
		for passes(node) {
			time.Sleep(100 * time.Microsecond) // the measure's resolution
		}
		other = append(other, time.Since(answered))
	}
	for name, all := range map[string][]time.Duration{"service": same, "node": other} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(all[min(len(all)-1, len(all)*99/100)].Microseconds())/1000, name+"-p99-ms")
	}
}
