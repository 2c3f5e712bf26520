package probe

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
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
	// Changed is told that a service's health has changed; what it is now, Status tells. It is called from the service's
	// own goroutine and may block, until its context ends with the check.
	Changed func(context.Context, bgp.Service)
	// Ask does one check; nil for the real one, an Asker with ID.
	Ask func(context.Context, Target) error
	ID  Identity
}

// Set checks any number of services, each workload at its own pace. It is safe for concurrent use.
type Set struct {
	cfg   Config
	slots chan struct{}

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before and after; guarded by mu
	tasks   sync.WaitGroup
	watches map[bgp.Service][]*watch // guarded by mu
}

// watch is one workload's checks.
type watch struct {
	target Target
	cancel context.CancelFunc
	first  chan struct{} // closed after the first result
	status Status        // guarded by the set's mu
}

// NewSet returns a set that checks nothing until Run.
func NewSet(cfg Config) *Set {
	if cfg.Ask == nil {
		cfg.Ask = Asker{cfg.ID}.Ask
	}
	return &Set{cfg: cfg, slots: make(chan struct{}, maxAtOnce), watches: map[bgp.Service][]*watch{}}
}

// Run lets the checks run until ctx ends, and waits for them.
func (s *Set) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.ctx = ctx
	for _, all := range s.watches {
		for _, w := range all {
			s.start(w)
		}
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.tasks.Wait()
	return nil
}

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
		w := &watch{target: t, first: make(chan struct{})}
		now = append(now, w)
		if s.ctx != nil {
			s.start(w)
		}
	}
	for _, w := range before {
		if !slices.Contains(now, w) {
			s.stop(w)
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
		select {
		case <-w.first:
		case <-ctx.Done():
		}
	}
}

// start begins a watch's checks. The caller holds mu.
func (s *Set) start(w *watch) {
	ctx, cancel := context.WithCancel(s.ctx)
	w.cancel = cancel
	s.tasks.Go(func() { s.watch(ctx, w) })
}

func (s *Set) stop(w *watch) {
	if w.cancel != nil {
		w.cancel()
	}
}

// watch checks one workload until ctx ends.
func (s *Set) watch(ctx context.Context, w *watch) {
	m := NewMachine(w.target.Check, rand.New(rand.NewPCG(rand.Uint64(),
		rand.Uint64()))) //nolint:gosec // jitter, not secrets
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		failure, asked := s.ask(ctx, w.target, m.check.Timeout)
		if !asked {
			return
		}
		changed := m.Result(time.Now(), failure)
		s.mu.Lock()
		current := slices.Contains(s.watches[w.target.Service], w)
		w.status = m.Status()
		s.mu.Unlock()
		if !current {
			return
		}
		if first {
			close(w.first)
		}
		if changed {
			s.tell(ctx, w.target, m.Status())
		}
		timer.Reset(max(0, time.Until(began.Add(m.Next()))))
	}
}

// ask does one check; asked is false if ctx ended meanwhile.
func (s *Set) ask(ctx context.Context, t Target, timeout time.Duration) (failure string, asked bool) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return "", false
	}
	defer func() { <-s.slots }()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := s.cfg.Ask(limited, t)
	switch {
	case ctx.Err() != nil:
		return "", false
	case err != nil && limited.Err() != nil:
		return "no answer within " + timeout.String(), true
	case err != nil:
		return err.Error(), true
	}
	return "", true
}

func (s *Set) tell(ctx context.Context, t Target, st Status) {
	if st.Health == bgp.HealthDown {
		s.cfg.Log.Warn("the workload of a service is down", "service", string(t.Service), "address", t.Address, "check",
			t.Check.String(), "error", st.Error)
	} else {
		s.cfg.Log.Info("the workload of a service is up", "service", string(t.Service), "address", t.Address, "check",
			t.Check.String())
	}
	if s.cfg.Changed != nil {
		s.cfg.Changed(ctx, t.Service)
	}
}
