package ads

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Config is what a server needs.
type Config struct {
	Log *slog.Logger // required
	// OnAck is told of each resource that an Envoy has taken; nil for nobody. It must not block.
	OnAck func(Acknowledged)
	// OnNack is told of each resource that an Envoy refuses; nil for nobody.
	OnNack func(Refused)
	// OnQuarantine is told that Quarantined returns something else; nil for nobody. It must not block.
	OnQuarantine func()
	// Who says which Envoy connects by TLS; nil takes none but those on the Unix socket.
	Who Who
	// Store keeps what Envoys have taken, for the next process; nil for nobody. It must not block.
	Store Store
	// Register adds other services that an Envoy may call on its connections; nil for none. They serve whoever connects:
	// Caller tells who that is.
	Register func(grpc.ServiceRegistrar)
	// Uses tells whether the Envoys of a seat, "" for those on the Unix socket and otherwise the name of a certificate,
	// are given the scope of a service that is published; nil gives each of them all. It is asked under a lock: it must
	// neither block nor ask the server anything. Reconsider tells of what it says differently.
	Uses func(seat string, svc bgp.Service) bool
	// Pings is how often Envoys ping the server (envoy.BootstrapConfig), and it them. Zero means xds.KeepaliveInterval.
	Pings time.Duration
	// Linger is how long an Envoy keeps a cluster that nothing names any more: requests that are tried again find it.
	// Zero means not at all.
	Linger time.Duration
}

// Store keeps what is to be served again after a restart, before anything is compiled (see Server.Restore).
type Store interface {
	Set(*xds.Resource)
	Remove(xds.Ref)
}

// Acknowledged is a resource that an Envoy has taken.
type Acknowledged struct {
	Node     string
	Resource xds.Ref
	Version  string
	Service  bgp.Service
	Trace    bgp.Trace
	Took     time.Duration // from sending
}

const (
	removalPatience = 2 * time.Second // for an Envoy to acknowledge what no longer names a cluster
	maxNacks        = 1000            // kept of one Envoy
)

// Server serves any number of Envoys the same view. It is safe for concurrent use.
//
// It takes requests and hands each to the concern that it belongs to. All of them share one set of books, and the lock
// on it:
//
//	places      who is let in, and who was turned away
//	answers     what Envoys say of what they were sent
//	quarantine  what an Envoy refused, and what it is given in place of that
//	waits       what an Envoy has to have before it is sent something else
//	told        what an Envoy is sent next
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	*books
	open       chan struct{}
	places     *places
	answers    *answers
	quarantine *quarantine
	waits      *waits
	told       *told
}

// books are what all concerns of a server share.
type books struct {
	cfg Config

	mu      sync.Mutex
	view    view                      // what there is; guarded by mu
	streams map[*stream]bool          // guarded by mu
	opened  bool                      // guarded by mu
	left    bool                      // something may be of an earlier process; guarded by mu
	news    []func()                  // to be told when mu is released; guarded by mu
	telling bool                      // a goroutine tells them; guarded by mu
	awaited map[xds.Ref]chan struct{} // closed when something is different; guarded by mu
}

// NewServer returns a server that has nothing and answers nobody.
func NewServer(cfg Config) *Server {
	cfg.Pings = cmp.Or(cfg.Pings, xds.KeepaliveInterval)
	b := &books{cfg: cfg, view: newView(), streams: map[*stream]bool{}, awaited: map[xds.Ref]chan struct{}{}}
	q := &quarantine{books: b, refusals: map[string]map[version]*refusal{}, refused: map[xds.Ref]int{}}
	w := &waits{books: b, quarantine: q}
	return &Server{
		books: b, open: make(chan struct{}),
		places:     &places{books: b, first: make(chan struct{}), cutOff: map[string]*CutOff{}},
		answers:    &answers{books: b, quarantine: q, waits: w},
		quarantine: q, waits: w,
		told: &told{books: b, quarantine: q, waits: w},
	}
}

// Publish applies a delta and lets every Envoy know.
func (s *Server) Publish(d xds.Delta) {
	if d.Empty() {
		return
	}
	s.mu.Lock()
	defer s.unlock()
	s.view.shrink()
	for i := range d.Set {
		if ref := refOf(&d.Set[i]); s.view.set(&d.Set[i]) {
			s.quarantine.superseded(ref)
			s.changed(ref)
		}
	}
	for _, ref := range d.Removed {
		s.view.remove(ref)
		s.changed(ref) // it may stay, in an earlier version
		s.stir(ref)
	}
	s.quarantine.dropped()
}

// Taken returns what every Envoy has taken, of each resource the last such version: what a Store keeps.
func (s *Server) Taken() []*xds.Resource {
	s.mu.Lock()
	defer s.unlock()
	var all []*xds.Resource
	for _, byName := range s.view.byType {
		for _, e := range byName {
			if e.good != nil && !e.unproven {
				all = append(all, e.good)
			}
		}
	}
	return all
}

// Restore takes what a Store kept of an earlier process, and lets Envoys be answered: one that has nothing is given
// it at once. What an Envoy has already is left alone, whatever its version, until Open: it may be newer. What the
// node itself has to say, such as listeners and secrets, has to be published before.
func (s *Server) Restore(resources []xds.Resource) {
	s.mu.Lock()
	defer s.unlock()
	if len(resources) == 0 || s.opened {
		return
	}
	for i := range resources {
		s.view.restore(&resources[i])
	}
	s.left, s.opened = true, true
	close(s.open)
}

// Open lets Envoys be answered: the view is complete. What an earlier process left and this one has not compiled is
// gone.
func (s *Server) Open() {
	s.mu.Lock()
	defer s.unlock()
	if s.left {
		s.left = false
		s.sweep()
	}
	if !s.opened {
		s.opened = true
		close(s.open)
	}
}

// sweep removes what is left of an earlier process, and compares everything with what the Envoys have.
func (s *Server) sweep() {
	for t, byName := range s.view.byType {
		for name, e := range byName {
			if e.left {
				e.left = false
				s.view.remove(xds.Ref{Type: t, Name: name})
			}
		}
	}
	s.quarantine.dropped()
	for st := range s.streams {
		for t, sub := range st.subs {
			for name := range s.view.byType[t] {
				st.changed(xds.Ref{Type: t, Name: name})
			}
			for name := range sub.known {
				st.changed(xds.Ref{Type: t, Name: name})
			}
		}
		st.poke()
	}
}

// Wanted is closed when the first Envoy connects: before that nobody needs a view.
func (s *Server) Wanted() <-chan struct{} { return s.places.first }

// DeltaAggregatedResources serves one Envoy.
func (s *Server) DeltaAggregatedResources(rpc discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	st, err := newStream(rpc.Context(), s)
	if err != nil {
		return err
	}
	if err := s.places.join(st); err != nil {
		return s.places.turnAway(st, true, err)
	}
	defer s.leave(st)
	ctx := st.ctx
	requests, failed := receive(ctx, rpc.Recv)
	return s.judge(st, s.serve(ctx, st, rpc, requests, failed))
}

// receive reads a stream in a goroutine that ends with it. Why it ended comes last, also when the stream's context is
// done: gRPC ends that before Recv returns with the reason, such as a request that is too large.
func receive[T any](ctx context.Context, recv func() (T, error)) (<-chan T, <-chan error) {
	requests, failed := make(chan T), make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			req, err := recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	return requests, failed
}

// judge books a stream that ended because its Envoy was refused.
func (s *Server) judge(st *stream, err error) error {
	large := tooLarge{}
	switch code := status.Code(err); {
	case errors.As(err, &large):
		return s.places.turnAway(st, true, err)
	case code == codes.PermissionDenied || code == codes.InvalidArgument:
		return s.places.turnAway(st, false, err)
	}
	return err
}

// hungUp is why a stream could not be read any further: nil for an end that is nobody's fault.
func hungUp(err error) error {
	switch {
	case errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled:
		return nil
	case status.Code(err) == codes.ResourceExhausted: // of Recv it means a message that is too large
		return tooLarge{err}
	}
	return err
}

// leave forgets a stream, and all that was kept of its Envoy.
func (s *Server) leave(st *stream) {
	s.mu.Lock()
	defer s.unlock()
	delete(s.streams, st)
	st.cancel(nil)
	for ref := range s.view.unsettled {
		s.waits.settle(ref) // it may have been the only one that had not answered
	}
	s.quarantine.quarantined()
	s.tell(func() { s.cfg.Log.Info("Envoy disconnected", "node", st.node) })
}

// meet takes an Envoy's name from its first request. The caller holds mu.
func (s *Server) meet(st *stream, n *core.Node) error {
	if n == nil || st.node != "" {
		return nil
	}
	if err := s.introduce(st, n); err != nil {
		return err
	}
	s.places.served(st)
	s.quarantine.quarantined()
	s.tell(func() { s.cfg.Log.Info("Envoy connected", "node", st.node) })
	return nil
}

func (s *Server) serve(ctx context.Context, st *stream,
	rpc discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer,
	requests <-chan *discovery.DeltaDiscoveryRequest, failed <-chan error) error {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	opened := s.open
	for {
		select {
		case <-ctx.Done():
			if err := st.why(); err != nil {
				return err
			}
			return hungUp(<-failed)
		case err := <-failed:
			return hungUp(err)
		case req := <-requests:
			if err := s.request(st, req); err != nil {
				return err
			}
		case <-st.signal:
		case <-opened:
			opened = nil
		case <-retry.C:
		}
		for {
			resp, wait := s.told.next(st)
			if resp == nil {
				if wait > 0 {
					retry.Reset(wait)
				}
				break
			}
			if err := rpc.Send(resp); err != nil {
				return err
			}
		}
	}
}

// request takes a subscription, an acknowledgement or a refusal.
func (s *Server) request(st *stream, req *discovery.DeltaDiscoveryRequest) error {
	s.mu.Lock()
	defer s.unlock()
	if err := s.meet(st, req.GetNode()); err != nil {
		return err
	}
	if xds.Order(req.GetTypeUrl()) < 0 {
		return status.Errorf(codes.InvalidArgument, "type %q is not served here", req.GetTypeUrl())
	}
	sub := st.subs[req.GetTypeUrl()]
	if sub == nil {
		sub = newSubscription(req.GetTypeUrl(), req.GetResourceNamesSubscribe(), req.GetInitialResourceVersions())
		st.subs[req.GetTypeUrl()] = sub
		st.pending[req.GetTypeUrl()] = newQueue()
		if sub.wildcard {
			s.consider(st, req.GetTypeUrl())
		}
		for name := range sub.known {
			st.changed(xds.Ref{Type: req.GetTypeUrl(), Name: name})
		}
	} else if nonce := req.GetResponseNonce(); nonce != "" {
		s.answers.answered(st, sub, req)
	}
	for _, name := range req.GetResourceNamesSubscribe() {
		if sub.subscribe(name); name == "*" {
			s.consider(st, req.GetTypeUrl())
		} else {
			st.changed(xds.Ref{Type: req.GetTypeUrl(), Name: name}) // what it has already is not sent
		}
	}
	for _, name := range req.GetResourceNamesUnsubscribe() {
		delete(sub.names, name)
		delete(sub.known, name)
		delete(sub.acked, name)
	}
	return nil
}

// consider has all resources of a type looked at for one Envoy. That is for wildcards alone: a name costs its own
// resource, and n names cost n.
func (b *books) consider(st *stream, typeURL string) {
	for name := range b.view.byType[typeURL] {
		st.changed(xds.Ref{Type: typeURL, Name: name})
	}
}
