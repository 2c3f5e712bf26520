package api

import (
	"context"
	"fmt"
	"math"

	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Ports implements operator.Backend.
func (a *API) Ports(context.Context) (*operator.Ports, error) {
	taken, free, reclaimed := a.cfg.Ports.List()
	p := &operator.Ports{Taken: []operator.Port{}, Free: free, Reclaimed: []operator.ReclaimedPort{}}
	for _, t := range taken {
		p.Taken = append(p.Taken, operator.Port{
			Service:   string(t.Service),
			Port:      int(t.Port),
			Pinned:    t.Pinned,
			AwaySince: stamp(t.Away),
		})
	}
	for _, r := range reclaimed {
		p.Reclaimed = append(p.Reclaimed, operator.ReclaimedPort{
			At: stamp(r.At), Port: int(r.Port), From: string(r.From), To: string(r.To), AwaySince: stamp(r.Away),
		})
	}
	return p, nil
}

// PinPort implements operator.Backend.
func (a *API) PinPort(ctx context.Context, service string, port int) (*operator.Port, error) {
	svc, err := a.service(service)
	if err != nil {
		return nil, err
	}
	if port < 1 || port > math.MaxUint16 {
		return nil, operator.Input(fmt.Errorf("port: %d: want 1 to %d", port, math.MaxUint16))
	}
	own, ok := a.cfg.Offer.Get(svc)
	own.Port = uint16(port)
	if ok {
		err = a.putService(ctx, own) // so that its next update does not go back to another
	} else {
		err = a.cfg.Ports.Pin(ctx, svc, uint16(port))
	}
	if err != nil {
		return nil, err
	}
	return &operator.Port{Service: string(svc), Port: port, Pinned: true}, nil
}

// FreePort implements operator.Backend.
func (a *API) FreePort(ctx context.Context, service string) (bool, error) {
	svc, err := a.service(service)
	if err != nil {
		return false, err
	}
	return a.cfg.Ports.Free(ctx, svc)
}
