package rib

import (
	"cmp"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// maxLeftOut bounds the routes of a peer that are remembered although they were not entered.
const maxLeftOut = 256

// noteLeftOut remembers a route that was not entered at all, and why, so that it can be shown: of those beyond the
// peer's limits there may be any number, so the first maxLeftOut are kept.
func (p *peer) noteLeftOut(n *bgp.NLRI, why Reject) {
	if _, known := p.leftOut[*n]; !known && len(p.leftOut) >= maxLeftOut {
		return
	}
	if p.leftOut == nil {
		p.leftOut = map[bgp.NLRI]Reject{}
	}
	p.leftOut[bgp.NLRI{Service: bgp.Service(strings.Clone(string(n.Service))), PathID: n.PathID}] = why
}

// notLeftOut forgets a route that is entered now, or withdrawn.
func (p *peer) notLeftOut(n *bgp.NLRI) {
	if len(p.leftOut) > 0 {
		delete(p.leftOut, *n)
	}
}

// View chooses routes of a peer.
type View uint8

// The views.
const (
	ViewReceived View = iota // all that the peer announces, as it sent it
	ViewAccepted             // of that, what may be used
	ViewRejected             // of that, what is not used
	ViewTold                 // what the peer was told, as it was sent
	ViewWithheld             // what is used here and the peer was not told
)

// PeerRoute is one route that a peer announces, or that it is told or not told.
type PeerRoute struct {
	Service  bgp.Service
	PathID   uint32
	Reject   Reject          // of an announced one: Accepted, or why it is not used
	Withheld Withheld        // why it is not told; NotWithheld for one that is
	Term     string          // of the rules, that decided; "" for their default or none
	Origin   bgp.OriginState // what the attestation of its origin says
	Reason   string          // more about why; "" for nothing
	Stale    bool
	// Attrs are those that came, or were sent, this node in front. A route that was not entered has none: a limit left it
	// out, or its attributes are larger than they may be.
	Attrs bgp.Attributes
	// Used are the attributes of an accepted route after the import rules.
	Used bgp.Attributes
}

// PeerRoutes calls more for routes of a peer: of up to n services from number from on, those that covers says yes to.
// When more says that this is enough, the service at hand is the last. It returns the number to go on from; 0 at the
// end. Every reason is the one that the decision left behind.
func (t *Table) PeerRoutes(id PeerID, v View, covers func(bgp.Service) bool, from uint32, n int,
	more func(PeerRoute) bool,
) (next uint32) {
	p := t.peers[id]
	enough := false
	yield := func(r PeerRoute) { enough = !more(r) || enough }
	if from == 0 && (v == ViewReceived || v == ViewRejected) {
		p.eachLeftOut(covers, yield)
	}
	for svc := from; int(svc) < len(t.svcs); svc++ {
		if n == 0 || enough {
			return svc
		}
		n--
		if t.names.counts[svc] == 0 || !covers(t.name(svc)) {
			continue
		}
		switch v {
		case ViewTold:
			t.eachTold(p, svc, yield)
		case ViewWithheld:
			if t.svcs[svc].ties == 0 || p.holds(svc) {
				continue
			}
			r := PeerRoute{Service: t.cloned(svc)}
			if r.Withheld, r.Term = t.withheld(p, svc); r.Withheld != NotWithheld {
				r.Attrs = t.decoded(t.paths[t.svcs[svc].head].attrs)
				yield(r)
			}
		default:
			t.eachAnnounced(p, svc, v, yield)
		}
	}
	return 0
}

// FromPeer returns the routes to a service that a peer announces: those that may be used first.
func (t *Table) FromPeer(id PeerID, name bgp.Service) []PeerRoute {
	p := t.peers[id]
	var all []PeerRoute
	yield := func(r PeerRoute) { all = append(all, r) }
	if svc := t.names.find([]byte(name)); svc != none {
		t.eachAnnounced(p, svc, ViewReceived, yield)
	}
	p.eachLeftOut(func(svc bgp.Service) bool { return svc == name }, yield)
	return all
}

func (p *peer) eachLeftOut(covers func(bgp.Service) bool, yield func(PeerRoute)) {
	names := make([]bgp.NLRI, 0, len(p.leftOut))
	for n := range p.leftOut {
		if covers(n.Service) {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b bgp.NLRI) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.PathID, b.PathID))
	})
	for _, n := range names {
		yield(PeerRoute{Service: n.Service, PathID: n.PathID, Reject: p.leftOut[n]})
	}
}

func (t *Table) eachAnnounced(p *peer, svc uint32, v View, yield func(PeerRoute)) {
	for i := t.svcs[svc].head; i != none; i = t.paths[i].next {
		x := &t.paths[i]
		if x.peer != p.id || v == ViewAccepted && x.reject != Accepted || v == ViewRejected && x.reject == Accepted {
			continue
		}
		r := PeerRoute{
			Service: t.cloned(svc), PathID: x.id, Reject: x.reject, Term: t.importTerm(i), Stale: p.stale(x),
			Attrs: t.received(i),
		}
		r.Origin, r.Reason = t.pathOrigin(i)
		if x.reject == Accepted {
			r.Used = t.decoded(x.attrs)
		}
		yield(r)
	}
}

func (t *Table) eachTold(p *peer, svc uint32, yield func(PeerRoute)) {
	one := func(id, set uint32) {
		b := t.attrs.bytes(set)
		if !t.sums[set].Has(attr.HasClusterList) {
			b = attr.PrependHop(nil, t.self, b)
		}
		r := PeerRoute{Service: t.cloned(svc), PathID: id}
		if t.svcs[svc].ties > 0 || p.aggregateAt(svc) != nil {
			_, r.Term = t.withheld(p, svc)
		}
		r.Attrs, _ = attr.Parse(b) // it passed Check when it was made
		yield(r)
	}
	if int(svc) < len(p.out) && p.out[svc] != 0 {
		one(0, p.out[svc]-1)
	}
	for _, s := range p.more[svc] {
		one(s.id, s.set)
	}
}
