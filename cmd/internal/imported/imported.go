// Package imported brings services of other nodes into a Kubernetes cluster: each is a Service there, with an
// EndpointSlice of this node's Envoy, so that Pods call it as any other:
//
//	curl http://books-acme-example.catalyst/     # books.acme.example, from the namespace catalyst
//
//	room, err := imported.New(imported.Config{…})
//	err = room.Run(ctx)
//
// Plan says what has to be written, and is pure; this file is the shell around it: the routes' feed, and the cluster.
// What is written carries the label app.kubernetes.io/managed-by: catalyst. Nothing else is ever changed or removed.
package imported

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

const (
	together          = 50 * time.Millisecond // in which changes are looked at as one
	again             = 30 * time.Second      // although nothing changed
	againAfterProblem = 5 * time.Second
	againAfterFailure = 2 * time.Second
	againForPorts     = 250 * time.Millisecond // while a TCP service waits for its port
	patience          = 10 * time.Second       // for one request
)

// Router hands out the routes as they change. peering.Router is one.
type Router interface {
	Subscribe(ctx context.Context) (*peering.Feed, error)
	// Published is closed once the tables of a restarted node are complete.
	Published() <-chan struct{}
}

// Config is what a Room needs; all of it is required but what says otherwise.
type Config struct {
	Cluster   *cluster.Cluster
	Namespace string
	Select    []string
	Node      bgp.NodeID
	Address   netip.Addr // at which Pods reach Envoy
	Egress    uint16     // port of HTTP services there
	// Pod is that in which Envoy runs, and Owner a ConfigMap with which all Services go; "" for none.
	Pod, PodUID, Owner string
	Router             Router
	Port               func(svc bgp.Service) uint16 // of a TCP service; 0 if it has none yet
	// Hidden tells that no application beside this node may call a service.
	Hidden func(svc bgp.Service, org bgp.Org, tcp bool) (why string, hidden bool)
	Hold   time.Duration // for which a service stays in the cluster after its route has gone
	Log    *slog.Logger
	Meter  metric.Meter
}

// Room has the cluster have the services of other nodes.
type Room struct {
	cfg      Config
	at       Place
	services *cluster.Objects[cluster.Service]
	slices   *cluster.Objects[cluster.EndpointSlice]
	wake     chan struct{}
	changes  metric.Int64Counter

	routes map[bgp.Service]route // that are selected; owned by follow
	gone   map[string]time.Time  // since when a Service is not wanted; owned by follow
	start  time.Time             // from which what is not wanted counts as gone; owned by follow
	owned  bool                  // the owner was looked up; owned by follow

	mu     sync.Mutex
	status discover.Status // guarded by mu
}

// route is what counts of a service's best path.
type route struct {
	org      bgp.Org
	protocol bgp.Protocol
	dialled  uint16 // at which port a TCP service wants to be dialled; 0 for none in particular
}

// New returns a room that writes nothing yet.
func New(cfg Config) (*Room, error) {
	r := &Room{
		cfg: cfg, wake: make(chan struct{}, 1), routes: map[bgp.Service]route{}, gone: map[string]time.Time{},
		at: Place{Namespace: cfg.Namespace, Address: cfg.Address, Node: cfg.Node.Name},
	}
	if cfg.Pod != "" {
		r.at.Pod = &metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: cfg.Pod, UID: types.UID(cfg.PodUID)}
	}
	r.status = discover.Status{
		Source: "import to " + cfg.Namespace, Since: time.Now(), Away: "nothing was heard of it yet",
	}
	of := func(label string) string { return label + "=" + cluster.Manager }
	r.services = cluster.Follow(cfg.Cluster, cluster.Services(), cfg.Namespace, of(cluster.PartByLabel),
		whole[cluster.Service], r.poke)
	r.slices = cluster.Follow(cfg.Cluster, cluster.Slices(), cfg.Namespace, of(cluster.ManagedByLabel),
		whole[cluster.EndpointSlice], r.poke)
	return r, r.measure(cfg.Meter)
}

func whole[T any](object T) (T, bool) { return object, true }

func (r *Room) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run follows the routes and the cluster until ctx ends. What the cluster has then stays: Envoy goes on serving it.
func (r *Room) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	feed, err := r.cfg.Router.Subscribe(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	tasks.Go(func() error { r.services.Run(ctx); return nil })
	tasks.Go(func() error { r.slices.Run(ctx); return nil })
	tasks.Go(func() error { r.follow(ctx, feed.Batches()); return nil })
	return tasks.Wait()
}

// follow writes what has to change, once the tables of a restarted node are complete.
func (r *Room) follow(ctx context.Context, batches <-chan peering.Batch) {
	timer := time.NewTimer(again)
	defer timer.Stop()
	published, synced, soon := r.cfg.Router.Published(), false, false
	change := func() {
		if !soon {
			soon = true
			timer.Reset(together)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case b, ok := <-batches:
			if !ok {
				return
			}
			for i := range b.Changed {
				r.changed(&b.Changed[i])
			}
			synced = synced || b.Synced
			change()
			continue
		case <-published:
			published = nil
			change()
			continue
		case <-r.wake:
			change()
			continue
		case <-timer.C:
		}
		soon = false
		next := again
		if synced && published == nil {
			if r.start.IsZero() {
				r.start = time.Now()
			}
			next = r.reconcile(ctx)
		}
		timer.Reset(next)
	}
}

// changed follows one route.
func (r *Room) changed(sel *rib.Selected) {
	p, ok := r.routeOf(sel)
	if _, was := r.routes[sel.Service]; was && !ok {
		if name, err := NameOf(sel.Service); err == nil {
			r.gone[name] = time.Now()
		}
		delete(r.routes, sel.Service)
	}
	if ok {
		r.routes[sel.Service] = p
	}
}

// routeOf is what counts of the best path; false if there is none, if it is this node's own, or if it is not selected.
func (r *Room) routeOf(sel *rib.Selected) (route, bool) {
	if len(sel.Tiers) == 0 || len(sel.Tiers[0]) == 0 || sel.Service.IsWildcard() || sel.Tiers[0][0].Local ||
		!slices.ContainsFunc(r.cfg.Select, func(p string) bool { return filter.Covers(p, sel.Service) }) {
		return route{}, false
	}
	best := &sel.Tiers[0][0]
	return route{
		org: best.Attrs.Origin().Org, protocol: best.Attrs.Protocol, dialled: best.Attrs.ServicePort(),
	}, true
}

// wanted are the services that the cluster is to have. waits tells that one has no port yet.
func (r *Room) wanted() (all []Want, waits bool) {
	for _, svc := range slices.Sorted(maps.Keys(r.routes)) {
		p := r.routes[svc]
		w := Want{Service: svc, Protocol: p.protocol, Port: r.cfg.Egress, Dialled: httpPort}
		if _, hidden := r.cfg.Hidden(svc, p.org, p.protocol == bgp.TCP); hidden {
			continue
		}
		if p.protocol == bgp.TCP {
			if w.Port = r.cfg.Port(svc); w.Port == 0 {
				waits = true
				continue
			}
			w.Dialled = cmp.Or(p.dialled, w.Port)
		}
		all = append(all, w)
	}
	return all, waits
}

// reconcile writes what has to change, and returns when to look again at the latest.
func (r *Room) reconcile(ctx context.Context) time.Duration {
	has, err := r.has(ctx)
	if err != nil {
		r.tell(err, nil, 0)
		return again
	}
	want, waits := r.wanted()
	now := time.Now()
	r.count(now, want)
	c := Plan(now, r.start, r.cfg.Hold, &r.at, want, has, r.gone)
	r.forget(has)
	problems, failed := r.write(ctx, &c)
	if ctx.Err() != nil {
		return again
	}
	r.tell(nil, append(c.Problems, problems...), c.Offered-len(problems))
	next := again
	if !c.Until.IsZero() {
		next = min(next, max(together, c.Until.Sub(now)))
	}
	if len(problems) > 0 { // nothing tells that a name is free, which is not Catalyst's
		next = min(next, againAfterProblem)
	}
	if failed {
		next = min(next, againAfterFailure)
	}
	if waits {
		next = min(next, againForPorts)
	}
	return next
}

// count notes what is not wanted from now on although it has a route, such as what no policy permits any more, and what
// is wanted again.
func (r *Room) count(now time.Time, want []Want) {
	wanted := map[bgp.Service]bool{}
	for _, w := range want {
		wanted[w.Service] = true
	}
	for svc := range r.routes {
		name, err := NameOf(svc)
		if err != nil {
			continue
		}
		if _, ok := r.gone[name]; wanted[svc] {
			delete(r.gone, name)
		} else if !ok {
			r.gone[name] = now
		}
	}
}

// forget forgets since when a Service is gone that the cluster has no more.
func (r *Room) forget(has Has) {
	there := map[string]bool{}
	for _, s := range has.Services {
		there[s.Name] = true
	}
	for _, s := range has.Slices {
		there[s.Labels[cluster.ServiceNameLabel]] = true
	}
	maps.DeleteFunc(r.gone, func(name string, _ time.Time) bool { return !there[name] })
}

// has is what the cluster has.
func (r *Room) has(ctx context.Context) (Has, error) {
	var has Has
	var err error
	if has.Services, err = r.services.All(); err != nil {
		return has, fmt.Errorf("services: %w", err)
	}
	if has.Slices, err = r.slices.All(); err != nil {
		return has, fmt.Errorf("endpointslices: %w", err)
	}
	if r.cfg.Owner == "" || r.owned {
		return has, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var owner struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := r.cfg.Cluster.Get(ctx, cluster.ConfigMaps(), r.cfg.Namespace, r.cfg.Owner, &owner); err != nil {
		return has, fmt.Errorf("kubernetes.owner: %w", err)
	}
	r.owned = true
	r.at.Owner = &metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: r.cfg.Owner, UID: owner.UID}
	return has, nil
}

// tell notes how it stands, and logs what is new of it.
func (r *Room) tell(away error, problems []discover.Problem, services int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.status
	next := discover.Status{Source: was.Source, Since: was.Since}
	if away != nil {
		next.Away, next.Problems, next.Services = away.Error(), was.Problems, was.Services
	} else {
		next.Problems, next.Services = problems, max(services, 0)
	}
	if (was.Away == "") != (next.Away == "") {
		next.Since = time.Now()
	}
	r.status = next
	switch {
	case next.Away != "" && next.Away != was.Away:
		r.cfg.Log.Warn("services of other nodes are not brought into the cluster at the moment; what it has stays",
			"namespace", r.cfg.Namespace, "error", away)
	case next.Away == "" && was.Away != "":
		r.cfg.Log.Info("services of other nodes are brought into the cluster", "namespace", r.cfg.Namespace, "services",
			next.Services)
	}
	for _, p := range next.Problems {
		if !slices.Contains(was.Problems, p) {
			r.cfg.Log.Warn("a service of another node is not brought into the cluster", "service", p.In, "error", p.Why)
		}
	}
}

// Status is what is known of it. Its Services are those that the cluster has from other nodes.
func (r *Room) Status() discover.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.status
	st.Problems = slices.Clone(st.Problems)
	return st
}

// Warnings are what an operator has to look after.
func (r *Room) Warnings() []string {
	var all []string
	st := r.Status()
	if st.Away != "" {
		all = append(all, fmt.Sprintf("%s: since %s: %s; what the cluster has stays", st.Source,
			st.Since.UTC().Format(time.RFC3339), st.Away))
	}
	if n := len(st.Problems); n > 0 {
		all = append(all, fmt.Sprintf("%s: %s: %s (%d in all: catalyst discover status)", st.Source, st.Problems[0].In,
			st.Problems[0].Why, n))
	}
	return all
}

// measure makes the instruments.
func (r *Room) measure(m metric.Meter) error {
	var errs [4]error
	var up, services, problems metric.Int64ObservableGauge
	r.changes, errs[0] = m.Int64Counter("catalyst.imported.changes", metric.WithDescription(
		"objects of the cluster that were written for services of other nodes, by {change}: created, updated, deleted"))
	up, errs[1] = m.Int64ObservableGauge("catalyst.imported.up",
		metric.WithDescription("1 while services of other nodes are brought into the cluster, 0 while it does not answer"))
	services, errs[2] = m.Int64ObservableGauge("catalyst.imported.services",
		metric.WithDescription("services of other nodes that the cluster has"))
	problems, errs[3] = m.Int64ObservableGauge("catalyst.imported.problems",
		metric.WithDescription("services of other nodes that are selected and that the cluster does not have"))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		st := r.Status()
		there := int64(1)
		if st.Away != "" {
			there = 0
		}
		o.ObserveInt64(up, there)
		o.ObserveInt64(services, int64(st.Services))
		o.ObserveInt64(problems, int64(len(st.Problems)))
		return nil
	}, up, services, problems)
	return err
}

func (r *Room) wrote(ctx context.Context, change string) {
	r.changes.Add(ctx, 1, metric.WithAttributes(attribute.String("change", change)))
}
