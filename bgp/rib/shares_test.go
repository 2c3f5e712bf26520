package rib

import (
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

// behind is the attributes of a route of a node behind peer 0.
func behind(name string) bgp.Attributes {
	a := from(0)
	a.NodePath = append(a.NodePath, bgp.NodeID{Org: "acme.example", Name: name})
	return a
}

// usedOf counts a peer's services by what their names begin with.
func usedOf(t *Table, prefix string) (n int) {
	t.PeerRoutes(1, ViewAccepted, func(s bgp.Service) bool { return strings.HasPrefix(string(s), prefix) }, 0, 1<<20,
		func(PeerRoute) bool { n++; return true })
	return n
}

// One node behind a peer announces far more than the peer may. What others behind the same peer announce is taken all
// the same, whoever comes first, and nobody is cut to less than he needs while another has more.
func TestAFloodCrowdsOutNobodyElse(t *testing.T) {
	announce := func(tab *Table, node, prefix string, n int) (res Result) {
		for i := range n {
			r := tab.Apply(1, announcement(bgp.Service(fmt.Sprintf("%s-%d.acme.example", prefix, i)), behind(node)))
			for reason, n := range r.Rejected {
				res.Rejected[reason] += n
			}
			res.OverLimit = res.OverLimit || r.OverLimit
		}
		return res
	}
	for name, cfg := range map[string]PeerConfig{
		"routes": {Node: node(0), MaxRoutes: 100},
		"bytes":  {Node: node(0), MaxBytes: 100 * 80},
	} {
		t.Run(name, func(t *testing.T) {
			tab := New(Config{Self: self})
			tab.AddPeer(1, cfg)
			announce(tab, "early", "early", 10)
			flood := announce(tab, "crowd", "flood", 500)
			if !flood.OverLimit || tab.Crowd(1) != "" {
				t.Fatalf("the limit was not reached: %+v", tab.PeerCounts(1))
			}
			late := announce(tab, "late", "late", 10)
			if late.Rejected[RejectShare] < 8 || !strings.Contains(tab.Crowd(1), "acme.example/crowd's") {
				t.Errorf("%d routes were left out, %q", late.Rejected[RejectShare], tab.Crowd(1))
			}
			announce(tab, "crowd", "flood", 500)
			if usedOf(tab, "early") != 10 || usedOf(tab, "late") != 10 || usedOf(tab, "flood") < 60 {
				t.Errorf("held are %d early, %d late, %d of the flood",
					usedOf(tab, "early"), usedOf(tab, "late"), usedOf(tab, "flood"))
			}
			c := tab.PeerCounts(1)
			if cfg.MaxRoutes > 0 && c.Received != cfg.MaxRoutes || cfg.MaxBytes > 0 && c.Bytes > cfg.MaxBytes {
				t.Errorf("%+v", c)
			}
			announce(tab, "greedy", "greedy", 500) // two that want all have half each
			if a, b := usedOf(tab, "greedy"), usedOf(tab, "flood"); a < b-2 || a > b+2 || usedOf(tab, "late") != 10 {
				t.Errorf("two floods have %d and %d, the others %d", a, b, usedOf(tab, "late"))
			}
			tab.RemovePeer(1)
			for tab.Work(1000) {
			}
			if left := tab.peers[1].shares; len(left) > 0 {
				t.Errorf("shares are left of no routes: %v", left)
			}
		})
	}
}
