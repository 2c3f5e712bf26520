package peering

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// A question goes over the session in whichever direction that was dialled, and its answer comes back; nobody waits
// for a peer that is silent.
func TestAsk(t *testing.T) {
	issue := org(t, "acme.example")
	var asked bgp.TraceRequest
	a := startWith(t, issue("a"), 1, func(c *Config) {
		c.Answer = func(ctx context.Context, from bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop {
			asked = req
			if req.Service == "slow.acme.example" {
				<-ctx.Done()
			}
			return []bgp.TraceHop{{Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Note: "for " + from.Name}}
		}
	})
	b, c := start(t, issue("b"), 2), start(t, issue("c"), 3)
	b.peer(t, a) // b dials a, a dials c: both can ask
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	a.peer(t, c)
	c.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: a.id}})
	for _, asker := range []*host{b, c} {
		asker.eventually(t, "session with a", established(a.id))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		hops, err := asker.Ask(ctx, a.id, bgp.TraceRequest{
			ID:      NewTraceID(),
			Service: "books.acme.example",
			TTL:     3,
			Budget:  2 * time.Second,
		})
		cancel()
		if err != nil || len(hops) != 1 || hops[0].Note != "for "+asker.id.Name || asked.TTL != 3 {
			t.Errorf("%s: %+v, %v", asker.id, hops, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Ask(ctx, a.id, bgp.TraceRequest{
		ID:      NewTraceID(),
		Service: "slow.acme.example",
		Budget:  time.Second,
	}); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("a silent peer: %v", err)
	}
	// b answers nobody, and says so in its OPEN; d is nobody.
	a.eventually(t, "session with b", established(b.id))
	if _, err := a.Ask(t.Context(), b.id, bgp.TraceRequest{ID: 1}); !errors.Is(err, ErrNoAnswers) {
		t.Errorf("a peer that declines: %v", err)
	}
	if _, err := b.Ask(t.Context(), bgp.NodeID{Org: "acme.example", Name: "d"}, bgp.TraceRequest{ID: 1}); err == nil ||
		!strings.Contains(err.Error(), "no session") {
		t.Errorf("no peer: %v", err)
	}
}

// Questions are bounded by peer and in all, and a trace that comes back is known.
func TestAdmission(t *testing.T) {
	peer := func(i int) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: string(rune('a' + i))} }
	now := time.Unix(1_700_000_000, 0)
	w := newTraces()
	id := uint64(0)
	ask := func(at time.Time, p int) string { id++; return w.admit(at, peer(p), &bgp.TraceRequest{ID: id}) }
	for i := range maxFromPeer {
		if why := ask(now, 0); why != "" {
			t.Fatalf("question %d: %s", i, why)
		}
	}
	if ask(now, 0) == "" {
		t.Error("one peer has more answers under way than it may")
	}
	for p := 1; w.busy < maxAnswers; p++ {
		for range maxFromPeer {
			ask(now, p)
		}
	}
	if ask(now, 20) == "" {
		t.Error("there are more answers under way than may be")
	}
	w = newTraces()
	granted := 0
	for range 100 {
		if ask(now, 0) == "" {
			granted++
			w.finished(peer(0))
		}
	}
	if granted != askBurst {
		t.Errorf("%d in a row are answered, want %d", granted, askBurst)
	}
	if ask(now.Add(askEvery), 0) != "" || ask(now.Add(askEvery), 0) == "" {
		t.Error("in the long run one in askEvery is answered, and no more")
	}
	w = newTraces()
	first := w.admit(now, peer(0), &bgp.TraceRequest{ID: 7})
	again := w.admit(now, peer(1), &bgp.TraceRequest{ID: 7})
	if first != "" || !strings.Contains(again, "loop") {
		t.Errorf("a trace that comes back: %q, then %q", first, again)
	}
	for range 3 * maxTracesKept {
		ask(now, 30)
	}
	if len(w.seen) > maxTracesKept {
		t.Errorf("%d traces are kept", len(w.seen))
	}
	for range maxRefusals {
		w.refuse(1)
	}
	if w.refuse(1) {
		t.Error("refusals are not bounded")
	}
}
