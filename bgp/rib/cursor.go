package rib

import (
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// A Cursor is one consumer's place in the Loc-RIB: it first gets every service, then each change, always the newest
// state. A consumer that falls behind costs one bit a service, and misses nothing but states that are past.
type Cursor struct {
	t     *Table
	set   pendingSet
	known []uint64 // services that the consumer has
	// skipped counts the states that were replaced before the consumer took them.
	skipped int
}

// Selected is a service's newest state in the Loc-RIB.
type Selected struct {
	Service  bgp.Service
	Revision uint64
	// Tiers holds the paths in use, best first: those of a tier carry traffic together, later tiers are backups. It is
	// empty for a service that is gone.
	Tiers [][]Path
	Trace bgp.Trace // of the newest change, if known
}

// Path is one offer of a service, decoded.
type Path struct {
	Peer    bgp.NodeID // who announced it; this node for its own
	Local   bool
	PathID  uint32
	Attrs   bgp.Attributes
	NextHop bgp.NextHop // zero for this node's own
	Stale   bool
}

// Subscribe returns a new cursor, which is to get everything.
func (t *Table) Subscribe() *Cursor {
	c := &Cursor{t: t}
	c.set.rescan()
	t.curs = append(t.curs, c)
	return c
}

// Unsubscribe forgets a cursor.
func (t *Table) Unsubscribe(c *Cursor) {
	for {
		svc, ok := c.set.pop()
		if !ok {
			break
		}
		t.releaseName(svc)
	}
	for i := range t.curs {
		if t.curs[i] == c {
			t.curs = append(t.curs[:i], t.curs[i+1:]...)
			return
		}
	}
}

func (c *Cursor) knows(svc uint32) bool {
	return int(svc/64) < len(c.known) && c.known[svc/64]&(1<<(svc%64)) != 0
}

func (c *Cursor) mark(t *Table, svc uint32, by *source) {
	if c.set.mark(svc, c.knows(svc), by) {
		t.names.retain(svc)
	} else if !c.set.scanning {
		c.skipped++
	}
}

// Skipped returns how many states the consumer will never see, because a newer one of the same service took their
// place, since the last call.
func (c *Cursor) Skipped() int {
	n := c.skipped
	c.skipped = 0
	return n
}

// Synced tells whether the first pass over everything is through.
func (c *Cursor) Synced() bool { return !c.set.scanning }

// Pending tells whether Next has something to return.
func (c *Cursor) Pending() bool { return c.set.left(len(c.t.svcs)) > 0 }

// Next appends up to n changed services to dst.
func (c *Cursor) Next(dst []Selected, n int) []Selected {
	t := c.t
	c.set.rotate()
	for len(dst) < n {
		svc, queued := c.set.pop()
		if !queued {
			var more bool
			if svc, more = c.set.scan(len(t.svcs)); !more {
				break
			}
			if t.names.counts[svc] == 0 || c.knows(svc) { // it has been told of since the scan began
				continue
			}
		}
		has := t.svcs[svc].ties > 0
		if has || c.knows(svc) {
			dst = append(dst, t.selected(svc))
			c.setKnown(svc, has)
		}
		if queued {
			t.releaseName(svc)
		}
	}
	return dst
}

func (c *Cursor) setKnown(svc uint32, has bool) {
	for int(svc/64) >= len(c.known) {
		c.known = append(c.known, 0)
	}
	if has {
		c.known[svc/64] |= 1 << (svc % 64)
	} else {
		c.known[svc/64] &^= 1 << (svc % 64)
	}
}

// selected decodes a service's state. Names are copied: they outlive the table's own.
func (t *Table) selected(svc uint32) Selected {
	s := Selected{Service: bgp.Service(string(t.names.bytes(svc))), Revision: t.svcs[svc].revision, Trace: t.traces[svc]}
	list, _ := t.ranked(svc)
	for n := range list {
		if n == 0 {
			s.Tiers = append(s.Tiers, nil)
		} else if c, _ := list[n-1].keys.compare(&list[n].keys); c != 0 {
			s.Tiers = append(s.Tiers, nil)
		}
		last := len(s.Tiers) - 1
		s.Tiers[last] = append(s.Tiers[last], t.path(list[n].path))
	}
	return s
}

func (t *Table) path(i uint32) Path {
	x := &t.paths[i]
	p := t.peers[x.peer]
	set := x.attrs
	if set == none {
		set = x.raw
	}
	a, _ := attr.Parse(t.attrs.bytes(set)) // it passed Check when it came in
	out := Path{Peer: p.cfg.Node, Local: x.peer == Local, PathID: x.id, Attrs: a, Stale: p.stale(x), NextHop: a.NextHop}
	if !out.Local && out.NextHop == (bgp.NextHop{}) {
		out.NextHop = bgp.NextHop{Node: p.cfg.Node, Address: p.ingress}
	}
	return out
}

// received decodes a path's attributes as they came.
func (t *Table) received(i uint32) bgp.Attributes {
	set := t.paths[i].raw
	if set == none {
		return bgp.Attributes{}
	}
	a, _ := attr.Parse(t.attrs.bytes(set))
	return a
}

// Candidate is a path with the outcome of the decision for it.
type Candidate struct {
	Path
	Received bgp.Attributes  // as the peer sent them; those of Path are after the import rules
	Reject   Reject          // Accepted, or why it is not used at all
	Origin   bgp.OriginState // what the attestation of its origin says
	Invalid  string          // why it is invalid, or more about why it is rejected; "" for nothing
	// Signed is until when the signatures of every organisation on the path count; zero if they are not all there.
	Signed time.Time
	Tier   int    // 0 carries traffic; higher ones are backups; -1 for a rejected path
	Term   string // of the import chain, that decided; "" for its default or none
	// Lost is the rung at which the path lost against the best one; ReasonOnly for the best itself if it is alone, and
	// else the rung at which the best beat the second.
	Lost Reason
}

// Explain returns every path of a service with what became of it: the best first, the rejected ones last; nil for an
// unknown name.
func (t *Table) Explain(name bgp.Service) []Candidate {
	svc := t.names.find([]byte(name))
	if svc == none {
		return nil
	}
	list, _ := t.ranked(svc)
	list = append([]candidate(nil), list...)
	var out []Candidate
	tier := 0
	for n := range list {
		if n > 0 {
			if c, _ := list[n-1].keys.compare(&list[n].keys); c != 0 {
				tier++
			}
		}
		i := list[n].path
		c := Candidate{Path: t.path(i), Received: t.received(i), Tier: tier, Term: t.importTerm(i)}
		if other := max(n, 1); other < len(list) {
			_, c.Lost = t.compare(&list[0], &list[other])
		}
		c.Origin, c.Invalid = t.pathOrigin(i)
		c.Signed, _ = t.PathSigned(&c.Received)
		out = append(out, c)
	}
	for i := t.svcs[svc].head; i != none; i = t.paths[i].next {
		if r := t.paths[i].reject; r != Accepted {
			c := Candidate{Path: t.path(i), Received: t.received(i), Reject: r, Tier: -1, Term: t.importTerm(i)}
			c.Origin, c.Invalid = t.pathOrigin(i)
			c.Signed, _ = t.PathSigned(&c.Received)
			out = append(out, c)
		}
	}
	return out
}

// Selected returns the newest state of a service; false for one to which no path leads.
func (t *Table) Selected(name bgp.Service) (Selected, bool) {
	svc := t.names.find([]byte(name))
	if svc == none || t.svcs[svc].ties == 0 {
		return Selected{}, false
	}
	return t.selected(svc), true
}

// Scan calls yield for up to n services from number from on, with their newest state, and returns the number to go on
// from; 0 at the end. Numbers mean nothing but a place in the scan.
func (t *Table) Scan(from uint32, n int, yield func(Selected)) uint32 {
	for svc := from; int(svc) < len(t.svcs); svc++ {
		if n == 0 {
			return svc
		}
		if t.names.counts[svc] > 0 && t.svcs[svc].ties > 0 {
			yield(t.selected(svc))
			n--
		}
	}
	return 0
}

// Announced calls yield for each path that a peer announces, with its outcome; AdvertisedTo for each service that it
// was sent.
func (t *Table) Announced(id PeerID, yield func(bgp.Service, Candidate) bool) {
	p := t.peers[id]
	for i := p.first; i != none; i = t.paths[i].peerNext {
		x := &t.paths[i]
		c := Candidate{Path: t.path(i), Received: t.received(i), Reject: x.reject, Term: t.importTerm(i)}
		c.Origin, c.Invalid = t.pathOrigin(i)
		c.Signed, _ = t.PathSigned(&c.Received)
		if !yield(bgp.Service(string(t.names.bytes(x.svc))), c) {
			return
		}
	}
}

// AdvertisedTo calls yield for each service that a peer was sent, with the attributes it got, this node in front.
func (t *Table) AdvertisedTo(id PeerID, yield func(bgp.Service, bgp.Attributes) bool) {
	p := t.peers[id]
	one := func(svc, set uint32) bool {
		b := t.attrs.bytes(set)
		if !t.sums[set].Has(attr.HasClusterList) {
			b = attr.PrependHop(nil, t.self, b)
		}
		a, _ := attr.Parse(b)
		return yield(bgp.Service(string(t.names.bytes(svc))), a)
	}
	for svc, held := range p.out {
		if held != 0 && !one(uint32(svc), held-1) {
			return
		}
	}
	for svc, list := range p.more {
		for _, s := range list {
			if !one(svc, s.set) {
				return
			}
		}
	}
}
