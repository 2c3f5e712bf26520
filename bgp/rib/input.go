package rib

import (
	"cmp"
	"fmt"
	"slices"
	"unsafe"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Reject says why a path is not used at all.
type Reject uint8

// The reasons.
const (
	Accepted         Reject = iota
	RejectLoop              // this node is on its node path, or among its hubs
	RejectOrgLoop           // the path left this organisation and comes back
	RejectHops              // one more hop would be too many
	RejectFirstHop          // the nearest hop is not the peer that announces it
	RejectOrigin            // the name does not lie below the originator's organisation
	RejectFilter            // an import rule said no
	RejectNoRule            // there is no import rule for a peer of another organisation (RFC 8212)
	RejectLeak              // it is marked only-to-customer, and this peer must not send such (RFC 9234)
	RejectDraft             // its protocol or attributes are none we know
	RejectSize              // its attributes are larger than the peer's may be
	RejectNamespace         // the name is none that this peer may announce
	RejectInvalid           // its organisation attests its names, and not this route (RFC 6811)
	RejectUnattested        // no attestation of it can be verified, and this peer's routes have to have one
	RejectLimit             // the peer announces more than it may
	RejectPinned            // the name is pinned to other neighbours
	RejectPath              // not every organisation on its path has signed that, and this peer's have to
	RejectShare             // the peer's limit is reached, and its originator has more routes than others behind the peer
	rejectCount      = iota
)

var rejectTexts = [...]string{
	Accepted:      "accepted",
	RejectLoop:    "this node is on its path",
	RejectOrgLoop: "its path comes back into this organisation",
	RejectHops:    "its path is too long", RejectFirstHop: "its path does not begin with the announcing peer",
	RejectOrigin: "its originator may not originate this name", RejectFilter: "an import rule rejects it",
	RejectNoRule:     "no import rule for this organisation (RFC 8212)",
	RejectLeak:       "route leak: marked only-to-customer (RFC 9234)",
	RejectDraft:      "its attributes are not understood",
	RejectSize:       "its attributes are larger than this peer's may be (max-route-bytes)",
	RejectNamespace:  "this peer may not announce the name (namespaces)",
	RejectInvalid:    "invalid: its organisation attests its names, and not this route (RFC 6811)",
	RejectUnattested: "no attestation of it can be verified (attested)",
	RejectPinned:     "the name may arrive through other neighbours alone (pins)",
	RejectPath:       "not every organisation on its path has signed it (attested-path)",
	RejectShare: "left out for those of other nodes: its originator has most of what the peer may announce " +
		"(max-routes, max-bytes)",
	RejectLimit: "the peer announces more than it may (max-routes, max-bytes, add-path)",
}

// String says the reason in words.
func (r Reject) String() string {
	if int(r) < len(rejectTexts) {
		return rejectTexts[r]
	}
	return fmt.Sprintf("reject(%d)", uint8(r))
}

// Result counts what an UPDATE did.
type Result struct {
	Announced int // new or replaced paths
	Unchanged int // announcements that said nothing new
	Withdrawn int
	Unknown   int // withdrawals of what the peer had not announced
	Rejected  [rejectCount]int
	Blocked   int  // announcements beyond the limit, not taken
	OverLimit bool // the peer announces more than its limit allows
}

// Apply takes one UPDATE of a peer: withdrawals, then announcements, each replacing what the peer said of the service
// before. Attribute sets have to have passed attr.Check. Nothing of u is kept.
func (t *Table) Apply(from PeerID, u *bgp.Update) Result {
	p := t.peers[from]
	t.actor = from
	var res Result
	t.effort += uint64(len(u.Withdrawn))
	for i := range u.Withdrawn {
		t.withdraw(p, &u.Withdrawn[i], &res)
	}
	for i := range u.Announced {
		g := &u.Announced[i]
		sum, ok := attr.Check(g.Attributes)
		if large := p.cfg.MaxRouteBytes > 0 && len(g.Attributes) > p.cfg.MaxRouteBytes; large || !ok {
			why := RejectDraft
			if large {
				why = RejectSize
			}
			t.leaveOut(p, g, why, &res)
			continue
		}
		t.effort += uint64(len(g.Routes))
		verdict := t.vet(p, g.Attributes, &sum)
		set := t.setID(g.Attributes, sum)
		for j := range g.Routes {
			t.announce(p, &g.Routes[j], set, verdict, &res)
		}
		t.releaseSet(set)
	}
	res.OverLimit = res.OverLimit || p.cfg.MaxRoutes > 0 && p.count.Received > p.cfg.MaxRoutes
	t.settle(u.Trace)
	return res
}

// leaveOut treats the routes of a set that is not taken as withdrawn (RFC 7606 §2).
func (t *Table) leaveOut(p *peer, g *bgp.Group, why Reject, res *Result) {
	res.Rejected[why] += len(g.Routes)
	t.effort += uint64(len(g.Routes))
	for j := range g.Routes {
		t.withdraw(p, &g.Routes[j], res)
		p.noteLeftOut(&g.Routes[j], why)
	}
}

// vet judges a set by the rules that do not depend on the service.
func (t *Table) vet(p *peer, b []byte, sum *attr.Summary) Reject {
	switch {
	case sum.Hops == 0:
		return RejectFirstHop
	case attr.ContainsNode(b, t.self), sum.Has(attr.HasClusterList) && attr.ContainsHub(b, t.self):
		return RejectLoop
	case sum.Hops >= bgp.MaxHops:
		return RejectHops
	case !sum.Has(attr.HasClusterList) && attr.FirstHop(b) != p.short:
		return RejectFirstHop
	case p.cfg.External && sum.Flags&(attr.HasClusterList|attr.HasOriginator) != 0:
		return RejectFirstHop
	case attr.CrossesOrg(b, t.cfg.Self.Org), p.cfg.External && sum.Orgs > 0 && attr.EntersOrg(b, t.cfg.Self.Org):
		return RejectOrgLoop
	case p.cfg.External && sum.Has(attr.HasOnlyToCustomer) && t.leaks(p, b):
		return RejectLeak
	case p.cfg.External && p.cfg.Import == nil:
		return RejectNoRule
	case p.cfg.External && p.cfg.PathAttested && sum.Orgs > 1 && !t.pathSigned(b):
		return RejectPath
	}
	return Accepted
}

// leaks applies the ingress rules of only-to-customer (RFC 9234 §5): a marked route must not come from a customer,
// and from a lateral peer only with that peer's own mark.
func (t *Table) leaks(p *peer, b []byte) bool {
	switch p.cfg.Role {
	case bgp.RoleCustomer:
		return true
	case bgp.RolePeer:
		return attr.OnlyToCustomer(b) != string(p.cfg.Node.Org)
	}
	return false
}

// vetName judges a name by the rules that depend on it, for a set with this verdict.
func (t *Table) vetName(p *peer, svc bgp.Service, set uint32, verdict Reject) Reject {
	switch {
	case verdict != Accepted:
		return verdict
	case !originates(t.sums[set].Origin(t.attrs.bytes(set)), svc):
		return RejectOrigin
	case p.cfg.External && !p.mayAnnounce(svc):
		return RejectNamespace
	case p.cfg.External && t.pinnedAway(p, svc):
		return RejectPinned
	}
	switch state, _ := t.originState(svc, set); {
	case state == bgp.OriginInvalid:
		return RejectInvalid
	case state == bgp.OriginNotFound && p.cfg.External && p.cfg.Attested:
		return RejectUnattested
	}
	return Accepted
}

// mayAnnounce tells whether a name is one that an external peer may announce.
func (p *peer) mayAnnounce(svc bgp.Service) bool {
	if len(p.cfg.Namespaces) == 0 {
		return svc.Below(p.cfg.Node.Org)
	}
	return slices.ContainsFunc(p.cfg.Namespaces, func(n string) bool { return filter.Covers(n, svc) })
}

func (t *Table) announce(p *peer, n *bgp.NLRI, set uint32, verdict Reject, res *Result) {
	svc := t.serviceID(n.Service)
	defer t.releaseName(svc)
	verdict = t.vetName(p, n.Service, set, verdict)
	i := t.lookup(svc, p.id, n.PathID)
	over := t.overLimit(p, svc, i, set)
	res.OverLimit = res.OverLimit || over
	if over && !t.makeRoom(p, svc, i, set, res) || i == none && t.hasAllPaths(p, svc) {
		res.Blocked++
		p.count.Blocked++
		if i != none { // what it replaces is not announced any more
			t.unlink(p, i)
		}
		p.noteLeftOut(n, RejectLimit)
		return
	}
	p.notLeftOut(n)
	if i == none {
		i = t.link(p, svc, n.PathID)
	} else if old := &t.paths[i]; (old.gen == p.gen || p.refreshing) && old.raw == set &&
		(old.reject == verdict || old.reject == RejectFilter && verdict == Accepted) {
		t.refresh(p, i)
		res.Unchanged++
		res.Rejected[old.reject] += min(1, int(old.reject))
		return
	}
	res.Announced++
	t.refresh(p, i)
	t.assign(p, i, set, verdict)
	res.Rejected[t.paths[i].reject] += min(1, int(t.paths[i].reject))
}

// overLimit tells whether a route is beyond what a peer may announce: path i, or a new one if i is none, with that set.
func (t *Table) overLimit(p *peer, svc, i, set uint32) bool {
	if most := p.cfg.MaxBytes; most > 0 {
		more := t.weight(svc, set)
		if i != none {
			more -= t.weight(svc, t.paths[i].raw)
		}
		if more > 0 && p.count.Bytes+more > most {
			return true
		}
	}
	return i == none && p.cfg.MaxRoutes > 0 && p.count.Received >= p.cfg.MaxRoutes
}

// hasAllPaths tells whether a peer has announced as many paths of a service as it was asked for.
func (t *Table) hasAllPaths(p *peer, svc uint32) bool {
	if p.cfg.PathsIn == 0 {
		return false
	}
	n := 0
	for j := t.svcs[svc].head; j != none; j = t.paths[j].next {
		if x := &t.paths[j]; x.peer == p.id && x.gen == p.gen {
			n++
		}
	}
	return n >= p.cfg.PathsIn
}

// weight is what a route with a set counts towards its peer's bytes; a route without a set counts nothing.
func (t *Table) weight(svc, set uint32) int {
	if set == none {
		return 0
	}
	return int(t.names.refs[svc].length) + int(t.attrs.refs[set].length)
}

// originates tells whether a service lies below the organisation of its originator (short form), which alone may
// announce it.
func originates(origin string, svc bgp.Service) bool {
	for i := range len(origin) {
		if origin[i] == '/' {
			return svc.Below(bgp.Org(origin[:i]))
		}
	}
	return false
}

// refresh makes a path one of the running session.
func (t *Table) refresh(p *peer, i uint32) {
	if t.paths[i].gen != p.gen {
		t.paths[i].gen = p.gen
		p.count.Stale--
	}
}

// assign gives a path its set, through the import filter.
func (t *Table) assign(p *peer, i uint32, set uint32, verdict Reject) {
	x := &t.paths[i]
	oldRaw, oldAttrs, was := x.raw, x.attrs, x.reject
	x.raw, x.attrs, x.reject = t.retainSet(set), none, verdict
	if verdict == Accepted {
		x.attrs, x.reject = t.imported(p, x.svc, set)
	}
	p.count.Rejected += min(1, int(x.reject)) - min(1, int(was))
	p.count.Bytes += t.weight(x.svc, x.raw) - t.weight(x.svc, oldRaw)
	t.book(p, x.svc, oldRaw, -1)
	t.book(p, x.svc, x.raw, 1)
	if x.reject == Accepted {
		t.offered(i)
	}
	t.releaseSet(oldRaw)
	t.releaseSet(oldAttrs)
	t.touch(x.svc)
}

// imported runs the import filter and returns the set to use, counted, or none with the reason.
func (t *Table) imported(p *peer, svc, set uint32) (uint32, Reject) {
	corrects := t.corrects(p, set)
	if (p.cfg.Import == nil || p.cfg.Import.IsTrivial()) && corrects == 0 {
		return t.retainSet(set), Accepted
	}
	a, changed, ok := t.corrected(p, set, corrects)
	if !ok {
		return none, RejectDraft
	}
	if p.cfg.Import != nil {
		v := p.cfg.Import.Apply(t.name(svc), &a, t.importFacts(p, svc, set))
		if !v.Accepted {
			return none, RejectFilter
		}
		changed = changed || v.Changed
	}
	if !changed {
		return t.retainSet(set), Accepted
	}
	return t.encoded(&a)
}

// corrections are what is set right in what a peer says, before import rules look at it.
type corrections uint8

const (
	dropsLocalPref   corrections = 1 << iota // of no meaning between organisations (RFC 4271 §5.1.5)
	capsLocalPref                            // it is above MaxLocalPref
	marksCustomer                            // only-to-customer is set for the peer (RFC 9234 §5)
	dropsCommunities                         // some are perhaps not the sender's to set
)

// corrects tells what is to be set right in a set of a peer.
func (t *Table) corrects(p *peer, set uint32) (c corrections) {
	s := &t.sums[set]
	if p.cfg.External {
		if s.LocalPref != bgp.DefaultLocalPref {
			c |= dropsLocalPref
		}
		if !s.Has(attr.HasOnlyToCustomer) && (p.cfg.Role == bgp.RoleProvider || p.cfg.Role == bgp.RolePeer) {
			c |= marksCustomer
		}
		if s.Has(attr.HasOrgCommunity) {
			c |= dropsCommunities
		}
		return c
	}
	if p.id != Local && s.LocalPref > cmp.Or(p.cfg.MaxLocalPref, bgp.DefaultLocalPref) {
		c |= capsLocalPref
	}
	return c
}

// corrected decodes a set as import rules see it: set right, as corrects says. Whoever says what the rules made of a
// route has to begin with the same. It is false for a set that cannot be decoded.
func (t *Table) corrected(p *peer, set uint32, c corrections) (a bgp.Attributes, changed, ok bool) {
	a, err := attr.Parse(t.attrs.bytes(set))
	if err != nil {
		return a, false, false
	}
	changed = c&^dropsCommunities != 0
	if c&dropsLocalPref != 0 {
		a.LocalPref = 0
	}
	if c&capsLocalPref != 0 {
		if a.LocalPref = cmp.Or(p.cfg.MaxLocalPref, bgp.DefaultLocalPref); a.LocalPref == bgp.DefaultLocalPref {
			a.LocalPref = 0
		}
	}
	if c&marksCustomer != 0 {
		a.OnlyToCustomer = p.cfg.Node.Org
	}
	if c&dropsCommunities != 0 {
		changed = t.dropForeign(&a) || changed
	}
	return a, changed, true
}

// dropForeign takes away the communities that cannot have been set by whose they are: this organisation's own, and
// those of organisations that the route did not come by. It tells whether there were any.
func (t *Table) dropForeign(a *bgp.Attributes) bool {
	path := a.OrgPath()
	forged := func(c bgp.Community) bool {
		return c.Org != "" && (c.Org == t.cfg.Self.Org || !slices.Contains(path, c.Org))
	}
	if !slices.ContainsFunc(a.Communities, forged) {
		return false
	}
	a.Communities = slices.DeleteFunc(slices.Clone(a.Communities), forged)
	return true
}

// encoded interns attributes, counted.
func (t *Table) encoded(a *bgp.Attributes) (uint32, Reject) {
	t.buf = attr.Append(t.buf[:0], a)
	sum, ok := attr.Check(t.buf)
	if !ok {
		return none, RejectDraft
	}
	return t.setID(t.buf, sum), Accepted
}

func (t *Table) withdraw(p *peer, n *bgp.NLRI, res *Result) {
	svc := t.names.find(unsafe.Slice(unsafe.StringData(string(n.Service)), len(n.Service)))
	i := none
	if svc != none {
		i = t.lookup(svc, p.id, n.PathID)
	}
	if i == none {
		p.notLeftOut(n)
		res.Unknown++
		return
	}
	res.Withdrawn++
	t.unlink(p, i)
}

// lookup finds the path that a peer announced of a service under an id.
func (t *Table) lookup(svc uint32, from PeerID, id uint32) uint32 {
	for i := t.svcs[svc].head; i != none; i = t.paths[i].next {
		if p := &t.paths[i]; p.peer == from && p.id == id {
			return i
		}
	}
	return none
}

// link enters an empty path at the end of the service's candidates and at the head of the peer's list.
func (t *Table) link(p *peer, svc, id uint32) uint32 {
	t.names.retain(svc)
	i := t.newPath(path{
		svc:      svc,
		id:       id,
		peer:     p.id,
		gen:      p.gen,
		attrs:    none,
		raw:      none,
		next:     t.svcs[svc].head,
		peerNext: p.first,
		peerPrev: none,
	})
	t.svcs[svc].head = i
	if p.first != none {
		t.paths[p.first].peerPrev = i
	}
	p.first = i
	p.count.Received++
	t.count.Paths++
	return i
}

// unlink takes a path out of both lists and frees it.
func (t *Table) unlink(p *peer, i uint32) {
	x := t.paths[i]
	t.touch(x.svc)
	at := &t.svcs[x.svc].head
	for *at != i {
		at = &t.paths[*at].next
	}
	*at = x.next
	if x.peerPrev == none {
		p.first = x.peerNext
	} else {
		t.paths[x.peerPrev].peerNext = x.peerNext
	}
	if x.peerNext != none {
		t.paths[x.peerNext].peerPrev = x.peerPrev
	}
	for w := range p.walks {
		if p.walks[w].at == i {
			p.walks[w].at = x.peerNext
		}
	}
	p.count.Received--
	p.count.Rejected -= min(1, int(x.reject))
	p.count.Bytes -= t.weight(x.svc, x.raw)
	t.book(p, x.svc, x.raw, -1)
	if p.search == i {
		p.search = x.peerNext
	}
	if x.gen != p.gen {
		p.count.Stale--
	}
	t.count.Paths--
	t.releaseSet(x.raw)
	t.releaseSet(x.attrs)
	t.paths[i] = path{next: t.spare, svc: none, attrs: none, raw: none}
	if s := t.fewerPaths.limit; s == 0 || i < s {
		t.spare = i
	}
	t.releaseName(x.svc)
}

// SetLocal announces a service of this node itself, or replaces it. a.NodePath has to be empty.
func (t *Table) SetLocal(svc bgp.Service, a *bgp.Attributes, trace bgp.Trace) error {
	t.buf = attr.Append(t.buf[:0], a)
	sum, ok := attr.Check(t.buf)
	if !ok || sum.Hops != 0 {
		return fmt.Errorf("service %s: its attributes break a rule of the protocol", svc)
	}
	p := t.peers[Local]
	t.actor = Local
	id := t.serviceID(svc)
	set := t.setID(t.buf, sum)
	i := t.lookup(id, Local, 0)
	switch {
	case i == none:
		t.assign(p, t.link(p, id, 0), set, Accepted)
	case t.paths[i].raw != set:
		t.assign(p, i, set, Accepted)
	}
	t.releaseSet(set)
	t.releaseName(id)
	t.settle(trace)
	return nil
}

// SetYields says whether a service of this node gives way to learned paths of higher local preference. Without it the
// own workload wins for as long as it is usable and not marked graceful-shutdown.
func (t *Table) SetYields(svc bgp.Service, on bool) {
	id := t.names.find([]byte(svc))
	if id == none || t.yields[id] == on || t.lookup(id, Local, 0) == none {
		return
	}
	if delete(t.yields, id); on {
		if t.yields == nil {
			t.yields = map[uint32]bool{}
		}
		t.yields[id] = true
	}
	t.touch(id)
	t.settle(bgp.Trace{})
}

// Yields tells whether a service of this node gives way to learned paths.
func (t *Table) Yields(svc bgp.Service) bool {
	id := t.names.find([]byte(svc))
	return id != none && t.yields[id]
}

// RemoveLocal withdraws a service of this node and tells whether there was one.
func (t *Table) RemoveLocal(svc bgp.Service, trace bgp.Trace) bool {
	t.actor = Local
	t.SetYields(svc, false)
	var res Result
	t.withdraw(t.peers[Local], &bgp.NLRI{Service: svc}, &res)
	t.settle(trace)
	return res.Withdrawn > 0
}
