package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// Tunnels reads TunnelsTo and TunnelsFrom: the hubs that this node's Envoy holds tunnels to, and the sites that hold
// some to it.
func (e *Envoy) Tunnels() (to []bgp.NextHop, from []bgp.NodeID, err error) {
	var errs []error
	for _, text := range e.TunnelsTo {
		name, address, ok := strings.Cut(text, "=")
		n, err := bgp.ParseNodeID(name)
		if err == nil && ok {
			_, err = bgp.ParseEndpoint(address)
		}
		if err != nil || !ok {
			errs = append(errs, fmt.Errorf("tunnels-to: %q: want ORGANISATION/NODE=HOST:PORT, of the peer's mesh ingress: %w",
				text, err))
			continue
		}
		to = append(to, bgp.NextHop{Node: n, Address: address})
	}
	for _, text := range e.TunnelsFrom {
		n, err := bgp.ParseNodeID(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("tunnels-from: %w", err))
		}
		from = append(from, n)
	}
	if len(e.TunnelsFrom)+len(e.TunnelsTo) > 0 && e.Ingress == "" {
		errs = append(errs, errors.New("tunnels-to and tunnels-from want an ingress: a site serves by it what comes "+
			"over its tunnels, a hub takes tunnels there"))
	}
	return to, from, errors.Join(errs...)
}
