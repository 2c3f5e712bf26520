package forwarding

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

const (
	patience = 20 * time.Second
	books    = bgp.Service("books.acme.example")
)

// workloads are this node's own services.
type workloads struct {
	moved chan bgp.Service

	mu  sync.Mutex
	all map[bgp.Service][]offer.Workload // guarded by mu
}

func (w *workloads) Workloads(svc bgp.Service) []offer.Workload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[svc]
}

func (w *workloads) Get(svc bgp.Service) (journal.Service, bool) {
	return journal.Service{Name: svc}, w.Has(svc)
}
func (w *workloads) Has(svc bgp.Service) bool { return len(w.Workloads(svc)) > 0 }

func (w *workloads) Moved() <-chan bgp.Service { return w.moved }

func (w *workloads) put(svc bgp.Service, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[svc] = []offer.Workload{{Ordered: address, Address: address}}
}

// uncounted books nothing.
type uncounted struct{}

func (uncounted) Compiled(context.Context, time.Duration, int)         {}
func (uncounted) Acknowledged(context.Context, ads.Acknowledged, bool) {}
func (uncounted) Refused(ads.Refused)                                  {}

// noPorts is for a node without TCP services.
type noPorts struct{}

func (noPorts) Allot(_ context.Context, batch []xds.Forwarding) ([]xds.Forwarding, []xds.Problem) {
	return batch, nil
}
func (noPorts) Keep(context.Context) error { return nil }
func (noPorts) Changed() <-chan struct{}   { return nil }
func (noPorts) Moved() []bgp.Service       { return nil }

// node is a router and a forwarder that run.
type node struct {
	*Forwarder
	router *peering.Router
	offer  *workloads
}

func start(t *testing.T, change func(*Config)) *node {
	t.Helper()
	dir := t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), "acme.example"); err != nil {
		t.Fatal(err)
	}
	authority, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := disk.IssueNode(authority, filepath.Join(dir, "a"), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	src, err := identity.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log, self := slog.New(slog.DiscardHandler), src.Material().Node
	n := &node{
		router: peering.New(peering.Config{
			Identity: src,
			Log:      log,
			Speaker:  speaker.Config{Self: self, BootID: 1, Ingress: "127.0.0.1:1"},
		}),
		offer: &workloads{moved: make(chan bgp.Service, 1), all: map[bgp.Service][]offer.Workload{}},
	}
	cfg := Config{
		Node: self, Data: dir, Router: n.router, Offer: n.offer, Identity: src, Metrics: uncounted{}, Log: log,
		Tracer: noop.NewTracerProvider().Tracer(""), Supervised: true, Ports: noPorts{},
		Compiler: xds.Config{
			Self:    self,
			Ingress: "127.0.0.1:1",
			Egress:  "127.0.0.1:2",
			Socket:  filepath.Join(dir, "tcp.sock"),
		},
	}
	change(&cfg)
	n.Forwarder = New(cfg)
	if err := n.Begin(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	for _, run := range []func() error{func() error { return n.router.Run(ctx, lis) },
		func() error { return n.Run(ctx) }} {
		tasks.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
	})
	n.do(t, speaker.Restored{})
	return n
}

func (n *node) do(t *testing.T, ev speaker.Event) {
	t.Helper()
	if err := n.router.Do(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
}

func (n *node) announce(t *testing.T, svc bgp.Service, address string) {
	t.Helper()
	n.offer.put(svc, address)
	n.do(t, speaker.LocalSet{Service: svc, Attributes: bgp.Attributes{Protocol: bgp.HTTP}})
}

// eventually waits for something to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("after %s: %s", patience, what)
		}
	}
}

func TestARouteBecomesResourcesAndGoes(t *testing.T) {
	n := start(t, func(*Config) {})
	n.Restored()
	n.announce(t, books, "127.0.0.1:9000")
	eventually(t, "books is not compiled", func() bool { return len(n.ADS().Compiled(books)) > 0 })
	if !n.GoneSince(books).IsZero() {
		t.Error("it is said to be gone")
	}
	n.do(t, speaker.LocalRemoved{Service: books})
	eventually(t, "books is still there", func() bool { return len(n.ADS().Compiled(books)) == 0 })
	if n.GoneSince(books).IsZero() {
		t.Error("nobody knows since when it is gone")
	}
}

// Before the operator's orders are restored the view is not complete: what is compiled then could take services from
// an Envoy that serves them.
func TestNothingIsCompiledBeforeTheOrdersAreKnown(t *testing.T) {
	n := start(t, func(*Config) {})
	n.announce(t, books, "127.0.0.1:9000")
	if got := n.ADS().Compiled(books); len(got) > 0 {
		t.Fatalf("compiled %v", got)
	}
	n.Restored()
	eventually(t, "books is not compiled", func() bool { return len(n.ADS().Compiled(books)) > 0 })
}

func TestAWorkloadThatMovesIsCompiledAgain(t *testing.T) {
	n := start(t, func(*Config) {})
	n.Restored()
	n.announce(t, books, "127.0.0.1:9000")
	own := xds.Ref{Type: xds.TypeCluster, Name: "http/" + string(books)} // which a name to look up wants, and no address
	eventually(t, "books is not compiled", func() bool { return len(n.ADS().Compiled(books)) > 0 })
	if slices.Contains(n.ADS().Compiled(books), own) {
		t.Fatalf("%s is compiled for an address", own.Name)
	}
	n.offer.put(books, "web.internal:9001")
	n.offer.moved <- books
	eventually(t, "books stayed where it was", func() bool { return slices.Contains(n.ADS().Compiled(books), own) })
}

// A restarted node leaves Envoy what it has until every peer has sent its table, or the deferral is over.
func TestARestartedNodeWaitsForItsPeers(t *testing.T) {
	for _, c := range []struct {
		name  string
		wait  time.Duration
		comes bool
	}{{"long", time.Hour, false}, {"over", -time.Second, true}} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, func(cfg *Config) { cfg.Deferral = time.Now().Add(c.wait) })
			n.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: bgp.NodeID{Org: "acme.example", Name: "b"}}})
			n.Restored()
			n.announce(t, books, "127.0.0.1:9000")
			if c.comes {
				eventually(t, "books is not compiled", func() bool { return len(n.ADS().Compiled(books)) > 0 })
				return
			}
			if got := n.ADS().Compiled(books); len(got) > 0 {
				t.Errorf("compiled %v before the peer's table", got)
			}
			n.do(t, speaker.PeerRemoved{Node: bgp.NodeID{Org: "acme.example", Name: "b"}})
			eventually(t, "books is not compiled", func() bool { return len(n.ADS().Compiled(books)) > 0 })
		})
	}
}

func TestProblemsAreToldOnce(t *testing.T) {
	refused := func(svc bgp.Service, text string) map[bgp.Service]speaker.Problem {
		return map[bgp.Service]speaker.Problem{svc: {Service: svc, Kind: bgp.ReportRefused, Text: text}}
	}
	for _, c := range []struct {
		name       string
		last, next map[bgp.Service]speaker.Problem
		want       []bgp.ReportKind
	}{
		{"new", nil, refused(books, "x"), []bgp.ReportKind{bgp.ReportRefused}},
		{"the same", refused(books, "x"), refused(books, "x"), nil},
		{"other words", refused(books, "x"), refused(books, "y"), []bgp.ReportKind{bgp.ReportRefused}},
		{"over", refused(books, "x"), nil, []bgp.ReportKind{bgp.ReportResolved}},
		{"another", refused(books, "x"), refused("songs.acme.example", "x"),
			[]bgp.ReportKind{bgp.ReportResolved, bgp.ReportRefused}},
	} {
		var got []bgp.ReportKind
		for _, p := range differences(c.last, c.next) {
			got = append(got, p.Kind)
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: told %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: told %v, want %v", c.name, got, c.want)
			}
		}
	}
}
