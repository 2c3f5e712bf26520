package server_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/service"
)

// A node whose certificate is revoked, and which is not itself, gets another by the key that it joined with, as soon
// as it hears of that; one that has not heard when it renews is told. Either counts as a return.
func TestANodeComesBackFromARevokedCertificate(t *testing.T) {
	for _, hears := range []bool{true, false} {
		s := start(t, options{})
		dir := s.enrol("edge-1")
		m, err := member.Open(disk.Own(dir), log(t))
		if err != nil {
			t.Fatal(err)
		}
		if hears {
			ctx, stop := context.WithCancel(t.Context())
			var run sync.WaitGroup
			run.Go(func() { _ = m.Run(ctx) })
			defer run.Wait()
			defer stop()
		}
		for left := service.Credits - 1; left >= 0; left-- {
			before := leafOf(t, dir)
			changed := m.Changed()
			serial := "0" + strings.ToUpper(revoke.SerialText(before)) // as openssl may write it
			if err := s.service.Revoke(t.Context(), service.Owner(), revoke.Serial, serial, "copied"); err != nil {
				t.Fatal(err)
			}
			if !hears {
				if err := m.Renew(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-changed:
			case <-time.After(20 * time.Second):
				t.Fatal("it has no other certificate")
			}
			if leafOf(t, dir).SerialNumber.Cmp(before.SerialNumber) == 0 {
				t.Error("it has the certificate that is revoked")
			}
			n, err := s.store.Node(t.Context(), "edge-1")
			if err != nil || n.Credits != left || n.Alarm != "" {
				t.Errorf("%d returns left, alarm %q, %v; want %d", n.Credits, n.Alarm, err, left)
			}
		}
		if !hears {
			if err := m.Renew(t.Context()); err != nil {
				t.Errorf("with a good certificate it renews as ever: %v", err)
			}
		}
	}
}
