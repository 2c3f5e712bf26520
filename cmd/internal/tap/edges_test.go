package tap

import (
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Calls are counted between each two nodes of their way; those of which Envoy tells a share stand for the others.
func TestEdges(t *testing.T) {
	node := func(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }
	tap := newTap(t, 1<<20)
	tap.cfg.Share, tap.cfg.Slow = 25, time.Second
	calls := []*Call{
		{Service: "near", Took: 30 * time.Millisecond, Outcome: OK},
		{Service: "far", Took: 2 * time.Second, Outcome: OK}, // slow: told in any case
		{Service: "far", Took: 10 * time.Millisecond, Outcome: Denied},
		{Service: "far", Took: 20 * time.Millisecond, Outcome: Failed},
		{Service: "nowhere", Outcome: OK},
	}
	got := tap.Edges(calls, func(c *Call) []bgp.NodeID {
		switch c.Service {
		case "near":
			return []bgp.NodeID{node("b")}
		case "far":
			return []bgp.NodeID{node("b"), node("a")}
		}
		return nil
	})
	want := []Edge{
		{To: node("b"), Calls: 4 + 3, Denied: 1, Failed: 1, Median: 20 * time.Millisecond, P95: 30 * time.Millisecond},
		{From: node("b"), To: node("a"), Calls: 3, Denied: 1, Failed: 1, Median: 20 * time.Millisecond,
			P95: 20 * time.Millisecond},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
