package peering

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Answer tells a peer that asks how a call to a service goes on from this node. It has to return before ctx ends, and
// decides itself what that peer may know.
type Answer func(ctx context.Context, from bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop

// What peers may ask for.
const (
	maxAnswers    = 16               // under way at once, for all peers together
	maxFromPeer   = 4                // of them, for one peer
	maxRefusals   = 8                // under way at once; beyond, a question is not even refused
	askBurst      = 10               // requests of one peer in a row
	askEvery      = time.Second / 5  // and so often in the long run
	traceMemory   = 30 * time.Second // for which a trace that has been here is known again
	maxTracesKept = 1024
)

// traces are the books of what is asked and answered. They are safe for concurrent use.
type traces struct {
	mu     sync.Mutex
	asked  questions[[]bgp.TraceHop]
	seen   map[uint64]time.Time // traces that have been here
	budget map[bgp.NodeID]*allowance
	busy   int // answers under way
	no     int // refusals under way
}

// allowance is what one peer may ask.
type allowance struct {
	rate *rate.Limiter
	busy int // of its questions, being answered
}

func newTraces() *traces {
	return &traces{
		seen:   map[uint64]time.Time{},
		budget: map[bgp.NodeID]*allowance{},
	}
}

// ErrNoAnswers tells that a peer does not answer traces.
var ErrNoAnswers = errors.New("does not answer traces: its configuration declines (peering.trace), or it is too " +
	"old to know them") //nolint:gochecknoglobals // a sentinel

// NewTraceID draws the id of a trace that begins here.
func NewTraceID() uint64 { return rand.Uint64() | 1 } //nolint:gosec // a name, not a secret

// Ask puts a question to a peer with an established session, and waits for its answer or the end of ctx.
func (r *Router) Ask(ctx context.Context, peer bgp.NodeID, req bgp.TraceRequest) ([]bgp.TraceHop, error) {
	put := func() (<-chan []bgp.TraceHop, func(), bool) {
		reply, done, ok := r.traces.asked.put(question{peer, req.ID})
		if ok {
			r.traces.mu.Lock()
			r.traces.remember(time.Now(), req.ID)
			r.traces.mu.Unlock()
		}
		return reply, done, ok
	}
	return ask(ctx, r, peer, &req, func(c bgp.Capabilities) bool { return c.Trace }, ErrNoAnswers, put)
}

// heard takes a peer's question, or its answer to one of ours. It is called from the loop.
func (r *Router) heard(eff speaker.Heard) {
	switch m := eff.Msg.(type) {
	case *bgp.Bulletin:
		r.cfg.Bulletin(eff.Peer, m.Body)
	case *bgp.TraceReply:
		r.traces.asked.answer(question{eff.Peer, m.ID}, m.Hops)
	case *bgp.WhyReply:
		r.whys.answer(question{eff.Peer, m.ID}, m)
	case *bgp.TraceRequest:
		req := *m
		if r.cfg.Answer == nil || req.Service == "" {
			return
		}
		if why := r.traces.admit(time.Now(), eff.Peer, &req); why != "" {
			if !r.traces.refuse(1) {
				return
			}
			r.tasks.Go(func() {
				defer r.traces.refuse(-1)
				r.reply(r.ctx, eff.Peer, req.ID, []bgp.TraceHop{{Node: r.cfg.Speaker.Self, Note: why}})
			})
			return
		}
		r.tasks.Go(func() {
			defer r.traces.finished(eff.Peer)
			ctx, cancel := context.WithTimeout(r.ctx, req.Budget)
			defer cancel()
			r.reply(r.ctx, eff.Peer, req.ID, r.cfg.Answer(ctx, eff.Peer, req))
		})
	}
}

// reply sends an answer.
func (r *Router) reply(ctx context.Context, peer bgp.NodeID, id uint64, hops []bgp.TraceHop) {
	_ = r.Do(ctx, speaker.Say{Peer: peer, Msg: &bgp.TraceReply{ID: id, Hops: hops}}) // the asker stops waiting by itself
}

// admit decides whether a question is answered now: "" if it is, or what to say instead.
func (t *traces) admit(now time.Time, peer bgp.NodeID, req *bgp.TraceRequest) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, again := t.seen[req.ID]; again && now.Sub(at) < traceMemory {
		if req.Search {
			return "has been asked already"
		}
		return "the trace comes back to this node: a forwarding loop"
	}
	a := t.budget[peer]
	if a == nil {
		a = &allowance{rate: rate.NewLimiter(rate.Every(askEvery), askBurst)}
		t.budget[peer] = a
	}
	if a.busy >= maxFromPeer || t.busy >= maxAnswers || !a.rate.AllowN(now, 1) {
		return "is asked too often just now: try again in a few seconds"
	}
	a.busy++
	t.busy++
	t.remember(now, req.ID)
	return ""
}

// remember notes that a trace has been here. The caller holds mu.
func (t *traces) remember(now time.Time, id uint64) {
	if len(t.seen) >= maxTracesKept {
		clear(t.seen)
	}
	t.seen[id] = now
}

// refuse begins a refusal or ends one; false if too many are under way.
func (t *traces) refuse(n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 && t.no >= maxRefusals {
		return false
	}
	t.no += n
	return true
}

func (t *traces) finished(peer bgp.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	if a := t.budget[peer]; a != nil {
		a.busy--
	}
}
