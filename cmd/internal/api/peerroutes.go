package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// views are the names of the views of a peer's routes.
//
//nolint:gochecknoglobals // a constant table
var views = map[string]rib.View{
	"received": rib.ViewReceived, "accepted": rib.ViewAccepted, "rejected": rib.ViewRejected, "told": rib.ViewTold,
	"withheld": rib.ViewWithheld,
}

// PeerRoutes implements operator.FilterBackend. Other steps of the speaker come between the parts of a page.
func (a *API) PeerRoutes(ctx context.Context, node, view string, match []string, after, first int) (
	*operator.PeerRoutePage, error,
) {
	id, err := a.node(node)
	v, ok := views[view]
	if !ok {
		err = errors.Join(err, fmt.Errorf("view: %q: want received, accepted, rejected, told or withheld", view))
	}
	if after < 0 || first < 1 || first > 1000 {
		err = errors.Join(err, errors.New("want after of at least 0 and first of 1 to 1000"))
	}
	patterns, wrong := a.patterns(match)
	if err = errors.Join(err, wrong); err != nil {
		return nil, operator.Input(err)
	}
	covers := func(svc bgp.Service) bool {
		return len(patterns) == 0 ||
			slices.ContainsFunc(patterns, func(p string) bool { return filter.Covers(p, svc) })
	}
	page := &operator.PeerRoutePage{Node: id.String(), Routes: []operator.PeerRoute{}, Next: after}
	take := func(r rib.PeerRoute) bool {
		page.Routes = append(page.Routes, peerRouteOf(v, &r))
		return len(page.Routes) < first
	}
	for known := true; len(page.Routes) < first; {
		err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
			var peer rib.PeerID
			if peer, known = s.PeerID(id); known {
				page.Next = int(s.Table().PeerRoutes(peer, v, covers, uint32(page.Next), triedAtOnce, take))
			}
		})
		if err == nil && !known {
			err = operator.Input(fmt.Errorf("%s is not a peer: see catalyst peer list", id))
		}
		if err != nil || page.Next == 0 {
			return page, err
		}
	}
	return page, nil
}

// peerRouteOf shows a route of a peer.
func peerRouteOf(v rib.View, r *rib.PeerRoute) operator.PeerRoute {
	out := operator.PeerRoute{
		Service: string(r.Service), PathID: int(r.PathID), Term: r.Term, Stale: r.Stale, Reason: r.Reason,
		OriginState: r.Origin.String(), NodePath: []string{}, Changed: []string{}, Communities: []string{},
		Tags: append([]string{}, r.Attrs.Tags...), OnlyToCustomer: string(r.Attrs.OnlyToCustomer),
		Med: int(r.Attrs.MED),
	}
	switch {
	case v == rib.ViewTold:
		out.State = "told"
	case v == rib.ViewWithheld:
		out.State, out.Why = "withheld", r.Withheld.String()
	case r.Reject != rib.Accepted:
		out.State, out.Why = "rejected", r.Reject.String()
	default:
		out.State, out.Changed = "accepted", differences(&r.Attrs, &r.Used)
	}
	if r.Term == "" && (r.Reject == rib.RejectFilter || r.Withheld == rib.WithheldFilter) {
		out.Why += " by default"
	}
	if len(r.Attrs.NodePath) == 0 && r.Attrs.Protocol == 0 {
		return out // nothing of it was entered
	}
	out.Protocol, out.LocalPref = r.Attrs.Protocol.String(), int(r.Attrs.EffectiveLocalPref())
	for _, n := range r.Attrs.NodePath {
		out.NodePath = append(out.NodePath, n.String())
	}
	for _, c := range r.Attrs.Communities {
		out.Communities = append(out.Communities, c.String())
	}
	return out
}
