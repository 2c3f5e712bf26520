package forwarding

import (
	"context"
	"slices"

	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// This file compiles what Envoys use, and nothing else, where they are given services on demand.

// demanded has each Envoy given what it uses, and answered when it asks.
func (f *Forwarder) demanded(cfg *ads.Config) {
	if f.cfg.Demand == nil {
		return
	}
	cfg.Uses = f.cfg.Demand.Uses
	others := cfg.Register
	cfg.Register = func(s grpc.ServiceRegistrar) {
		if others != nil {
			others(s)
		}
		f.cfg.Demand.Register(s)
	}
}

// Used tells whether Envoys have a service before it is called.
func (f *Forwarder) Used(svc bgp.Service) bool { return f.cfg.Demand == nil || f.cfg.Demand.Used(svc) }

// asked is readable when Envoys ask for services, or use others than before; nil where they have all.
func (f *Forwarder) asked() <-chan struct{} {
	if f.cfg.Demand == nil {
		return nil
	}
	return f.cfg.Demand.Asked()
}

// lookUp compiles services that Envoys ask for, if somebody announces them, and those that are used differently.
func (f *Forwarder) lookUp(ctx context.Context) {
	asked, again := f.cfg.Demand.Next(atOnce)
	var found []rib.Selected
	err := f.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		for _, svc := range asked {
			if sel, ok := s.Table().Selected(svc); ok && len(sel.Tiers) > 0 {
				found = append(found, sel)
			}
		}
	})
	if err != nil {
		return // the node is stopping, and so do those who ask
	}
	for i := range found {
		f.cfg.Demand.Grant(found[i].Service, protocolOf(&found[i]) == bgp.TCP)
	}
	if len(found) > 0 {
		f.apply(ctx, found)
	}
	f.cfg.Demand.Done(asked)
	f.recompile(ctx, again)
	if f.cfg.Dialled == nil {
		return
	}
	for _, svc := range again { // one that is not used any more has no listener
		f.cfg.Dialled(svc)
	}
}

// wanted returns what the data plane is to know of a service, and whether it has to: it does of what is used, and of
// what was used until now.
func (f *Forwarder) wanted(sel *rib.Selected) (xds.Forwarding, bool) {
	if f.cfg.Demand == nil {
		return f.forwarding(sel), true
	}
	f.cfg.Demand.Always(sel.Service, f.always(sel))
	used, watched := f.cfg.Demand.Wants(sel.Service)
	if !used {
		gone := xds.Forwarding{Service: sel.Service, Revision: sel.Revision, Trace: sel.Trace}
		return gone, f.compiled(sel.Service)
	}
	next := f.forwarding(sel)
	next.Watched = watched
	return next, true
}

// always tells whether every Envoy has a service, used or not: one of this node's own, or a TCP service that is to have
// its listener before anybody asks for it, or a pattern, which is asked for by no name.
func (f *Forwarder) always(sel *rib.Selected) bool {
	return len(sel.Tiers) > 0 && (f.cfg.Offer.Has(sel.Service) || sel.Service.IsWildcard()) ||
		protocolOf(sel) == bgp.TCP && slices.ContainsFunc(f.cfg.ListenTCP, func(pattern string) bool {
			return filter.Covers(pattern, sel.Service)
		})
}

// protocolOf is what a service speaks, as its best path says; 0 if there is none.
func protocolOf(sel *rib.Selected) bgp.Protocol {
	for _, tier := range sel.Tiers {
		for i := range tier {
			return tier[i].Attrs.Protocol
		}
	}
	return 0
}

// compiled tells whether something of a service is published.
func (f *Forwarder) compiled(svc bgp.Service) bool {
	f.compiling.Lock()
	defer f.compiling.Unlock()
	return f.compiler.Has(svc)
}
