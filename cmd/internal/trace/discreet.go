package trace

import (
	"fmt"
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// A peer that asks must not have this node try addresses for it. A peer could announce a service at 10.0.0.5:22, ask
// for a trace of it, and read whether something listens there, in words or in how long the answer took. So what is
// tried for a peer are addresses that neither it nor a stranger chose, and what is said to another organisation names
// none.

// untold is why nothing beyond this node is tried for a peer; "" if it is.
func (t *Tracer) untold(asker bgp.NodeID, best *rib.Candidate) string {
	own := t.src.Self().Org
	strange := func(n bgp.NodeID) bool { return n.Org != own }
	switch hop := best.NextHop.Node; {
	case asker.IsZero(): // this node's operator
		return ""
	case hop == asker || best.Peer == asker:
		return fmt.Sprintf("not asked: the way leads back to %s, which asks: a forwarding loop", asker)
	case slices.Contains(best.Attrs.NodePath, asker):
		return fmt.Sprintf("not asked: the way leads over %s, which asks and has a say in it", asker)
	case strange(asker) && (strange(hop) || slices.ContainsFunc(best.Attrs.NodePath, strange)):
		return fmt.Sprintf("not asked for %s: the way leads out of %s", asker.Org, own)
	}
	return ""
}

// discreet takes everything from an answer for another organisation but what holds and what does not.
func discreet(hops []bgp.TraceHop) []bgp.TraceHop {
	for i := range hops {
		for j := range hops[i].Steps {
			s := &hops[i].Steps[j]
			if s.Name == "export" { // why it was not told is for it to read
				continue
			}
			text := map[bgp.TraceState]string{bgp.TraceOK: "holds", bgp.TraceFailed: "does not hold",
				bgp.TraceUnknown: "is not known"}[s.State]
			*s = bgp.TraceStep{Name: s.Name, State: s.State, Text: text}
			if s.State == bgp.TraceFailed {
				s.Advice = fmt.Sprintf("the operator of %s sees more", hops[i].Node)
			}
		}
	}
	return hops
}
