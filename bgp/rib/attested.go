package rib

import (
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Attested gives access to what organisations attest. After a change Revalidate has to be called.
func (t *Table) Attested() *attest.Store { return &t.attested }

// Revalidate looks again at what every peer announces, since what is attested changed: routes come and go in place.
func (t *Table) Revalidate() {
	for _, p := range t.peers[1:] {
		if p != nil {
			t.walk(p, revalidate)
		}
	}
}

// originState tells what is attested of a route's origin. This organisation's own routes are never asked about: its
// nodes are trusted by their certificates.
func (t *Table) originState(svc bgp.Service, set uint32) (state bgp.OriginState, why string) {
	b, sum := t.attrs.bytes(set), &t.sums[set]
	org, node, _ := strings.Cut(sum.Origin(b), "/")
	if org == "" || bgp.Org(org) == t.cfg.Self.Org || !t.attested.Knows(bgp.Org(org)) {
		return bgp.OriginNotFound, ""
	}
	r := attest.Route{Service: svc, Protocol: sum.Protocol, Origin: bgp.NodeID{Org: bgp.Org(org), Name: node}}
	r.First = t.cfg.Self.Org
	if sum.Orgs > 1 {
		attr.EachOrg(b, func(o string) {
			if o != org && bgp.Org(o) != t.cfg.Self.Org {
				r.Via = append(r.Via, bgp.Org(o))
				r.First = bgp.Org(o)
			}
		})
	}
	return t.attested.Validate(&r)
}

// pathSigned tells whether every organisation on the path of a set of another organisation has signed that for the
// next, for the set of its origin that counts.
func (t *Table) pathSigned(b []byte) bool {
	t.buf = attr.AppendOrgPath(t.buf[:0], b)
	_, ok := t.attested.PathSigned(string(t.buf))
	return ok
}

// PathsTold returns the organisation paths of all that a peer was told, this node's in front, as attest.PathText has
// them.
func (t *Table) PathsTold(id PeerID) map[string]bool {
	all := map[string]bool{}
	last := none
	see := func(set uint32) {
		if set == last {
			return
		}
		last = set
		t.buf = append(append(t.buf[:0], t.cfg.Self.Org...), ' ')
		t.buf = attr.AppendOrgPath(t.buf, t.attrs.bytes(set))
		if path := strings.TrimSpace(string(t.buf)); !all[path] {
			all[path] = true
		}
	}
	for _, held := range t.peers[id].out {
		if held != 0 {
			see(held - 1)
		}
	}
	for _, list := range t.peers[id].more {
		for _, s := range list {
			see(s.set)
		}
	}
	return all
}

// PathSigned tells until when the signatures of every organisation on a path count; false if not all are there.
func (t *Table) PathSigned(a *bgp.Attributes) (until time.Time, ok bool) {
	orgs := a.OrgPath()
	if len(orgs) > 0 && orgs[0] == t.cfg.Self.Org {
		orgs = orgs[1:]
	}
	if len(orgs) < 2 {
		return time.Time{}, false
	}
	p, ok := t.attested.PathSigned(attest.PathText(orgs))
	if ok {
		until = p.Until
	}
	return until, ok
}

// RevalidatePeer looks again at what one peer announces.
func (t *Table) RevalidatePeer(id PeerID) { t.walk(t.peers[id], revalidate) }

// pathOrigin is originState for a path, as its peer sent it. Why says more about why it is rejected, too.
func (t *Table) pathOrigin(i uint32) (state bgp.OriginState, why string) {
	x := &t.paths[i]
	if x.peer == Local || x.raw == none {
		return bgp.OriginNotFound, ""
	}
	state, why = t.originState(t.name(x.svc), x.raw)
	switch x.reject {
	case RejectPinned:
		why = "it is pinned to"
		for _, org := range t.pins.of(t.name(x.svc)) {
			why += " " + string(org)
		}
	case RejectPath:
		t.buf = attr.AppendOrgPath(t.buf[:0], t.attrs.bytes(x.raw))
		why = "there are no signatures that count of " + string(t.buf)
	}
	return state, why
}

// importFacts are what a peer's import rules look at besides the attributes.
func (t *Table) importFacts(p *peer, svc, set uint32) filter.Facts {
	f := p.facts
	if p.cfg.Import.LooksAtOrigin() {
		f.Origin, _ = t.originState(t.name(svc), set)
	}
	return f
}

// revalidate judges a path again. One that comes out as before is not touched, unless its peer's rules look at the
// origin's state.
func (t *Table) revalidate(p *peer, i uint32) {
	x := &t.paths[i]
	if x.peer == Local || x.raw == none {
		return
	}
	raw := t.retainSet(x.raw)
	verdict := t.vetName(p, t.name(x.svc), raw, t.vet(p, t.attrs.bytes(raw), &t.sums[raw]))
	was := x.reject
	if was == RejectFilter {
		was = Accepted
	}
	if verdict != was || p.cfg.Import.LooksAtOrigin() {
		t.assign(p, i, raw, verdict)
	}
	t.releaseSet(raw)
}
