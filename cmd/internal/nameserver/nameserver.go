// Package nameserver answers the names of services, so that applications dial a service by its own name and port:
// HTTP services with the address of the HTTP egress, TCP services with the address of their own at which Envoy
// listens. It answers for the organisations that it knows, refuses every other name and asks nobody else.
//
//	s := nameserver.New(nameserver.Config{…})
//	l, err := nameserver.Listen(ctx, "127.0.0.1:5300")
//	err = s.Run(ctx, l)          // follows the routes, and answers
//	s.Dialled("orders.acme.example") // an Envoy has taken its address, or refuses it
//
// Zones holds what is answered, and is pure; this file is the shell around it: the routes' feed, and sockets.
package nameserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"go.opentelemetry.io/otel/metric"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// The lives of answers in seconds: those of a service that may be gone soon, or be back soon, are forgotten sooner.
const (
	steadyTTL = 30
	shortTTL  = 5
)

// again is how often it is looked whether what waits for an Envoy has been taken, besides what Dialled tells.
const again = 250 * time.Millisecond

// Router hands out the routes as they change. peering.Router is one.
type Router interface {
	Subscribe(ctx context.Context) (*peering.Feed, error)
	// Published is closed once the tables of a restarted node are complete.
	Published() <-chan struct{}
}

// Places says where TCP services are dialled. localports.Book is one.
type Places interface {
	// Dial returns the zero AddrPort for a service that has nothing yet, and an error for one that has nothing for good.
	Dial(svc bgp.Service) (netip.AddrPort, error)
}

// Judge says who may be called.
type Judge interface {
	// Hidden tells that no application beside this node may call a service, and why.
	Hidden(svc bgp.Service, org bgp.Org, tcp bool) (why string, hidden bool)
	// Changed is readable after Hidden may answer otherwise.
	Changed() <-chan struct{}
}

// Config is what a Server needs; all of it is required but Demand.
type Config struct {
	Node   bgp.NodeID
	Server netip.Addr     // where it is asked
	Egress netip.AddrPort // of HTTP services
	Peers  []bgp.Org      // organisations that are known from the beginning, besides this node's
	Router Router
	Places Places
	Judge  Judge
	// Serving tells whether an Envoy has the listener of a TCP service's own address, and why one refuses it; "" if none
	// does.
	Serving func(svc bgp.Service) (has bool, refused string)
	Demand  Demand // nil where Envoys have every service
	Log     *slog.Logger
	Meter   metric.Meter
}

// Server answers names.
type Server struct {
	cfg     Config
	zones   *Zones
	metrics *metrics
	signal  chan struct{} // poked has something
	waking  chan struct{} // as many questions as wait for an Envoy

	mu      sync.Mutex
	poked   map[bgp.Service]bool            // guarded by mu
	awaited map[bgp.Service][]chan struct{} // closed when it is known where it is dialled; guarded by mu
	routes  map[bgp.Service]path            // owned by follow
	full    bool                            // there was no room for an organisation; owned by follow
}

// path is what a name needs to know of a service's best path.
type path struct {
	org      bgp.Org
	protocol bgp.Protocol
	ttl      uint32
}

// New returns a server that answers nobody yet.
func New(cfg Config) (*Server, error) {
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, metrics: m, signal: make(chan struct{}, 1), waking: make(chan struct{}, maxWaking),
		awaited: map[bgp.Service][]chan struct{}{}, poked: map[bgp.Service]bool{},
		routes: map[bgp.Service]path{}, zones: NewZones(cfg.Server, uint32(time.Now().Unix())), //nolint:gosec // wraps
	}
	s.zones.Know(append([]bgp.Org{cfg.Node.Org}, cfg.Peers...)...)
	return s, nil
}

// Zones is what is answered.
func (s *Server) Zones() *Zones { return s.zones }

// Dialled tells that the address of a TCP service's own may be another, or that an Envoy has taken or refused it. It
// does not block.
func (s *Server) Dialled(svc bgp.Service) {
	s.mu.Lock()
	s.poked[svc] = true
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Run follows the routes and answers at a listener until ctx ends.
func (s *Server) Run(ctx context.Context, l *Listener) error {
	tasks, ctx := errgroup.WithContext(ctx)
	feed, err := s.cfg.Router.Subscribe(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	tasks.Go(func() error { s.follow(ctx, feed.Batches()); return nil })
	tasks.Go(func() error { return s.serve(ctx, l) })
	return tasks.Wait()
}

// follow keeps the zones as the routes, the Envoys and the policies are.
func (s *Server) follow(ctx context.Context, batches <-chan peering.Batch) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	waiting := map[bgp.Service]bool{}
	published, synced := s.cfg.Router.Published(), false
	for {
		select {
		case <-ctx.Done():
			return
		case b, ok := <-batches:
			if !ok {
				return
			}
			for i := range b.Changed {
				s.changed(&b.Changed[i], waiting)
			}
			synced = synced || b.Synced
		case <-published:
			published = nil
		case <-s.signal:
			for svc := range s.takePoked() {
				s.look(svc, waiting)
			}
		case <-s.cfg.Judge.Changed():
			for svc := range s.routes {
				s.look(svc, waiting)
			}
		case <-tick.C:
			for svc := range waiting {
				s.look(svc, waiting)
			}
		}
		if synced && published == nil {
			s.zones.Complete()
		}
	}
}

func (s *Server) takePoked() map[bgp.Service]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	poked := s.poked
	s.poked = map[bgp.Service]bool{}
	return poked
}

// changed follows one route.
func (s *Server) changed(sel *rib.Selected, waiting map[bgp.Service]bool) {
	p, ok := s.pathOf(sel)
	if !ok {
		delete(s.routes, sel.Service)
		delete(waiting, sel.Service)
		s.zones.Remove(sel.Service)
		return
	}
	s.routes[sel.Service] = p
	s.look(sel.Service, waiting)
}

// pathOf is what counts of the best path; false if there is none, or if its name is not its originator's.
func (s *Server) pathOf(sel *rib.Selected) (path, bool) {
	if len(sel.Tiers) == 0 || len(sel.Tiers[0]) == 0 {
		return path{}, false
	}
	best := &sel.Tiers[0][0]
	p := path{org: s.cfg.Node.Org, protocol: best.Attrs.Protocol, ttl: steadyTTL}
	if !best.Local {
		p.org = best.Attrs.Origin().Org
	}
	if !sel.Service.Below(p.org) || sel.Service.IsWildcard() && p.protocol == bgp.TCP {
		return path{}, false
	}
	unsteady := best.Attrs.Health == bgp.HealthDown || best.Attrs.Health == bgp.HealthDraining
	if unsteady || best.Stale || best.Attrs.HasCommunity(bgp.GracefulShutdown) {
		p.ttl = shortTTL
	}
	if !s.zones.Know(p.org) {
		if !s.full {
			s.full = true
			s.cfg.Log.Warn("names of further organisations are not answered", "most", MaxOrganisations, "first", string(p.org))
		}
		return path{}, false
	}
	return p, true
}

// look puts a service into the zones as it is now.
func (s *Server) look(svc bgp.Service, waiting map[bgp.Service]bool) {
	p, ok := s.routes[svc]
	if !ok {
		delete(waiting, svc)
		return
	}
	n := Name{Service: svc, Org: p.org, Protocol: p.protocol, TTL: p.ttl, State: Answered, At: s.cfg.Egress}
	unused := p.protocol == bgp.TCP && s.unused(svc)
	switch {
	case unused:
		n.State, n.Why = Waiting, "nobody has asked for it: Envoy listens once an application does"
	case p.protocol == bgp.TCP:
		s.place(&n)
	}
	// Policies decide on the name that is called, and a pattern answers of names that nobody has: it is not hidden.
	if why, hidden := s.cfg.Judge.Hidden(svc, p.org, p.protocol == bgp.TCP); hidden && !svc.IsWildcard() {
		n.State, n.Why = Hidden, why
	}
	if n.State != Answered {
		n.At = netip.AddrPort{}
	}
	if n.State == Waiting && !unused { // of what is not used an Envoy takes nothing by itself
		waiting[svc] = true
	} else {
		delete(waiting, svc)
	}
	s.zones.Put(n)
	if n.State != Waiting {
		s.known(svc)
	}
}

// place finds out where a TCP service is dialled. It is not told before an Envoy listens there: the machine may have
// a program of its own at this port of every address, which an application would reach instead.
func (s *Server) place(n *Name) {
	at, err := s.cfg.Places.Dial(n.Service)
	if err != nil {
		n.State, n.Why = NoAddress, err.Error()
		return
	}
	n.At = at
	has, refused := s.cfg.Serving(n.Service)
	was, _ := s.zones.Get(n.Service)
	switch {
	case refused != "":
		n.State = NoAddress
		n.Why = "Envoy does not listen at " + at.String() + ": " + refused
	case at.IsValid() && (has || was.State == Answered && was.At == at): // an Envoy that is away comes back to the same
	default:
		n.State, n.Why = Waiting, "no Envoy has taken its address yet"
	}
}

// Addresses reads where names are asked and where HTTP services are dialled, of listeners at IP:PORT. An egress at
// every address of the machine is dialled at loopback.
func Addresses(dns, egress string) (server netip.Addr, http netip.AddrPort, err error) {
	at, err := netip.ParseAddrPort(dns)
	if err != nil {
		return server, http, fmt.Errorf("dns: %q: want IP:PORT", dns)
	}
	if http, err = netip.ParseAddrPort(egress); err != nil {
		return server, http, fmt.Errorf("envoy.egress: %q: want IP:PORT", egress)
	}
	ip := http.Addr().Unmap()
	if ip.IsUnspecified() {
		if ip.Is4() {
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		} else {
			ip = netip.IPv6Loopback()
		}
	}
	return at.Addr().Unmap(), netip.AddrPortFrom(ip, http.Port()), nil
}
