package api

import (
	"context"
	"strconv"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Ledger implements operator.Backend.
func (a *API) Ledger(ctx context.Context, organisation, service string) (*operator.Ledger, error) {
	var org bgp.Org
	var svc bgp.Service
	var err error
	if organisation != "" {
		if org, err = a.org(organisation); err != nil {
			return nil, err
		}
	}
	if service != "" {
		if svc, err = a.service(service); err != nil {
			return nil, operator.Input(err)
		}
	}
	v := a.cfg.Ledger.View(ctx, org, svc)
	out := &operator.Ledger{
		Since: stamp(v.Since), Forgotten: v.Forgotten, Problem: v.Problem, Lines: []operator.LedgerLine{},
	}
	for _, x := range v.Lines {
		out.Lines = append(out.Lines, operator.LedgerLine{
			Organisation: string(x.Node.Org), Node: x.Node.String(), Service: string(x.Service), May: x.May,
			Since: stamp(x.Since), Until: stamp(x.Until), Calls: strconv.FormatUint(x.Calls, 10), First: stamp(x.First),
			Last: stamp(x.Last),
		})
	}
	return out, nil
}
