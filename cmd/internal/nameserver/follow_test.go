package nameserver

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// world is the rest of a node, as one test wants it.
type world struct {
	at      netip.AddrPort
	err     error
	has     bool
	refused string
	hidden  string
	change  chan struct{}
}

func (w *world) Dial(bgp.Service) (netip.AddrPort, error)         { return w.at, w.err }
func (w *world) Changed() <-chan struct{}                         { return w.change }
func (w *world) Hidden(bgp.Service, bgp.Org, bool) (string, bool) { return w.hidden, w.hidden != "" }
func (w *world) serving(bgp.Service) (has bool, refused string)   { return w.has, w.refused }

func (w *world) server(t *testing.T) *Server {
	t.Helper()
	s, err := New(Config{
		Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Server: netip.MustParseAddr("127.0.0.1"),
		Egress: netip.MustParseAddrPort("127.0.0.1:8080"), Places: w, Judge: w, Serving: w.serving,
		Log: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func route(svc bgp.Service, p bgp.Protocol, h bgp.Health) *rib.Selected {
	return &rib.Selected{Service: svc, Tiers: [][]rib.Path{{{Local: true, Attrs: bgp.Attributes{Protocol: p, Health: h}}}}}
}

// A TCP service's address is told once an Envoy listens there, and goes on to be told while the Envoy is away; it is
// told no more when an Envoy refuses it.
func TestAnAddressIsToldWhenEnvoyListens(t *testing.T) {
	w := &world{}
	s, waiting := w.server(t), map[bgp.Service]bool{}
	const db = bgp.Service("db.acme.example")
	is := func(when string, want State) {
		t.Helper()
		s.look(db, waiting)
		n, _ := s.zones.Get(db)
		if n.State != want || waiting[db] != (want == Waiting) ||
			n.At.IsValid() != (want == Answered) || n.At.IsValid() && n.At != w.at {
			t.Errorf("%s: %+v, want %s; waiting: %t", when, n, want, waiting[db])
		}
	}
	s.changed(route(db, bgp.TCP, bgp.HealthUp), waiting)
	is("before it was compiled", Waiting)
	w.at = netip.MustParseAddrPort("127.83.0.20:5432")
	is("before an Envoy has it", Waiting)
	w.has = true
	is("when an Envoy has it", Answered)
	w.has = false
	is("while the Envoy is away", Answered)
	w.refused = "Address already in use"
	is("when one refuses it", NoAddress)
	w.refused, w.err, w.has = "", errors.New("db and other have the same address"), true
	is("when the address is another's", NoAddress)
	w.err, w.hidden = nil, "no policy"
	is("when nobody may call it", Hidden)
	s.changed(&rib.Selected{Service: db}, waiting)
	if _, ok := s.zones.Get(db); ok || len(waiting) > 0 {
		t.Error("it is answered after its last route is gone")
	}
}

func TestTTLFollowsHealth(t *testing.T) {
	w := &world{}
	s, waiting := w.server(t), map[bgp.Service]bool{}
	const books = bgp.Service("books.acme.example")
	ttl := func(sel *rib.Selected) uint32 {
		s.changed(sel, waiting)
		n, _ := s.zones.Get(books)
		return n.TTL
	}
	stale, leaving := route(books, bgp.HTTP, bgp.HealthUp), route(books, bgp.HTTP, bgp.HealthUp)
	stale.Tiers[0][0].Stale = true
	leaving.Tiers[0][0].Attrs.Communities = []bgp.Community{bgp.GracefulShutdown}
	for name, tt := range map[string]struct {
		sel  *rib.Selected
		want uint32
	}{
		"up": {route(books, bgp.HTTP, bgp.HealthUp), steadyTTL}, "unknown": {route(books, bgp.HTTP, 0), steadyTTL},
		"down": {route(books, bgp.HTTP, bgp.HealthDown), shortTTL}, "stale": {stale, shortTTL},
		"draining": {route(books, bgp.HTTP, bgp.HealthDraining), shortTTL}, "leaving": {leaving, shortTTL},
	} {
		if got := ttl(tt.sel); got != tt.want {
			t.Errorf("%s: %d s, want %d", name, got, tt.want)
		}
	}
}

// A name that is not its originator's is not answered: a peer would put names into another's zone.
func TestNamesOfOthers(t *testing.T) {
	w := &world{}
	s, waiting := w.server(t), map[bgp.Service]bool{}
	sel := &rib.Selected{Service: "books.acme.example", Tiers: [][]rib.Path{{{Attrs: bgp.Attributes{
		Protocol: bgp.HTTP, NodePath: []bgp.NodeID{{Org: "bravo.example", Name: "x"}}}}}}}
	s.changed(sel, waiting)
	if _, ok := s.zones.Get("books.acme.example"); ok {
		t.Error("bravo.example answers for acme.example")
	}
	sel.Service = "books.bravo.example"
	s.changed(sel, waiting)
	if n, ok := s.zones.Get("books.bravo.example"); !ok || n.Org != "bravo.example" {
		t.Errorf("its own: %+v", n)
	}
}

// A pattern of another organisation is answered like its services, hidden or not, and one over TCP is not: that has no
// address for names that are not known.
func TestPatternsAreFollowed(t *testing.T) {
	w := &world{hidden: "no policy"}
	s, waiting := w.server(t), map[bgp.Service]bool{}
	sel := &rib.Selected{Service: "*.eu.bravo.example", Tiers: [][]rib.Path{{{Attrs: bgp.Attributes{
		Protocol: bgp.HTTP, NodePath: []bgp.NodeID{{Org: "bravo.example", Name: "x"}}}}}}}
	s.changed(sel, waiting)
	if n, ok := s.zones.Get("*.eu.bravo.example"); !ok || n.State != Answered {
		t.Errorf("%+v, %t", n, ok)
	}
	sel.Tiers[0][0].Attrs.Protocol = bgp.TCP
	s.changed(sel, waiting)
	if n, ok := s.zones.Get("*.eu.bravo.example"); ok {
		t.Errorf("over TCP: %+v", n)
	}
}
