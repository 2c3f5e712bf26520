package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// acks are the acknowledgements of an Envoy: of each service, when all that belongs to it was taken.
type acks struct {
	mu    sync.Mutex
	at    map[bgp.Service]time.Time // guarded by mu
	count int                       // guarded by mu; ever, doubles included
}

func (a *acks) acknowledged(svc bgp.Service) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[bgp.Service]time.Time{}
	}
	a.at[svc] = time.Now()
	a.count++
}

// after waits until all services have been acknowledged since a time, and returns when each was.
func (a *acks) after(ctx context.Context, since time.Time, services []bgp.Service) ([]time.Time, error) {
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	at := make([]time.Time, len(services))
	for i, svc := range services {
		for at[i].IsZero() {
			a.mu.Lock()
			if t := a.at[svc]; t.After(since) {
				at[i] = t
			}
			a.mu.Unlock()
			if !at[i].IsZero() {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil, errors.Join(errors.New("not acknowledged: "+string(svc)), ctx.Err())
			}
		}
	}
	return at, nil
}

// paceOf is how many services a second are declared under load.
const paceOf = 50

// acknowledgements measures from the declaration to the acknowledgement: of one service, of one among many, and of
// all when they move.
func (b *bench) acknowledgements(ctx context.Context, f *figures, there []bgp.Service) error {
	var took []time.Duration
	for _, svc := range names("acked", 100) {
		began := time.Now()
		if err := b.plane.Declare([]bgp.Service{svc}, 0); err != nil {
			return err
		}
		at, err := b.plane.Acks().after(ctx, began, []bgp.Service{svc})
		if err != nil {
			return err
		}
		took = append(took, at[0].Sub(began))
	}
	f.ack = percentiles(took)
	paced := names("paced", 3*paceOf)
	began := make([]time.Time, len(paced))
	start := time.Now()
	for i, svc := range paced {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / paceOf)))
		began[i] = time.Now()
		if err := b.plane.Declare([]bgp.Service{svc}, 0); err != nil {
			return err
		}
	}
	at, err := b.plane.Acks().after(ctx, start, paced)
	if err != nil {
		return err
	}
	took = took[:0]
	for i := range paced {
		took = append(took, at[i].Sub(began[i]))
	}
	f.paced = percentiles(took)
	start = time.Now()
	if err := b.plane.Declare(there, 1); err != nil {
		return err
	}
	if at, err = b.plane.Acks().after(ctx, start, there); err != nil {
		return err
	}
	f.moved = slices.MaxFunc(at, time.Time.Compare).Sub(start)
	return nil
}

// percentiles are p50 and p99.
func percentiles(took []time.Duration) [2]time.Duration {
	slices.Sort(took)
	return [2]time.Duration{took[len(took)/2], took[len(took)*99/100]}
}
