package peering

import (
	"context"
	"slices"

	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// condition is what somebody waits for.
type condition struct {
	ctx   context.Context // whoever waits has given up when it is over
	holds func(*speaker.Speaker) bool
	met   chan struct{}
}

// When returns a channel that is closed once holds returns true. The loop calls holds now and after every step of the
// speaker, until ctx is over. So holds must be short, and keep nothing of what it sees.
func (r *Router) When(ctx context.Context, holds func(*speaker.Speaker) bool) (<-chan struct{}, error) {
	c := &condition{ctx: ctx, holds: holds, met: make(chan struct{})}
	// It is asked with all the others as soon as the loop has taken it.
	return c.met, r.Query(ctx, func(*speaker.Speaker) { r.conditions = append(r.conditions, c) })
}

// judge asks what others wait for.
func (r *Router) judge() {
	r.conditions = slices.DeleteFunc(r.conditions, func(c *condition) bool {
		if c.ctx.Err() != nil {
			return true
		}
		if !c.holds(r.sp) {
			return false
		}
		close(c.met)
		return true
	})
}
