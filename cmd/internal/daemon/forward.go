package daemon

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// forwarder carries the Loc-RIB to Envoy: every change is compiled as it comes, and nothing waits for a timer.
type forwarder struct {
	d          *Daemon
	compiler   *xds.Compiler // owned by run, once it runs
	identities <-chan struct{}
	again      chan bgp.Service
	ready      chan struct{} // closed when the operator's orders are restored

	mu       sync.Mutex
	backends map[bgp.Service]journal.Service // guarded by mu
	local    map[bgp.Service]rib.Selected    // of services of this node, to compile again when the backend moves; guarded by mu
	problems map[bgp.Service]string          // guarded by mu
	gone     departures                      // guarded by mu
}

func newForwarder(d *Daemon) *forwarder {
	return &forwarder{
		d: d, compiler: xds.NewCompiler(d.compilerConfig()), again: make(chan bgp.Service, 64), ready: make(chan struct{}),
		backends: map[bgp.Service]journal.Service{}, local: map[bgp.Service]rib.Selected{}, problems: map[bgp.Service]string{},
	}
}

// restored tells that the first view may be complete.
func (f *forwarder) restored() { close(f.ready) }

func (f *forwarder) setBackend(s journal.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backends[s.Name] = s
}

// backend returns a service of this node as the operator ordered it.
func (f *forwarder) backend(svc bgp.Service) (journal.Service, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.backends[svc]
	return s, ok
}

// offers tells whether a service is one of this node's own.
func (f *forwarder) offers(svc bgp.Service) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.backends[svc]
	return ok
}

func (f *forwarder) dropBackend(svc bgp.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.backends, svc)
}

// moved has a service compiled again although its route is the same.
func (f *forwarder) moved(ctx context.Context, svc bgp.Service) {
	select {
	case f.again <- svc:
	case <-ctx.Done():
	}
}

// goneSince returns when a service's last route went away; zero if that is not known.
func (f *forwarder) goneSince(svc bgp.Service) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone.at[svc]
}

func (f *forwarder) problem(svc bgp.Service) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problems[svc]
}

// notCompiled returns why services could not be compiled.
func (f *forwarder) notCompiled() map[bgp.Service]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.problems)
}

// begin publishes what is the same whatever the tables say. It has to be called before run.
func (f *forwarder) begin() error {
	f.identities = f.d.id.Changed()
	start, err := f.compiler.Start(identityOf(f.d.id.Material()))
	if err != nil {
		return err
	}
	f.d.ads.Publish(start)
	return nil
}

func (f *forwarder) run(ctx context.Context) error {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil
	}
	if !f.wanted(ctx) || !f.published(ctx) || !f.told(ctx) {
		return nil
	}
	feed, err := f.d.router.Subscribe(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	batches := make(chan []rib.Selected)
	synced := make(chan struct{})
	go func() { // ends with ctx, or with the router
		defer close(batches)
		first := true
		for {
			b, ok := feed.Next(ctx)
			if !ok {
				return
			}
			select {
			case batches <- b.Changed:
			case <-ctx.Done():
				return
			}
			if b.Synced && first {
				first = false
				close(synced)
			}
		}
	}()
	published := f.d.router.Published()
	for {
		select {
		case <-ctx.Done():
			return nil
		case changed, ok := <-batches:
			if !ok {
				return nil
			}
			f.apply(ctx, changed)
		case svc := <-f.again:
			f.mu.Lock()
			sel, ok := f.local[svc]
			f.mu.Unlock()
			if ok {
				f.apply(ctx, []rib.Selected{sel})
			}
		case <-f.identities:
			d, err := f.compiler.Identity(identityOf(f.d.id.Material()))
			if err != nil {
				f.d.tel.Log.Error("compile the identity", "error", err)
				continue
			}
			f.d.ads.Publish(d)
		case <-published:
			published = nil
			f.open(published, synced)
		case <-synced:
			synced = nil
			f.open(published, synced)
		}
	}
}

// wanted waits for an Envoy, this node's own or one that connects, and tells whether there is one. Before that nothing is compiled: a node
// that only passes routes on holds no view of them.
func (f *forwarder) wanted(ctx context.Context) bool {
	if f.d.sup != nil {
		return true
	}
	for {
		select {
		case <-f.d.ads.Wanted():
			return true
		case <-f.again: // compiled with everything else, once it is
		case <-ctx.Done():
			return false
		}
	}
}

// published waits until the tables of a restarted node are complete, and tells whether they are. The view that is read then is complete as well: one
// that was begun before could be handed to Envoy with its last part still to come.
func (f *forwarder) published(ctx context.Context) bool {
	for {
		select {
		case <-f.d.router.Published():
			return true
		case <-f.again: // compiled with everything else, once it is
		case <-ctx.Done():
			return false
		}
	}
}

// told waits until every peer has sent its table, those that restart as well included, for as long as the deferral lasts, and tells whether ctx goes on. Two speakers that
// restart together do not wait for each other before they publish to their peers (RFC 4724 §4.1), and what one has yet to say would be taken from the other's Envoy.
func (f *forwarder) told(ctx context.Context) bool {
	if !f.d.restarted {
		return true
	}
	over := time.NewTimer(time.Until(f.d.started.Add(f.d.cfg.Peering.Deferral)))
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := false
		err := f.d.router.Query(ctx, func(s *speaker.Speaker) {
			missing = slices.ContainsFunc(s.Peers(), func(p speaker.PeerView) bool { return !p.EndOfRIB && !p.Config.Disabled })
		})
		if err != nil || !missing {
			return err == nil
		}
		select {
		case <-tick.C:
		case <-f.again: // compiled with everything else, once it is
		case <-over.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// open lets Envoys be answered once the tables are complete and all of them has been compiled; a nil channel has done its part.
func (f *forwarder) open(published, synced <-chan struct{}) {
	if published == nil && synced == nil {
		f.d.ads.Open()
	}
}

// apply compiles a batch and publishes what comes of it.
func (f *forwarder) apply(ctx context.Context, batch []rib.Selected) {
	began := time.Now()
	change := xds.Change{Services: make([]xds.Forwarding, 0, len(batch))}
	for i := range batch {
		change.Services = append(change.Services, f.forwarding(&batch[i]))
		f.span(ctx, "route.compile", batch[i].Service, batch[i].Trace)
	}
	delta, problems := f.compiler.Apply(change)
	f.d.met.compiled(ctx, time.Since(began), len(batch))
	f.mu.Lock()
	look := len(f.problems)+len(problems) > 0
	for i := range batch {
		delete(f.problems, batch[i].Service)
		if len(batch[i].Tiers) == 0 {
			f.gone.note(batch[i].Service, began)
		}
	}
	for _, p := range problems {
		f.problems[p.Service] = p.Err.Error()
	}
	f.mu.Unlock()
	for _, p := range problems {
		f.d.tel.Log.Error("service not compiled, what it had before stays", "service", string(p.Service), "error", p.Err)
	}
	f.d.ads.Publish(delta)
	if look {
		f.d.quarantine.poke()
	}
}

// forwarding translates a route into what the data plane needs to know. What is down is no target; what drains is one, and gets nothing new, as long as there is
// another.
func (f *forwarder) forwarding(sel *rib.Selected) xds.Forwarding {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.local, sel.Service)
	out := xds.Forwarding{Service: sel.Service, Revision: sel.Revision, Trace: sel.Trace}
	calm := false // some target does not drain
	for _, tier := range sel.Tiers {
		var targets []xds.Target
		for i := range tier {
			p := &tier[i]
			if out.Protocol == 0 {
				out.Protocol = p.Attrs.Protocol
			}
			t, ok := f.target(sel, p)
			switch {
			case p.Attrs.Protocol != out.Protocol || !ok:
				continue // two nodes disagree on what the service speaks: the best path's word counts
			case p.Attrs.Health == bgp.HealthDown:
				out.Down = append(out.Down, originOf(p))
				continue
			}
			calm = calm || !t.Draining
			targets = append(targets, t)
		}
		if len(targets) > 0 {
			out.Tiers = append(out.Tiers, targets)
		}
	}
	if len(out.Tiers) > 0 {
		out.Down = nil
	}
	for _, tier := range out.Tiers {
		for i := range tier {
			tier[i].Draining = tier[i].Draining && calm
		}
	}
	return out
}

// target is where a path leads; false if its service is being removed from this node. The caller holds mu.
func (f *forwarder) target(sel *rib.Selected, p *rib.Path) (xds.Target, bool) {
	t := xds.Target{
		Weight: p.Attrs.Weight, NextHop: p.NextHop,
		Draining: p.Attrs.Health == bgp.HealthDraining || p.Attrs.HasCommunity(bgp.GracefulShutdown),
	}
	if !p.Local {
		return t, true
	}
	f.local[sel.Service] = *sel
	b, ok := f.backends[sel.Service]
	t.Backend = xds.Backend{Address: b.Address}
	return t, ok
}

// originOf is the node beside which a path's workload is.
func originOf(p *rib.Path) bgp.NodeID {
	if p.Local {
		return p.Peer
	}
	return p.Attrs.Origin()
}

// acknowledged follows a change to its end: the acknowledgement of an Envoy.
func (f *forwarder) acknowledged(a ads.Acknowledged) {
	ctx := context.Background()
	f.d.met.acknowledged(ctx, a, f.offers(a.Service))
	f.span(ctx, "envoy.acknowledge", a.Service, a.Trace)
}

// span marks a moment of a change, in the trace that began where it was declared.
func (f *forwarder) span(ctx context.Context, name string, svc bgp.Service, t bgp.Trace) {
	if t.TraceID == [16]byte{} {
		return
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: t.TraceID, SpanID: t.SpanID, TraceFlags: trace.FlagsSampled, Remote: true})
	_, span := f.d.tel.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), name,
		trace.WithAttributes(attribute.String("catalyst.service", string(svc)), attribute.String("catalyst.node", f.d.self.String())))
	span.End()
}

func identityOf(m *identity.Material) xds.Identity {
	return xds.Identity{Chain: m.Chain, Key: m.Key, Roots: m.Roots}
}
