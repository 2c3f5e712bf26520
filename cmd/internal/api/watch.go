package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// maxPatterns bounds what one watcher may ask for.
const maxPatterns = 100

// Changes implements operator.Backend. A watcher that reads slowly holds up nobody else: the newest state of each
// service waits for it, within a bound, and it is told how many changes it will not see.
func (a *API) Changes(ctx context.Context, match []string, peers bool) (<-chan *operator.Change, error) {
	patterns, err := a.patterns(match)
	if err != nil {
		return nil, err
	}
	feed, err := a.cfg.Router.Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	w := &watcher{a: a, feed: feed, patterns: patterns, out: make(chan *operator.Change)}
	if peers {
		if w.sessions, err = a.cfg.Router.Watch(ctx); err != nil {
			return nil, err
		}
	}
	go w.run(ctx) // ends with the subscriber, or with the node
	return w.out, nil
}

// patterns reads what a watcher wants to hear of: a full name, a single label of this organisation, "*.NAME" for all
// below NAME, or "*".
func (a *API) patterns(match []string) ([]string, error) {
	if len(match) > maxPatterns {
		return nil, fmt.Errorf("match: %d patterns: the limit is %d", len(match), maxPatterns)
	}
	var out []string
	for _, p := range match {
		p = strings.ToLower(p)
		if below, wild := strings.CutPrefix(p, "*"); wild {
			if below != "" && bgp.CheckName(strings.TrimPrefix(below, ".")) != nil {
				return nil, fmt.Errorf("match: %q: want a name, or *.NAME for all below it", p)
			}
			out = append(out, p)
			continue
		}
		svc, err := a.service(p)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		out = append(out, string(svc))
	}
	return out, nil
}

// watcher carries a feed, and what sessions do, to one subscriber.
type watcher struct {
	a        *API
	feed     *peering.Feed
	sessions *peering.Watch // nil if they are not wanted
	patterns []string
	out      chan *operator.Change
	synced   bool
}

func (w *watcher) run(ctx context.Context) {
	defer func() {
		if w.sessions != nil {
			_ = w.sessions.Close(context.WithoutCancel(ctx))
		}
		close(w.out)
	}()
	var sessions <-chan speaker.SessionChanged
	if w.sessions != nil {
		sessions = w.sessions.Events()
	}
	for {
		good := false
		select {
		case batch, open := <-w.feed.Batches():
			good = open && w.batch(ctx, &batch)
		case s, open := <-sessions:
			if !open {
				sessions = nil
			}
			good = !open || w.session(ctx, s)
		case <-ctx.Done():
		}
		if !good {
			return
		}
	}
}

// batch hands on a part of the feed; false if the subscriber is gone.
func (w *watcher) batch(ctx context.Context, batch *peering.Batch) bool {
	for i := range batch.Changed {
		if sel := &batch.Changed[i]; w.wants(sel.Service) && !w.offer(ctx, w.a.change(sel, w.synced)) {
			return false
		}
	}
	if batch.Skipped > 0 && !w.offer(ctx, &operator.Change{Kind: "coalesced", Skipped: batch.Skipped}) {
		return false
	}
	if batch.Synced && !w.synced {
		w.synced = true
		return w.offer(ctx, &operator.Change{Kind: "synced"})
	}
	return true
}

func (w *watcher) session(ctx context.Context, s speaker.SessionChanged) bool {
	if lost := w.sessions.Lost(); lost > 0 && !w.offer(ctx, &operator.Change{Kind: "coalesced", Skipped: lost}) {
		return false
	}
	return w.offer(ctx, &operator.Change{Kind: "session", Session: &operator.SessionChange{
		Peer: s.Peer.String(), From: s.From.String(), To: s.To.String(), Reason: s.Reason, ByPeer: s.Remote,
	}})
}

func (w *watcher) wants(svc bgp.Service) bool {
	return len(w.patterns) == 0 || slices.ContainsFunc(w.patterns, func(p string) bool { return filter.Covers(p, svc) })
}

func (w *watcher) offer(ctx context.Context, c *operator.Change) bool {
	select {
	case w.out <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *API) change(sel *rib.Selected, synced bool) *operator.Change {
	c := &operator.Change{Kind: "dump", Service: string(sel.Service)}
	switch {
	case len(sel.Tiers) == 0:
		c.Kind = "removed"
		return c
	case synced:
		c.Kind = "changed"
	}
	c.Route = a.route(sel)
	return c
}
