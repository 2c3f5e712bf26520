package api

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// atOnce is how many services that were found are set at a moment: each waits until its workload's host is looked up.
const atOnce = 16

var _ discover.Offers = (*API)(nil)

// Order implements discover.Offers.
func (a *API) Order(in operator.ServiceInput) (journal.Service, error) {
	if in.Protocol == "" {
		in.Protocol = bgp.HTTP.String()
	}
	return a.checkService(in)
}

// Reconcile implements discover.Offers. What is new is set before anything is removed.
func (a *API) Reconcile(
	ctx context.Context, plan func(offered []journal.Service) (put, remove []journal.Service),
) error {
	a.applying.Lock()
	defer a.applying.Unlock()
	put, remove := plan(a.cfg.Offer.All())
	var mu sync.Mutex
	var errs []error
	var tasks errgroup.Group
	tasks.SetLimit(atOnce)
	each := func(all []journal.Service, do func(s *journal.Service) error) {
		for i := range all {
			tasks.Go(func() error {
				if err := do(&all[i]); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, fmt.Errorf("%s: %w", all[i].Name, err))
				}
				return nil
			})
		}
		_ = tasks.Wait() // the errors are in errs
	}
	each(put, func(s *journal.Service) error { return a.putService(ctx, *s) })
	each(remove, func(s *journal.Service) error {
		_, err := a.cfg.Offer.Remove(ctx, s.Name)
		return err
	})
	return errors.Join(errs...)
}

// ordersChanged has discovery look again: a name may be free now, or taken.
func (a *API) ordersChanged() {
	if a.cfg.Discover != nil {
		a.cfg.Discover.Wake()
	}
}

// foundElsewhere refuses to change by hand what was found: it would be put right at once.
func foundElsewhere(s *journal.Service) error {
	if s.Found == nil {
		return nil
	}
	return operator.Input(fmt.Errorf("service %s was found by %s in %s: change it there, or take it over with catalyst "+
		"route add, which discovery leaves alone", s.Name, s.Found.By, s.Found.In))
}

// Discovery implements operator.Backend.
func (a *API) Discovery(context.Context) ([]operator.Discovery, error) {
	all := []operator.Discovery{}
	if a.cfg.Discover == nil {
		return all, nil
	}
	known := a.cfg.Discover.Status()
	if a.cfg.Imported != nil {
		known = append(known, a.cfg.Imported.Status())
	}
	for _, st := range known {
		d := operator.Discovery{
			Source: st.Source, Away: st.Away, Since: stamp(st.Since), Until: stamp(st.Until), Services: st.Services,
			Problems: []operator.DiscoveryProblem{}, Conflicts: []operator.DiscoveryConflict{},
		}
		for _, p := range st.Problems {
			d.Problems = append(d.Problems, operator.DiscoveryProblem{In: p.In, Why: p.Why})
		}
		for _, c := range st.Conflicts {
			d.Conflicts = append(d.Conflicts, operator.DiscoveryConflict{
				Service: string(c.Service), In: c.In, With: c.With, Why: c.Why(),
			})
		}
		all = append(all, d)
	}
	return all, nil
}
