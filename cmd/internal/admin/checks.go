package admin

import (
	"context"

	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// Node is what the checks of a node look at.
type Node struct {
	Published       <-chan struct{} // closed when the tables of the peers are there
	Envoy           *envoy.Supervisor
	Egress, Ingress string              // where Envoy has to listen, IP:PORT; "" where it need not
	Gateway         func() string       // what the gateway lacks, "" for nothing; nil without gateway
	CutOffs         func() []ads.CutOff // Envoys that were turned away
	Identity        interface {         // who the node is
		Err() error
		Missing() string
	}
}

// Checks are what has to hold before a node serves.
func (n Node) Checks() []Check {
	return []Check{
		{Name: "routes", Missing: func(context.Context) string {
			select {
			case <-n.Published:
				return ""
			default:
				return "waiting for the tables of peers"
			}
		}},
		{Name: "envoy", Missing: func(ctx context.Context) string {
			if n.Envoy != nil && !n.Envoy.Admin().Ready(ctx) {
				return "Envoy is not ready"
			}
			return ""
		}},
		{Name: "listeners", Missing: func(ctx context.Context) string {
			if n.Envoy == nil {
				return ""
			}
			return n.Envoy.Admin().NotListening(ctx, n.Egress, n.Ingress)
		}},
		{Name: "gateway", Missing: func(context.Context) string {
			if n.Gateway == nil {
				return ""
			}
			return n.Gateway()
		}},
		{Name: "envoys", Missing: func(context.Context) string {
			for _, cut := range n.CutOffs() {
				if cut.Expected {
					return cut.String()
				}
			}
			return ""
		}},
		{Name: "identity", Missing: func(context.Context) string {
			if err := n.Identity.Err(); err != nil {
				return err.Error()
			}
			return n.Identity.Missing()
		}},
	}
}
