package peering

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// churned changes a router's own services n times.
func churned(t *testing.T, h *host, rnd *rand.Rand, n int) {
	t.Helper()
	for range n {
		svc := bgp.Service(fmt.Sprintf("s%d.acme.example", rnd.IntN(300)))
		if rnd.IntN(3) == 0 {
			h.do(t, speaker.LocalRemoved{Service: svc})
			continue
		}
		h.do(t, speaker.LocalSet{Service: svc, Attributes: bgp.Attributes{Protocol: bgp.HTTP, MED: rnd.Uint32()}})
	}
}

// table is what a router's Loc-RIB says, in MEDs.
func table(t *testing.T, h *host) map[bgp.Service]uint32 {
	t.Helper()
	all := map[bgp.Service]uint32{}
	if err := h.Query(t.Context(), func(s *speaker.Speaker) {
		s.Table().Scan(0, 1000, func(sel rib.Selected) { all[sel.Service] = sel.Tiers[0][0].Attrs.MED })
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// take applies a batch, and fails on a removal of what the watcher does not have.
func take(t *testing.T, have map[bgp.Service]uint32, b *Batch) {
	t.Helper()
	for _, sel := range b.Changed {
		if len(sel.Tiers) > 0 {
			have[sel.Service] = sel.Tiers[0][0].Attrs.MED
			continue
		}
		if _, ok := have[sel.Service]; !ok {
			t.Errorf("%s is removed, and was not there", sel.Service)
		}
		delete(have, sel.Service)
	}
}

// Two watchers of a table that churns all the time, one that reads at once and one that reads nothing until the end:
// the churn is not held up by the slow one, both come to the final table, the marker comes once, and the slow one is
// told how much it missed.
func TestWatchersUnderChurn(t *testing.T) {
	h := start(t, org(t, "acme.example")("a"), 1)
	rnd := rand.New(rand.NewPCG(1, 2))
	churned(t, h, rnd, 1000)
	fast, err := h.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slow, err := h.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	last := bgp.Service("last.acme.example")
	read := make(chan map[bgp.Service]uint32)
	go func() {
		have := map[bgp.Service]uint32{}
		markers := 0
		for have[last] == 0 {
			b, ok := next(ctx, fast)
			if !ok {
				break
			}
			if take(t, have, &b); b.Synced && markers == 0 {
				markers++
			} else if !b.Synced && markers > 0 {
				t.Error("the marker is taken back")
			}
		}
		read <- have
	}()
	churned(t, h, rnd, 3000) // with a watcher that reads nothing
	h.do(t, speaker.LocalSet{Service: last, Attributes: bgp.Attributes{Protocol: bgp.HTTP, MED: 1}})
	want := table(t, h)
	if got := <-read; !maps.Equal(got, want) {
		t.Errorf("the fast watcher has %d services, want %d", len(got), len(want))
	}
	have, skipped := map[bgp.Service]uint32{}, 0
	for have[last] == 0 {
		b, ok := next(ctx, slow)
		if !ok {
			t.Fatal("the slow watcher does not come to the end")
		}
		take(t, have, &b)
		skipped += b.Skipped
	}
	if !maps.Equal(have, want) {
		t.Errorf("the slow watcher has %d services, want %d", len(have), len(want))
	}
	if skipped < 1000 {
		t.Errorf("the slow watcher is told of %d states that it missed", skipped)
	}
}

// A watch of sessions that nobody reads loses changes, and says how many; the router goes on.
func TestSlowWatchOfSessions(t *testing.T) {
	h := start(t, org(t, "acme.example")("a"), 1)
	w, err := h.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const changes = 3 * watchRoom
	for i := range changes {
		h.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("p%d", i)}}})
		h.do(t, speaker.PeerRemoved{Node: bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("p%d", i)}})
	}
	lost := w.Lost()
	if lost == 0 || lost+len(w.Events()) < changes {
		t.Errorf("%d changes are lost and %d wait, of at least %d", lost, len(w.Events()), changes)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
