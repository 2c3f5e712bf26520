package rib

import (
	"cmp"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// An aggregate is one route, such as *.eu.acme.example, that a peer of another organisation is told of in the place of
// this organisation's services below the name (RFC 4271 §9.2.2.2). It is there as long as the peer would be told of at
// least one of them: these are its members. So the peer hears nothing of what comes, goes and changes below the name.
//
// An aggregate belongs to the rules of one peer and is no route of the Loc-RIB: nobody inside the organisation sees
// it, and it is kept apart for peers whose rules let them know different names. TCP services are told of by
// themselves, since whoever calls one needs to know its name before he connects.
type aggregate struct {
	pattern bgp.Service
	svc     uint32 // the number of the pattern, counted
	term    string // of the export rules, that accepts the pattern
	members map[uint32]struct{}
}

// findAggregates works out what a peer's export rules say is told of in one: patterns that the rules accept. A pattern
// that is not among them any more is withdrawn when the peer has been told of what was below it.
func (t *Table) findAggregates(p *peer) {
	had := append(p.aggregates, p.former...)
	p.aggregates, p.former = nil, nil
	if c := p.cfg.Export; c != nil && p.cfg.External && !p.cfg.NoPatterns {
		for _, pattern := range c.Aggregates {
			if a := t.aggregateOf(p, bgp.Service(pattern)); a != nil {
				p.aggregates = append(p.aggregates, a)
			}
		}
	}
	slices.SortFunc(p.aggregates, func(a, b *aggregate) int {
		return cmp.Or(len(b.pattern)-len(a.pattern), strings.Compare(string(a.pattern), string(b.pattern)))
	})
	for _, a := range had {
		if now := p.aggregateAt(a.svc); now != nil {
			now.members = a.members
		}
		if p.holds(a.svc) && p.aggregateAt(a.svc) == nil {
			p.former = append(p.former, a)
			continue
		}
		t.names.release(a.svc)
	}
}

// aggregateOf is an aggregate without members; nil if the rules do not accept its pattern.
func (t *Table) aggregateOf(p *peer, pattern bgp.Service) *aggregate {
	term, set := t.aggregated(p, pattern)
	if set == none {
		return nil
	}
	t.releaseSet(set)
	return &aggregate{pattern: pattern, svc: t.serviceID(pattern), term: term, members: map[uint32]struct{}{}}
}

// aggregated returns the set, counted, under which a pattern goes to a peer, and the term that says so; none if the
// rules do not accept it. It says nothing of any member: neither nodes, tags, regions nor health.
func (t *Table) aggregated(p *peer, pattern bgp.Service) (term string, set uint32) {
	a := bgp.Attributes{Protocol: bgp.HTTP}
	if t.draining {
		a.Communities = filter.AddCommunity(a.Communities, bgp.GracefulShutdown)
	}
	t.rewrite(p, t.peers[Local], &a, false)
	v := p.cfg.Export.Apply(pattern, &a, t.exportFacts())
	if !v.Accepted {
		return v.Term, none
	}
	set, _ = t.encoded(&a)
	return v.Term, set
}

// aggregateAt is the aggregate whose pattern has this number; nil for none.
func (p *peer) aggregateAt(svc uint32) *aggregate {
	for _, a := range p.aggregates {
		if a.svc == svc {
			return a
		}
	}
	return nil
}

// aggregateOf is the pattern as which a peer is told of a name; "" for none.
func (p *peer) aggregateOf(name bgp.Service) bgp.Service {
	return bgp.Service(p.cfg.Export.Aggregate(name))
}

// follows tells whether a peer has to hear of a change of a service that it was sent, or that an aggregate stands for.
func (p *peer) follows(svc uint32) bool {
	return p.holds(svc) || slices.ContainsFunc(p.aggregates, func(a *aggregate) bool {
		_, is := a.members[svc]
		return is
	})
}

// tellPattern is tell for a service that is the pattern of an aggregate; false if it is none.
func (t *Table) tellPattern(p *peer, svc uint32, again bool) bool {
	if a := p.aggregateAt(svc); a != nil {
		t.tellAggregate(p, a, again)
		return true
	}
	return slices.ContainsFunc(p.former, func(a *aggregate) bool { return a.svc == svc })
}

// apart tells whether a service is told of by itself. Otherwise it is a member of the closest aggregate, which is
// drafted with its first member.
func (t *Table) apart(p *peer, svc uint32) bool {
	if len(p.aggregates) == 0 {
		return true
	}
	name, apart := t.name(svc), true
	for _, a := range p.aggregates { // the closest is first
		_, was := a.members[svc]
		is := apart && filter.Covers(string(a.pattern), name) && t.contributes(p, svc)
		switch {
		case is && !was:
			a.members[svc] = struct{}{}
		case was && !is:
			delete(a.members, svc)
		}
		if is != was {
			t.tellAggregate(p, a, false)
		}
		apart = apart && !is
	}
	return apart
}

// contributes tells whether a peer would be told of a service that an aggregate may stand for.
func (t *Table) contributes(p *peer, svc uint32) bool {
	for i := t.svcs[svc].head; i != none && t.paths[i].reject == Accepted; i = t.paths[i].next {
		if t.mayJoin(p, &t.paths[i]) {
			if set := t.exported(p, i); set != none {
				t.releaseSet(set)
				return true
			}
		}
	}
	return false
}

// mayJoin tells whether an aggregate may stand for a path: one of this organisation, of a service that is called by
// name.
func (t *Table) mayJoin(p *peer, x *path) bool {
	return t.sums[x.attrs].Protocol != bgp.TCP && !t.needsTransit(p, t.attrs.bytes(x.attrs))
}

// inAggregate tells whether a path that a peer's rules let it have is told in one with others. It goes by the rules
// alone, so that other ones can be tried.
func (t *Table) inAggregate(p *peer, x *path) bool {
	pattern := p.aggregateOf(t.name(x.svc))
	if pattern == "" || !p.cfg.External || p.cfg.NoPatterns || !t.mayJoin(p, x) {
		return false
	}
	_, set := t.aggregated(p, pattern)
	t.releaseSet(set)
	return set != none
}

// tellAggregate drafts what a peer has to hear of an aggregate that has members.
func (t *Table) tellAggregate(p *peer, a *aggregate, again bool) {
	if len(a.members) > 0 {
		_, want := t.aggregated(p, a.pattern)
		t.sendAggregate(p, a, want, again)
	}
}

func (t *Table) sendAggregate(p *peer, a *aggregate, want uint32, again bool) {
	if p.cfg.AddPath <= 1 {
		t.send(p, a.svc, want, again)
		return
	}
	var paths []sent
	if want != none {
		paths = []sent{{id: 1, set: want}}
	}
	t.sendMany(p, a.svc, paths, again)
}

// endAggregates withdraws aggregates that have no member left, and those that the rules do not name any more. It is
// called at the end of a message, with all that takes their place in front, and not while the table is looked through,
// when members may be yet to come.
func (t *Table) endAggregates(p *peer) {
	for _, a := range p.aggregates {
		if len(a.members) == 0 && p.holds(a.svc) {
			t.sendAggregate(p, a, none, false)
		}
	}
	for _, a := range p.former {
		t.sendAggregate(p, a, none, false)
		t.draft.popped = append(t.draft.popped, a.svc) // its name is needed until the message is made
	}
	p.former = nil
}

// owesWithdrawal tells whether endAggregates has something to say.
func (p *peer) owesWithdrawal() bool {
	return len(p.former) > 0 || slices.ContainsFunc(p.aggregates, func(a *aggregate) bool {
		return len(a.members) == 0 && p.holds(a.svc)
	})
}

// forgetMembers follows when a peer's session has ended: it holds nothing.
func (t *Table) forgetMembers(p *peer) {
	for _, a := range p.aggregates {
		clear(a.members)
	}
	for _, a := range p.former {
		t.names.release(a.svc)
	}
	p.former = nil
}

// Aggregates are the patterns that a peer is told of in the place of what is below them, whether or not there is
// anything, sorted.
func (t *Table) Aggregates(id PeerID) []bgp.Service {
	p := t.peers[id]
	if p == nil {
		return nil
	}
	all := make([]bgp.Service, 0, len(p.aggregates))
	for _, a := range p.aggregates {
		all = append(all, a.pattern)
	}
	slices.Sort(all)
	return all
}

// Covering is the route of a pattern by which calls of a name go that no route is for itself: the closest. False if
// there is none.
func (t *Table) Covering(name bgp.Service) (Selected, bool) {
	for rest := string(name); ; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			return Selected{}, false
		}
		rest = rest[dot+1:]
		if pattern := bgp.Service("*." + rest); pattern != name {
			if sel, ok := t.Selected(pattern); ok && len(sel.Tiers) > 0 {
				return sel, true
			}
		}
	}
}
