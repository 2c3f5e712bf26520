package drain

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type figures int

func (f figures) FromNodes() int { return int(f) }

// Traffic that comes back within the calm is waited for again; figures are told when they change, and only then.
func TestWaitUntilNothingIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ask := func(context.Context) (figures, error) {
			switch at := time.Since(start); {
			case at < 3*time.Second:
				return 2, nil
			case at < 4*time.Second:
				return 0, nil
			case at < 5*time.Second:
				return 1, nil
			}
			return 0, nil
		}
		var told []figures
		if err := Wait(t.Context(), Every, ask, func(f figures) { told = append(told, f) }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 5*time.Second+Calm-Every || took > 5*time.Second+Calm+Every {
			t.Errorf("it took %s", took)
		}
		if want := []figures{2, 0, 1, 0}; !slices.Equal(told, want) {
			t.Errorf("told of %v, want %v", told, want)
		}
	})
}

// What does not end is waited for until the time is over; an Envoy that does not answer ends the wait at once.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := Wait(ctx, Every, func(context.Context) (figures, error) { return 1, nil }, func(figures) {})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	silent := errors.New("no answer")
	err := Wait(t.Context(), Every, func(context.Context) (figures, error) { return 0, silent }, func(figures) {})
	if !errors.Is(err, silent) {
		t.Errorf("got %v", err)
	}
}
