package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Traffic implements operator.Backend.
func (a *API) Traffic(ctx context.Context) (*operator.Traffic, error) {
	if a.cfg.Envoy == nil {
		return nil, errors.New("this node runs no Envoy of its own: ask the statistics of yours " +
			"(http.mesh-ingress.downstream_rq_active)")
	}
	t, err := a.cfg.Envoy.Admin().Traffic(ctx)
	if err != nil {
		return nil, err
	}
	nodes := map[string]string{} // by the address of the mesh ingress
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		for _, v := range s.Peers() {
			if v.Ingress != "" {
				nodes[v.Ingress] = v.Config.Node.String()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	out := &operator.Traffic{FromNodes: t.Ingress, FromApplications: t.Egress, Hops: []operator.HopTraffic{}}
	for address, n := range t.To {
		out.Hops = append(out.Hops, operator.HopTraffic{Address: address, Node: nodes[address], Requests: n})
	}
	slices.SortFunc(out.Hops, func(x, y operator.HopTraffic) int { return strings.Compare(x.Address, y.Address) })
	return out, nil
}
