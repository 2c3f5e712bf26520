package daemon

import (
	"context"
	"path/filepath"

	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/cmd/internal/ledger"
	"github.com/catalyst-router/catalyst/cmd/internal/trust"
)

// neighbours hands on to the API, which is made later.
type neighbours struct{ *Daemon }

// SetNeighbour implements trust.Peers.
func (n neighbours) SetNeighbour(
	ctx context.Context, of federation.Neighbour, terms *federation.Terms, label string,
) error {
	return n.api.SetNeighbour(ctx, of, terms, label)
}

// RemoveNeighbour implements trust.Peers.
func (n neighbours) RemoveNeighbour(ctx context.Context, node bgp.NodeID, text string) error {
	return n.api.RemoveNeighbour(ctx, node, text)
}

// keys hands on to the keeper of attestations, whose router is made later.
type keys struct{ *Daemon }

// Federate implements trust.Attested.
func (k keys) Federate(ctx context.Context, org bgp.Org, all []attest.Key) error {
	return k.attested().Federate(ctx, org, all)
}

// Own implements trust.Attested.
func (k keys) Own(org bgp.Org) ([]attest.Key, error) { return k.attested().Own(org) }

// others makes the room for other organisations.
func (d *Daemon) others(ctx context.Context) (err error) {
	cfg := trust.Config{
		Node: d.self, Data: d.data, Listen: d.cfg.Peering.Listen, Identity: d.id, Store: d.journal,
		Peers: neighbours{d}, Log: d.tel.Log, Attested: keys{d}, Happened: d.happened,
	}
	if d.member != nil {
		cfg.TokenKeys = d.member.Keys
	}
	if d.trust, err = trust.Open(ctx, cfg); err == nil && d.member != nil {
		d.member.Feed().Gate(d.uses)
	}
	return err
}

// uses tells whether certificates by these roots are believed wherever this node may show one: by its own Envoys, which
// other nodes' come to, and by other organisations.
func (d *Daemon) uses(ctx context.Context, roots []byte) bool {
	return d.forwarder.Believe(ctx, d.self.Org, roots) && d.trust.Published(ctx, roots)
}

// used opens the ledger of what other organisations use.
func (d *Daemon) used() *ledger.Ledger {
	cfg := ledger.Config{Path: filepath.Join(d.data, "ledger.json"), May: d.forwarder.Admitted, Log: d.tel.Log}
	if d.envoy != nil {
		cfg.Get, cfg.Process = d.envoy.Admin().Get, d.envoy.Running
	}
	d.ledger = ledger.Open(cfg)
	return d.ledger
}
