package filter

import "github.com/catalyst-router/catalyst/bgp"

// Guard decides on what the terms of a chain accept: it may refuse it, and nothing else. The policies of a node are
// one. It answers alike for the same route for as long as it stands in a chain; what would answer otherwise is another
// Guard, and another chain, so that every route is looked at again. Its dynamic type is a pointer.
type Guard interface {
	// Refuses returns the name of what refuses a route; "" if nothing does. The attributes are not to be changed or kept.
	Refuses(svc bgp.Service, a *bgp.Attributes) string
}

// With returns the chain with a guard in place of its own; a nil guard is none. Nothing of c is changed, and a nil
// chain, which takes everything where it stands, stays nil without a guard.
func (c *Chain) With(g Guard) *Chain {
	switch {
	case c == nil && g == nil:
		return nil
	case c == nil:
		return &Chain{Default: Accept, guard: g}
	case c.guard == g:
		return c
	}
	return &Chain{Terms: c.Terms, Default: c.Default, Aggregates: c.Aggregates, guard: g}
}

// GuardedAs returns the chain with the guard of another, which may be nil.
func (c *Chain) GuardedAs(other *Chain) *Chain {
	if other == nil {
		return c
	}
	return c.With(other.guard)
}

// guarded is a verdict after the guard was asked.
func (c *Chain) guarded(v Verdict, svc bgp.Service, a *bgp.Attributes) Verdict {
	if !v.Accepted || c.guard == nil {
		return v
	}
	if why := c.guard.Refuses(svc, a); why != "" {
		return Verdict{Term: why}
	}
	return v
}
