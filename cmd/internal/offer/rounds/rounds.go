// Package rounds does the same work again and again for each of many things, such as a check of a workload or a lookup
// of a name: each at a pace of its own, and only so many at a moment.
//
//	s := rounds.New(16)
//	task := s.Add(func(ctx context.Context) rounds.Result {
//		err := s.Turn(ctx, timeout, ask)     // waits until fewer than 16 are asking
//		return rounds.Result{Next: time.Now().Add(5 * time.Second), Tell: nil}
//	})
//	go s.Run(ctx)                            // until ctx ends nothing is done
//	task.First(ctx)                          // waits until its first round is over
//	task.End()
package rounds

import (
	"context"
	"sync"
	"time"
)

// Round does the work once. Its context ends with the task and with the set, and then its result counts for nothing.
type Round func(ctx context.Context) Result

// Result is what comes of a round.
type Result struct {
	// Next is when the work is to be done again.
	Next time.Time
	// Tell is called before that, after those who wait for the first round went on; nil for nothing. It may block.
	Tell func(ctx context.Context)
}

// Set is work that is done in rounds. It is safe for concurrent use.
type Set struct {
	slots chan struct{}
	tasks sync.WaitGroup

	mu  sync.Mutex
	ctx context.Context    // of Run; nil before and after; guarded by mu
	all map[*Task]struct{} // guarded by mu
}

// Task is the rounds of one thing.
type Task struct {
	set    *Set
	round  Round
	cancel context.CancelFunc // nil until it is started; guarded by the set's mu
	first  chan struct{}      // closed after the first round
}

// New returns a set of which atOnce rounds have their Turn at a moment.
func New(atOnce int) *Set {
	return &Set{slots: make(chan struct{}, atOnce), all: map[*Task]struct{}{}}
}

// Run lets the rounds be done until ctx ends, and waits for those that are under way.
func (s *Set) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.ctx = ctx
	for t := range s.all {
		s.start(t)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.tasks.Wait()
	return nil
}

// Add has rounds of something new done, the first at once.
func (s *Set) Add(round Round) *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &Task{set: s, round: round, first: make(chan struct{})}
	s.all[t] = struct{}{}
	if s.ctx != nil {
		s.start(t)
	}
	return t
}

// start begins a task's rounds. The caller holds mu.
func (s *Set) start(t *Task) {
	ctx, cancel := context.WithCancel(s.ctx)
	t.cancel = cancel
	s.tasks.Go(func() { t.run(ctx) })
}

// Turn waits for a turn and calls do, which has to end with its context: after limit, or when ctx ends. It returns
// what do returned, or the error of ctx.
func (s *Set) Turn(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(limited)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// End ends the task's rounds, without waiting for the one that is under way.
func (t *Task) End() {
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	delete(t.set.all, t)
	if t.cancel != nil {
		t.cancel()
	}
}

// First waits until the first round is over, or ctx ends.
func (t *Task) First(ctx context.Context) {
	select {
	case <-t.first:
	case <-ctx.Done():
	}
}

// run does rounds until ctx ends.
func (t *Task) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		result := t.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if first {
			close(t.first)
		}
		if result.Tell != nil {
			result.Tell(ctx)
		}
		timer.Reset(max(0, time.Until(result.Next)))
	}
}
