package peering

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// feedBatch is the most services of one batch.
const feedBatch = 500

// Batch is a part of a feed.
type Batch struct {
	Changed []rib.Selected
	Synced  bool // the first dump is complete with this batch, or was before
	Skipped int  // states that were replaced by newer ones before they could be told
}

// A Feed gives one consumer the Loc-RIB: everything first, then changes. Nobody waits for a consumer that falls
// behind: when it reads again, it gets the newest state of each service that changed, and not what lay between.
//
//	feed, err := router.Subscribe(ctx)
//	for b := range feed.Batches() { … } // ends with ctx, or when the router stops
type Feed struct {
	id     uint64     // for the recorder
	next   chan Batch // filled by the loop
	out    chan Batch
	cursor *rib.Cursor
	synced bool // guarded by the router's turn: told
}

// Subscribe returns a new feed, which ends when ctx does.
func (r *Router) Subscribe(ctx context.Context) (*Feed, error) {
	f := &Feed{next: make(chan Batch, 1), out: make(chan Batch)}
	err := r.Query(ctx, func(s *speaker.Speaker) {
		f.cursor = s.Table().Subscribe()
		r.feeds = append(r.feeds, f)
		r.nextFeed++
		if f.id = r.nextFeed; r.cfg.Recorder != nil {
			r.cfg.Recorder.FeedAdded(f.id)
		}
		r.tasks.Go(func() { r.carry(ctx, f) })
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Batches gives the batches, oldest first; it is closed when the feed ends.
func (f *Feed) Batches() <-chan Batch { return f.out }

// carry takes a feed's batches from the loop to its consumer, and tells the loop that there is room for another.
func (r *Router) carry(ctx context.Context, f *Feed) {
	defer close(f.out)
	for {
		var b Batch
		var ok bool
		select {
		case b, ok = <-f.next:
		case <-ctx.Done():
		}
		if !ok {
			break
		}
		r.poke()
		select {
		case f.out <- b:
			continue
		case <-ctx.Done():
		case <-r.done:
		}
		break
	}
	// Run has ended or goes on; it does not wait for ctx, which is over.
	_ = r.Query(context.WithoutCancel(ctx), func(s *speaker.Speaker) {
		s.Table().Unsubscribe(f.cursor)
		if r.cfg.Recorder != nil {
			r.cfg.Recorder.FeedGone(f.id)
		}
		r.feeds = slices.DeleteFunc(r.feeds, func(o *Feed) bool { return o == f })
	})
}

func (r *Router) poke() { poke(r.wake) }

// feed gives every consumer that is ready its next batch.
func (r *Router) feed() {
	for _, f := range r.feeds {
		if len(f.next) > 0 || !f.cursor.Pending() && f.synced {
			continue
		}
		if r.cfg.Recorder != nil {
			r.cfg.Recorder.FeedTook(f.id, feedBatch)
		}
		b := Batch{Changed: f.cursor.Next(nil, feedBatch), Skipped: f.cursor.Skipped()}
		b.Synced = f.cursor.Synced() && len(b.Changed) < feedBatch
		if len(b.Changed) == 0 && b.Synced == f.synced {
			continue
		}
		f.synced = f.synced || b.Synced
		f.next <- b
	}
}

func (r *Router) closeFeeds() {
	for _, f := range r.feeds {
		close(f.next)
	}
	for _, w := range r.watchers {
		close(w.c)
	}
}

// A Watch gives one consumer what sessions do. One that falls behind misses some and is told how many.
type Watch struct {
	r    *Router
	c    chan speaker.SessionChanged
	lost atomic.Int64
}

// watchRoom is how many changes of sessions wait for a consumer.
const watchRoom = 64

// Watch returns a new watch of what sessions do. It has to be closed.
func (r *Router) Watch(ctx context.Context) (*Watch, error) {
	w := &Watch{r: r, c: make(chan speaker.SessionChanged, watchRoom)}
	return w, r.Query(ctx, func(*speaker.Speaker) { r.watchers = append(r.watchers, w) })
}

// Events gives the changes, oldest first; it is closed when the router stops.
func (w *Watch) Events() <-chan speaker.SessionChanged { return w.c }

// Lost returns how many changes the consumer missed since the last call.
func (w *Watch) Lost() int { return int(w.lost.Swap(0)) }

// Close ends a watch.
func (w *Watch) Close(ctx context.Context) error {
	return w.r.Query(ctx, func(*speaker.Speaker) {
		w.r.watchers = slices.DeleteFunc(w.r.watchers, func(o *Watch) bool { return o == w })
	})
}

func (w *Watch) offer(eff speaker.Effect) {
	change, ok := eff.(speaker.SessionChanged)
	if !ok {
		return
	}
	select {
	case w.c <- change:
	default:
		w.lost.Add(1)
	}
}
