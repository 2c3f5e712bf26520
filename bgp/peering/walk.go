package peering

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Answer says how a call to a service goes on from this node, for a peer that asks. It is given until ctx ends, and
// must judge by itself what the peer may know.
type Answer func(ctx context.Context, from bgp.NodeID, req bgp.WalkRequest) []bgp.WalkHop

// What peers may ask for.
const (
	maxAnswers   = 16               // under way at once, for all peers together
	maxFromPeer  = 4                // of them, for one peer
	maxRefusals  = 8                // under way at once; beyond, a question is not even refused
	askBurst     = 10               // requests of one peer in a row
	askEvery     = time.Second / 5  // and so often in the long run
	walkMemory   = 30 * time.Second // for which a walk that has been here is known again
	maxWalksKept = 1024
)

// walks are the books of what is asked and answered. They are safe for concurrent use.
type walks struct {
	mu     sync.Mutex
	asked  map[walkKey]chan []bgp.WalkHop // questions of this node that wait for a reply
	seen   map[uint64]time.Time           // walks that have been here
	budget map[bgp.NodeID]*allowance
	busy   int // answers under way
	no     int // refusals under way
}

type walkKey struct {
	peer bgp.NodeID
	id   uint64
}

// allowance is a peer's token bucket.
type allowance struct {
	tokens float64
	at     time.Time
	busy   int
}

func newWalks() *walks {
	return &walks{
		asked:  map[walkKey]chan []bgp.WalkHop{},
		seen:   map[uint64]time.Time{},
		budget: map[bgp.NodeID]*allowance{},
	}
}

// ErrNoAnswers tells that a peer does not answer traces.
var ErrNoAnswers = errors.New("does not answer traces: its configuration declines (peering.trace), or it is too " +
	"old to know them") //nolint:gochecknoglobals // a sentinel

// NewWalkID draws the id of a walk that begins here.
func NewWalkID() uint64 { return rand.Uint64() | 1 } //nolint:gosec // a name, not a secret

// Ask puts a question to a peer with an established session, and waits for its answer or the end of ctx.
func (r *Router) Ask(ctx context.Context, peer bgp.NodeID, req bgp.WalkRequest) ([]bgp.WalkHop, error) {
	var err error
	query := r.Query(ctx, func(s *speaker.Speaker) {
		v, known := s.Peer(peer)
		switch {
		case !known || v.State != fsm.Established:
			err = fmt.Errorf("there is no session with %s to ask it over", peer)
		case !v.Caps.Walk:
			err = fmt.Errorf("%s %w", peer, ErrNoAnswers)
		}
	})
	if err := errors.Join(query, err); err != nil {
		return nil, err
	}
	key := walkKey{peer, req.ID}
	reply := make(chan []bgp.WalkHop, 1)
	r.walks.mu.Lock()
	if r.walks.asked[key] != nil {
		r.walks.mu.Unlock()
		return nil, fmt.Errorf("%s is being asked already", peer)
	}
	r.walks.asked[key] = reply
	r.walks.remember(time.Now(), req.ID)
	r.walks.mu.Unlock()
	defer func() {
		r.walks.mu.Lock()
		delete(r.walks.asked, key)
		r.walks.mu.Unlock()
	}()
	if err := r.Do(ctx, speaker.Say{Peer: peer, Msg: &req}); err != nil {
		return nil, err
	}
	select {
	case hops := <-reply:
		return hops, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s has not answered in time", peer)
	case <-r.done:
		return nil, ErrStopped
	}
}

// heard takes a peer's question, or its answer to one of ours. It is called from the loop.
func (r *Router) heard(eff speaker.Heard) {
	switch m := eff.Msg.(type) {
	case *bgp.WalkReply:
		r.walks.mu.Lock()
		reply := r.walks.asked[walkKey{eff.Peer, m.ID}]
		r.walks.mu.Unlock()
		if reply != nil {
			select {
			case reply <- m.Hops:
			default: // it has answered before
			}
		}
	case *bgp.WalkRequest:
		req := *m
		if r.cfg.Answer == nil || req.Service == "" {
			return
		}
		if why := r.walks.admit(time.Now(), eff.Peer, &req); why != "" {
			if !r.walks.refuse(1) {
				return
			}
			r.tasks.Go(func() {
				defer r.walks.refuse(-1)
				r.reply(r.ctx, eff.Peer, req.ID, []bgp.WalkHop{{Node: r.cfg.Speaker.Self, Note: why}})
			})
			return
		}
		r.tasks.Go(func() {
			defer r.walks.finished(eff.Peer)
			ctx, cancel := context.WithTimeout(r.ctx, req.Budget)
			defer cancel()
			r.reply(r.ctx, eff.Peer, req.ID, r.cfg.Answer(ctx, eff.Peer, req))
		})
	}
}

// reply sends an answer.
func (r *Router) reply(ctx context.Context, peer bgp.NodeID, id uint64, hops []bgp.WalkHop) {
	_ = r.Do(ctx, speaker.Say{Peer: peer, Msg: &bgp.WalkReply{ID: id, Hops: hops}}) // the asker stops waiting by itself
}

// admit decides whether a question is answered now: "" if it is, or what to say instead.
func (w *walks) admit(now time.Time, peer bgp.NodeID, req *bgp.WalkRequest) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, again := w.seen[req.ID]; again && now.Sub(at) < walkMemory {
		if req.Search {
			return "has been asked already"
		}
		return "the walk comes back to this node: a forwarding loop"
	}
	a := w.budget[peer]
	if a == nil {
		a = &allowance{tokens: askBurst, at: now}
		w.budget[peer] = a
	}
	a.tokens = min(askBurst, a.tokens+now.Sub(a.at).Seconds()/askEvery.Seconds())
	a.at = now
	if a.tokens < 1 || a.busy >= maxFromPeer || w.busy >= maxAnswers {
		return "is asked too often just now: try again in a few seconds"
	}
	a.tokens--
	a.busy++
	w.busy++
	w.remember(now, req.ID)
	return ""
}

// remember notes that a walk has been here. The caller holds mu.
func (w *walks) remember(now time.Time, id uint64) {
	if len(w.seen) >= maxWalksKept {
		clear(w.seen)
	}
	w.seen[id] = now
}

// refuse begins a refusal or ends one; false if too many are under way.
func (w *walks) refuse(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > 0 && w.no >= maxRefusals {
		return false
	}
	w.no += n
	return true
}

func (w *walks) finished(peer bgp.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	if a := w.budget[peer]; a != nil {
		a.busy--
	}
}
