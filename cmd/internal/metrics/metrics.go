// Package metrics holds the instruments of a node. Their names and meanings are in docs/operations.md.
package metrics

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// Metrics are the instruments of a node.
type Metrics struct {
	meter                               metric.Meter
	step, compile, ack, convergence     metric.Float64Histogram
	compiledServices, events, refusals  metric.Int64Counter
	sessions, sessionUp, routes, queue  metric.Int64ObservableGauge
	updates                             metric.Int64ObservableCounter
	table, ports, health, serviceUp     metric.Int64ObservableGauge
	problems, cutOff, damage, contested metric.Int64ObservableGauge
	underway                            metric.Int64ObservableGauge
	ended                               metric.Int64ObservableCounter
	expiry, lifetime                    map[string]metric.Float64ObservableGauge  // by what ends
	kinds                               map[reflect.Type]metric.MeasurementOption // of events; owned by the speaker's loop
	err                                 error
}

// buckets of durations, in seconds.
func seconds() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(.00001, .00005, .0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25,
		.5, 1, 2.5, 5, 10)
}

// New makes the instruments.
func New(m metric.Meter) *Metrics {
	x := &Metrics{meter: m, kinds: map[reflect.Type]metric.MeasurementOption{}}
	histogram := func(name, doc string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(doc), seconds())
		x.keep(err)
		return h
	}
	counter := func(name, doc string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithDescription(doc))
		x.keep(err)
		return c
	}
	gauge := func(name, doc string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge(name, metric.WithDescription(doc))
		x.keep(err)
		return g
	}
	x.step = histogram("catalyst.speaker.step.duration", "time of one step of the speaker, decision included")
	x.compile = histogram("catalyst.xds.compile.duration", "time to compile one batch of changes")
	x.ack = histogram("catalyst.xds.ack.duration", "from sending a resource to Envoy's acknowledgement")
	x.convergence = histogram("catalyst.convergence.duration",
		"from the declaration of a change, wherever it was, to the acknowledgement of an Envoy here; "+
			"{origin} is here for services of this node, else elsewhere")
	x.compiledServices = counter("catalyst.xds.compiled", "services compiled")
	x.events = counter("catalyst.speaker.events", "events taken by the speaker, by {kind}")
	x.refusals = counter("catalyst.xds.nacks", "resources that an Envoy refused, by {type}")
	x.sessions = gauge("catalyst.sessions", "peers by the {state} of their session")
	x.sessionUp = gauge("catalyst.session.up",
		"1 if the session with a {peer} is established, else 0; peers that an operator has disabled are not in it")
	x.routes = gauge("catalyst.routes", "routes by {peer} and {table}: adj-rib-in, rejected, stale, adj-rib-out")
	var err error
	x.updates, err = m.Int64ObservableCounter("catalyst.updates",
		metric.WithDescription("UPDATE messages by {peer} and {direction}: in, out"))
	x.keep(err)
	x.underway = gauge("catalyst.underway", "requests and connections of other nodes that last and are watched")
	x.ended, err = m.Int64ObservableCounter("catalyst.underway.ended",
		metric.WithDescription("of these, those that were ended because their caller may not reach the service any more"))
	x.keep(err)
	x.queue = gauge("catalyst.queue.length",
		"services that a {peer} has yet to hear of")
	x.table = gauge("catalyst.table.size", "size of the tables by {kind}: services, paths, attribute sets, bytes")
	x.health = gauge("catalyst.services.health", "services of this node that are checked, by {state}: up, down, unknown")
	x.serviceUp = gauge("catalyst.service.up",
		"1 for a checked {service} of this node whose workload is up, 0 for one that is down; at most 500 of them")
	x.problems = gauge("catalyst.xds.problems",
		"services that Envoy could not be given as the tables say, by {kind}: refused (and in quarantine), not compiled")
	x.damage = gauge("catalyst.journal.damage",
		"records of the journal, and the journal itself, that were found damaged and are not served")
	x.contested = gauge("catalyst.names.contested",
		"names that a node offers although they were another's, and nobody has agreed to it")
	x.cutOff = gauge("catalyst.xds.cut_off", "Envoys that are turned away each time that they connect")
	x.ports = gauge("catalyst.ports", "TCP ports by {use}: taken, free")
	secondsGauge := func(name, doc string) metric.Float64ObservableGauge {
		g, err := m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(doc))
		x.keep(err)
		return g
	}
	x.expiry = map[string]metric.Float64ObservableGauge{
		identity.OfSVID: secondsGauge("catalyst.svid.expiry",
			"time that is left of the node's certificate, that of its {organisation}; less than nothing when it is over"),
		identity.OfCA: secondsGauge("catalyst.ca.expiry",
			"time that is left of the CA that signed the node's certificate, that of its {organisation}"),
		identity.OfRoots: secondsGauge("catalyst.bundle.expiry",
			"time that is left of the roots of an {organisation}: its last root to end"),
	}
	x.lifetime = map[string]metric.Float64ObservableGauge{
		identity.OfSVID: secondsGauge("catalyst.svid.lifetime",
			"how long the node's certificate is valid from its first to its last second, that of its {organisation}"),
		identity.OfCA: secondsGauge("catalyst.ca.lifetime",
			"how long the CA that signed the node's certificate is valid, that of its {organisation}"),
		identity.OfRoots: secondsGauge("catalyst.bundle.lifetime",
			"how long the last root of an {organisation} to end is valid"),
	}
	return x
}

func (x *Metrics) keep(err error) {
	if x.err == nil {
		x.err = err
	}
}

// Stepped books a step of the speaker.
func (x *Metrics) Stepped(ev speaker.Event, took time.Duration, _ int) {
	ctx := context.Background()
	x.step.Record(ctx, took.Seconds())
	t := reflect.TypeOf(ev)
	kind, ok := x.kinds[t]
	if !ok {
		kind = metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", t.String())))
		x.kinds[t] = kind
	}
	x.events.Add(ctx, 1, kind)
}

// Compiled books a batch of changes that was compiled.
func (x *Metrics) Compiled(ctx context.Context, took time.Duration, services int) {
	x.compile.Record(ctx, took.Seconds())
	x.compiledServices.Add(ctx, int64(services))
}

// Acknowledged books an Envoy's acknowledgement; own tells that the service is this node's. A clock that is behind
// the originator's counts as no time.
func (x *Metrics) Acknowledged(ctx context.Context, a ads.Acknowledged, own bool) {
	x.ack.Record(ctx, a.Took.Seconds())
	if a.Trace.Declared > 0 {
		origin := "elsewhere"
		if own {
			origin = "here"
		}
		x.convergence.Record(ctx, max(0, time.Since(time.Unix(0, a.Trace.Declared)).Seconds()),
			metric.WithAttributes(attribute.String("origin", origin)))
	}
}

// Refused books a resource that an Envoy refused.
func (x *Metrics) Refused(r ads.Refused) {
	x.refusals.Add(context.Background(), 1, metric.WithAttributes(attribute.String("type", r.Resource.Type)))
}

// Sources is what is read whenever somebody asks for metrics; all of it is required.
type Sources struct {
	Query    func(ctx context.Context, f func(*speaker.Speaker)) error
	Checked  func(f func(bgp.Service, probe.Status)) // services of this node whose workload is checked
	Problems func() map[bgp.ReportKind]int64
	CutOff   func() int // Envoys that are turned away
	Ports    func() (taken, free int)
	Validity func() []identity.Validity // of certificates and roots
	Underway func() (open, ended int64) // requests of other nodes that last, and those that were ended
	Damage   int                        // records of the journal that were found damaged
}

// Observe reads the node's state whenever somebody asks for metrics.
func (x *Metrics) Observe(src Sources) error {
	if x.err != nil {
		return fmt.Errorf("set up metrics: %w", x.err)
	}
	_, err := x.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		var peers []speaker.PeerView
		var contested int
		err := src.Query(ctx, func(s *speaker.Speaker) {
			peers, contested = s.Peers(), s.Table().Contested()
			c := s.Table().Counts()
			for kind, n := range map[string]int{"services": c.Services, "paths": c.Paths, "sets": c.Sets, "bytes": c.Bytes} {
				o.ObserveInt64(x.table, int64(n), metric.WithAttributes(attribute.String("kind", kind)))
			}
		})
		if err != nil {
			return nil //nolint:nilerr // the node is starting or stopping
		}
		states := map[string]int64{"Idle": 0, "Active": 0, "Established": 0}
		for i := range peers {
			states[peers[i].State.String()]++
			x.peer(o, &peers[i])
		}
		for state, n := range states {
			o.ObserveInt64(x.sessions, n, metric.WithAttributes(attribute.String("state", state)))
		}
		x.services(o, src.Checked)
		for kind, n := range src.Problems() {
			o.ObserveInt64(x.problems, n, metric.WithAttributes(attribute.String("kind", kind.String())))
		}
		o.ObserveInt64(x.contested, int64(contested))
		o.ObserveInt64(x.damage, int64(src.Damage))
		x.validity(o, src.Validity())
		o.ObserveInt64(x.cutOff, int64(src.CutOff()))
		open, ended := src.Underway()
		o.ObserveInt64(x.underway, open)
		o.ObserveInt64(x.ended, ended)
		taken, free := src.Ports()
		o.ObserveInt64(x.ports, int64(taken), metric.WithAttributes(attribute.String("use", "taken")))
		o.ObserveInt64(x.ports, int64(free), metric.WithAttributes(attribute.String("use", "free")))
		return nil
	}, x.sessions, x.sessionUp, x.routes, x.updates, x.queue, x.table, x.ports, x.health, x.serviceUp, x.problems,
		x.cutOff, x.damage, x.contested, x.underway, x.ended,
		x.expiry[identity.OfSVID], x.expiry[identity.OfCA], x.expiry[identity.OfRoots],
		x.lifetime[identity.OfSVID], x.lifetime[identity.OfCA], x.lifetime[identity.OfRoots])
	return err
}

// validity measures what is left of certificates and roots; less than nothing when they have ended.
func (x *Metrics) validity(o metric.Observer, all []identity.Validity) {
	for _, v := range all {
		whose := metric.WithAttributes(attribute.String("organisation", string(v.Org)))
		o.ObserveFloat64(x.expiry[v.Of], time.Until(v.Until).Seconds(), whose)
		o.ObserveFloat64(x.lifetime[v.Of], v.Until.Sub(v.From).Seconds(), whose)
	}
}

// maxServiceSeries bounds the time series of one metric.
const maxServiceSeries = 500

func (x *Metrics) services(o metric.Observer, checked func(func(bgp.Service, probe.Status))) {
	up := map[bgp.Service]bool{}
	states := map[bgp.Health]int64{bgp.HealthUnknown: 0, bgp.HealthUp: 0, bgp.HealthDown: 0}
	checked(func(svc bgp.Service, s probe.Status) {
		states[s.Health]++
		if s.Health != bgp.HealthUnknown {
			up[svc] = s.Health == bgp.HealthUp
		}
	})
	for state, n := range states {
		o.ObserveInt64(x.health, n, metric.WithAttributes(attribute.String("state", state.String())))
	}
	names := slices.Sorted(maps.Keys(up))
	for _, svc := range names[:min(len(names), maxServiceSeries)] {
		value := int64(0)
		if up[svc] {
			value = 1
		}
		o.ObserveInt64(x.serviceUp, value, metric.WithAttributes(attribute.String("service", string(svc))))
	}
}

func (x *Metrics) peer(o metric.Observer, v *speaker.PeerView) {
	name := attribute.String("peer", v.Config.Node.String())
	if !v.Config.Disabled {
		up := int64(0)
		if v.State == fsm.Established {
			up = 1
		}
		o.ObserveInt64(x.sessionUp, up, metric.WithAttributes(name))
	}
	for table, n := range map[string]int{"adj-rib-in": v.Routes.Received, "rejected": v.Routes.Rejected,
		"stale": v.Routes.Stale, "adj-rib-out": v.Routes.Advertised} {
		o.ObserveInt64(x.routes, int64(n), metric.WithAttributes(name, attribute.String("table", table)))
	}
	o.ObserveInt64(x.updates, int64(v.Counters.UpdatesIn),
		metric.WithAttributes(name, attribute.String("direction", "in")))
	o.ObserveInt64(x.updates, int64(v.Counters.UpdatesOut),
		metric.WithAttributes(name, attribute.String("direction", "out")))
	o.ObserveInt64(x.queue, int64(v.Pending), metric.WithAttributes(name))
}
