package peering

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/forged"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// shortLived issues nodes with certificates of three seconds, and is called again to renew one.
func shortLived(t *testing.T) func(node string) *identity.Source {
	t.Helper()
	dir, authority := orgCA(t, "acme.example")
	return func(node string) *identity.Source {
		t.Helper()
		at := filepath.Join(dir, node)
		if _, _, err := disk.IssueNode(authority, at, node, time.Minute); err != nil {
			t.Fatal(err)
		}
		short, err := forged.Certificate(authority, []string{"spiffe://acme.example/node/" + node},
			func(c *x509.Certificate) { c.NotAfter = time.Now().Add(3 * time.Second) })
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(short.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{
			disk.SVIDKey: {Type: "PRIVATE KEY", Bytes: key}, disk.SVIDFile: {Type: "CERTIFICATE", Bytes: short.Certificate[0]},
		} {
			if err := os.WriteFile(filepath.Join(at, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		src, err := identity.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
}

// A session outlives the certificates that it began with, since others are shown in time, and is no new one; where
// none is shown, it ends with the last, at both sides.
func TestSessionsLiveOnShortLeaves(t *testing.T) {
	t.Parallel()
	node := shortLived(t)
	srcs := map[string]*identity.Source{"a": node("a"), "b": node("b")}
	a, b := start(t, srcs["a"], 1), start(t, srcs["b"], 2)
	a.peer(t, b)
	b.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: a.id}})
	a.eventually(t, "b is a peer", established(b.id))
	b.eventually(t, "a is a peer", established(a.id))
	watch, err := a.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until := map[string]time.Time{}
	renew := time.NewTicker(time.Second)
	defer renew.Stop()
	for range 7 {
		<-renew.C
		for name, src := range srcs {
			node(name)
			if _, err := src.Reload(); err != nil {
				t.Fatal(err)
			}
			until[name] = src.Material().Expires
		}
	}
	if n := len(watch.Events()); n > 0 {
		t.Errorf("%d changes in 7 s of leaves of 3 s, such as %v", n, <-watch.Events())
	}
	for _, h := range []*host{a, b} {
		h.eventually(t, "nobody shows anything any more", func(s *speaker.Speaker) bool {
			v, _ := s.Peer(map[*host]*host{a: b, b: a}[h].id)
			return v.State != fsm.Established
		})
	}
	if late := time.Since(until["a"]); late > 2*time.Second {
		t.Errorf("the session ended %s after the last certificate", late)
	}
	if err := watch.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Nobody proves a session but its other side, with a certificate that is not refused.
func TestWhoProvesASession(t *testing.T) {
	node := org(t, "acme.example")
	src := node("b")
	a, b, thief := start(t, node("a"), 1), start(t, src, 2), start(t, node("c"), 3)
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	b.peer(t, a)
	a.eventually(t, "b is a peer", established(b.id))
	session := func(h *host) *conn {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range h.conns {
			return c
		}
		return nil
	}
	prove := func(h *host, name []byte) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := newConn(nil)
		c.remote, c.name = a.id, name
		return h.prove(ctx, c, &dialled{address: a.addr})
	}
	name := session(b).name
	if err := prove(b, name); err != nil {
		t.Errorf("the other side: %v", err)
	}
	if err := prove(thief, name); err == nil || !strings.Contains(err.Error(), errNoSession.Error()) {
		t.Errorf("another node that knows what the session is called: %v", err)
	}
	for _, wrong := range [][]byte{nil, make([]byte, sessionName), name[1:]} {
		if err := prove(b, wrong); err == nil || !strings.Contains(err.Error(), errNoSession.Error()) {
			t.Errorf("called %x: %v", wrong, err)
		}
	}
	svid, err := src.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	before := session(a)
	a.mu.Lock()
	a.refuse = func(leaf *x509.Certificate) error {
		if leaf.Equal(svid.Certificates[0]) {
			return errors.New("revoked")
		}
		return nil
	}
	a.mu.Unlock()
	if err := prove(b, name); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a certificate that is refused: %v", err)
	}
	if session(a) != before {
		t.Error("the session has ended by a proof that failed")
	}
}
