package member

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
)

// A node that is killed between any two writes of a new certificate starts again with one that is whole: the former
// until the answer is written down, the new one from then on.
func TestKilledWhileAnswerIsKept(t *testing.T) {
	const writes = 7
	for done := range writes + 1 {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			a, err := ca.NewRoot("acme.example", ca.RootLife)
			if err != nil {
				t.Fatal(err)
			}
			v := disk.Own(t.TempDir())
			dir := v.Dir
			s := &state{Org: "acme.example", Node: "edge-1", Address: "127.0.0.1:1", Issuer: "https://auth.acme.example"}
			answer := func() *authv1.Issued {
				_, csr, err := pending(v)
				if err != nil {
					t.Fatal(err)
				}
				svid, err := a.Sign(csr, s.id(), time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				return &authv1.Issued{Chain: svid.PEM(), Roots: a.Roots(), Continuity: []byte{1}, Issuer: s.Issuer}
			}
			out := answer()
			key, err := keyIn(v, pendingKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.keep(v, key, out, nil); err != nil {
				t.Fatal(err)
			}
			former := serialIn(t, dir)
			if err := os.MkdirAll(filepath.Join(dir, boundDir), 0o700); err != nil {
				t.Fatal(err)
			}
			next := issued{*s, answer().GetChain(), a.Roots(), map[string]string{"books": "anew"}}
			next.State.Continuity = []byte{2}
			if got := serialIn(t, dir); got != former { // killed before the answer was written down
				t.Errorf("serial %s, want %s", got, former)
			}
			b, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Write(issuedFile, b); err != nil {
				t.Fatal(err)
			}
			all := next.writes(v)
			if len(all) != writes {
				t.Fatalf("%d writes, want %d", len(all), writes)
			}
			for _, write := range all[:done] {
				if err := write(); err != nil {
					t.Fatal(err)
				}
			}
			if !Joined(dir) {
				t.Error("it would join again")
			}
			if got := serialIn(t, dir); got == former {
				t.Error("the former certificate is there")
			}
			if kept, err := readState(v); err != nil || kept.Continuity[0] != 2 {
				t.Errorf("%+v, %v; want the continuity that came with the certificate", kept, err)
			}
			if text, err := os.ReadFile(filepath.Join(dir, boundDir, "books")); err != nil || string(text) != "anew\n" {
				t.Errorf("the token that goes along is %q, %v", text, err)
			}
			for _, left := range []string{issuedFile, pendingKey} {
				if _, err := os.Stat(filepath.Join(dir, left)); err == nil {
					t.Errorf("%s is there still", left)
				}
			}
		})
	}
}

// A node that is killed after it joined, before it has taken over whom the token says to peer with, is told again at
// its next start; and no more once it has.
func TestKilledBeforeThePeersAreKept(t *testing.T) {
	a, err := ca.NewRoot("acme.example", ca.RootLife)
	if err != nil {
		t.Fatal(err)
	}
	v := disk.Own(t.TempDir())
	peers := []join.Peer{{Node: "a", Address: "192.0.2.1:7443"}, {Node: "b", Address: "192.0.2.2:7443"}}
	s := &state{Org: "acme.example", Node: "edge-1", Address: "127.0.0.1:1", Issuer: "https://auth.acme.example",
		Peers: peers}
	key, csr, err := pending(v)
	if err != nil {
		t.Fatal(err)
	}
	svid, err := a.Sign(csr, s.id(), time.Hour)
	if err == nil {
		err = s.keep(v, key, &authv1.Issued{Chain: svid.PEM(), Roots: a.Roots(), Issuer: s.Issuer}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	for i, want := range []int{0, 1, 2, 2} { // how many it takes until it is killed; the last time none are left
		m, err := Open(v, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var told []join.Peer
		err = m.Introduce(func(p join.Peer) error {
			if len(told) == want {
				return full
			}
			told = append(told, p)
			return nil
		})
		switch {
		case i < 2 && !errors.Is(err, full):
			t.Errorf("start %d: %v", i+1, err)
		case i == 2 && (err != nil || !slices.Equal(told, peers)):
			t.Errorf("start %d: told %v, %v; want %v", i+1, told, err, peers)
		case i == 3 && (err != nil || len(told) > 0):
			t.Errorf("told again: %v, %v", told, err)
		}
	}
}

// serialIn starts as a node does and returns its certificate's serial number.
func serialIn(t *testing.T, dir string) string {
	t.Helper()
	m, err := Open(disk.Own(dir), slog.New(slog.DiscardHandler))
	if err != nil || m == nil {
		t.Fatalf("it does not start: %v", err)
	}
	pair, err := m.current()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.String()
}
