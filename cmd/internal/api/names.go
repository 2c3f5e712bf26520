package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// showOfferers says of a route which nodes are known to offer its name.
func showOfferers(r *operator.Route, o *rib.Offers) {
	r.Contested = o.Contested
	for _, x := range o.Offerers {
		r.Offerers = append(r.Offerers, operator.Offerer{
			Node: x.Node.String(), Since: stamp(x.Since), Agreed: x.Agreed, Present: x.Present,
		})
	}
}

// AgreeName implements operator.Backend.
func (a *API) AgreeName(ctx context.Context, service, node string) (bool, error) {
	svc, err := a.service(service)
	if err != nil {
		return false, err
	}
	var id bgp.NodeID // every one of them
	if node != "" {
		if id, err = a.node(node); err != nil {
			return false, err
		}
	}
	var known rib.Offers
	if err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) { known = s.Table().Offers(svc) }); err != nil {
		return false, err
	}
	is := func(x rib.Offerer) bool { return id.IsZero() || x.Node == id }
	if !id.IsZero() && len(known.Offerers) > 0 && !slices.ContainsFunc(known.Offerers, is) {
		return false, operator.Input(fmt.Errorf("node: %s does not offer %s: see catalyst route show %s", id, svc, svc))
	}
	if !slices.ContainsFunc(known.Offerers, func(x rib.Offerer) bool { return is(x) && !x.Agreed }) {
		return false, nil
	}
	if err := a.cfg.Router.Do(ctx, speaker.Agree{Service: svc, Node: id}); err != nil {
		return false, err
	}
	a.cfg.Log.Info("an operator agreed that a node offers a name", "service", string(svc), "node", node)
	return true, nil
}
