package follow

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
)

const issuer = "https://auth.acme.example"

// cutOff is a feed whose identity service cannot be reached.
func cutOff(path string) *Feed {
	return New(Config{Issuer: issuer, Org: "acme.example", Keep: path, Log: slog.New(slog.DiscardHandler),
		Connect: func(context.Context) (authv1.IdentityClient, func(), error) { return nil, nil, errors.New("cut off") }})
}

// runs lets a feed run until what follows has been done.
func runs(t *testing.T, f *Feed, do func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	do()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A node that restarts while it is cut off refuses what it knew, says how old that is, and believes no token by it for
// longer than it would have without the restart. What it hears first takes the place of all that.
func TestRestartedAndCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "revoked.json")
		leaf := &x509.Certificate{SerialNumber: big.NewInt(0xab12)}
		delta := func(seq int64, all ...revoke.Entry) *revoke.Delta {
			return &revoke.Delta{Issuer: issuer, Seq: seq, Issued: time.Now().Unix(), Interval: 5, Entries: all}
		}
		entry := revoke.Entry{Seq: 7, Kind: revoke.Serial, Value: revoke.SerialText(leaf),
			Expires: time.Now().Add(time.Hour).Unix()}
		first := cutOff(path)
		runs(t, first, func() {
			if err := first.Revocations().Apply(delta(7, entry), time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * keepAfter)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("it is not on the disk soon after: %v", err)
			}
		})
		heard, _ := first.Revocations().Freshness()
		time.Sleep(time.Minute)
		again := cutOff(path)
		set := again.Revocations()
		if got, _ := set.Freshness(); got.Unix() != heard.Unix() {
			t.Errorf("heard at %s, want %s", got, heard)
		}
		if err := set.CheckCertificate(leaf); err == nil {
			t.Error("a certificate that was revoked is believed after a restart")
		}
		if err := set.Check(&token.Claims{}, time.Now()); token.ReasonOf(err) != token.Stale {
			t.Errorf("tokens by revocations of a minute ago: %v", err)
		}
		if err := set.Apply(delta(3), time.Now()); err != nil { // the service began anew, with lower numbers
			t.Fatal(err)
		}
		if err := set.CheckCertificate(leaf); err != nil {
			t.Errorf("what the service does not name any more: %v", err)
		}
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if heard, _ := cutOff(path).Revocations().Freshness(); !heard.IsZero() {
			t.Error("a damaged file was believed")
		}
	})
}
