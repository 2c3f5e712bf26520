package rib

import (
	"strings"

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
	if sum.Orgs > 1 {
		attr.EachOrg(b, func(o string) {
			if o != org && bgp.Org(o) != t.cfg.Self.Org {
				r.Via = append(r.Via, bgp.Org(o))
			}
		})
	}
	return t.attested.Validate(&r)
}

// pathOrigin is originState for a path, as its peer sent it.
func (t *Table) pathOrigin(i uint32) (bgp.OriginState, string) {
	x := &t.paths[i]
	if x.peer == Local || x.raw == none {
		return bgp.OriginNotFound, ""
	}
	return t.originState(t.name(x.svc), x.raw)
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
