// Package offerers keeps in the journal which nodes offer which name, so that a restart does not turn whoever began
// to offer another's name into one that was always there. The books themselves are the table's (bgp/rib).
//
//	err := offerers.Restore(ctx, router, journal)  // before the peers are set
//	err = offerers.Keep(ctx, router, journal)      // until ctx ends
package offerers

import (
	"context"
	"errors"

	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Store keeps the books over restarts, as journal.Journal does.
type Store interface {
	Offers(ctx context.Context) ([]journal.Offers, error)
	SaveOffers(ctx context.Context, all []journal.Offers) error
}

var _ Store = (*journal.Journal)(nil)

// Restore tells the router who offered which name before the node was restarted.
func Restore(ctx context.Context, r *peering.Router, store Store) error {
	kept, err := store.Offers(ctx)
	if err != nil {
		return err
	}
	// Noted from here on, so that Keep writes down what changes and not once more what was just read.
	if err := r.Query(ctx, func(s *speaker.Speaker) { s.Table().WatchOffers() }); err != nil {
		return err
	}
	for _, o := range kept {
		if err := r.Do(ctx, speaker.Remember{Offers: known(o)}); err != nil {
			return err
		}
	}
	return nil
}

// Keep writes down every change of who offers which name, until ctx ends or the router stops.
func Keep(ctx context.Context, r *peering.Router, store Store) error {
	err := r.KeepOffers(ctx, func(ctx context.Context, batch []rib.Offers) error {
		all := make([]journal.Offers, 0, len(batch))
		for _, o := range batch {
			all = append(all, kept(o))
		}
		return store.SaveOffers(ctx, all)
	})
	if ctx.Err() != nil || errors.Is(err, peering.ErrStopped) {
		return nil //nolint:nilerr // it ends as it was told to
	}
	return err
}

func known(o journal.Offers) rib.Offers {
	out := rib.Offers{Service: o.Service}
	for _, x := range o.Offerers {
		out.Offerers = append(out.Offerers, rib.Offerer{Node: x.Node, Since: x.Since, Agreed: x.Agreed})
	}
	return out
}

func kept(o rib.Offers) journal.Offers {
	out := journal.Offers{Service: o.Service}
	for _, x := range o.Offerers {
		out.Offerers = append(out.Offerers, journal.Offerer{Node: x.Node, Since: x.Since.UTC(), Agreed: x.Agreed})
	}
	return out
}
