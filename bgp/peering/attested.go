package peering

import (
	"context"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// KeepAttested calls keep with each set of origins that comes into force for an organisation (its newest, if several
// came), until ctx ends or the router stops. A set that could not be kept is tried again. keep must not change the
// bytes.
func (r *Router) KeepAttested(ctx context.Context, keep func(attest.Held) error) error {
	kept := map[bgp.Org]uint64{}
	for {
		var all []attest.Held
		err := r.Query(ctx, func(s *speaker.Speaker) {
			store := s.Table().Attested()
			for _, org := range store.Orgs() {
				if h, _ := store.Held(org); h.Serial > kept[org] {
					all = append(all, h)
				}
			}
		})
		if err != nil {
			return err
		}
		var again <-chan time.Time
		for _, h := range all {
			if err := keep(h); err != nil {
				r.cfg.Log.Error("an attestation could not be kept", "org", string(h.Org), "err", err)
				again = time.After(offersPause)
				continue
			}
			kept[h.Org] = h.Serial
		}
		select {
		case <-r.attested:
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.done:
			return ErrStopped
		}
	}
}

// sign has a hop signed, beside the loop: that takes a fraction of a millisecond.
func (r *Router) sign(eff speaker.SignHop) {
	if r.cfg.SignHop == nil {
		return
	}
	r.tasks.Go(func() {
		signed, err := r.cfg.SignHop(eff.Hop)
		if err != nil {
			r.cfg.Log.Error("a path could not be signed: it is told unsigned", "peer", eff.Peer.String(), "err", err)
			return
		}
		_ = r.Do(r.ctx, speaker.HopSigned{Peer: eff.Peer, Signed: signed}) // it fails as the router stops
	})
}
