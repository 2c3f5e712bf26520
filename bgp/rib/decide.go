package rib

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// Reason is the rung of the ladder at which one path beat another.
type Reason uint8

// The rungs, in order.
const (
	ReasonOnly      Reason = iota // there is no other path
	ReasonUsable                  // the other's workload is down, or its next hop does not answer
	ReasonOwn                     // this node's own workload over learned paths
	ReasonStanding                // the other's originator is new to the name, and no operator agreed to it
	ReasonFresh                   // the other is stale (RFC 4724), or more so (RFC 9494)
	ReasonLocalPref               // higher local preference; graceful-shutdown counts as 0 (RFC 8326)
	ReasonOrgPath                 // shorter organisation path
	ReasonNodePath                // shorter node path
	ReasonMED                     // lower MED among paths from one neighbouring organisation
	ReasonExternal                // from another organisation over from our own
	ReasonNextHop                 // lower cost of the next hop
	// fewer hubs on the way (RFC 4456 §9); such paths are used together, as all that follow
	ReasonClusterList
	ReasonPeer   // lower peer id
	ReasonPathID // lower path id of the same peer
)

var reasonTexts = [...]string{
	ReasonOnly: "the only path", ReasonUsable: "usable", ReasonOwn: "this node's own workload",
	ReasonStanding:  "longer-standing offerer of the name",
	ReasonFresh:     "not stale",
	ReasonLocalPref: "higher local preference",
	ReasonOrgPath:   "shorter organisation path", ReasonNodePath: "shorter node path", ReasonMED: "lower MED",
	ReasonExternal:    "external over internal",
	ReasonNextHop:     "nearer next hop",
	ReasonClusterList: "fewer hubs on the way",
	ReasonPeer:        "lower peer id",
	ReasonPathID:      "lower path id",
}

// String names the rung.
func (r Reason) String() string {
	if int(r) < len(reasonTexts) {
		return reasonTexts[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// keys are what the ladder compares of one path.
type keys struct {
	unusable   bool
	learned    bool // not of this node's own workload, or that yields
	contesting bool // its originator is new to the name and not agreed to
	staleness  uint8
	localPref  uint32
	orgs       uint8
	hops       uint8
	med        uint32 // rank within the neighbouring organisation, not the value
	internal   bool
	cost       uint32
}

// compare returns whether a is better (negative) and at which rung that shows; ReasonPeer when all rungs up to the
// next hop tie.
func (a *keys) compare(b *keys) (int, Reason) {
	if c := compareBool(a.unusable, b.unusable); c != 0 {
		return c, ReasonUsable
	}
	if c := compareBool(a.learned, b.learned); c != 0 {
		return c, ReasonOwn
	}
	if c := compareBool(a.contesting, b.contesting); c != 0 {
		return c, ReasonStanding
	}
	if c := cmp.Compare(a.staleness, b.staleness); c != 0 {
		return c, ReasonFresh
	}
	if c := cmp.Compare(b.localPref, a.localPref); c != 0 {
		return c, ReasonLocalPref
	}
	if c := cmp.Compare(a.orgs, b.orgs); c != 0 {
		return c, ReasonOrgPath
	}
	if c := cmp.Compare(a.hops, b.hops); c != 0 {
		return c, ReasonNodePath
	}
	if c := cmp.Compare(a.med, b.med); c != 0 {
		return c, ReasonMED
	}
	if c := compareBool(a.internal, b.internal); c != 0 {
		return c, ReasonExternal
	}
	if c := cmp.Compare(a.cost, b.cost); c != 0 {
		return c, ReasonNextHop
	}
	return 0, ReasonPeer
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// keysOf reads a path's comparison keys, with MED still to be ranked.
func (t *Table) keysOf(x *path) keys {
	p, s := t.peers[x.peer], &t.sums[x.attrs]
	k := keys{
		unusable:  s.Health == bgp.HealthDown || !p.usable,
		learned:   x.peer != Local || t.yields[x.svc],
		localPref: s.LocalPref, orgs: s.Orgs, hops: s.Hops, internal: !p.cfg.External, cost: p.cost,
	}
	if s.Has(attr.HasGracefulShutdown) {
		k.localPref, k.learned = 0, true
	}
	switch {
	case p.stale(x) && p.longLived, s.Has(attr.HasLongLivedStale):
		k.staleness = 2
	case p.stale(x):
		k.staleness = 1
	}
	return k
}

// stale tells whether a path is from before the peer's session dropped.
func (p *peer) stale(x *path) bool { return x.gen != p.gen && !p.refreshing }

// compare is the whole ladder for two paths whose keys are known.
func (t *Table) compare(a, b *candidate) (int, Reason) {
	if c, why := a.keys.compare(&b.keys); c != 0 {
		return c, why
	}
	x, y := &t.paths[a.path], &t.paths[b.path]
	// Without this rung two hubs, each of which prefers the other's copy by its id, withdraw from each other and
	// announce again for ever.
	if c := cmp.Compare(t.hubs(x), t.hubs(y)); c != 0 {
		return c, ReasonClusterList
	}
	if x.peer != y.peer {
		return t.peers[x.peer].cfg.Node.Compare(t.peers[y.peer].cfg.Node), ReasonPeer
	}
	return cmp.Compare(x.id, y.id), ReasonPathID
}

// hubs counts the hubs that reflected a path.
func (t *Table) hubs(x *path) int {
	if !t.sums[x.attrs].Has(attr.HasClusterList) {
		return 0
	}
	return attr.CountHubs(t.attrs.bytes(x.attrs))
}

// candidate is an accepted path with its keys.
type candidate struct {
	path uint32
	keys keys
}

// ranked returns a service's accepted paths best first, and how many tie down to the next hop. The outcome depends on
// the paths alone, not on the order in which they came. The list is valid until the next call.
func (t *Table) ranked(svc uint32) (list []candidate, ties int) {
	list = t.cand[:0]
	med := false
	for i := t.svcs[svc].head; i != none; i = t.paths[i].next {
		if x := &t.paths[i]; x.reject == Accepted {
			list = append(list, candidate{i, t.keysOf(x)})
			med = med || t.sums[x.attrs].MED != 0
		}
	}
	t.cand = list
	t.effort += uint64(len(list))
	if t.cfg.HoldNames && len(list) > 1 {
		t.standing(svc, list)
	}
	if med {
		t.rankMED(list)
	}
	slices.SortFunc(list, func(a, b candidate) int {
		c, _ := t.compare(&a, &b)
		return c
	})
	for ties < len(list) {
		if c, _ := list[0].keys.compare(&list[ties].keys); c != 0 {
			break
		}
		ties++
	}
	return list, ties
}

// rankMED replaces MED, which only compares within one neighbouring organisation, by its rank there, so that the
// order of all paths is total and the same from every side (RFC 4271 §9.1.2.2 c, and the trap that it leaves).
func (t *Table) rankMED(list []candidate) {
	org := make([]bgp.Org, len(list))
	for n := range list {
		org[n] = t.neighbourOrg(&t.paths[list[n].path])
	}
	for n := range list {
		var lower []uint32
		own := t.sums[t.paths[list[n].path].attrs].MED
		for m := range list {
			v := t.sums[t.paths[list[m].path].attrs].MED
			if org[m] == org[n] && v < own && !slices.Contains(lower, v) {
				lower = append(lower, v)
			}
		}
		list[n].keys.med = uint32(len(lower))
	}
}

// neighbourOrg is the first organisation on a path that is not ours; "" if there is none.
func (t *Table) neighbourOrg(x *path) bgp.Org {
	return bgp.Org(attr.FirstForeignOrg(t.attrs.bytes(x.attrs), t.cfg.Self.Org))
}

// decide orders a service's paths: the accepted ones best first, then the rejected ones.
func (t *Table) decide(svc uint32) {
	s := &t.svcs[svc]
	had := s.ties > 0
	if s.head != none && t.paths[s.head].next == none { // one path, as most services have
		s.ties = 0
		if t.paths[s.head].reject == Accepted {
			s.ties = 1
		}
	} else {
		t.reorder(svc)
	}
	if b := t.books.by[svc]; b != nil {
		t.review(svc, b)
	}
	switch has := s.ties > 0; {
	case has && !had:
		t.count.Services++
	case had && !has:
		t.count.Services--
	}
}

func (t *Table) reorder(svc uint32) {
	s := &t.svcs[svc]
	order, ties := t.ranked(svc)
	rejected := none
	for i := s.head; i != none; {
		next := t.paths[i].next
		if t.paths[i].reject != Accepted {
			t.paths[i].next = rejected
			rejected = i
		}
		i = next
	}
	s.head, s.ties = rejected, uint16(ties)
	for n := len(order) - 1; n >= 0; n-- {
		t.paths[order[n].path].next = s.head
		s.head = order[n].path
	}
}
