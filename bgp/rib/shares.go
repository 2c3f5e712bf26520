package rib

import (
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// What a peer may announce is shared by the nodes that its routes originate from, so that one of them that announces
// without end does not crowd out those behind the same peer. Once the peer's limit is reached, a route of an
// originator with fewer than the one with most takes the place of one of that one's (longest queue drop, as in
// stochastic fairness queueing). Example: a peer may announce 1,000 routes; node crowd behind it announces 5,000, and
// then node books its 10: 990 of crowd's stay, and all of books'. Originators are told apart by 1,024 classes of their
// names, so that a peer that invents originators costs no more memory.

// share is what the originators of one class have in a peer's table.
type share struct{ routes, bytes int }

// searchMost is how many routes of a peer are looked at for one of the originator with most.
const searchMost = 20_000

// class returns that of a set's originator.
func (t *Table) class(set uint32) uint16 {
	return uint16(originHash(t.sums[set].Origin(t.attrs.bytes(set))) >> 22)
}

// book enters a route with a set in its originator's share, or takes it out if sign is -1. A route without a set counts
// nothing.
func (t *Table) book(p *peer, svc, set uint32, sign int) {
	if set == none || p.id == Local {
		return
	}
	if p.shares == nil {
		p.shares = map[uint16]share{}
	}
	c := t.class(set)
	s := p.shares[c]
	s.routes += sign
	s.bytes += sign * t.weight(svc, set)
	if p.shares[c] = s; s.routes == 0 {
		delete(p.shares, c)
	}
}

// makeRoom takes away routes of the originator with most until one with a set is within the peer's limits: path i, or
// a new one if i is none. It tells whether there is room then; there is none if the route is of that originator, or
// of one that has as many.
func (t *Table) makeRoom(p *peer, svc, i, set uint32, res *Result) bool {
	mine := t.class(set)
	for t.overLimit(p, svc, i, set) {
		byBytes := i != none || p.cfg.MaxRoutes == 0 || p.count.Received < p.cfg.MaxRoutes
		measure := func(s share) int {
			if byBytes {
				return s.bytes
			}
			return s.routes
		}
		most, size := mine, 0
		for c, s := range p.shares {
			if n := measure(s); n > size || n == size && c < most {
				most, size = c, n
			}
		}
		one := 1
		if byBytes {
			one = t.weight(svc, set)
		}
		if most == mine || size <= measure(p.shares[mine])+one {
			return false
		}
		victim := t.findOf(p, most, i)
		if victim == none {
			return false
		}
		t.crowdOut(p, victim, res)
	}
	return true
}

// findOf returns a path of a peer, other than but, of a class of originators; none if there is none near.
func (t *Table) findOf(p *peer, class uint16, but uint32) uint32 {
	for looked := range searchMost {
		if p.search == none {
			p.search = p.first
		}
		i := p.search
		if i == none {
			break
		}
		if x := &t.paths[i]; i != but && x.raw != none && t.class(x.raw) == class {
			t.effort += uint64(looked / 8)
			return i
		}
		p.search = t.paths[i].peerNext
	}
	return none
}

// crowdOut takes away a path for that of an originator with fewer.
func (t *Table) crowdOut(p *peer, i uint32, res *Result) {
	x := &t.paths[i]
	n := bgp.NLRI{Service: t.name(x.svc), PathID: x.id}
	p.crowd = strings.Clone(t.sums[x.raw].Origin(t.attrs.bytes(x.raw)))
	res.Rejected[RejectShare]++
	res.Blocked++
	p.count.Blocked++
	p.noteLeftOut(&n, RejectShare)
	t.unlink(p, i)
}

// Crowd says in words which originator's routes were left out at a peer's limit, for others with fewer; "" for none.
func (t *Table) Crowd(id PeerID) string {
	p := t.peers[id]
	if p.crowd == "" {
		return ""
	}
	return fmt.Sprintf("most of its routes are %s's, some of which were left out for those of others", p.crowd)
}
