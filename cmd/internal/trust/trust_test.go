package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
)

type memory struct {
	mu   sync.Mutex
	rows map[string]json.RawMessage
}

func (m *memory) SaveTrust(_ context.Context, put map[string]json.RawMessage, drop []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.rows, put)
	for _, k := range drop {
		delete(m.rows, k)
	}
	return nil
}

func (m *memory) Trust(context.Context) (map[string]json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows), nil
}

// peers notes what it is told.
type peers struct {
	mu  sync.Mutex
	set map[bgp.NodeID]federation.Terms
}

func (p *peers) SetNeighbour(_ context.Context, n federation.Neighbour, terms *federation.Terms, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set[n.Node] = *terms
	return nil
}

func (p *peers) RemoveNeighbour(_ context.Context, n bgp.NodeID, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.set, n)
	return nil
}

// keeper notes the attestation keys that it is told, and hands its own out.
type keeper struct {
	mu   sync.Mutex
	own  []attest.Key
	told map[bgp.Org][]attest.Key
}

func (k *keeper) Federate(_ context.Context, org bgp.Org, keys []attest.Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told[org] = keys
	return nil
}

func (k *keeper) Own(bgp.Org) ([]attest.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.own), nil
}

// ids are the keys that were told of an organisation.
func (k *keeper) ids(org bgp.Org) (ids []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.told[org] {
		ids = append(ids, key.ID)
	}
	return ids
}

// node is a room that is served on loopback.
type node struct {
	*Room
	dir, address string
	root         *ca.Authority
	id           *identity.Source
	peers        *peers
	keeper       *keeper
}

func start(t *testing.T, org bgp.Org, name string) *node {
	t.Helper()
	n := &node{
		dir: t.TempDir(), peers: &peers{set: map[bgp.NodeID]federation.Terms{}},
		keeper: &keeper{told: map[bgp.Org][]attest.Key{}},
	}
	var err error
	if n.root, err = ca.NewRoot(org, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	self, _, err := disk.IssueNode(n.root, n.dir, name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if n.id, err = identity.Open(n.dir); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = lis.Addr().String()
	n.Room, err = Open(t.Context(), Config{
		Node: self, Data: t.TempDir(), Listen: n.address, Identity: n.id, Store: &memory{rows: map[string]json.RawMessage{}},
		Peers: n.peers, Attested: n.keeper, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	tasks.Go(func() {
		for {
			raw, err := lis.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(raw, n.TLS())
			tasks.Go(func() {
				if conn.HandshakeContext(ctx) != nil {
					_ = conn.Close()
					return
				}
				n.Take(ctx, conn)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = lis.Close(); tasks.Wait() })
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within 30s: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// faultOf is the fault of a kind that a node names of an organisation; nil if it names none.
func (n *node) faultOf(org bgp.Org, kind string) *federation.Fault {
	p := n.Book().Peering(org)
	if p == nil {
		return nil
	}
	all := n.Standing(p).Faults
	if i := slices.IndexFunc(all, func(f federation.Fault) bool { return f.Kind == kind }); i >= 0 {
		return &all[i]
	}
	return nil
}

func pair(t *testing.T) (a, b *node) {
	t.Helper()
	a, b = start(t, "acme.example", "a"), start(t, "bravo.example", "b")
	inv, err := a.Offer(t.Context(), "bravo.example", "", federation.Terms{Offer: []string{"books.acme.example"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Accept(t.Context(), inv, federation.Terms{Take: []string{"*.acme.example"}}, b.address); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// A new root at one organisation reaches the other by itself, and the node waits with the use of it until then; the
// former goes in the same way.
func TestRootsChangeByThemselves(t *testing.T) {
	a, b := pair(t)
	if got := b.peers.set[bgp.NodeID{Org: "acme.example", Name: "a"}]; !slices.Equal(got.Take,
		[]string{"*.acme.example"}) {
		t.Errorf("b peers on these terms: %+v", got)
	}
	next, err := ca.NewRoot("acme.example", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	both := append(a.root.Roots(), next.Roots()...)
	eventually(t,
		"a hears of b", func() bool { return a.Standing(a.Book().Peering("bravo.example")).Checked != time.Time{} })
	if a.Published(t.Context(), both) {
		t.Error("a root that b has never seen is used")
	}
	if err := disk.Replace(filepath.Join(a.dir, disk.BundleFile("acme.example")), both, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.id.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b holds both roots, and a knows", func() bool {
		return len(b.Book().Held("acme.example").Roots) == 2 && a.Published(t.Context(), both)
	})
	if _, _, err := disk.IssueNode(next, a.dir, "a", time.Hour); err != nil { // which leaves the next root alone
		t.Fatal(err)
	}
	if _, err := a.id.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b holds the next root alone", func() bool {
		roots, err := os.ReadFile(filepath.Join(b.dir, disk.BundleFile("acme.example")))
		return err == nil && string(roots) == string(next.Roots())
	})
	if f := b.faultOf("acme.example", federation.FaultStaleBundle); f != nil {
		t.Errorf("after a rotation that went well: %+v", f)
	}
}

// The keys by which an organisation signs what it offers travel in its bundle, change in it, and go with the peering.
func TestAttestationKeysTravel(t *testing.T) {
	a, b := pair(t)
	pair, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.keeper.mu.Lock()
	a.keeper.own = []attest.Key{
		{ID: "list", Public: &pair.PublicKey}, {ID: "borders", Public: &pair.PublicKey, Path: true},
	}
	a.keeper.mu.Unlock()
	eventually(t, "b is told of both keys", func() bool {
		return slices.Equal(b.keeper.ids("acme.example"), []string{"borders", "list"})
	})
	a.keeper.mu.Lock()
	a.keeper.own = a.keeper.own[:1]
	a.keeper.mu.Unlock()
	eventually(t, "and that one has gone", func() bool {
		return slices.Equal(b.keeper.ids("acme.example"), []string{"list"})
	})
	if _, err := b.End(t.Context(), "acme.example", ""); err != nil {
		t.Fatal(err)
	}
	if ids := b.keeper.ids("acme.example"); len(ids) != 0 {
		t.Errorf("after the end: %v", ids)
	}
}

// A root that changed without the other side hearing of it is named on both sides, and so are roles that do not fit
// and an endpoint that is down.
func TestFaultsOnBothSides(t *testing.T) {
	a, b := pair(t)
	eventually(t, "both are at peace", func() bool {
		return len(a.Standing(a.Book().Peering("bravo.example")).Faults)+
			len(b.Standing(b.Book().Peering("acme.example")).Faults) == 0
	})
	p := *a.Book().Peering("bravo.example")
	p.Terms.Role = "customer"
	if err := a.Set(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both name the roles", func() bool {
		return a.faultOf("bravo.example", federation.FaultRole) != nil &&
			b.faultOf("acme.example", federation.FaultRole) != nil
	})
	next, err := ca.NewRoot("acme.example", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := disk.IssueNode(next, a.dir, "a", time.Hour); err != nil { // at once, without a word
		t.Fatal(err)
	}
	if _, err := a.id.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both name the stale bundle", func() bool {
		return a.faultOf("bravo.example", federation.FaultStaleBundle) != nil &&
			b.faultOf("acme.example", federation.FaultStaleBundle) != nil
	})
	doc, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Set(t.Context(), *b.Book().Peering("acme.example"), doc); err != nil { // by hand, as the advice says
		t.Fatal(err)
	}
	eventually(t, "both are at peace again but for the roles", func() bool {
		return a.faultOf("bravo.example", federation.FaultStaleBundle) == nil &&
			b.faultOf("acme.example", federation.FaultStaleBundle) == nil
	})
	if ended, err := a.End(t.Context(), "bravo.example", ""); err != nil || !ended || len(a.peers.set) != 0 {
		t.Errorf("%t, %v, %v", ended, err, a.peers.set)
	}
	if _, err := a.id.GetX509BundleForTrustDomain(domain(t, "bravo.example")); err == nil {
		t.Error("the roots of what has ended are still believed")
	}
	if _, err := b.cfg.Identity.Reload(); err != nil {
		t.Error(err)
	}
}

func domain(t *testing.T, org string) spiffeid.TrustDomain {
	t.Helper()
	return spiffeid.RequireTrustDomainFromString(org)
}
