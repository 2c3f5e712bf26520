package rib

import (
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// A walk goes over a peer's paths in slices, so that a peer with a million of them holds nothing up.
type walk struct {
	at   uint32
	kind walkKind
}

type walkKind uint8

const (
	redecide    walkKind = iota // something about the peer changed that the decision looks at
	refilter                    // its import rules changed
	sweep                       // remove what is stale
	sweepOld                    // remove what was stale before the session dropped once more
	sweepMarked                 // remove what is stale and not to be kept for long (RFC 9494)
	removeAll                   // remove everything
	revalidate                  // what is attested of origins changed
)

func (t *Table) walk(p *peer, kind walkKind) {
	for i := range p.walks {
		if p.walks[i].kind == kind {
			p.walks[i].at = p.first
			return
		}
	}
	if p.first != none {
		p.walks = append(p.walks, walk{at: p.first, kind: kind})
	}
}

// Work carries pending bulk consequences on by about budget paths, and tells whether there is more to do.
func (t *Table) Work(budget int) bool {
	for _, p := range t.peers {
		for p != nil && budget > 0 && len(p.walks) > 0 {
			t.actor = p.id
			w := &p.walks[0]
			i := w.at
			if i == none {
				p.walks = p.walks[1:]
				continue
			}
			w.at = t.paths[i].peerNext
			t.visit(p, i, w.kind)
			budget--
		}
	}
	for _, p := range t.peers {
		for p != nil && budget > 0 && p.asked != nil {
			budget -= t.carryOut(p, min(budget, askedSlice))
		}
	}
	t.clearWrecks(budget)
	t.forgetOfferers()
	t.settle(bgp.Trace{})
	t.shrink()
	return t.Working()
}

// Working tells whether Work has something to do.
func (t *Table) Working() bool {
	if len(t.wrecks) > 0 || t.books.searching || t.isShrinking() {
		return true
	}
	for _, p := range t.peers {
		if p != nil && (len(p.walks) > 0 || p.asked != nil) {
			return true
		}
	}
	return false
}

func (t *Table) visit(p *peer, i uint32, kind walkKind) {
	x := &t.paths[i]
	t.effort++
	switch kind {
	case redecide:
		if x.gen != p.gen {
			x.gen = p.gen - 1 // generations are few: two are all that a peer has
		}
		t.touch(x.svc)
	case refilter:
		raw := t.retainSet(x.raw)
		b := t.attrs.bytes(raw)
		verdict := t.vetName(p, t.name(x.svc), raw, t.vet(p, b, &t.sums[raw]))
		t.assign(p, i, raw, verdict)
		t.releaseSet(raw)
	case revalidate:
		t.revalidate(p, i)
	case sweep:
		if x.gen != p.gen {
			t.unlink(p, i)
		}
	case sweepOld:
		if x.gen != p.gen && x.gen != p.gen-1 {
			t.unlink(p, i)
		}
	case sweepMarked:
		if set := x.attrs; x.gen != p.gen && set != none && t.sums[set].Has(attr.HasNoLongLived) {
			t.unlink(p, i)
			break
		}
		t.touch(x.svc)
	case removeAll:
		t.unlink(p, i)
	}
}

// MarkStale keeps a peer's paths while it is away: they serve, ranked after every fresh one, until Sweep (RFC 4724
// §4.2).
func (t *Table) MarkStale(id PeerID) {
	p := t.peers[id]
	for i := range p.walks {
		if p.walks[i].kind == sweep { // what it was to remove still goes, and no more
			p.walks[i].kind = sweepOld
		}
	}
	p.gen++
	p.longLived, p.refreshing = false, false
	p.count.Stale = p.count.Received
	t.walk(p, redecide)
}

// MarkLongLived lets a peer's stale paths serve only as the last resort, and removes those that are marked no-llgr
// (RFC 9494 §4.2).
func (t *Table) MarkLongLived(id PeerID) {
	t.peers[id].longLived = true
	t.walk(t.peers[id], sweepMarked)
}

// Sweep removes what is stale of a peer: its table is complete, or its time is over.
func (t *Table) Sweep(id PeerID) {
	p := t.peers[id]
	p.refreshing = false
	if p.count.Stale > 0 {
		t.walk(p, sweep)
	}
}

// Clear removes all that a peer announced. What it announces again while that goes on stays.
func (t *Table) Clear(id PeerID) {
	p := t.peers[id]
	p.gen++
	p.longLived, p.refreshing = false, false
	p.count.Stale = p.count.Received
	t.walk(p, sweep)
}

// ResetBlocked counts what a peer's limit leaves out from zero again.
func (t *Table) ResetBlocked(id PeerID) {
	p := t.peers[id]
	p.count.Blocked, p.leftOut, p.crowd = 0, nil, ""
}

// SetNextHop says whether a peer's data plane can be reached, and at what cost; lower is better, any unit.
func (t *Table) SetNextHop(id PeerID, usable bool, cost uint32) {
	p := t.peers[id]
	if p.usable != usable || p.cost != cost {
		p.usable, p.cost = usable, cost
		t.walk(p, redecide)
	}
}

// BeginRefresh makes a peer's paths such as have to be announced again until EndRefresh removes the others. They rank
// as before meanwhile (RFC 7313 §4.2). While some have to be announced again in any case it changes nothing.
func (t *Table) BeginRefresh(id PeerID) {
	p := t.peers[id]
	if p.count.Stale > 0 {
		return
	}
	p.gen++
	p.refreshing = true
	p.count.Stale = p.count.Received
}

// EndRefresh removes what was not announced again since BeginRefresh; without one it does nothing (RFC 7313 §4.2).
func (t *Table) EndRefresh(id PeerID) {
	if t.peers[id].refreshing {
		t.Sweep(id)
	}
}

// SetDraining marks all that this node announces with graceful-shutdown, so that its peers prefer every other path
// (RFC 8326).
func (t *Table) SetDraining(on bool) {
	t.draining = on
	t.rescanAll()
}

// rescanAll looks again at what each peer holds: something changed that all exports depend on.
func (t *Table) rescanAll() {
	for _, p := range t.peers[1:] {
		if p != nil && p.up {
			p.dirty.rescan()
		}
	}
}

// asked is a change of what a peer wants to hear of: the names that only the old list has, and then those that only
// the new one has, are looked at a slice at a time, since each list may have 10,000.
type asked struct {
	old, now *filter.Names
	at       int  // the next place in a list
	second   bool // that list is the new one
}

const (
	askedSlice = 250 // names of a list that are looked at between two looks at the clock
	looksAName = 4   // what a name costs of the budget of bulk work: two searches
)

// SetWanted says which services a peer wants to hear of (after RFC 4684); nil for all. The exact difference is sent,
// as Work gets to it. It tells whether that takes a look at every service.
func (t *Table) SetWanted(id PeerID, names *filter.Names) (all bool) {
	p := t.peers[id]
	old, under := p.wanted, p.asked != nil
	p.wanted, p.asked = names, nil
	switch {
	case !p.up || old == nil && names == nil:
		return false
	case under || filter.PatternsDiffer(old, names):
		p.dirty.rescan()
		return true
	}
	p.asked = &asked{old: old, now: names}
	return false
}

// carryOut looks at up to most names of a change of what a peer wants, and returns what that costs.
func (t *Table) carryOut(p *peer, most int) (cost int) {
	a := p.asked
	list, other := a.old, a.now
	if a.second {
		list, other = a.now, a.old
	}
	from := a.at
	a.at = other.Lacks(list, from, most, func(name bgp.Service) {
		if svc := t.names.find([]byte(name)); svc != none && p.dirty.mark(svc, p.holds(svc), &source{by: p.id}) {
			t.names.retain(svc)
		}
	})
	looked := a.at - from
	if a.at == list.Listed() {
		if a.at = 0; a.second {
			p.asked = nil
		}
		a.second = true
	}
	t.effort += uint64(looked)
	return 1 + looked*looksAName
}
