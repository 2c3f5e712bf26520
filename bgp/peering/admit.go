package peering

import (
	"context"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// admit lets Config.Admit make a peer of a node that dials and is none yet. Whoever is none afterwards is refused by
// the speaker, with the reason.
func (r *Router) admit(ctx context.Context, remote bgp.NodeID) {
	if r.cfg.Admit == nil {
		return
	}
	known := false
	if err := r.Query(ctx, func(s *speaker.Speaker) { _, known = s.Peer(remote) }); err != nil || known {
		return
	}
	r.cfg.Admit(ctx, remote)
}
