package rib

import (
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Each way in which a peer is not told is named, with the term where a filter decided.
func TestExportsSayWhy(t *testing.T) {
	foreign := bgp.NodeID{Org: "bravo.example", Name: "x"}
	accept := &filter.Chain{Terms: []filter.Term{{Name: "all", Action: filter.Accept}}}
	for _, c := range []struct {
		name  string
		attrs bgp.Attributes
		peer  PeerConfig
		up    bool
		want  Withheld
		term  string
	}{
		{"told", bgp.Attributes{}, PeerConfig{Node: node(1)}, true, NotWithheld, ""},
		{"down", bgp.Attributes{}, PeerConfig{Node: node(1)}, false, WithheldDown, ""},
		{"no-advertise", bgp.Attributes{Communities: []bgp.Community{bgp.NoAdvertise}}, PeerConfig{Node: node(1)}, true,
			WithheldNoAdv, ""},
		{"no-export", bgp.Attributes{Communities: []bgp.Community{bgp.NoExport}},
			PeerConfig{Node: foreign, External: true, Export: accept}, true, WithheldNoExport, ""},
		{"no rule", bgp.Attributes{}, PeerConfig{Node: foreign, External: true}, true, WithheldNoRule, ""},
		{"rule", bgp.Attributes{}, PeerConfig{Node: foreign, External: true, Export: accept}, true, NotWithheld, "all"},
		{"filter", bgp.Attributes{}, PeerConfig{Node: node(1), Export: rejecting("a.acme.example")}, true, WithheldFilter,
			"no"},
		{"leak", bgp.Attributes{OnlyToCustomer: "carol.example"},
			PeerConfig{Node: foreign, External: true, Export: accept, Role: bgp.RoleProvider}, true, WithheldLeak, ""},
		{"loop", bgp.Attributes{NodePath: []bgp.NodeID{node(0), node(1)}}, PeerConfig{Node: node(1)}, true, WithheldLoop, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := New(Config{Self: self})
			tab.AddPeer(1, c.peer)
			tab.AddPeer(2, PeerConfig{Node: node(0)})
			if c.up {
				tab.Established(1, "")
			}
			tab.Established(2, "")
			a := c.attrs
			a.Protocol = bgp.HTTP
			if a.NodePath == nil {
				a.NodePath = []bgp.NodeID{node(0)}
			}
			tab.Apply(2, announcement("a.acme.example", a))
			told := false
			for u := tab.Update(1); u != nil; u = tab.Update(1) {
				told = told || len(u.Announced) > 0
			}
			for _, e := range tab.Exports("a.acme.example") {
				if e.Peer == node(0) {
					if e.Why != WithheldSplit {
						t.Errorf("to the announcer: %+v, want split horizon", e)
					}
					continue
				}
				if e.Why != c.want || e.Term != c.term || e.Told != told || told != (c.want == NotWithheld) {
					t.Errorf("got %+v (told: %t), want %v by %q", e, told, c.want, c.term)
				}
			}
		})
	}
	if tab := New(Config{Self: self}); tab.Exports("a.acme.example") != nil {
		t.Error("an unknown name is explained")
	}
}

// The term of the import chain that decided is named, for accepted and for rejected paths.
func TestExplainNamesTheImportTerm(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0), Import: preferring(200)})
	tab.AddPeer(2, PeerConfig{Node: node(1), Import: rejecting("a.acme.example")})
	tab.AddPeer(3, PeerConfig{Node: node(2), Import: &filter.Chain{Default: filter.Reject}})
	for i := range 3 {
		tab.Apply(PeerID(i+1), announcement("a.acme.example",
			bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(i)}}))
	}
	want := map[bgp.NodeID]string{node(0): "pref", node(1): "no", node(2): ""}
	all := tab.Explain("a.acme.example")
	if len(all) != 3 {
		t.Fatalf("%d candidates, want 3", len(all))
	}
	for _, c := range all {
		if c.Term != want[c.Peer] || (c.Reject == RejectFilter) != (c.Peer != node(0)) {
			t.Errorf("%s: decided by %q (%v), want %q", c.Peer, c.Term, c.Reject, want[c.Peer])
		}
	}
}

// Sets that an explanation makes are let go of.
func TestExplainingLeavesNothing(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(1), Export: preferring(300)})
	tab.AddPeer(2, PeerConfig{Node: node(0)})
	tab.Established(1, "")
	tab.Apply(2, announcement("a.acme.example", bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(0)}}))
	before := tab.Counts()
	for range 3 {
		tab.Exports("a.acme.example")
	}
	if after := tab.Counts(); after != before {
		t.Errorf("counts are %+v, were %+v", after, before)
	}
}
