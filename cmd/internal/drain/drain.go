// Package drain waits until traffic has left a node that asked its peers to prefer other paths. catalyst drain --wait
// and a node that SIGTERM drains wait alike:
//
//	err := drain.Wait(ctx, drain.Every, admin.Traffic, func(t envoy.Traffic) { log(t) })
package drain

import (
	"context"
	"reflect"
	"time"
)

// Every is how often Envoy is asked, and Calm for how long nothing may be under way before traffic counts as gone: a
// peer that has just heard of it may send what it had decided before.
const (
	Every = 250 * time.Millisecond
	Calm  = 2 * time.Second
)

// Wait returns nil once nothing of other nodes was under way for Calm, by the figures that ask returns every so often.
// changed is told of the first figures and of all that differ from those before. The errors are those of ask, and of
// ctx when the time is over.
func Wait[T interface{ FromNodes() int }](ctx context.Context, every time.Duration,
	ask func(context.Context) (T, error), changed func(T)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	quiet := time.Now()
	var last *T
	for {
		t, err := ask(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if last == nil || !reflect.DeepEqual(*last, t) {
			changed(t)
		}
		last = &t
		if t.FromNodes() > 0 {
			quiet = time.Now()
		}
		if time.Since(quiet) >= Calm {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
