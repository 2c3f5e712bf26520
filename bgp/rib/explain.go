package rib

import (
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// Withheld says why a peer is not told of a service.
type Withheld uint8

// The reasons, in the order in which they are looked at.
const (
	NotWithheld       Withheld = iota
	WithheldNoPath             // there is no accepted path to tell of
	WithheldDown               // there is no session
	WithheldSplit              // the best path comes from the peer itself
	WithheldNoAdv              // it is marked no-advertise (RFC 1997)
	WithheldNoExport           // it is marked no-export, and the peer is of another organisation (RFC 1997)
	WithheldNoRule             // there is no export rule for a peer of another organisation (RFC 8212)
	WithheldReflect            // neither side is a client of this hub (RFC 4456 §6)
	WithheldHops               // one more hop would be too many
	WithheldLoop               // the peer, or its organisation, is on the path already
	WithheldLeak               // only-to-customer keeps it from the peer (RFC 9234)
	WithheldFilter             // an export rule said no
	WithheldHub                // both are hubs of this node, and tell each other (RFC 4456)
	WithheldUnwanted           // the peer does not subscribe to it (after RFC 4684)
	WithheldTransit            // it is another organisation's, and no term lets it through to a third
	WithheldAggregate          // it is told in one with others below a name (RFC 4271 §9.2.2.2)
	WithheldPattern            // it is a pattern, which the peer does not understand
)

var withheldTexts = [...]string{
	NotWithheld:      "told",
	WithheldNoPath:   "there is no accepted path to tell of",
	WithheldDown:     "there is no session",
	WithheldSplit:    "the best path comes from this peer itself",
	WithheldNoAdv:    "marked no-advertise",
	WithheldNoExport: "marked no-export, and the peer is of another organisation",
	WithheldNoRule:   "no export rule for this organisation (RFC 8212)",
	WithheldReflect:  "neither this peer nor the announcer is a client of this hub (RFC 4456)",
	WithheldHops:     "the path would be too long",
	WithheldLoop:     "the peer or its organisation is on the path already",
	WithheldLeak:     "only-to-customer, and the peer is no customer (RFC 9234)",
	WithheldFilter:   "an export rule rejects it",
	WithheldHub:      "the announcer and this peer are both hubs of this node, and tell each other (RFC 4456)",
	WithheldUnwanted: "the peer does not subscribe to this name",
	WithheldTransit: "it comes from another organisation, and no export term with match transit: true accepts it for a " +
		"third",
	WithheldAggregate: "it is told in one with the other names below a pattern (aggregates)",
	WithheldPattern:   "it is a pattern, and the peer, of an older version, would take it for a name",
}

// String says the reason in words.
func (w Withheld) String() string {
	if int(w) < len(withheldTexts) {
		return withheldTexts[w]
	}
	return fmt.Sprintf("withheld(%d)", uint8(w))
}

// Export is what one peer is told of a service, and why not if it is not.
type Export struct {
	Peer    bgp.NodeID
	Told    bool // it holds a path of this node's
	Pending bool // it has yet to hear of the newest state
	Why     Withheld
	Term    string // of the export chain, that decided; "" for its default or none
	// As is the pattern as which the peer is told of it, in one with others (WithheldAggregate); "" for none.
	As bgp.Service
	// Stands is for how many services a pattern of this node's stands at the peer.
	Stands int
}

// Exports returns, for each peer in the order of their ids, what it is told of a service; nil for an unknown name.
func (t *Table) Exports(name bgp.Service) []Export {
	svc := t.names.find([]byte(name))
	if svc == none {
		return nil
	}
	var all []Export
	for _, p := range t.peers[1:] {
		if p == nil || p.cfg.Node.IsZero() {
			continue
		}
		all = append(all, t.ExportTo(p.id, name))
	}
	slices.SortFunc(all, func(a, b Export) int { return a.Peer.Compare(b.Peer) })
	return all
}

// ExportTo is what one peer is told of a service, known or not, and why not if it is not.
func (t *Table) ExportTo(id PeerID, name bgp.Service) Export {
	p := t.peers[id]
	e := Export{Peer: p.cfg.Node, Why: WithheldNoPath}
	if svc := t.names.find([]byte(name)); svc != none {
		e.Told, e.Pending = t.holds(p, svc), p.up && p.dirty.waits(svc)
		e.Why, e.Term = t.withheld(p, svc)
		if a := p.aggregateAt(svc); a != nil {
			e.Stands = len(a.members)
		}
		if e.Why == WithheldAggregate {
			e.As = p.aggregateOf(name)
			e.Told = t.Told(id, e.As)
		}
	}
	return e
}

// Told tells whether a peer holds a path of a service that this node sent it.
func (t *Table) Told(id PeerID, name bgp.Service) bool {
	svc := t.names.find([]byte(name))
	return svc != none && t.holds(t.peers[id], svc)
}

func (t *Table) holds(p *peer, svc uint32) bool { return p.holds(svc) }

// withheld explains exported for the path that a peer would be told of.
func (t *Table) withheld(p *peer, svc uint32) (Withheld, string) {
	s := &t.svcs[svc]
	a := p.aggregateAt(svc)
	switch {
	case !p.up:
		return WithheldDown, ""
	case a != nil && len(a.members) > 0:
		return NotWithheld, a.term
	case s.ties == 0:
		return WithheldNoPath, ""
	}
	first, term := t.why(p, s.head)
	if p.cfg.AddPath < 2 || first == NotWithheld {
		return first, term
	}
	for i := t.paths[s.head].next; i != none && t.paths[i].reject == Accepted; i = t.paths[i].next {
		if why, term := t.why(p, i); why == NotWithheld {
			return why, term
		}
	}
	return first, term
}

// why explains exported for one path; a test holds the two together.
func (t *Table) why(p *peer, i uint32) (Withheld, string) {
	x := &t.paths[i]
	from, s := t.peers[x.peer], &t.sums[x.attrs]
	b := t.attrs.bytes(x.attrs)
	internal := !p.cfg.External && !from.cfg.External && x.peer != Local
	switch {
	case x.peer == p.id:
		return WithheldSplit, ""
	case p.wanted != nil && !p.wanted.Has(t.name(x.svc)):
		return WithheldUnwanted, ""
	case p.cfg.NoPatterns && t.name(x.svc).IsWildcard():
		return WithheldPattern, ""
	case s.Has(attr.HasNoAdvertise):
		return WithheldNoAdv, ""
	case p.cfg.External && s.Has(attr.HasNoExport):
		return WithheldNoExport, ""
	case p.cfg.External && p.cfg.Export == nil:
		return WithheldNoRule, ""
	case internal && t.hub && !from.cfg.Client && !p.cfg.Client:
		return WithheldReflect, ""
	case internal && from.cfg.Hub && p.cfg.Hub:
		return WithheldHub, ""
	case int(s.Hops)+1 > bgp.MaxHops:
		return WithheldHops, ""
	case attr.ContainsNode(b, p.short), p.cfg.External && attr.EntersOrg(b, p.cfg.Node.Org):
		return WithheldLoop, ""
	case p.cfg.External && t.onlyDown(p, s):
		return WithheldLeak, ""
	case p.cfg.Export == nil:
		return NotWithheld, ""
	}
	set := t.exported(p, i)
	t.releaseSet(set)
	a, err := attr.Parse(b)
	if err != nil {
		return WithheldFilter, ""
	}
	t.rewrite(p, from, &a, internal && t.hub)
	v := p.cfg.Export.Apply(t.name(x.svc), &a, t.exportFacts())
	switch {
	case v.Accepted && !v.Transit && t.needsTransit(p, b):
		return WithheldTransit, v.Term
	case set == none:
		return WithheldFilter, v.Term
	case t.inAggregate(p, x):
		return WithheldAggregate, v.Term
	}
	return NotWithheld, v.Term
}

// MayUse tells whether the export rules let a peer have a service, by whatever path: whether or not there is a
// session, it subscribes to the name, or has heard of it already. It is false for an unknown name.
func (t *Table) MayUse(id PeerID, name bgp.Service) bool {
	svc := t.names.find([]byte(name))
	p := t.peers[id]
	if svc == none || p == nil {
		return false
	}
	if p.aggregateAt(svc) != nil {
		return true
	}
	wanted := p.wanted
	defer func() { p.wanted = wanted }()
	p.wanted = nil
	for i := t.svcs[svc].head; i != none && t.paths[i].reject == Accepted; i = t.paths[i].next {
		if set := t.exported(p, i); set != none {
			t.releaseSet(set)
			return true
		}
	}
	return false
}

// importTerm returns the term of the import chain that decided for a path; "" for the default, or where there is no
// chain.
func (t *Table) importTerm(i uint32) string {
	x := &t.paths[i]
	p := t.peers[x.peer]
	if p.cfg.Import == nil || x.raw == none || x.reject != Accepted && x.reject != RejectFilter {
		return ""
	}
	return t.termOf(p, x.svc, x.raw)
}

// Names calls yield for up to n names from number from on that have a path, accepted or not, and returns the number
// to go on from; 0 at the end.
func (t *Table) Names(from uint32, n int, yield func(bgp.Service)) uint32 {
	for svc := from; int(svc) < len(t.svcs); svc++ {
		if n == 0 {
			return svc
		}
		n--
		if t.names.counts[svc] > 0 && t.svcs[svc].head != none {
			yield(bgp.Service(strings.Clone(string(t.name(svc)))))
		}
	}
	return 0
}

// Raw calls yield for each path that a peer announces (Local for this node's own services), with the attributes as
// they came and whether it is from before the session dropped, or before the table that it is sending again. The
// bytes are not to be changed, nor kept.
func (t *Table) Raw(id PeerID, yield func(svc bgp.Service, pathID uint32, set []byte, old bool)) {
	p := t.peers[id]
	for i := p.first; i != none; i = t.paths[i].peerNext {
		if x := &t.paths[i]; x.raw != none {
			yield(bgp.Service(strings.Clone(string(t.name(x.svc)))), x.id, t.attrs.bytes(x.raw), x.gen != p.gen)
		}
	}
}

// Refreshing tells whether a peer is sending its table again, between markers.
func (t *Table) Refreshing(id PeerID) bool { return t.peers[id].refreshing }

// NextHop returns whether a peer's data plane can be reached, and at what cost, as SetNextHop said.
func (t *Table) NextHop(id PeerID) (usable bool, cost uint32) {
	return t.peers[id].usable, t.peers[id].cost
}

// IngressOf returns the mesh ingress of a peer, as its last OPEN said.
func (t *Table) IngressOf(id PeerID) string { return t.peers[id].ingress }
