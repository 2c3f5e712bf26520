// Package forwarding carries the Loc-RIB to Envoy: each change is compiled as it comes (xds) and published to the
// Envoys that are connected (xds/ads). What an Envoy refuses, and what cannot be compiled, becomes a Problem that the
// speaker tells the originator of.
//
//	kept := forwarding.Kept(data, log)          // what Envoy took before this process was started
//	f := forwarding.New(forwarding.Config{Kept: kept, …})
//	err := f.Begin()                            // listeners, secrets and what was kept: before Envoys are answered
//	go f.Run(ctx)
//	f.Restored()                                // the operator's orders are known: the first view may be complete
package forwarding

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/cmd/internal/ondemand"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
	"github.com/catalyst-router/catalyst/xds/fib"
)

// Router hands out the Loc-RIB as it changes. peering.Router is one.
type Router interface {
	Do(ctx context.Context, ev speaker.Event) error
	Query(ctx context.Context, f func(*speaker.Speaker)) error
	Subscribe(ctx context.Context) (*peering.Feed, error)
	When(ctx context.Context, holds func(*speaker.Speaker) bool) (<-chan struct{}, error)
	Watch(ctx context.Context) (*peering.Watch, error)
	// Published is closed once the tables of a restarted node are complete.
	Published() <-chan struct{}
}

// Offer knows this node's own services. offer.Offer is one.
type Offer interface {
	Has(svc bgp.Service) bool
	// Get returns a service as it was ordered; false if it is not this node's.
	Get(svc bgp.Service) (journal.Service, bool)
	// Workloads returns those that share a service's traffic; none if it is not this node's.
	Workloads(svc bgp.Service) []offer.Workload
	// Moved tells of services whose workload may be elsewhere although their route is the same.
	Moved() <-chan bgp.Service
}

// Identity is the certificate that Envoys show and the roots that they trust. identity.Source is one.
type Identity interface {
	Material() *identity.Material
	Changed() <-chan struct{}
}

// Ports gives TCP services their local ports. localports.Book is one.
type Ports interface {
	// Allot returns the batch with the ports in it, without the services for which none is left: each of these is a
	// problem.
	Allot(ctx context.Context, batch []xds.Forwarding) (served []xds.Forwarding, problems []xds.Problem)
	// Keep writes down what Allot did not have to.
	Keep(ctx context.Context) error
	// Changed is readable when a service that got no port may get one, or Moved has something to return.
	Changed() <-chan struct{}
	// Moved returns the services that were given another port.
	Moved() []bgp.Service
}

// Metrics books what is done.
type Metrics interface {
	Compiled(ctx context.Context, took time.Duration, services int)
	// Acknowledged books an Envoy's acknowledgement; own tells that the service is this node's.
	Acknowledged(ctx context.Context, a ads.Acknowledged, own bool)
	Refused(r ads.Refused)
}

// Config is what a Forwarder needs; all of it is required but for what says otherwise.
type Config struct {
	Node     bgp.NodeID
	Data     string // absolute path of the data directory
	Compiler xds.Config
	Router   Router
	Offer    Offer
	Ports    Ports
	Identity Identity
	Metrics  Metrics
	Log      *slog.Logger
	Tracer   trace.Tracer

	// Peers are those that the operator has configured, as they were kept.
	Peers []bgp.NodeID
	// AdmitOrganisation lets every node of this organisation in at the mesh ingress, not only peers.
	AdmitOrganisation bool
	// Admitted is told who may come in at the mesh ingress, at first and whenever that changes; nil for nobody.
	Admitted func(xds.Admission)
	// Envoys says which Envoy connects by TLS; nil takes none.
	Envoys ads.Who
	// Supervised tells that this node runs an Envoy of its own. Without one nothing is compiled before an Envoy connects.
	Supervised bool
	// Register adds services that Envoys may call on the connections by which they are configured; nil for none.
	Register func(grpc.ServiceRegistrar)
	// Dialled is told of TCP services whose own address may be another, or was taken or refused by an Envoy; nil for
	// nobody. It must not block.
	Dialled func(svc bgp.Service)
	// Demand says which services Envoys use; nil gives every Envoy all of them. The compiler has to be told (OnDemand).
	Demand *ondemand.Room
	// ListenTCP are the TCP services of other nodes that every Envoy has, called or not, where Demand says what else they
	// have: names, *.NAME or *.
	ListenTCP []string
	// Kept is what Envoy took before this process was started. Optional.
	Kept []xds.Resource
	// Deferral is until when a restarted node waits for the tables of all peers before it changes what Envoy has; zero
	// for not at all.
	Deferral time.Time
}

// Forwarder carries the Loc-RIB to Envoy: every change is compiled as it comes, and nothing waits for a timer.
type Forwarder struct {
	cfg        Config
	ads        *ads.Server
	store      *fib.Store
	quarantine *quarantine
	admission  *admission
	identities <-chan struct{}
	ready      chan struct{}        // closed when the operator's orders are restored
	complete   chan struct{}        // closed when Envoys are given the whole of the tables
	portless   map[bgp.Service]bool // TCP services for which no local port is left; owned by run

	compiling sync.Mutex    // held while something is compiled and published, so that Envoys see it in this order
	compiler  *xds.Compiler // guarded by compiling

	mu       sync.Mutex
	problems map[bgp.Service]string // guarded by mu
	gone     departures             // guarded by mu
}

// clusterLinger is longer than a request goes on being tried at a next hop that does not answer: the connect time-out
// of xds, twice, and the pauses between.
const clusterLinger = 5 * time.Second

// New returns a forwarder, with the ADS server that Envoys connect to. It starts nothing.
func New(cfg Config) *Forwarder {
	f := &Forwarder{
		cfg: cfg, quarantine: newQuarantine(), ready: make(chan struct{}), complete: make(chan struct{}),
		portless: map[bgp.Service]bool{}, problems: map[bgp.Service]string{},
	}
	f.admission = newAdmission(&cfg, func(a xds.Admission) error {
		err := f.publish(func(c *xds.Compiler) (xds.Delta, error) { return c.Admit(a) })
		f.tellAdmitted(a)
		return err
	})
	f.cfg.Compiler.Admission = f.admission.now()
	f.tellAdmitted(f.cfg.Compiler.Admission)
	f.compiler = xds.NewCompiler(f.cfg.Compiler)
	f.store = fib.New(fib.Config{
		Path: filepath.Join(cfg.Data, fibFile),
		Log:  cfg.Log,
		All:  func() []*xds.Resource { return f.ads.Taken() },
	})
	envoys := ads.Config{
		Log:          cfg.Log,
		Store:        f.store,
		OnQuarantine: f.quarantine.poke,
		OnAck:        f.acknowledged,
		OnNack:       f.refused,
		Who:          cfg.Envoys,
		Register:     cfg.Register,
		Linger:       clusterLinger,
	}
	f.demanded(&envoys)
	f.ads = ads.NewServer(envoys)
	if cfg.Demand != nil {
		cfg.Demand.Connect(f.ads)
	}
	return f
}

// ADS is the server that Envoys connect to.
func (f *Forwarder) ADS() *ads.Server { return f.ads }

// Begin publishes what this node has to say without any table: its own listeners and secrets, and what Envoy took
// last. It has to come before Envoys are answered, and before Run.
func (f *Forwarder) Begin() error {
	f.identities = f.cfg.Identity.Changed()
	start, err := f.compiler.Start(identityOf(f.cfg.Identity.Material()))
	if err != nil {
		return err
	}
	f.ads.Publish(start)
	if f.ads.Restore(f.cfg.Kept); len(f.cfg.Kept) > 0 {
		f.cfg.Log.Info("Envoy is given its last state until the tables are complete", "resources", len(f.cfg.Kept))
	}
	f.cfg.Kept = nil
	return nil
}

// Complete is closed once Envoys are given the whole of the tables, and nothing any more that an earlier process left.
func (f *Forwarder) Complete() <-chan struct{} { return f.complete }

// Restored tells that the operator's orders are known, so that the first view may be complete.
func (f *Forwarder) Restored() { close(f.ready) }

// GoneSince returns when a service's last route went away; zero if that is not known.
func (f *Forwarder) GoneSince(svc bgp.Service) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone.at[svc]
}

// NotCompiled returns why a service could not be compiled; "" if it could.
func (f *Forwarder) NotCompiled(svc bgp.Service) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problems[svc]
}

// Problem returns what the data plane has against a service, "" for nothing: an Envoy refuses it, or it could not be
// compiled.
func (f *Forwarder) Problem(svc bgp.Service) string { return f.quarantine.of(svc) }

// Problems counts the services that the data plane has something against, by kind.
func (f *Forwarder) Problems() map[bgp.ReportKind]int64 { return f.quarantine.counts() }

func (f *Forwarder) look() map[bgp.Service]speaker.Problem {
	f.mu.Lock()
	notCompiled := maps.Clone(f.problems)
	f.mu.Unlock()
	return problemsOf(notCompiled, f.ads.Quarantined())
}

// Run carries changes to Envoys, and keeps what they take, until ctx ends.
func (f *Forwarder) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return f.run(ctx) })
	tasks.Go(func() error { return f.constants(ctx) })
	tasks.Go(func() error { return f.quarantine.run(ctx, f.cfg.Router, f.look) })
	tasks.Go(func() error { return f.store.Run(ctx) })
	if f.cfg.Demand != nil {
		tasks.Go(func() error { return f.cfg.Demand.Run(ctx) })
	}
	return tasks.Wait()
}

// constants follows what is the same for all services, from the moment on when the operator's orders are known: the
// identity, and who may come in.
func (f *Forwarder) constants(ctx context.Context) error {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return f.admission.run(ctx) })
	tasks.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-f.identities:
				id := identityOf(f.cfg.Identity.Material())
				err := f.publish(func(c *xds.Compiler) (xds.Delta, error) { return c.Identity(id) })
				if err != nil {
					f.cfg.Log.Error("compile the identity", "error", err)
				}
			}
		}
	})
	return tasks.Wait()
}

// publish compiles something and gives it to Envoys.
func (f *Forwarder) publish(compile func(*xds.Compiler) (xds.Delta, error)) error {
	f.compiling.Lock()
	defer f.compiling.Unlock()
	d, err := compile(f.compiler)
	if err == nil {
		f.ads.Publish(d)
	}
	return err
}

// Believe waits until every connected Envoy has taken these roots of an organisation, for a second or until ctx ends,
// and tells whether they all have. An Envoy without a new root refuses certificates that the root has signed.
func (f *Forwarder) Believe(ctx context.Context, org bgp.Org, roots []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		f.compiling.Lock()
		refs, ok := f.compiler.Believes(org, roots)
		f.compiling.Unlock()
		for _, ref := range refs {
			ok = ok && f.ads.Held(ref)
		}
		if ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// tellAdmitted tells of who may come in, once Envoys are told.
func (f *Forwarder) tellAdmitted(a xds.Admission) {
	if f.cfg.Admitted != nil {
		f.cfg.Admitted(a)
	}
}

// PeersChanged has the mesh ingress let in the peers that there are now. It returns when Envoys are told.
func (f *Forwarder) PeersChanged(ctx context.Context) error { return f.admission.follow(ctx) }

func (f *Forwarder) run(ctx context.Context) error {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil
	}
	if !f.needed(ctx) || !f.published(ctx) || !f.told(ctx) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the feed
	feed, err := f.cfg.Router.Subscribe(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	synced := false
	published := f.cfg.Router.Published()
	asked := f.asked()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-minute.C: // by then a service may have been away for long enough to lose its port
			f.keepPorts(ctx)
			f.recompile(ctx, slices.Sorted(maps.Keys(f.portless)))
		case <-f.cfg.Ports.Changed():
			f.recompile(ctx, append(f.cfg.Ports.Moved(), slices.Sorted(maps.Keys(f.portless))...))
		case b, ok := <-feed.Batches():
			if !ok {
				return nil
			}
			f.apply(ctx, b.Changed)
			if b.Synced && !synced {
				synced = true
				f.open(published == nil)
			}
		case svc := <-f.cfg.Offer.Moved():
			f.recompile(ctx, []bgp.Service{svc})
		case <-asked:
			f.lookUp(ctx)
		case <-published:
			published = nil
			f.open(synced)
		}
	}
}

// needed waits until there is an Envoy, this node's own or one that connects; false if ctx ends first. A node that
// only passes routes on has none: it compiles nothing and holds no view.
func (f *Forwarder) needed(ctx context.Context) bool {
	if f.cfg.Supervised {
		return true
	}
	for {
		select {
		case <-f.ads.Wanted():
			return true
		case <-f.cfg.Offer.Moved(): // compiled with everything else, once it is
		case <-ctx.Done():
			return false
		}
	}
}

// published waits until the tables of a restarted node are complete; false if ctx ends first. The view is read only
// then: one that was begun before might reach Envoy while its last part is still to come.
func (f *Forwarder) published(ctx context.Context) bool {
	for {
		select {
		case <-f.cfg.Router.Published():
			return true
		case <-f.cfg.Offer.Moved(): // compiled with everything else, once it is
		case <-ctx.Done():
			return false
		}
	}
}

// told waits until every peer has sent its table, those that restart as well included, or until the deferral is over;
// false if ctx ends first. Speakers that restart together do not wait for each other before they publish to their
// peers (RFC 4724 §4.1). Envoy has to wait: a route that one of them has yet to announce would be taken from it.
func (f *Forwarder) told(ctx context.Context) bool {
	if f.cfg.Deferral.IsZero() {
		return true
	}
	waiting, stop := context.WithDeadline(ctx, f.cfg.Deferral)
	defer stop()
	complete, err := f.cfg.Router.When(waiting, func(s *speaker.Speaker) bool {
		return !slices.ContainsFunc(s.Peers(), func(p speaker.PeerView) bool { return !p.EndOfRIB && !p.Config.Disabled })
	})
	if err != nil {
		return waiting.Err() != nil && ctx.Err() == nil // the deferral is over, or the node is stopping
	}
	for {
		select {
		case <-complete:
			return true
		case <-f.cfg.Offer.Moved(): // compiled with everything else, once it is
		case <-waiting.Done():
			return ctx.Err() == nil
		}
	}
}

// open lets Envoys be answered once the tables are complete and all of them has been compiled: one is so, and so may
// the other be.
func (f *Forwarder) open(other bool) {
	if other {
		f.ads.Open()
		close(f.complete)
	}
}

// apply compiles a batch and publishes what comes of it.
func (f *Forwarder) apply(ctx context.Context, batch []rib.Selected) {
	began := time.Now()
	change := xds.Change{Services: make([]xds.Forwarding, 0, len(batch))}
	for i := range batch {
		next, wanted := f.wanted(&batch[i])
		if !wanted {
			continue
		}
		change.Services = append(change.Services, next)
		f.span(ctx, "route.compile", batch[i].Service, batch[i].Trace)
	}
	served, problems := f.cfg.Ports.Allot(ctx, change.Services)
	f.notePortless(batch, problems)
	f.admit(ctx, batch)
	f.compiling.Lock()
	defer f.compiling.Unlock()
	delta, more := f.compiler.Apply(xds.Change{Services: served})
	problems = append(problems, more...)
	f.cfg.Metrics.Compiled(ctx, time.Since(began), len(batch))
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
		f.cfg.Log.Error("service not compiled, what it had before stays", "service", string(p.Service), "error", p.Err)
	}
	f.ads.Publish(delta)
	for i := range served {
		if served[i].Protocol == bgp.TCP {
			f.dialled(xds.DialName(served[i].Service))
		}
	}
	if look {
		f.quarantine.poke()
	}
}

// admit has peers of other organisations reach what they may now, before it is routed anew.
func (f *Forwarder) admit(ctx context.Context, batch []rib.Selected) {
	services := make([]bgp.Service, 0, len(batch))
	for i := range batch {
		services = append(services, batch[i].Service)
	}
	f.admission.note(f.admission.changed(ctx, services))
}

// notePortless remembers which services of a batch got no local port.
func (f *Forwarder) notePortless(batch []rib.Selected, problems []xds.Problem) {
	if len(f.portless)+len(problems) == 0 {
		return
	}
	for i := range batch {
		delete(f.portless, batch[i].Service)
	}
	for _, p := range problems {
		f.portless[p.Service] = true
	}
}

// recompile compiles the newest states of services again: their routes are the same, and what the node itself adds to
// them is not.
func (f *Forwarder) recompile(ctx context.Context, services []bgp.Service) {
	if len(services) == 0 {
		return
	}
	var batch []rib.Selected
	err := f.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		for _, svc := range services {
			if sel, ok := s.Table().Selected(svc); ok {
				batch = append(batch, sel)
			}
		}
	})
	if err == nil && len(batch) > 0 {
		f.apply(ctx, batch)
	}
}

// keepPorts writes down which local ports belong to services that are away.
func (f *Forwarder) keepPorts(ctx context.Context) {
	if err := f.cfg.Ports.Keep(ctx); err != nil {
		f.cfg.Log.Error("local ports are not written down", "error", err)
	}
}

// forwarding translates a route into what the data plane needs to know. A next hop or workload that is down is no
// target. One that drains is a target still, and gets new traffic only if there is no other.
func (f *Forwarder) forwarding(sel *rib.Selected) xds.Forwarding {
	out := xds.Forwarding{Service: sel.Service, Revision: sel.Revision, Trace: sel.Trace}
	calm := false // some target does not drain
	for _, tier := range sel.Tiers {
		var targets []xds.Target
		for i := range tier {
			p := &tier[i]
			if out.Protocol == 0 {
				out.Protocol, out.ServicePort = p.Attrs.Protocol, p.Attrs.ServicePort()
			}
			switch {
			case p.Attrs.Protocol != out.Protocol: // two nodes disagree on what the service speaks: the best path's word counts
			case p.Local && !f.cfg.Offer.Has(sel.Service): // it is being removed
			case p.Attrs.Health == bgp.HealthDown:
				out.Down = append(out.Down, originOf(p))
			default:
				for _, t := range f.targets(sel, p) {
					calm = calm || !t.Draining
					targets = append(targets, t)
				}
			}
		}
		if len(targets) > 0 {
			out.Tiers = append(out.Tiers, targets)
		}
	}
	if len(out.Tiers) > 0 {
		out.Down = nil
	}
	if s, own := f.cfg.Offer.Get(sel.Service); own {
		out.Idle, out.Kept = s.Idle, offer.KeepAlive(f.cfg.Offer.Workloads(sel.Service))
		if t := offer.TLSOf(&s); t.On() {
			out.TLS = &xds.WorkloadTLS{CA: t.CA, Name: t.Name, ID: t.ID, Insecure: t.Insecure}
		}
	}
	for _, tier := range out.Tiers {
		for i := range tier {
			tier[i].Draining = tier[i].Draining && calm
		}
	}
	return out
}

// targets is where a path leads: to one next hop, or to the workloads of a service of this node that are not down;
// none if they have no address yet.
func (f *Forwarder) targets(sel *rib.Selected, p *rib.Path) []xds.Target {
	t := xds.Target{
		Weight: p.Attrs.Weight, NextHop: p.NextHop,
		Draining: p.Attrs.Health == bgp.HealthDraining || p.Attrs.HasCommunity(bgp.GracefulShutdown),
	}
	if !p.Local {
		return []xds.Target{t}
	}
	var up, all []xds.Target
	for _, w := range f.cfg.Offer.Workloads(sel.Service) {
		if w.Address == "" {
			continue
		}
		t.Backend = xds.Backend{Address: w.Address, Other: w.Other}
		if all = append(all, t); w.Status.Health != bgp.HealthDown {
			up = append(up, t)
		}
	}
	if len(up) > 0 {
		return up
	}
	return all // the route says that it is down, or is about to
}

// originOf is the node beside which a path's workload is.
func originOf(p *rib.Path) bgp.NodeID {
	if p.Local {
		return p.Peer
	}
	return p.Attrs.Origin()
}

// acknowledged follows a change to its end: the acknowledgement of an Envoy.
func (f *Forwarder) acknowledged(a ads.Acknowledged) {
	ctx := context.Background()
	f.cfg.Metrics.Acknowledged(ctx, a, f.cfg.Offer.Has(a.Service))
	f.dialled(a.Resource)
	f.span(ctx, "envoy.acknowledge", a.Service, a.Trace)
}

// refused books what an Envoy does not take.
func (f *Forwarder) refused(r ads.Refused) {
	f.cfg.Metrics.Refused(r)
	f.dialled(r.Resource)
}

// dialled tells of a resource, if it is the listener of a TCP service's own address.
func (f *Forwarder) dialled(ref xds.Ref) {
	if svc, ok := xds.Dialled(ref); ok && f.cfg.Dialled != nil {
		f.cfg.Dialled(svc)
	}
}

// span marks a moment of a change, in the trace that began where it was declared.
func (f *Forwarder) span(ctx context.Context, name string, svc bgp.Service, t bgp.Trace) {
	if t.TraceID == [16]byte{} {
		return
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    t.TraceID,
		SpanID:     t.SpanID,
		TraceFlags: trace.FlagsSampled,
		Remote:     true,
	})
	_, span := f.cfg.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), name,
		trace.WithAttributes(attribute.String("catalyst.service", string(svc)),
			attribute.String("catalyst.node", f.cfg.Node.String())))
	span.End()
}

func identityOf(m *identity.Material) xds.Identity {
	return xds.Identity{Chain: m.Chain, Key: m.Key, Roots: m.Roots}
}
