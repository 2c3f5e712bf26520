package peering

import (
	"context"
	"log/slog"
	"time"

	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

const (
	offersBatch = 500             // books given to KeepOffers' function at once
	offersPause = 5 * time.Second // before a batch that could not be kept is tried again
)

// KeepOffers calls keep with the books of who offers which name: first with all of them, then with those that change,
// until ctx ends or the router stops. A batch that could not be kept is tried again.
func (r *Router) KeepOffers(ctx context.Context, keep func(context.Context, []rib.Offers) error) error {
	if err := r.Query(ctx, func(s *speaker.Speaker) { s.Table().WatchOffers() }); err != nil {
		return err
	}
	for {
		var batch []rib.Offers
		if err := r.Query(ctx, func(s *speaker.Speaker) { batch = s.Table().TakeOffers(offersBatch) }); err != nil {
			return err
		}
		if len(batch) == 0 {
			select {
			case <-r.offers:
				continue
			case <-ctx.Done():
				return ctx.Err()
			case <-r.done:
				return ErrStopped
			}
		}
		for err := keep(ctx, batch); err != nil; err = keep(ctx, batch) {
			r.cfg.Log.Error("who offers which name could not be kept", "err", err, slog.Int("names", len(batch)))
			select {
			case <-time.After(offersPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}
