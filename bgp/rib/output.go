package rib

import (
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// sent is one path of a service that a peer with AddPath was told of.
type sent struct {
	id  uint32 // as we numbered it: the path's number in the table, plus 1
	set uint32
}

// Established begins a peer's session: the whole table goes out, then End-of-RIB. ingress is where the peer's OPEN
// says its Envoy takes traffic; it is the next hop of what the peer announces.
func (t *Table) Established(id PeerID, ingress string) {
	t.Down(id)
	p := t.peers[id]
	p.up, p.ingress = true, ingress
	p.dirty.rescan()
	p.leftOut = nil
	p.marker = bgp.EndOfRIB
	t.walk(p, redecide) // stale paths have a new next hop
}

// Down ends a peer's session on the sending side. What it announced stays: Clear or MarkStale decides of that.
func (t *Table) Down(id PeerID) {
	p := t.peers[id]
	t.wreck(p)
	p.up, p.wanted, p.asked, p.marker, p.begin, p.resend = false, nil, nil, bgp.NoMarker, false, false
	p.count.Advertised = 0
	t.recent.settle(t)
}

// Resend sends a peer its whole table again between markers, as its REFRESH asked (RFC 7313).
func (t *Table) Resend(id PeerID) {
	p := t.peers[id]
	if !p.up {
		return
	}
	p.dirty.rescan()
	p.begin, p.resend = true, true
	if p.marker == bgp.NoMarker {
		p.marker = bgp.EndOfRefresh
	}
}

// OweEndOfRIB has End-of-RIB sent to a peer once it has been told of all.
func (t *Table) OweEndOfRIB(id PeerID) {
	if p := t.peers[id]; p.up {
		p.marker = bgp.EndOfRIB
	}
}

// Pending returns how many services a peer has yet to hear of.
func (t *Table) Pending(id PeerID) int {
	p := t.peers[id]
	n := p.dirty.left(len(t.svcs))
	if p.begin || p.marker != bgp.NoMarker || p.owesWithdrawal() {
		n++
	}
	return n
}

// Update returns the next message for a peer; nil if there is none, or if all that was looked at in this call is
// known to it already, so that Pending is still above 0. It carries the newest state of each service, only
// differences to what the peer holds, withdrawals first, equal attribute sets once. Peers that have to hear the same
// are given the same message: it must not be changed.
func (t *Table) Update(id PeerID) *bgp.Update { return t.UpdateAtMost(id, bgp.MaxUpdateRoutes) }

// UpdateAtMost is Update for a message that changes at most so many services, from 1 to bgp.MaxUpdateRoutes.
func (t *Table) UpdateAtMost(id PeerID, services int) *bgp.Update {
	p := t.peers[id]
	if !p.up {
		return nil
	}
	if p.begin {
		p.begin = false
		return &bgp.Update{Marker: bgp.BeginOfRefresh}
	}
	t.gather(p, services)
	marker := bgp.NoMarker
	if !p.dirty.scanning && p.marker != bgp.NoMarker && p.dirty.left(0) == 0 {
		marker, p.marker, p.resend = p.marker, bgp.NoMarker, false
	}
	var u *bgp.Update
	if len(t.draft.items) > 0 || marker != bgp.NoMarker {
		u = t.message(p, marker)
	}
	for _, svc := range t.draft.popped {
		t.releaseName(svc)
	}
	t.recent.settle(t)
	return u
}

// gather drafts the next message for a peer.
func (t *Table) gather(p *peer, most int) {
	// A scan over what the peer already has finds nothing to say; it is cut so that one call stays short.
	const look = 20 * bgp.MaxUpdateRoutes
	d := &t.draft
	d.reset()
	if apart := len(p.aggregates) + len(p.former); apart > 0 { // a message holds them besides
		most = max(1, most-2*apart)
	}
	p.dirty.rotate()
	n := 0
	for ; n < look && len(d.items) < most && !d.full() && (!p.dirty.cut || len(d.items) < bulkBatch); n++ {
		svc, queued := p.dirty.pop()
		if queued {
			d.popped = append(d.popped, svc)
		} else {
			var more bool
			if svc, more = p.dirty.scan(len(t.svcs)); !more {
				break
			}
			if t.names.counts[svc] == 0 {
				continue
			}
		}
		d.dump = !queued
		t.tell(p, svc, !queued && p.resend)
	}
	t.effort += uint64(n)
	p.dirty.cut = false
	if !p.dirty.scanning {
		t.endAggregates(p)
	}
}

// holds tells whether the peer was sent something of a service.
func (p *peer) holds(svc uint32) bool {
	return int(svc) < len(p.out) && p.out[svc] != 0 || len(p.more[svc]) > 0
}

// tell drafts what a peer has to hear of one service.
func (t *Table) tell(p *peer, svc uint32, again bool) {
	if t.tellPattern(p, svc, again) {
		return
	}
	apart := t.apart(p, svc)
	switch s := &t.svcs[svc]; {
	case p.cfg.AddPath > 1 && apart:
		t.sendMany(p, svc, t.exportedMany(p, svc), again)
	case p.cfg.AddPath > 1:
		t.sendMany(p, svc, nil, again)
	case apart && s.ties > 0:
		t.send(p, svc, t.exported(p, s.head), again)
	default:
		t.send(p, svc, none, again)
	}
}

// send drafts that a peer holds a set of a service from now on, which is counted; none for nothing.
func (t *Table) send(p *peer, svc, want uint32, again bool) {
	var held uint32
	if int(svc) < len(p.out) {
		held = p.out[svc]
	}
	switch {
	case want == none && held == 0:
		return
	case want == none:
		t.draft.withdraw(t, svc, 0)
		p.out[svc] = 0
		t.releaseSet(held - 1)
		p.count.Advertised--
		return
	case held == want+1 && !again:
		t.releaseSet(want)
		return
	}
	t.draft.announce(t, svc, 0, want)
	for int(svc) >= len(p.out) {
		p.out = append(p.out, 0)
	}
	if held != 0 {
		t.releaseSet(held - 1)
	} else {
		p.count.Advertised++
	}
	p.out[svc] = want + 1
}

// exportedMany are the best several paths of a service for a peer that takes as many, with distinct next hops (RFC
// 7911).
func (t *Table) exportedMany(p *peer, svc uint32) (want []sent) {
	var hops []string
	for i := t.svcs[svc].head; i != none && len(want) < p.cfg.AddPath &&
		t.paths[i].reject == Accepted; i = t.paths[i].next {
		hop := t.nextHop(i)
		if slices.Contains(hops, hop) {
			continue
		}
		if set := t.exported(p, i); set != none {
			want = append(want, sent{id: i + 1, set: set})
			hops = append(hops, hop)
		}
	}
	return want
}

// sendMany is send for several paths.
func (t *Table) sendMany(p *peer, svc uint32, want []sent, again bool) {
	held := p.more[svc]
	for _, h := range held {
		if !slices.ContainsFunc(want, func(s sent) bool { return s.id == h.id }) {
			t.draft.withdraw(t, svc, h.id)
		}
	}
	for _, s := range want {
		if again || !slices.Contains(held, s) {
			t.draft.announce(t, svc, s.id, s.set)
		}
	}
	for _, h := range held {
		t.releaseSet(h.set)
	}
	if p.more == nil {
		p.more = map[uint32][]sent{}
	}
	p.count.Advertised += min(1, len(want)) - min(1, len(held))
	if p.more[svc] = want; len(want) == 0 {
		delete(p.more, svc)
	}
}

// nextHop returns the node whose Envoy path i leads to, in its short form: the announcer, or whom a hub names (RFC
// 4456 §10).
func (t *Table) nextHop(i uint32) string {
	x := &t.paths[i]
	if hop := attr.NextHopNode(t.attrs.bytes(x.attrs)); hop != "" {
		return hop
	}
	return t.peers[x.peer].short
}

// exported returns the set under which path i goes to peer p, counted, before the hop of this node is put in front;
// none if it does not go there.
func (t *Table) exported(p *peer, i uint32) uint32 {
	x := &t.paths[i]
	from, s := t.peers[x.peer], &t.sums[x.attrs]
	internal := !p.cfg.External && !from.cfg.External && x.peer != Local
	switch {
	case x.peer == p.id,
		p.wanted != nil && !p.wanted.Has(t.name(x.svc)),
		p.cfg.NoPatterns && t.name(x.svc).IsWildcard(),
		s.Has(attr.HasNoAdvertise),
		p.cfg.External && (s.Has(attr.HasNoExport) || p.cfg.Export == nil),
		internal && t.hub && !from.cfg.Client && !p.cfg.Client, // RFC 4456 §6
		internal && from.cfg.Hub && p.cfg.Hub,
		int(s.Hops)+1 > bgp.MaxHops:
		return none
	}
	b := t.attrs.bytes(x.attrs)
	if attr.ContainsNode(b, p.short) || p.cfg.External && (attr.EntersOrg(b, p.cfg.Node.Org) || t.onlyDown(p, s)) {
		return none
	}
	longLived := from.stale(x) && from.longLived && !s.Has(attr.HasLongLivedStale)
	drain := t.draining && !s.Has(attr.HasGracefulShutdown)
	reflect := internal && t.hub
	if !reflect && !longLived && !drain && !p.cfg.External && (p.cfg.Export == nil || p.cfg.Export.IsTrivial()) &&
		s.Flags&(attr.HasClusterList|attr.HasOriginator|attr.HasNextHop) == 0 {
		return t.retainSet(x.attrs)
	}
	a, err := attr.Parse(b)
	if err != nil {
		return none
	}
	if longLived {
		a.Communities = filter.AddCommunity(a.Communities, bgp.LongLivedStale)
	}
	if drain {
		a.Communities = filter.AddCommunity(a.Communities, bgp.GracefulShutdown)
	}
	t.rewrite(p, from, &a, reflect)
	if p.cfg.Export != nil {
		v := p.cfg.Export.Apply(t.name(x.svc), &a, t.exportFacts())
		if !v.Accepted || t.needsTransit(p, b) && !v.Transit {
			return none
		}
	}
	set, _ := t.encoded(&a)
	return set
}

// exportFacts are what export rules look at besides the attributes.
func (t *Table) exportFacts() filter.Facts { return filter.Facts{Neighbour: t.cfg.Self.Org} }

// needsTransit tells whether a route would go from another organisation through this one to peer p: that takes a term
// that says so.
func (t *Table) needsTransit(p *peer, b []byte) bool {
	return p.cfg.External && attr.FirstForeignOrg(b, t.cfg.Self.Org) != ""
}

// onlyDown tells whether only-to-customer keeps a marked route from p (RFC 9234 §5): it goes to customers alone.
func (t *Table) onlyDown(p *peer, s *attr.Summary) bool {
	return s.Has(attr.HasOnlyToCustomer) && (p.cfg.Role == bgp.RoleProvider || p.cfg.Role == bgp.RolePeer)
}

// rewrite makes what is sent of what is held.
func (t *Table) rewrite(p, from *peer, a *bgp.Attributes, reflect bool) {
	if reflect { // RFC 4456 §8
		if a.Originator.IsZero() {
			a.Originator = from.cfg.Node
		}
		if a.NextHop == (bgp.NextHop{}) {
			a.NextHop = bgp.NextHop{Node: from.cfg.Node, Address: from.ingress}
		}
		a.ClusterList = append([]bgp.NodeID{t.cfg.Self}, a.ClusterList...)
		return
	}
	a.Originator, a.ClusterList, a.NextHop = bgp.NodeID{}, nil, bgp.NextHop{}
	if p.cfg.External {
		a.LocalPref = 0
		// Nobody outside learns which nodes of this organisation a route crosses: the border stands for all of them.
		inside := slices.IndexFunc(a.NodePath, func(n bgp.NodeID) bool { return n.Org != t.cfg.Self.Org })
		if inside < 0 {
			inside = len(a.NodePath)
		}
		if a.NodePath = a.NodePath[inside:]; len(a.NodePath) > 0 {
			a.MED = 0 // another organisation's, about its own entries (RFC 4271 §5.1.4)
		}
		down := p.cfg.Role == bgp.RoleCustomer || p.cfg.Role == bgp.RolePeer // RFC 9234 §5, egress rule 1
		if down && a.OnlyToCustomer == "" {
			a.OnlyToCustomer = t.cfg.Self.Org
		}
	}
}
