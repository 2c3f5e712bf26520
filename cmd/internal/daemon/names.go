package daemon

import (
	"context"
	"fmt"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/localports"
	"github.com/catalyst-router/catalyst/cmd/internal/nameserver"
	"github.com/catalyst-router/catalyst/envoy/addresses"
	"github.com/catalyst-router/catalyst/xds"
)

// localPorts reads whose the local ports are. What Envoy had before and may have again is returned: listeners at
// ports of others are not.
func (d *Daemon) localPorts(ctx context.Context, kept []xds.Resource) ([]xds.Resource, error) {
	var err error
	var own addresses.Range
	if d.cfg.DNS != "" {
		if own, err = addresses.Parse(d.cfg.DNSAddresses); err != nil {
			return nil, fmt.Errorf("dns-addresses: %w", err)
		}
	}
	d.ports, kept, err = localports.Open(ctx, d.cfg.Envoy.TCPPorts.Ports(),
		addresses.NewTable(own, d.cfg.DNSLowPorts), d.journal, kept, d.tel.Log)
	return kept, err
}

// nameserver makes what answers names, if it is asked for.
func (d *Daemon) nameserver(peers []journal.Peer) (err error) {
	if d.cfg.DNS == "" {
		return nil
	}
	cfg := nameserver.Config{
		Node: d.self, Router: d.router, Places: d.ports, Judge: d.judge, Log: d.tel.Log, Meter: d.tel.Meter,
		Serving: func(svc bgp.Service) (bool, string) { return d.forwarder.ADS().Serving(xds.DialName(svc)) },
	}
	if d.demand != nil { // a nil pointer would be a Demand all the same
		cfg.Demand = d.demand
	}
	if cfg.Server, cfg.Egress, err = nameserver.Addresses(d.cfg.DNS, d.cfg.Envoy.Egress); err != nil {
		return err
	}
	for _, p := range peers {
		cfg.Peers = append(cfg.Peers, p.Node.Org)
	}
	d.names, err = nameserver.New(cfg)
	return err
}
