// Package offer keeps what this node offers: the services that its operator ordered, the health of their workloads,
// and what the router is told of both.
//
//	o := offer.New(offer.Config{Node: self, Router: router, Journal: journal, …})
//	go o.Run(ctx)              // checks workloads
//	err := o.Restore(ctx)      // announces what was ordered before the node was restarted
//	err = o.Set(ctx, service)  // catalyst route add
//
// The order in the journal comes first: a service is announced only once it is kept, and one that is kept is
// announced again after a restart.
package offer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/names"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
)

// firstChecks is how long a node that starts waits for the first results, so that it does not announce as up what was
// down and is.
const firstChecks = 3 * time.Second

// Router is told of services. peering.Router is one.
type Router interface {
	Do(ctx context.Context, ev speaker.Event) error
}

// Journal keeps what the operator ordered. journal.Journal is one.
type Journal interface {
	Services(ctx context.Context) ([]journal.Service, error)
	PutService(ctx context.Context, s journal.Service) error
	RemoveService(ctx context.Context, name bgp.Service) (had bool, err error)
}

// Config is what an Offer needs; all of it is required.
type Config struct {
	Node    bgp.NodeID
	Router  Router
	Journal Journal
	Log     *slog.Logger
	Tracer  trace.Tracer
	// Identity is shown to workloads that are known by a SPIFFE id; nil where there are none.
	Identity probe.Identity
	// Names says how the hosts of workloads are looked up; Log and Changed are the offer's own. Optional.
	Names names.Config
}

// Offer is what a node offers.
type Offer struct {
	cfg    Config
	names  *names.Set
	probes *probe.Set
	moved  chan bgp.Service

	mu       sync.Mutex
	services map[bgp.Service]journal.Service // guarded by mu

	announcing sync.Mutex // held while the router is told of a service, so that the newest word is the last
}

// New returns an offer of nothing.
func New(cfg Config) *Offer {
	o := &Offer{cfg: cfg, moved: make(chan bgp.Service, 64), services: map[bgp.Service]journal.Service{}}
	o.probes = probe.NewSet(probe.Config{Log: cfg.Log, Changed: o.healthChanged, ID: cfg.Identity})
	cfg.Names.Log = cfg.Log
	cfg.Names.Changed = func(ctx context.Context, owner string) { o.addressesChanged(ctx, bgp.Service(owner)) }
	o.names = names.New(cfg.Names)
	return o
}

// Run looks the hosts of workloads up and checks workloads, until ctx ends.
func (o *Offer) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return o.names.Run(ctx) })
	tasks.Go(func() error { return o.probes.Run(ctx) })
	return tasks.Wait()
}

// Restore announces what the operator ordered before, once the first checks are through or have taken too long.
func (o *Offer) Restore(ctx context.Context) error {
	services, err := o.cfg.Journal.Services(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, firstChecks)
	defer cancel()
	for i := range services {
		o.put(services[i])
		o.names.Follow(string(services[i].Name), hosts(&services[i]))
	}
	for i := range services {
		o.names.First(limited, string(services[i].Name))
		o.check(&services[i])
	}
	for i := range services {
		o.probes.First(limited, services[i].Name)
		if err := o.announce(ctx, services[i].Name, bgp.Trace{}); err != nil {
			return err
		}
	}
	return nil
}

// Set keeps a service, checks its workload and announces it. One of the same name is replaced.
func (o *Offer) Set(ctx context.Context, s journal.Service) error {
	if err := o.cfg.Journal.PutService(ctx, s); err != nil {
		return err
	}
	o.put(s)
	o.names.Follow(string(s.Name), hosts(&s))
	limited, cancel := context.WithTimeout(ctx, firstChecks)
	defer cancel()
	o.names.First(limited, string(s.Name))
	o.check(&s)
	if err := o.announce(ctx, s.Name, o.declare(ctx, "route.declare", s.Name)); err != nil {
		return err
	}
	o.tell(ctx, s.Name)
	return nil
}

// tell has a service compiled again: its workloads may be elsewhere.
func (o *Offer) tell(ctx context.Context, svc bgp.Service) {
	select {
	case o.moved <- svc:
	case <-ctx.Done():
	}
}

// SetForNow announces a service that is this node's own, such as its operator API: it is not kept over a restart and
// its workload is not checked.
func (o *Offer) SetForNow(ctx context.Context, s journal.Service) error {
	o.put(s)
	o.names.Follow(string(s.Name), hosts(&s))
	return o.cfg.Router.Do(ctx, speaker.LocalSet{Service: s.Name, Attributes: Attributes(s)})
}

// Remove withdraws a service, and tells whether there was one.
func (o *Offer) Remove(ctx context.Context, name bgp.Service) (bool, error) {
	had, err := o.cfg.Journal.RemoveService(ctx, name)
	if err != nil || !had {
		return false, err
	}
	o.probes.Remove(name)
	o.names.Follow(string(name), nil)
	o.mu.Lock()
	delete(o.services, name)
	o.mu.Unlock()
	return true, o.announce(ctx, name, o.declare(ctx, "route.declare", name))
}

// Get returns a service as the operator ordered it; false if this node does not offer it.
func (o *Offer) Get(svc bgp.Service) (journal.Service, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.services[svc]
	return s, ok
}

// Has tells whether this node offers a service.
func (o *Offer) Has(svc bgp.Service) bool {
	_, ok := o.Get(svc)
	return ok
}

// All returns every service of this node, by name: those that are kept, and its own (SetForNow).
func (o *Offer) All() []journal.Service {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]journal.Service, 0, len(o.services))
	for _, name := range slices.Sorted(maps.Keys(o.services)) {
		all = append(all, o.services[name])
	}
	return all
}

// Kept returns the services that the operator ordered or discovery found, by name.
func (o *Offer) Kept(ctx context.Context) ([]journal.Service, error) {
	return o.cfg.Journal.Services(ctx)
}

// Moved tells of services whose workload may be elsewhere now although their route is the same. It has one reader.
func (o *Offer) Moved() <-chan bgp.Service { return o.moved }

// Health returns what is known of a service's workloads as a whole; false if nothing is: they are not checked, and
// have addresses.
func (o *Offer) Health(svc bgp.Service) (probe.Status, bool) {
	if st, checked := o.probes.Status(svc); checked {
		return st, true
	}
	s, ok := o.Get(svc)
	if !ok {
		return probe.Status{}, false
	}
	return o.unreachable(&s)
}

// Checked calls f with every service whose workload is checked.
func (o *Offer) Checked(f func(bgp.Service, probe.Status)) { o.probes.All(f) }

func (o *Offer) put(s journal.Service) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.services[s.Name] = s
}

// Attributes are what is announced of a service of this node, without its health.
func Attributes(s journal.Service) bgp.Attributes {
	return bgp.Attributes{
		Protocol:    s.Protocol,
		MED:         s.MED,
		Weight:      s.Weight,
		Region:      s.Region,
		Tags:        tags(&s),
		Communities: s.Communities,
	}
}

// tags are those of the order, and that which says at which port a TCP service is dialled by its name: where the
// operator does not say it, that of its first workload.
func tags(s *journal.Service) []string {
	if s.Protocol != bgp.TCP || slices.ContainsFunc(s.Tags, bgp.IsServicePortTag) || len(s.Tags) == bgp.MaxTags {
		return s.Tags
	}
	at, err := bgp.ParseEndpoint(s.Address)
	if err != nil {
		return s.Tags
	}
	all := append(slices.Clone(s.Tags), bgp.ServicePortTag(at.Port))
	slices.Sort(all)
	return all
}

// CheckOf is how a service is checked; an error names the field that is wrong.
func CheckOf(s *journal.Service) (probe.Check, error) {
	c, err := probe.Parse(s.HealthPath)
	if err != nil {
		return c, fmt.Errorf("health: %w", err)
	}
	c.Interval, c.Timeout, c.Rise, c.Fall = s.HealthInterval, s.HealthTimeout, s.HealthRise, s.HealthFall
	return c, errors.Join(c.Validate(s.Protocol)...)
}

// check has a service's workload checked from now on, as the operator ordered.
func (o *Offer) check(s *journal.Service) {
	c, err := CheckOf(s)
	if err != nil { // it was checked when it was ordered
		o.cfg.Log.Error("service is not checked", "service", string(s.Name), "error", err)
	}
	if err != nil || c.Kind == probe.None {
		o.probes.Remove(s.Name)
		return
	}
	var targets []probe.Target
	for _, r := range o.workloads(s) {
		if r.Address != "" {
			targets = append(targets, probe.Target{
				Service:  s.Name,
				Protocol: s.Protocol,
				Address:  r.Address,
				Other:    r.Other,
				Check:    c,
				TLS:      TLSOf(s),
			})
		}
	}
	o.probes.Put(s.Name, targets...)
}

// announce tells the router of a service as it is now: with its health, or as withdrawn, where the operator wants
// that of a service that is down or has not been checked yet.
func (o *Offer) announce(ctx context.Context, svc bgp.Service, t bgp.Trace) error {
	o.announcing.Lock()
	defer o.announcing.Unlock()
	s, ok := o.Get(svc)
	if !ok {
		return o.cfg.Router.Do(ctx, speaker.LocalRemoved{Service: svc, Trace: t})
	}
	a := Attributes(s)
	st, known := o.Health(svc)
	if a.Health = st.Health; known && s.WithdrawDown && a.Health != bgp.HealthUp {
		return o.cfg.Router.Do(ctx, speaker.LocalRemoved{Service: svc, Trace: t})
	}
	return o.cfg.Router.Do(ctx, speaker.LocalSet{Service: svc, Attributes: a, Trace: t, Yields: s.Yields})
}

// healthChanged announces a service again with its health. Envoy is told besides, where the route does not say it
// all: of a service with several workloads those that are down get no traffic although the route stays the same, and
// how long a workload keeps connections is in no route.
func (o *Offer) healthChanged(ctx context.Context, svc bgp.Service) {
	if all := o.Workloads(svc); len(all) > 1 || KeepAlive(all) > 0 {
		defer o.tell(ctx, svc)
	}
	if err := o.announce(ctx, svc, o.declare(ctx, "route.health", svc)); err != nil && ctx.Err() == nil {
		o.cfg.Log.Error("announce a service's health", "service", string(svc), "error", err)
	}
}

// declare begins the trace of a change.
func (o *Offer) declare(ctx context.Context, span string, svc bgp.Service) bgp.Trace {
	_, s := o.cfg.Tracer.Start(ctx, span,
		trace.WithAttributes(attribute.String("catalyst.service", string(svc)),
			attribute.String("catalyst.node", o.cfg.Node.String())))
	defer s.End()
	return bgp.Trace{TraceID: s.SpanContext().TraceID(), SpanID: s.SpanContext().SpanID(), Declared: time.Now().UnixNano()}
}
