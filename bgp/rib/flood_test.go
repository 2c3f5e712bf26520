package rib

import (
	"fmt"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

// A million routes of one node wait to be told of when another node's one service changes: it is told of within the
// next few messages, to peers and to consumers alike, also behind further nodes, where both come from the same peer.
func TestAFloodHoldsNobodyUp(t *testing.T) {
	const flood = 20_000
	for name, noisy := range map[string]PeerID{"from another peer": 2, "from the same peer": 1} {
		t.Run(name, func(t *testing.T) {
			tab := New(Config{Self: self})
			for id := range 3 {
				tab.AddPeer(PeerID(id+1), PeerConfig{Node: node(id)})
				tab.Established(PeerID(id+1), "127.0.0.1:1")
			}
			for u := tab.Update(3); u != nil; u = tab.Update(3) {
			}
			cursor := tab.Subscribe()
			cursor.Next(nil, 10)
			a := from(int(noisy - 1))
			a.NodePath = append(a.NodePath, node(7))
			for i := range flood {
				tab.Apply(noisy, announcement(numbered(i), a))
			}
			quiet := from(0)
			quiet.NodePath = append(quiet.NodePath, node(8))
			tab.Apply(1, announcement("quiet.acme.example", quiet))

			messages := 0
			for found := false; !found; messages++ {
				u := tab.Update(3)
				for _, g := range u.Announced {
					for _, n := range g.Routes {
						found = found || n.Service == "quiet.acme.example"
					}
				}
			}
			if messages > 4 {
				t.Errorf("the peer heard of the quiet service with message %d of about %d", messages, flood/bgp.MaxUpdateRoutes)
			}
			batches := 0
			for found := false; !found; batches++ {
				for _, s := range cursor.Next(nil, 500) {
					found = found || s.Service == "quiet.acme.example"
				}
			}
			if batches > 6 {
				t.Errorf("the consumer heard of the quiet service with batch %d of about %d", batches, flood/500)
			}
		})
	}
}

// After a flood has gone, the table's arrays are as short as before, although services that came in the middle of it
// stay.
func TestMemoryGoesBackAfterAFlood(t *testing.T) {
	const flood = 200_000
	tab := New(Config{Self: self})
	for id := range 3 {
		tab.AddPeer(PeerID(id+1), PeerConfig{Node: node(id)})
		tab.Established(PeerID(id+1), "127.0.0.1:1")
	}
	cursor := tab.Subscribe()
	drain := func() {
		finish(tab)
		for id := range 3 {
			for tab.Pending(PeerID(id+1)) > 0 {
				tab.Update(PeerID(id + 1))
			}
		}
		for cursor.Pending() {
			cursor.Next(nil, 500)
		}
		finish(tab)
	}
	for i := range flood {
		a := from(0)
		a.MED = uint32(i)
		tab.Apply(1, announcement(numbered(i), a))
		if i%1000 == 0 {
			tab.Apply(2, announcement(bgp.Service(fmt.Sprintf("stays-%d.acme.example", i)), from(1)))
		}
	}
	drain()
	tab.Clear(1)
	drain()
	for range 3 { // what was pending while the arrays were looked at is looked at again after the next change
		tab.Apply(2, announcement("last.acme.example", from(1)))
		drain()
		tab.Apply(2, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: "last.acme.example"}}})
		drain()
	}
	for what, n := range map[string]int{
		"paths": cap(tab.paths), "services": cap(tab.svcs), "names": cap(tab.names.refs),
		"free names": cap(tab.names.free), "sets": cap(tab.attrs.refs),
		"free sets": cap(tab.attrs.free), "summaries": cap(tab.sums), "told": cap(tab.peers[3].out),
	} {
		if n > 2*leastShrunk {
			t.Errorf("there is still room for %d %s", n, what)
		}
	}
	slots := 0
	for _, in := range []*interner{tab.names, tab.attrs} {
		for i := range in.index.shards {
			slots += len(in.index.shards[i].slots)
		}
	}
	if c := tab.Counts(); c.Paths != flood/1000 || c.Bytes > 1<<20 || slots > flood/4 {
		t.Errorf("%+v and %d slots are left", c, slots)
	}
	for i := 0; i < flood; i += 1000 {
		if all := tab.Explain(bgp.Service(fmt.Sprintf("stays-%d.acme.example", i))); len(all) != 1 || all[0].Peer != node(1) {
			t.Fatalf("the service that came with route %d: %+v", i, all)
		}
	}
}

// A peer's limits hold whatever it does: routes of too many bytes, too many bytes together, too many paths of one
// service. What a route that is left out replaces goes, since the peer announces it no more.
func TestLimitsInBytesAndPaths(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0), MaxRouteBytes: 300, MaxBytes: 2000, PathsIn: 2})
	large := func(n int) bgp.Attributes {
		a := from(0)
		a.Attestation = make([]byte, n)
		return a
	}
	tab.Apply(1, announcement("a.acme.example", from(0)))
	res := tab.Apply(1, announcement("a.acme.example", large(400)))
	if res.Rejected[RejectSize] != 1 || tab.PeerCounts(1).Received != 0 {
		t.Errorf("a route of 400 bytes: %+v, %+v", res, tab.PeerCounts(1))
	}
	for i := range 20 {
		tab.Apply(1, announcement(numbered(i), large(200)))
	}
	c := tab.PeerCounts(1)
	if c.Bytes > 2000 || c.Received < 7 || c.Blocked != 20-c.Received {
		t.Errorf("20 routes of about 240 bytes: %+v", c)
	}
	for i := range 20 {
		tab.Apply(1, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: numbered(i)}}})
	}
	if c := tab.PeerCounts(1); c.Bytes != 0 {
		t.Errorf("%d bytes are left of no route", c.Bytes)
	}
	for id := range uint32(5) {
		u := announcement("a.acme.example", from(0))
		u.Announced[0].Routes[0].PathID = id
		tab.Apply(1, u)
	}
	if c := tab.PeerCounts(1); c.Received != 2 {
		t.Errorf("%d paths of one service were taken, want 2", c.Received)
	}
}
