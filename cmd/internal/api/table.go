package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// usePatience is how long an operator waits for Envoy to take a service.
const usePatience = 5 * time.Second

// Table implements operator.Backend.
func (a *API) Table(ctx context.Context) (*operator.Table, error) {
	t := &operator.Table{Mode: a.cfg.Config.Envoy.Table, Envoys: []operator.TableEnvoy{}}
	err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) { t.Known = s.Table().Counts().Services })
	if t.Used = t.Known; a.cfg.Demand == nil || err != nil {
		return t, err
	}
	t.Used = a.cfg.Demand.Len()
	seats := a.cfg.Demand.Seats()
	for _, name := range slices.Sorted(maps.Keys(seats)) {
		t.Envoys = append(t.Envoys, operator.TableEnvoy{Envoy: name, Used: seats[name]})
	}
	return t, nil
}

// UseService implements operator.Backend.
func (a *API) UseService(ctx context.Context, service string) (bool, error) {
	svc, err := a.onDemand(service)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, usePatience)
	defer cancel()
	switch err := a.cfg.Demand.Use(ctx, svc); {
	case errors.Is(err, ads.ErrGone):
		return false, operator.Input(fmt.Errorf("%s: %w", svc, err))
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Errorf("%s: no Envoy on the node's socket has taken it within %s", svc, usePatience)
	case err != nil:
		return false, fmt.Errorf("%s: %w", svc, err)
	}
	return true, nil
}

// ForgetService implements operator.Backend.
func (a *API) ForgetService(_ context.Context, service string) (bool, error) {
	svc, err := a.onDemand(service)
	if err != nil {
		return false, err
	}
	return a.cfg.Demand.Forget(svc), nil
}

func (a *API) onDemand(service string) (bgp.Service, error) {
	if a.cfg.Demand == nil {
		return "", operator.Input(errors.New("this node's Envoys have every service: set envoy.table: used " +
			"for those that are called"))
	}
	return a.service(service)
}

// used tells whether an Envoy has a service or is given it.
func (a *API) used(svc bgp.Service) bool { return a.cfg.Demand == nil || a.cfg.Demand.Used(svc) }

// called returns when a service was called last; "" if that is not known.
func (a *API) called(svc bgp.Service) string {
	if a.cfg.Demand == nil {
		return ""
	}
	last, ok := a.cfg.Demand.Last(svc)
	if !ok {
		return ""
	}
	return stamp(last)
}
