package rib

import "github.com/catalyst-router/catalyst/bgp"

// A walk goes over a peer's paths in slices, so that a peer with a million of them holds nothing up.
type walk struct {
	at   uint32
	kind walkKind
}

type walkKind uint8

const (
	redecide  walkKind = iota // something about the peer changed that the decision looks at
	refilter                  // its import rules changed
	sweep                     // remove what is stale
	removeAll                 // remove everything
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
	t.settle(bgp.Trace{})
	return t.Working()
}

// Working tells whether Work has something to do.
func (t *Table) Working() bool {
	for _, p := range t.peers {
		if p != nil && len(p.walks) > 0 {
			return true
		}
	}
	return false
}

func (t *Table) visit(p *peer, i uint32, kind walkKind) {
	x := &t.paths[i]
	switch kind {
	case redecide:
		t.touch(x.svc)
	case refilter:
		raw := t.retainSet(x.raw)
		b := t.attrs.bytes(raw)
		verdict := t.vet(p, b, &t.sums[raw])
		if verdict == Accepted && !originates(t.sums[raw].Origin(b), t.name(x.svc)) {
			verdict = RejectOrigin
		}
		t.assign(p, i, raw, verdict)
		t.releaseSet(raw)
	case sweep:
		if x.gen != p.gen {
			t.unlink(p, i)
		}
	case removeAll:
		t.unlink(p, i)
	}
}

// MarkStale keeps a peer's paths while it is away: they serve, ranked after every fresh one, until Sweep (RFC 4724 §4.2).
func (t *Table) MarkStale(id PeerID) {
	p := t.peers[id]
	p.gen++
	p.longLived, p.refreshing = false, false
	p.count.Stale = p.count.Received
	t.walk(p, redecide)
}

// MarkLongLived lets a peer's stale paths serve only as the last resort (RFC 9494).
func (t *Table) MarkLongLived(id PeerID) {
	t.peers[id].longLived = true
	t.walk(t.peers[id], redecide)
}

// Sweep removes what is stale of a peer: its table is complete, or its time is over.
func (t *Table) Sweep(id PeerID) {
	p := t.peers[id]
	p.refreshing = false
	if p.count.Stale > 0 {
		t.walk(p, sweep)
	}
}

// Clear removes all that a peer announced.
func (t *Table) Clear(id PeerID) { t.walk(t.peers[id], removeAll) }

// SetNextHop says whether a peer's data plane can be reached, and at what cost; lower is better, any unit.
func (t *Table) SetNextHop(id PeerID, usable bool, cost uint32) {
	p := t.peers[id]
	if p.usable != usable || p.cost != cost {
		p.usable, p.cost = usable, cost
		t.walk(p, redecide)
	}
}

// BeginRefresh makes a peer's paths such as have to be announced again until EndOfRefresh, when Sweep removes the others. They
// rank as before meanwhile (RFC 7313 §4.2).
func (t *Table) BeginRefresh(id PeerID) {
	p := t.peers[id]
	p.gen++
	p.refreshing = true
	p.count.Stale = p.count.Received
}

// SetDraining marks all that this node announces with graceful-shutdown, so that its peers prefer every other path (RFC 8326).
func (t *Table) SetDraining(on bool) {
	t.draining = on
	for _, p := range t.peers[1:] {
		if p != nil && p.up {
			p.dirty.rescan()
		}
	}
}
