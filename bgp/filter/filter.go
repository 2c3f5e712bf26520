// Package filter holds the import and export rules of a peer, as data: a chain of named terms, each a match and what
// to do with a route that matches. The first term whose action is accept or reject decides; one that only sets goes
// on to the next, as in the routing policies of BGP daemons. It is not Cedar: "policy" alone means that, and guards
// requests, not routes.
//
//	chain := filter.Chain{Default: filter.Reject, Terms: []filter.Term{{Name: "books", Match: filter.Match{Services: []string{"*.acme.example"}}, Action: filter.Accept}}}
//	verdict := chain.Apply(svc, &attrs, facts)   // attrs may have been changed
package filter

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// Action is what becomes of a route.
type Action uint8

// The actions.
const (
	Next   Action = iota // apply the settings, and go on with the next term
	Accept               // apply the settings, and take the route
	Reject               // drop the route
)

var actionNames = [...]string{"next", "accept", "reject"}

// String returns the action's name.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// MarshalText writes the action's name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an action's name.
func (a *Action) UnmarshalText(text []byte) error {
	i := slices.Index(actionNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("action %q: want accept, reject or next", text)
	}
	*a = Action(i)
	return nil
}

// MaxTerms is the most terms of a chain.
const MaxTerms = 1000

// Chain is an ordered list of terms. The zero value has no terms and takes everything.
type Chain struct {
	Terms []Term
	// Default decides what no term did: Accept or Reject; Next counts as Accept.
	Default Action
	// Aggregates are patterns, such as "*.eu.acme.example", that a peer of another organisation is told of in the place
	// of all that it would be told of below them, TCP services excepted, for as long as there is any (RFC 4271 §9.2.2.2).
	// The terms have to accept the pattern itself. Of export rules only.
	Aggregates []string `json:",omitempty"`

	guard Guard // asked about what is accepted; nil for none
}

// Term is one rule. Its name is shown where it rejects a route.
type Term struct {
	Name   string
	Match  Match
	Set    Set
	Action Action
}

// Match holds conditions that all have to be met; an empty one is met by every route. Within a list one element is
// enough.
type Match struct {
	Services    []string // "books.acme.example", or "*.acme.example" for every name below
	Orgs        []bgp.Org
	Origins     []bgp.NodeID
	Protocols   []bgp.Protocol
	Communities []bgp.Community
	Tags        []string
	Regions     []string
	MaxHops     int // at most so many nodes on the path; 0 for any
	// Paths are patterns of the organisation path, nearest first, as in "bravo.example * acme.example": "?" stands for
	// one organisation and "*" for any number.
	Paths []string
	// OriginStates are what the attestation of the route's origin says (RFC 6811).
	OriginStates []bgp.OriginState
	// Transit is true for routes that are carried on for another organisation, false for others, nil for both. A route
	// goes from one organisation to another only by a term that says true.
	Transit *bool
}

// Facts are what a chain looks at besides the route's attributes.
type Facts struct {
	// Neighbour is the organisation on whose behalf a route that is no transit is announced: the peer's for its import
	// rules, this node's own for export rules.
	Neighbour bgp.Org
	// Origin is what the attestation of the route's origin says.
	Origin bgp.OriginState
}

// Transit tells whether a route is carried on for another organisation than the neighbour. A route of this node itself
// is not.
func (f *Facts) Transit(a *bgp.Attributes) bool {
	org := a.Origin().Org
	return org != "" && org != f.Neighbour
}

// Set changes a route's attributes. Nil and empty leave them.
type Set struct {
	LocalPref         *uint32
	MED               *uint32
	Weight            *uint32 // 1 to 1,000
	AddCommunities    []bgp.Community
	RemoveCommunities []bgp.Community
	AddTags           []string
}

// IsEmpty tells whether the set changes nothing.
func (s *Set) IsEmpty() bool { return reflect.ValueOf(*s).IsZero() }

// IsTrivial tells whether the chain takes every route as it is.
func (c *Chain) IsTrivial() bool {
	return len(c.Terms)+len(c.Aggregates) == 0 && c.Default != Reject && c.guard == nil
}

// Equal tells whether two chains are the same rules, with the same guard.
func (c *Chain) Equal(d *Chain) bool {
	if c == nil || d == nil {
		return c == d
	}
	return c.guard == d.guard && c.Default == d.Default && reflect.DeepEqual(c.Terms, d.Terms) &&
		slices.Equal(c.Aggregates, d.Aggregates)
}

// Verdict is the outcome for one route.
type Verdict struct {
	Accepted bool
	Changed  bool   // the attributes were changed
	Transit  bool   // the term that accepted says that it is about transit
	Term     string // the term that decided; "" if the default did
}

// Apply runs the chain on a route, changing a as the terms on the way say. Slices of a are replaced, not written to.
func (c *Chain) Apply(svc bgp.Service, a *bgp.Attributes, f Facts) Verdict {
	return c.guarded(c.apply(svc, a, f), svc, a)
}

func (c *Chain) apply(svc bgp.Service, a *bgp.Attributes, f Facts) Verdict {
	var v Verdict
	for i := range c.Terms {
		t := &c.Terms[i]
		if t.Match.unmet(svc, a, &f) != "" {
			continue
		}
		if t.Action == Reject {
			v.Term = t.Name
			return v
		}
		v.Changed = t.Set.apply(a) || v.Changed
		if t.Action == Accept {
			v.Accepted, v.Term = true, t.Name
			v.Transit = t.Match.Transit != nil && *t.Match.Transit
			return v
		}
	}
	v.Accepted = c.Default != Reject
	return v
}

// unmet returns the first condition that a route does not meet, as the rules spell it; "" if it meets all.
func (m *Match) unmet(svc bgp.Service, a *bgp.Attributes, f *Facts) string {
	switch {
	case len(m.Services) > 0 && !slices.ContainsFunc(m.Services, func(p string) bool { return Covers(p, svc) }):
		return "services"
	case len(m.Orgs) > 0 && !slices.ContainsFunc(m.Orgs, func(o bgp.Org) bool { return svc.Below(o) }):
		return "orgs"
	case len(m.Origins) > 0 && !slices.Contains(m.Origins, a.Origin()):
		return "origins"
	case len(m.Protocols) > 0 && !slices.Contains(m.Protocols, a.Protocol):
		return "protocols"
	case len(m.Communities) > 0 && !slices.ContainsFunc(m.Communities, a.HasCommunity):
		return "communities"
	case len(m.Tags) > 0 && !slices.ContainsFunc(m.Tags, func(t string) bool { return slices.Contains(a.Tags, t) }):
		return "tags"
	case len(m.Regions) > 0 && !slices.Contains(m.Regions, a.Region):
		return "regions"
	case m.MaxHops > 0 && len(a.NodePath) > m.MaxHops:
		return "maxHops"
	case len(m.OriginStates) > 0 && !slices.Contains(m.OriginStates, f.Origin):
		return "originStates"
	case m.Transit != nil && *m.Transit != f.Transit(a):
		return "transit"
	case len(m.Paths) > 0 && !meetsPath(m.Paths, a.OrgPath()):
		return "paths"
	}
	return ""
}

// Covers tells whether a pattern, a service name or "*." and a name, stands for svc. "*.acme.example" covers every
// name below acme.example, of any number of labels; "*" alone covers all.
func Covers(pattern string, svc bgp.Service) bool {
	if pattern == "*" || pattern == string(svc) {
		return true
	}
	below, ok := strings.CutPrefix(pattern, "*.")
	return ok && svc.Below(bgp.Org(below))
}

func (s *Set) apply(a *bgp.Attributes) bool {
	if s.IsEmpty() {
		return false
	}
	if s.LocalPref != nil {
		a.LocalPref = *s.LocalPref
	}
	if s.MED != nil {
		a.MED = *s.MED
	}
	if s.Weight != nil {
		a.Weight = *s.Weight
	}
	if len(s.AddCommunities)+len(s.RemoveCommunities) > 0 {
		a.Communities = s.communities(a.Communities)
	}
	if len(s.AddTags) > 0 {
		tags := slices.Concat(a.Tags, s.AddTags)
		slices.Sort(tags)
		tags = slices.Compact(tags)
		a.Tags = tags[:min(len(tags), bgp.MaxTags)]
	}
	return true
}

func (s *Set) communities(old []bgp.Community) []bgp.Community {
	list := slices.Concat(old, s.AddCommunities)
	list = slices.DeleteFunc(list, func(c bgp.Community) bool { return slices.Contains(s.RemoveCommunities, c) })
	slices.SortFunc(list, func(x, y bgp.Community) int { return strings.Compare(x.String(), y.String()) })
	list = slices.Compact(list)
	if over := len(list) - bgp.MaxTags; over > 0 { // not the well-known ones: they say what may be done with the route
		list = slices.DeleteFunc(list, func(c bgp.Community) bool {
			drop := over > 0 && c.Org != ""
			if drop {
				over--
			}
			return drop
		})
	}
	return list[:min(len(list), bgp.MaxTags)]
}

// Validate reports every problem of the chain at once; each names the term and the field.
func (c *Chain) Validate() error {
	var errs []error
	if len(c.Terms) > MaxTerms {
		errs = append(errs, fmt.Errorf("%d terms: the limit is %d", len(c.Terms), MaxTerms))
	}
	errs = append(errs, c.checkAggregates())
	seen := map[string]bool{}
	for i := range c.Terms {
		t := &c.Terms[i]
		where := fmt.Sprintf("term %d (%s)", i+1, t.Name)
		if t.Name == "" || seen[t.Name] {
			errs = append(errs, fmt.Errorf("%s: name: want one that no other term has", where))
		}
		seen[t.Name] = true
		for _, p := range t.Match.Services {
			if err := CheckPattern(p); err != nil {
				errs = append(errs, fmt.Errorf("%s: match.services: %q %w", where, p, err))
			}
		}
		for _, p := range t.Match.Paths {
			if err := checkPath(p); err != nil {
				errs = append(errs, fmt.Errorf("%s: match.paths: %q %w", where, p, err))
			}
		}
		if w := t.Set.Weight; w != nil && (*w < 1 || *w > 1000) {
			errs = append(errs, fmt.Errorf("%s: set.weight: %d: want 1 to 1000", where, *w))
		}
		for _, tag := range t.Set.AddTags {
			if !attr.IsText(tag) {
				errs = append(errs, fmt.Errorf("%s: set.add-tags: %q: want 1 to %d printable ASCII characters, no space "+
					"at either end", where, tag, bgp.MaxTagLength))
			}
		}
		if t.Action == Reject && !t.Set.IsEmpty() {
			errs = append(errs, fmt.Errorf("%s: set: a rejected route has nothing to set", where))
		}
	}
	return errors.Join(errs...)
}

// CheckPattern tells what is wrong with a service name or pattern, as Covers reads them; nil if nothing is.
func CheckPattern(p string) error {
	if p == "*" {
		return nil
	}
	return bgp.CheckName(strings.TrimPrefix(p, "*."))
}

// AddCommunity returns the list with c in its place; the list given is not written to.
func AddCommunity(list []bgp.Community, c bgp.Community) []bgp.Community {
	s := Set{AddCommunities: []bgp.Community{c}}
	return s.communities(list)
}
