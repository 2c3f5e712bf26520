package rib

import (
	"fmt"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

// offer is what one peer says of the service, and what the table knows of the peer.
type offer struct {
	peer      int // number of the node; the lower id is the lower number
	attrs     bgp.Attributes
	external  string // organisation of the peer, if it is another
	cost      uint32
	dead      bool
	stale     bool
	longLived bool
}

func foreign(org string, hops ...string) []bgp.NodeID {
	path := make([]bgp.NodeID, 0, len(hops))
	for _, h := range hops {
		path = append(path, bgp.NodeID{Org: bgp.Org(org), Name: h})
	}
	return path
}

// decided builds a table of the offers, arriving in the given order, and returns what became of them.
func decided(t *testing.T, offers []offer, order []int) []Candidate {
	t.Helper()
	tab := New(Config{Self: self})
	svc := bgp.Service("a.acme.example")
	for n := range offers {
		o := &offers[n]
		id := PeerID(n + 1)
		cfg := PeerConfig{Node: node(o.peer), MaxLocalPref: 1000}
		if o.external != "" {
			cfg = PeerConfig{
				Node:       bgp.NodeID{Org: bgp.Org(o.external), Name: fmt.Sprintf("n%d", o.peer)},
				External:   true,
				Namespaces: []string{"*"},
				Import:     preferring(100),
			}
			if o.attrs.LocalPref != 0 {
				cfg.Import = preferring(o.attrs.LocalPref)
			}
			svc = "a.origin.example"
		}
		tab.AddPeer(id, cfg)
		tab.SetNextHop(id, !o.dead, o.cost)
	}
	for _, n := range order {
		o := offers[n]
		a := o.attrs
		a.Protocol = bgp.HTTP
		if svc == "a.origin.example" {
			a.NodePath = append(a.NodePath, bgp.NodeID{Org: "origin.example", Name: "o"})
		}
		if a.Originator.IsZero() {
			a.NodePath = append([]bgp.NodeID{tab.peers[n+1].cfg.Node}, a.NodePath...)
		}
		tab.Apply(PeerID(n+1), announcement(svc, a))
		if o.stale || o.longLived {
			tab.MarkStale(PeerID(n + 1))
		}
		if o.longLived {
			tab.MarkLongLived(PeerID(n + 1))
		}
	}
	finish(tab)
	all := tab.Explain(svc)
	if len(all) != len(offers) {
		t.Fatalf("%d candidates of %d offers", len(all), len(offers))
	}
	for _, c := range all {
		if c.Reject != Accepted {
			t.Fatalf("%s is rejected: %s", c.Peer, c.Reject)
		}
	}
	return all
}

// One rung compared in the wrong direction, or skipped, sends traffic the wrong way only where all rungs before it
// tie, which no other test builds. Each case ties down to its rung, gives the worse path the lower peer id, and has
// to come out the same in both orders of arrival.
func TestEachRungDecides(t *testing.T) {
	hub := func(n int, hubs ...bgp.NodeID) bgp.Attributes {
		return bgp.Attributes{
			NodePath:    []bgp.NodeID{node(7)},
			Originator:  node(7),
			NextHop:     bgp.NextHop{Node: node(7), Address: "x:1"},
			ClusterList: append([]bgp.NodeID{node(n)}, hubs...),
		}
	}
	for _, c := range []struct {
		name          string
		worse, better offer
		want          Reason
	}{
		{"its next hop answers", offer{dead: true, attrs: bgp.Attributes{LocalPref: 900}}, offer{peer: 1, stale: true},
			ReasonUsable},
		{"its workload is up", offer{attrs: bgp.Attributes{Health: bgp.HealthDown, LocalPref: 900}}, offer{peer: 1},
			ReasonUsable},
		{"fresh over stale", offer{stale: true, attrs: bgp.Attributes{LocalPref: 900}}, offer{peer: 1}, ReasonFresh},
		{"stale over long-lived stale", offer{longLived: true, attrs: bgp.Attributes{LocalPref: 900}},
			offer{peer: 1, stale: true}, ReasonFresh},
		{"fresh over long-lived stale elsewhere",
			offer{attrs: bgp.Attributes{Communities: []bgp.Community{bgp.LongLivedStale}, LocalPref: 900}}, offer{peer: 1},
			ReasonFresh},
		{"local preference", offer{}, offer{
			peer:  1,
			attrs: bgp.Attributes{LocalPref: 101, NodePath: []bgp.NodeID{node(8), node(9)}},
		}, ReasonLocalPref},
		{"graceful-shutdown is the lowest preference",
			offer{attrs: bgp.Attributes{LocalPref: 900, Communities: []bgp.Community{bgp.GracefulShutdown}}},
			offer{peer: 1, attrs: bgp.Attributes{LocalPref: 1}}, ReasonLocalPref},
		{"organisation path", offer{
			external: "bravo.example",
			attrs:    bgp.Attributes{NodePath: foreign("carol.example", "x")},
		},
			offer{
				peer:     1,
				external: "bravo.example",
				attrs:    bgp.Attributes{NodePath: foreign("bravo.example", "x", "y", "z")},
			}, ReasonOrgPath},
		{"node path", offer{attrs: bgp.Attributes{NodePath: []bgp.NodeID{node(8)}}},
			offer{peer: 1, attrs: bgp.Attributes{MED: 50}}, ReasonNodePath},
		{"MED within one neighbouring organisation", offer{external: "bravo.example", attrs: bgp.Attributes{MED: 10}},
			offer{peer: 1, external: "bravo.example", attrs: bgp.Attributes{MED: 9}}, ReasonMED},
		{"external over internal", offer{cost: 1}, offer{peer: 1, external: "bravo.example", cost: 5}, ReasonExternal},
		{"nearer next hop", offer{cost: 10}, offer{peer: 1, cost: 9}, ReasonNextHop},
		{"fewer hubs", offer{attrs: hub(0, node(5))}, offer{peer: 1, attrs: hub(1)}, ReasonClusterList},
	} {
		t.Run(c.name, func(t *testing.T) {
			offers := []offer{c.worse, c.better}
			for _, order := range [][]int{{0, 1}, {1, 0}} {
				all := decided(t, offers, order)
				if best := all[0]; best.Peer.Name != fmt.Sprintf("n%d", c.better.peer) || best.Lost != c.want ||
					all[1].Lost != c.want {
					t.Errorf("arrived %v: best is %s by %q, want n%d by %q", order, best.Peer, best.Lost, c.better.peer, c.want)
				}
			}
		})
	}
}

// A comparison that is not transitive (MED is the classic one) makes the outcome depend on the order of arrival. All
// 5,040 orders of seven offers that differ at every rung give one ranking.
func TestEveryPermutationGivesOneRanking(t *testing.T) {
	ext := func(peer int, org string, med uint32, cost uint32) offer {
		return offer{peer: peer, external: org, attrs: bgp.Attributes{MED: med}, cost: cost}
	}
	offers := []offer{
		ext(3, "bravo.example", 10, 0), ext(1, "bravo.example", 5, 7), ext(2, "carol.example", 50, 3),
		ext(0, "carol.example", 60, 0),
		{peer: 4, cost: 1}, {peer: 5, attrs: bgp.Attributes{LocalPref: 90}}, {peer: 6, stale: true},
	}
	var want string
	rank := func(order []int) {
		got := ""
		for _, c := range decided(t, offers, order) {
			got += fmt.Sprintf("%s by %s; ", c.Peer, c.Lost)
		}
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("arrived %v:\n%s\nfirst:\n%s", order, got, want)
		}
	}
	permute([]int{0, 1, 2, 3, 4, 5, 6}, 0, rank)
}

func permute(order []int, from int, yield func([]int)) {
	if from == len(order) {
		yield(order)
		return
	}
	for i := from; i < len(order); i++ {
		order[from], order[i] = order[i], order[from]
		permute(order, from+1, yield)
		order[from], order[i] = order[i], order[from]
	}
}
