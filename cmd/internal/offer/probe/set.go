package probe

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/rounds"
)

// maxAtOnce bounds the checks that are under way at a moment, of all services together.
const maxAtOnce = 64

// Target is a workload, one of those that a service has, and how to check it.
type Target struct {
	Service  bgp.Service // whose name is the Host of HTTP and the authority of gRPC
	Protocol bgp.Protocol
	Address  string // IP:PORT
	Other    string // IP:PORT of the same workload in the other family, tried when Address does not answer; "" for none
	Check    Check  // Kind is not None
	TLS      TLS    // how it is known where it speaks TLS
}

// Config is what a set needs.
type Config struct {
	Log *slog.Logger // required
	// Changed is told that a service's health has changed, or for how long its workload keeps connections; Status and
	// Of tell what it is now. It is called from the service's own goroutine and may block, until its context ends
	// with the check.
	Changed func(context.Context, bgp.Service)
	// Ask does one check; nil for the real one, an Asker with ID.
	Ask func(context.Context, Target) (Answer, error)
	ID  Identity
}

// Set checks any number of services, each workload at its own pace. It is safe for concurrent use.
type Set struct {
	cfg    Config
	rounds *rounds.Set

	mu      sync.Mutex
	watches map[bgp.Service][]*watch // guarded by mu
}

// watch is one workload's checks.
type watch struct {
	target Target
	task   *rounds.Task
	status Status // guarded by the set's mu
}

// NewSet returns a set that checks nothing until Run.
func NewSet(cfg Config) *Set {
	if cfg.Ask == nil {
		cfg.Ask = Asker{cfg.ID}.Ask
	}
	return &Set{cfg: cfg, rounds: rounds.New(maxAtOnce), watches: map[bgp.Service][]*watch{}}
}

// Run lets the checks run until ctx ends, and waits for them.
func (s *Set) Run(ctx context.Context) error { return s.rounds.Run(ctx) }

// Put checks these workloads of a service from now on, and no others. One that was checked in the same way before
// goes on as it is.
func (s *Set) Put(svc bgp.Service, targets ...Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.watches[svc]
	var now []*watch
	for _, t := range targets {
		if i := slices.IndexFunc(before, func(w *watch) bool { return w.target == t }); i >= 0 {
			now = append(now, before[i])
			continue
		}
		w := &watch{target: t}
		m := NewMachine(t.Check, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))) //nolint:gosec // jitter, not secrets
		w.task = s.rounds.Add(func(ctx context.Context) rounds.Result { return s.check(ctx, w, m) })
		now = append(now, w)
	}
	for _, w := range before {
		if !slices.Contains(now, w) {
			w.task.End()
		}
	}
	if s.watches[svc] = now; len(now) == 0 {
		delete(s.watches, svc)
	}
}

// Remove checks a service no longer.
func (s *Set) Remove(svc bgp.Service) { s.Put(svc) }

// Status returns what is known of a service as a whole, see Merge, and whether it is checked.
func (s *Set) Status(svc bgp.Service) (Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.merged(svc), len(s.watches[svc]) > 0
}

// merged is the status of a service. The caller holds mu.
func (s *Set) merged(svc bgp.Service) Status {
	all := make([]TargetStatus, 0, len(s.watches[svc]))
	for _, w := range s.watches[svc] {
		all = append(all, TargetStatus{w.target, w.status})
	}
	return Merge(all)
}

// Of returns what is known of one workload of a service, by its address; false if it is not checked.
func (s *Set) Of(svc bgp.Service, address string) (Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches[svc] {
		if w.target.Address == address {
			return w.status, true
		}
	}
	return Status{}, false
}

// All calls yield for every service that is checked, in no order.
func (s *Set) All(yield func(bgp.Service, Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for svc := range s.watches {
		yield(svc, s.merged(svc))
	}
}

// First waits until each workload of a service has had its first result, or ctx ends.
func (s *Set) First(ctx context.Context, svc bgp.Service) {
	s.mu.Lock()
	all := slices.Clone(s.watches[svc])
	s.mu.Unlock()
	for _, w := range all {
		w.task.First(ctx)
	}
}

// check checks one workload.
func (s *Set) check(ctx context.Context, w *watch, m *Machine) rounds.Result {
	began := time.Now()
	answer, failure := s.ask(ctx, w.target, m.check.Timeout)
	if ctx.Err() != nil {
		return rounds.Result{}
	}
	changed := m.Result(time.Now(), failure)
	shorter := m.Keeps(answer.KeepAlive)
	s.mu.Lock()
	w.status = m.Status()
	s.mu.Unlock()
	result := rounds.Result{Next: began.Add(m.Next())}
	if changed || shorter {
		result.Tell = func(ctx context.Context) {
			if changed {
				s.say(w.target, m.Status())
			}
			if s.cfg.Changed != nil {
				s.cfg.Changed(ctx, w.target.Service)
			}
		}
	}
	return result
}

// ask does one check and returns what was said, and why it failed; "" if it did not.
func (s *Set) ask(ctx context.Context, t Target, timeout time.Duration) (answer Answer, failure string) {
	late := false
	err := s.rounds.Turn(ctx, timeout, func(ctx context.Context) error {
		var err error
		answer, err = s.cfg.Ask(ctx, t)
		late = ctx.Err() != nil
		return err
	})
	switch {
	case err == nil:
		return answer, ""
	case late:
		return Answer{}, "no answer within " + timeout.String()
	}
	return Answer{}, err.Error()
}

func (s *Set) say(t Target, st Status) {
	if st.Health == bgp.HealthDown {
		s.cfg.Log.Warn("the workload of a service is down", "service", string(t.Service), "address", t.Address, "check",
			t.Check.String(), "error", st.Error)
	} else {
		s.cfg.Log.Info("the workload of a service is up", "service", string(t.Service), "address", t.Address, "check",
			t.Check.String())
	}
}
