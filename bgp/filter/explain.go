package filter

import (
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/bgp"
)

// Step is what one term of a chain made of a route.
type Step struct {
	Term string
	// Unmet is the first condition that the route did not meet, as the rules spell it; "" if it met all.
	Unmet  string
	Action Action // what became of the route, if it met all
	Set    bool   // the term changed the route
}

// Explain returns what each term that was tried made of a route, in order; the last is the one that decided, unless
// the default did. The attributes are not changed.
func (c *Chain) Explain(svc bgp.Service, a *bgp.Attributes, f Facts) ([]Step, Verdict) {
	var steps []Step
	work := *a
	for i := range c.Terms {
		t := &c.Terms[i]
		s := Step{Term: t.Name, Unmet: t.Match.unmet(svc, &work, &f), Action: t.Action}
		if s.Unmet == "" && t.Action != Reject {
			s.Set = t.Set.apply(&work)
		}
		steps = append(steps, s)
		if s.Unmet == "" && t.Action != Next {
			break
		}
	}
	work = *a
	return steps, c.Apply(svc, &work, f)
}

// LooksAtOrigin tells whether a term of the chain looks at what the origin's attestation says.
func (c *Chain) LooksAtOrigin() bool {
	if c == nil {
		return false
	}
	for i := range c.Terms {
		if len(c.Terms[i].Match.OriginStates) > 0 {
			return true
		}
	}
	return false
}

// CheckOwnership reports each community that the rules of a node of org set or take away and that is another
// organisation's, or that tells others to keep a route where it is: an organisation sets and takes away only its own.
// Well-known ones may be set. Aggregates have to be patterns of names below the organisation.
func (c *Chain) CheckOwnership(org bgp.Org) error {
	var errs []error
	for _, p := range c.Aggregates {
		if !bgp.Service(p).Below(org) && p != "*."+string(org) {
			errs = append(errs, fmt.Errorf("aggregates: %q: an organisation tells of its own names alone in one: want one "+
				"below %s", p, org))
		}
	}
	for i := range c.Terms {
		t := &c.Terms[i]
		for _, k := range t.Set.AddCommunities {
			if err := OwnCommunity(org, k); err != nil {
				errs = append(errs, fmt.Errorf("term %d (%s): set.addCommunities: %w", i+1, t.Name, err))
			}
		}
		for _, k := range t.Set.RemoveCommunities {
			err := OwnCommunity(org, k)
			if k == bgp.NoExport || k == bgp.NoAdvertise {
				err = fmt.Errorf("%s: whoever set it keeps the route there: only its announcer takes it away", k)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("term %d (%s): set.removeCommunities: %w", i+1, t.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// OwnCommunity tells whether an organisation may set a community: its own, and the well-known ones; nil if it may.
func OwnCommunity(org bgp.Org, c bgp.Community) error {
	if c.Org == "" || c.Org == org {
		return nil
	}
	return fmt.Errorf("%s: belongs to %s, which alone sets it and takes it away: use %s:%s", c, c.Org, org, c.Key)
}
