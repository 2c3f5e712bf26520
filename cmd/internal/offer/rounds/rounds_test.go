package rounds_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/offer/rounds"
)

// run runs a set until the test ends.
func run(t *testing.T, s *rounds.Set) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Rounds begin with Run, come when the last one said, and end with the task.
func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rounds.New(1)
		began := time.Now()
		var at []time.Duration
		task := s.Add(func(context.Context) rounds.Result {
			at = append(at, time.Since(began))
			return rounds.Result{Next: time.Now().Add(time.Duration(len(at)) * time.Second)}
		})
		time.Sleep(time.Minute) // of the bubble's clock: nothing is done before Run
		run(t, s)
		task.First(t.Context())
		time.Sleep(4 * time.Second)
		task.End()
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []time.Duration{60 * time.Second, 61 * time.Second, 63 * time.Second}
		if len(at) != len(want) || at[0] != want[0] || at[1] != want[1] || at[2] != want[2] {
			t.Errorf("rounds at %v, want %v", at, want)
		}
	})
}

// No more than the set allows are at work; the limit of a turn counts from when it is had; whoever is ended while it
// works tells nobody.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rounds.New(2)
		run(t, s)
		var mu sync.Mutex
		atWork, most, told := 0, 0, 0
		count := func(n *int, by int) {
			mu.Lock()
			defer mu.Unlock()
			*n += by
			most = max(most, atWork)
		}
		var tasks []*rounds.Task
		for range 6 {
			tasks = append(tasks, s.Add(func(ctx context.Context) rounds.Result {
				err := s.Turn(ctx, time.Second, func(ctx context.Context) error {
					count(&atWork, 1)
					<-ctx.Done()
					count(&atWork, -1)
					return ctx.Err()
				})
				if ctx.Err() == nil && err != context.DeadlineExceeded { //nolint:errorlint // as it is returned
					t.Errorf("a turn ends with %v", err)
				}
				return rounds.Result{Next: time.Now().Add(time.Hour), Tell: func(context.Context) { count(&told, 1) }}
			}))
		}
		time.Sleep(2500 * time.Millisecond)
		for _, task := range tasks { // two turns of a second each are over, and two are under way
			task.End()
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if most != 2 || told != 4 || atWork != 0 {
			t.Errorf("%d at work at the most, %d told, %d left, want 2, 4, 0", most, told, atWork)
		}
	})
}
