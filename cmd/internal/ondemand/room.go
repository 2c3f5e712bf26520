// Package ondemand gives each Envoy the services that are called through it, and no others (xds/demand says which).
// An Envoy asks for a service that it has no routes for; the Room has it looked up and compiled, waits until the Envoy
// has taken it, and answers. The call that made Envoy ask waits meanwhile, and goes on then.
//
//	r, err := ondemand.Open(ondemand.Config{…})
//	f := forwarding.New(forwarding.Config{Demand: r, …})   // looks up, compiles, and gives it its Envoys
//	go r.Run(ctx)                                          // forgets what is not called any more, and keeps what is
//
// What is in use is kept in a file, so that a node that restarts beside an Envoy that starts as well gives it all that
// it had. A name that nobody announces is kept nowhere, however often it is asked for.
package ondemand

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds/ads"
	"github.com/catalyst-router/catalyst/xds/demand"
)

const (
	// maxAsked is how many services may be looked up at a time: 64 Envoys with as many workers' questions as one
	// connection carries. One more is told to try again.
	maxAsked = 64 << 10
	// longestPause lies between two questions of one call.
	longestPause = 250 * time.Millisecond
	// keepAfter is how long changes are gathered before the file is written, and keepShare how many times as long as the
	// last time took that is at least.
	keepAfter, keepShare = 50 * time.Millisecond, 20
)

// Envoys are those that are connected. ads.Server is them.
type Envoys interface {
	Caller(ctx context.Context) (string, error)
	Reconsider(seat string, services []bgp.Service)
	Await(ctx context.Context, seat string, svc bgp.Service, all bool) error
}

// Config is what a Room needs; all of it is required.
type Config struct {
	Path string        // of the file in which it is kept what is in use
	Idle time.Duration // how long a service is kept without a call, twice that at most
	Most int           // services that one Envoy uses
	// Kept are the services that Envoys had when the file was written that cannot be read now, if any.
	Kept  func() []bgp.Service
	Log   *slog.Logger
	Meter metric.Meter
}

// Room answers Envoys. It is safe for concurrent use.
type Room struct {
	cfg     Config
	signal  chan struct{} // Next has something
	behind  chan struct{} // the file is
	asks    metric.Int64Counter
	waits   metric.Float64Histogram
	forgets metric.Int64Counter

	envoys Envoys // set before any of them is served

	mu      sync.Mutex
	set     *demand.Set              // guarded by mu
	always  map[bgp.Service]bool     // what every Envoy has in any case; guarded by mu
	asked   map[bgp.Service]*flight  // being looked up; guarded by mu
	fresh   []bgp.Service            // of those, the ones that Next has not returned; guarded by mu
	compile map[bgp.Service]bool     // to be compiled anew; guarded by mu
	lost    map[string][]bgp.Service // what Envoys are to lose, by seat; guarded by mu
	dirty   bool                     // the file is behind; guarded by mu
}

// flight is one service that is being looked up, for however many calls.
type flight struct {
	seats   map[string]bool
	granted bool // it is announced, and being compiled
	hold    bool
	done    chan struct{}
}

// Open reads what was in use when an earlier process ended.
func Open(cfg Config) (*Room, error) {
	r := &Room{
		cfg: cfg, signal: make(chan struct{}, 1), behind: make(chan struct{}, 1),
		set:    demand.New(demand.Config{Idle: cfg.Idle, Most: cfg.Most}),
		always: map[bgp.Service]bool{}, asked: map[bgp.Service]*flight{}, compile: map[bgp.Service]bool{},
		lost: map[string][]bgp.Service{},
	}
	if err := r.instruments(); err != nil {
		return nil, err
	}
	r.read(time.Now())
	return r, nil
}

func (r *Room) instruments() (err error) {
	var errs [4]error
	r.asks, errs[0] = r.cfg.Meter.Int64Counter("catalyst.demand.asks",
		metric.WithDescription("Questions of Envoys about services that they have no routes for, by outcome: ready, "+
			"unknown (nobody announces it), refused (by Envoy) or late."))
	r.waits, errs[1] = r.cfg.Meter.Float64Histogram("catalyst.demand.duration", metric.WithUnit("s"),
		metric.WithDescription("From an Envoy's question until it has taken the service."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5))
	r.forgets, errs[2] = r.cfg.Meter.Int64Counter("catalyst.demand.forgotten",
		metric.WithDescription("Services that an Envoy lost because nobody called them."))
	used, e := r.cfg.Meter.Int64ObservableGauge("catalyst.demand.used",
		metric.WithDescription("Services in use, by Envoy: the name of its certificate, or local."))
	if e == nil {
		_, e = r.cfg.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			for seat, n := range r.Seats() {
				o.ObserveInt64(used, int64(n), metric.WithAttributes(attribute.String("envoy", seat)))
			}
			return nil
		}, used)
	}
	errs[3] = e
	return errors.Join(errs[:]...)
}

// Connect tells which Envoys there are; it has to come before any of them is served.
func (r *Room) Connect(e Envoys) { r.envoys = e }

// Always tells that every Envoy has a service in any case, or does not any more. The service is compiled after that.
func (r *Room) Always(svc bgp.Service, always bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if always {
		r.always[svc] = true
	} else {
		delete(r.always, svc)
	}
}

// Wants tells whether a service is to be compiled, and whether its calls are to be told.
func (r *Room) Wants(svc bgp.Service) (used, watched bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.always[svc] || r.set.Used(svc), r.set.Watched(svc)
}

// Uses tells whether the Envoys of a seat are given a service (ads.Config).
func (r *Room) Uses(seat string, svc bgp.Service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.always[svc] || r.set.Uses(seat, svc)
}

// Used tells whether a service is used by an Envoy, or had by all.
func (r *Room) Used(svc bgp.Service) bool {
	used, _ := r.Wants(svc)
	return used
}

// Last returns when a service was called last, as far as that is known; false if no Envoy uses it.
func (r *Room) Last(svc bgp.Service) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set.Last(svc)
}

// Local is what Seats calls the Envoys on the node's socket.
const Local = "local"

// Seats returns how many services each Envoy uses, by the name of its certificate, or Local, without those that all
// have in any case.
func (r *Room) Seats() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.set.Seats()
	if local, ok := n[""]; ok {
		delete(n, "")
		n[Local] = local
	}
	return n
}

// Len is how many services are used by an Envoy, or had by all.
func (r *Room) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.set.Len()
	for svc := range r.always {
		if !r.set.Used(svc) {
			n++
		}
	}
	return n
}

// Waiting is how many services are being looked up.
func (r *Room) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// Use has an Envoy on the node's socket have a service before anything calls it, at an operator's word.
func (r *Room) Use(ctx context.Context, svc bgp.Service) error { return r.ready(ctx, "", svc, 1) }

// ask answers an Envoy: nil when it has taken the service, or an error in gRPC's terms. Round counts the questions of
// one call; from the second on Envoy had the service acknowledged, and its worker did not have it yet.
func (r *Room) ask(ctx context.Context, seat, name string, round int) error {
	began := time.Now()
	svc, err := bgp.ParseService(name, "")
	if err != nil || string(svc) != name {
		err = ads.ErrGone // no service can have this name
	} else {
		err = r.ready(ctx, seat, svc, round)
	}
	outcome, answer := "late", error(nil)
	switch {
	case err == nil:
		outcome = "ready"
		if round == 1 {
			r.waits.Record(ctx, time.Since(began).Seconds())
		}
	case errors.Is(err, ads.ErrGone):
		outcome, answer = "unknown", status.Error(codes.NotFound, err.Error())
	case errors.Is(err, ads.ErrRefused):
		outcome, answer = "refused", status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, errTooMany):
		answer = status.Error(codes.ResourceExhausted, err.Error())
	default:
		answer = status.Error(codes.DeadlineExceeded, "Envoy has not taken it in time")
	}
	r.asks.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
	return answer
}

var errTooMany = errors.New("the node looks too many services up already")

// ready waits until an Envoy has a service.
func (r *Room) ready(ctx context.Context, seat string, svc bgp.Service, round int) error {
	if round > 1 {
		pause(ctx, min(time.Millisecond<<min(round-2, 20), longestPause))
	}
	if r.touch(seat, svc) {
		if err := r.envoys.Await(ctx, seat, svc, round > 1); !errors.Is(err, ads.ErrGone) {
			return err
		}
	}
	known, err := r.lookUp(ctx, seat, svc)
	switch {
	case err != nil:
		return err
	case !known:
		return ads.ErrGone
	}
	return r.envoys.Await(ctx, seat, svc, round > 1)
}

// touch books a call of what a seat has, and tells whether it has it.
func (r *Room) touch(seat string, svc bgp.Service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.set.Uses(seat, svc) {
		return r.always[svc]
	}
	c := r.set.Use(seat, svc, time.Now())
	r.follow(&c)
	return true
}

// lookUp has the forwarder look a service up and compile it, once for all who ask meanwhile, and tells whether
// anybody announces it.
func (r *Room) lookUp(ctx context.Context, seat string, svc bgp.Service) (bool, error) {
	r.mu.Lock()
	f := r.asked[svc]
	switch {
	case f == nil && len(r.asked) >= maxAsked:
		r.mu.Unlock()
		return false, errTooMany
	case f == nil:
		f = &flight{seats: map[string]bool{}, done: make(chan struct{})}
		r.asked[svc] = f
		r.fresh = append(r.fresh, svc)
		poke(r.signal)
	}
	f.seats[seat] = true
	if f.granted {
		r.grant(f, seat, svc)
	}
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.granted, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// Asked is readable when Next has something.
func (r *Room) Asked() <-chan struct{} { return r.signal }

// Next returns up to most services that Envoys ask for, and all that are to be compiled anew because they are used or
// watched differently. Done is to be called with the former. Envoys are told of what they lose.
func (r *Room) Next(most int) (asked, again []bgp.Service) {
	asked, again, lost := r.next(most)
	for seat, all := range lost {
		r.envoys.Reconsider(seat, all)
	}
	return asked, again
}

func (r *Room) next(most int) (asked, again []bgp.Service, lost map[string][]bgp.Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked = slices.Clone(r.fresh[:min(most, len(r.fresh))])
	if r.fresh = r.fresh[len(asked):]; len(r.fresh) > 0 {
		poke(r.signal)
	} else {
		r.fresh = nil
	}
	again = slices.Sorted(maps.Keys(r.compile))
	clear(r.compile)
	lost, r.lost = r.lost, map[string][]bgp.Service{}
	return asked, again, lost
}

// Grant books that a service that was asked for is announced: it is compiled after that, for whoever asked. One that is
// held is kept without calls, of which nobody tells: a TCP service.
func (r *Room) Grant(svc bgp.Service, hold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.asked[svc]
	if f == nil {
		return
	}
	f.granted, f.hold = true, hold
	for _, seat := range slices.Sorted(maps.Keys(f.seats)) {
		r.grant(f, seat, svc)
	}
	delete(r.compile, svc) // it is about to be
}

func (r *Room) grant(f *flight, seat string, svc bgp.Service) {
	f.seats[seat] = true
	if r.always[svc] {
		return
	}
	c := r.set.Use(seat, svc, time.Now())
	if f.hold {
		r.set.Hold(seat, svc)
	}
	r.follow(&c)
}

// Done ends the look-up of services: what was granted is compiled and published, the others nobody announces.
func (r *Room) Done(services []bgp.Service) {
	r.mu.Lock()
	gained := map[string][]bgp.Service{}
	var done []*flight
	for _, svc := range services {
		f := r.asked[svc]
		if f == nil {
			continue
		}
		delete(r.asked, svc)
		done = append(done, f)
		for seat := range f.seats {
			if f.granted {
				gained[seat] = append(gained[seat], svc)
			}
		}
	}
	r.mu.Unlock()
	for seat, all := range gained {
		r.envoys.Reconsider(seat, all)
	}
	for _, f := range done {
		close(f.done)
	}
}

// follow keeps what follows from a change, for Next. The caller holds mu.
func (r *Room) follow(c *demand.Change) {
	if c.Empty() {
		return
	}
	r.dirty = true
	poke(r.behind)
	for _, svc := range c.Compile {
		r.compile[svc] = true
	}
	for seat, all := range c.Lost {
		r.lost[seat] = append(r.lost[seat], all...)
		r.forgets.Add(context.Background(), int64(len(all)))
		r.cfg.Log.Debug("services are forgotten", "envoy", seat, "services", len(all))
	}
	if len(c.Compile)+len(c.Lost) > 0 {
		poke(r.signal)
	}
}

// told books that an Envoy has called what is watched.
func (r *Room) told(seat, name string) {
	if svc, err := bgp.ParseService(name, ""); err == nil && string(svc) == name {
		r.touch(seat, svc)
	}
}

// Forget has Envoys lose a service until it is called again, and tells whether one had it.
func (r *Room) Forget(svc bgp.Service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := false
	for seat := range r.set.Seats() {
		c := r.set.Forget(seat, svc)
		r.follow(&c)
		had = had || len(c.Lost) > 0
	}
	return had
}

// Run forgets what is not called, and keeps what is in use, until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	look := time.NewTicker(max(r.cfg.Idle/64, 100*time.Millisecond))
	defer look.Stop()
	var keep <-chan time.Time
	var took time.Duration
	for {
		select {
		case <-ctx.Done():
			return r.keep()
		case <-look.C:
			r.advance()
		case <-r.behind:
			if keep == nil {
				keep = time.After(max(keepAfter, keepShare*took))
			}
		case began := <-keep:
			keep = nil
			if err := r.keep(); err != nil {
				r.cfg.Log.Error("which services are in use is not written down", "error", err)
			}
			took = time.Since(began)
		}
	}
}

func (r *Room) advance() {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.set.Advance(time.Now())
	r.follow(&c)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
