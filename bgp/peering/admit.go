package peering

import (
	"context"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// admit makes a peer of a node that dials and is none yet, if Config.Admit says so. Whoever is not admitted is refused by the speaker, with the reason.
func (r *Router) admit(ctx context.Context, remote bgp.NodeID) {
	if r.cfg.Admit == nil {
		return
	}
	known := false
	if err := r.Query(ctx, func(s *speaker.Speaker) { _, known = s.Peer(remote) }); err != nil || known {
		return
	}
	if p, ok := r.cfg.Admit(ctx, remote); ok {
		_ = r.Do(ctx, speaker.PeerSet{Peer: p}) // fails only when the router stops, and then the stream ends as well
	}
}
