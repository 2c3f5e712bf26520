package membership

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// told is a router and an ingress that note what they are told.
type told struct {
	mu      sync.Mutex
	reset   []bgp.NodeID             // guarded by mu
	refused map[bgp.Org][]bgp.NodeID // guarded by mu
	leaves  []xds.Leaf               // guarded by mu; what it was told last
	// leaf is what node showed in a session; nil for none. Guarded by mu.
	leaf *x509.Certificate
	node bgp.NodeID
}

// Review implements Router: x has a session.
func (r *told) Review(_ context.Context, refuse func(leaf *x509.Certificate) error) []bgp.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaf == nil || refuse(r.leaf) == nil {
		return nil
	}
	r.leaf = nil
	r.reset = append(r.reset, r.node)
	return []bgp.NodeID{r.node}
}

// Refuse implements Ingress.
func (r *told) Refuse(org bgp.Org, nodes []bgp.NodeID, leaves []xds.Leaf) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[org] = nodes
	r.leaves = leaves
	return nil
}

func (r *told) say() (reset, own, other []bgp.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reset), r.refused["acme.example"], r.refused["bravo.example"]
}

// sources are node a of acme.example and node x of bravo.example, who know each other's roots.
func sources(t *testing.T) (a, x *identity.Source) {
	t.Helper()
	dir := t.TempDir()
	for _, who := range []struct{ org, node string }{{"acme.example", "a"}, {"bravo.example", "x"}} {
		if err := disk.InitCA(filepath.Join(dir, who.org), bgp.Org(who.org)); err != nil {
			t.Fatal(err)
		}
		authority, err := disk.LoadCA(filepath.Join(dir, who.org))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := disk.IssueNode(authority, filepath.Join(dir, who.node), who.node, time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, knows := range []string{"a", "x"} {
			path := filepath.Join(dir, knows, disk.BundleFile(authority.Org))
			err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), disk.Replace(path, authority.Roots(), 0o644))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	open := func(name string) *identity.Source {
		s, err := identity.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return open("a"), open("x")
}

// shake has x dial a, and returns what a says.
func shake(t *testing.T, a, x *identity.Source) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var dialling sync.WaitGroup
	defer dialling.Wait()
	dialling.Go(func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), x.ClientTLS(a.Material().Node))
		if err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Server(conn, a.ServerTLS())
	defer func() { _ = s.Close() }()
	return s.HandshakeContext(t.Context())
}

// A node of another organisation that this one follows is refused in the handshake and at the ingress once that
// organisation revokes it, and its session ends. What an organisation says of others' nodes means nothing.
func TestRevokedNodesOfAnotherOrganisation(t *testing.T) {
	a, x := sources(t)
	own, other := revoke.NewSet("https://auth.acme.example"), revoke.NewSet("https://auth.bravo.example")
	r := &told{refused: map[bgp.Org][]bgp.NodeID{}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := Run(ctx, Config{
			Revoked: map[bgp.Org]*revoke.Set{"acme.example": own, "bravo.example": other}, Identity: a, Router: r, Ingress: r,
			Log: slog.New(slog.DiscardHandler),
		}); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	if err := shake(t, a, x); err != nil {
		t.Fatalf("before: %v", err)
	}
	cert, err := x.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.Certificates[0]
	r.mu.Lock()
	r.leaf, r.node = leaf, x.Material().Node
	r.mu.Unlock()
	apply := func(set *revoke.Set, issuer string, all ...revoke.Entry) {
		t.Helper()
		now := time.Now()
		d := &revoke.Delta{Issuer: issuer, After: set.Seq(), Seq: set.Seq(), Issued: now.Unix(), Interval: 60}
		for _, e := range all {
			d.Seq++
			e.Seq, e.Expires = d.Seq, now.Add(time.Hour).Unix()
			d.Entries = append(d.Entries, e)
		}
		if err := set.Apply(d, now); err != nil {
			t.Fatal(err)
		}
	}
	b := bgp.NodeID{Org: "acme.example", Name: "b"}
	// This organisation has a certificate of the same serial number, and it names a node that is not its own; so does
	// the other.
	apply(own, "https://auth.acme.example", revoke.Entry{Kind: revoke.Serial, Value: revoke.SerialText(leaf)},
		revoke.Entry{Kind: revoke.Node, Value: x.Material().Node.URI()})
	apply(other, "https://auth.bravo.example", revoke.Entry{Kind: revoke.Node, Value: b.URI()})
	await(t, "both were heard", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.refused) == 2 })
	if err := shake(t, a, x); err != nil {
		t.Errorf("revoked by an organisation that is not its own: %v", err)
	}
	if reset, here, there := r.say(); len(reset)+len(here)+len(there) > 0 {
		t.Errorf("sessions of %v ended, %v and %v are kept out", reset, here, there)
	}
	apply(other, "https://auth.bravo.example", revoke.Entry{Kind: revoke.Node, Value: x.Material().Node.URI()})
	var revoked *revoke.CertificateRevoked
	if err := shake(t, a, x); !errors.As(err, &revoked) {
		t.Errorf("revoked by its own organisation: %v", err)
	}
	await(t, "its session ends and it is kept out", func() bool {
		reset, _, there := r.say()
		want := []bgp.NodeID{x.Material().Node}
		return slices.Equal(reset, want) && slices.Equal(there, want)
	})
	apply(other, "https://auth.bravo.example",
		revoke.Entry{Kind: revoke.Node, Value: x.Material().Node.URI(), Lifted: true})
	await(t, "it comes in again", func() bool { _, _, there := r.say(); return len(there) == 0 })
	r.mu.Lock()
	r.leaf, r.reset = leaf, nil
	r.mu.Unlock()
	apply(other, "https://auth.bravo.example", revoke.Entry{Kind: revoke.Serial, Value: revoke.SerialText(leaf)})
	if err := shake(t, a, x); !errors.As(err, &revoked) {
		t.Errorf("one certificate is revoked: %v", err)
	}
	await(t, "the session with that certificate ends, and the ingress is told", func() bool {
		reset, _, there := r.say()
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Equal(reset, []bgp.NodeID{r.node}) && len(there) == 0 &&
			slices.Equal(r.leaves, []xds.Leaf{{Org: "bravo.example", Serial: revoke.SerialText(leaf)}})
	})
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}
