package rib

import (
	"slices"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// A name is pinned to a neighbour: from another it is not used, whatever its rules say, as long as the pin stands. The
// closest pattern decides, and several neighbours may share a name.
func TestNamesArePinned(t *testing.T) {
	tab := New(Config{Self: self})
	peers := map[PeerID]PeerConfig{}
	for id, org := range map[PeerID]bgp.Org{1: "bravo.example", 2: "carol.example", 3: "dave.example"} {
		peers[id] = PeerConfig{
			Node: bgp.NodeID{Org: org, Name: "x"}, External: true, Import: &filter.Chain{}, Namespaces: []string{"*"},
		}
		tab.AddPeer(id, peers[id])
		tab.Established(id, "")
	}
	tab.AddPeer(4, PeerConfig{Node: node(4)})
	tab.Established(4, "")
	pin := func(id PeerID, names ...string) {
		cfg := peers[id]
		cfg.Pins = names
		tab.UpdatePeer(id, cfg)
		finish(tab)
	}
	origin := bgp.NodeID{Org: "erin.example", Name: "e"}
	pay, books := bgp.Service("pay.erin.example"), bgp.Service("books.erin.example")
	for id := PeerID(1); id <= 3; id++ {
		for _, svc := range []bgp.Service{pay, books} {
			tab.Apply(id, announcement(svc, bgp.Attributes{
				Protocol: bgp.HTTP, NodePath: []bgp.NodeID{peers[id].Node, origin},
			}))
		}
	}
	tab.Apply(4, announcement(pay, bgp.Attributes{
		Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(4), peers[3].Node, origin},
	}))
	used := func(svc bgp.Service) (orgs []bgp.Org) {
		for _, c := range tab.Explain(svc) {
			switch c.Reject {
			case Accepted:
				orgs = append(orgs, c.Peer.Org)
			case RejectPinned:
			default:
				t.Errorf("%s of %s: %s", svc, c.Peer, c.Reject)
			}
		}
		slices.Sort(orgs)
		return orgs
	}
	check := func(what string, svc bgp.Service, want ...bgp.Org) {
		t.Helper()
		if got := used(svc); !slices.Equal(got, want) {
			t.Errorf("%s: %s comes by %v, want %v", what, svc, got, want)
		}
	}
	all := []bgp.Org{"bravo.example", "carol.example", "dave.example"}
	check("no pins", books, all...)
	pin(1, "pay.erin.example")
	check("pinned to bravo; the own organisation's nodes have judged themselves", pay, "acme.example", "bravo.example")
	check("another name", books, all...)
	pin(2, "*.erin.example")
	check("the closest pattern", pay, "acme.example", "bravo.example")
	check("a pattern", books, "carol.example")
	pin(3, "pay.erin.example", "*")
	check("pinned to two", pay, "acme.example", "bravo.example", "dave.example")
	if got := tab.PinnedTo(pay); !slices.Equal(got, []bgp.Org{"bravo.example", "dave.example"}) {
		t.Errorf("%v", got)
	}
	for _, c := range tab.Explain(pay) {
		if c.Reject == RejectPinned && c.Invalid != "it is pinned to bravo.example dave.example" {
			t.Errorf("the reason: %q", c.Invalid)
		}
	}
	pin(3)
	pin(2)
	tab.RemovePeer(1)
	finish(tab)
	check("the pin went with its peer", pay, "acme.example", "carol.example", "dave.example")
}
