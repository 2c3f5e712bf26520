package rib

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// transit is a table with one source, peer 1, and receivers from 2 on.
func transit(receivers int) *Table {
	tab := New(Config{Self: self})
	for i := range receivers + 1 {
		tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
		tab.Established(PeerID(i+1), "127.0.0.1:1")
	}
	return tab
}

// batch is one UPDATE of the source about n random services out of 1,000: new attributes, or the end of it.
func batch(r *rand.Rand, n int) *bgp.Update {
	u := &bgp.Update{}
	for _, i := range r.Perm(1000)[:n] {
		nlri := []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i))}}
		if r.IntN(4) == 0 {
			u.Withdrawn = append(u.Withdrawn, nlri...)
			continue
		}
		a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(0)}, Region: fmt.Sprintf("v%d", r.Uint32())}
		u.Announced = append(u.Announced, bgp.Group{Attributes: attr.Append(nil, &a), Routes: nlri})
	}
	return u
}

// Receivers at one pace are given the very same messages, and nothing is kept of them once all have been.
func TestPeersAtOnePaceShareMessages(t *testing.T) {
	const receivers = 5
	tab := transit(receivers)
	for id := range PeerID(receivers + 2) {
		for id > 0 && tab.Update(id) != nil { // End-of-RIB
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		tab.Apply(1, batch(r, 1+r.IntN(300)))
		if u := tab.Update(1); u != nil {
			t.Fatalf("the source is told of its own routes: %+v", u)
		}
		var first []*bgp.Update
		for id := PeerID(2); id < receivers+2; id++ {
			n := 0
			for u := tab.Update(id); u != nil; u = tab.Update(id) {
				switch {
				case id == 2:
					first = append(first, u)
				case n >= len(first) || first[n] != u:
					t.Fatalf("peer %d is given another message than peer 2", id)
				}
				n++
			}
		}
		if tab.recent.held > 0 {
			t.Fatalf("%d messages are kept although nobody waits", tab.recent.held)
		}
	}
}

// Receivers that take messages when they please, one of them next to never, all end with exactly the table; a
// withdrawal never comes for what a peer does not hold, and what had been given out before is not changed by what
// comes later.
func TestPeersAtAnyPaceHoldTheTable(t *testing.T) {
	const receivers = 8
	tab := transit(receivers)
	r := rand.New(rand.NewPCG(2, 2))
	holds := make([]map[bgp.Service]string, receivers+2)
	for id := range holds {
		holds[id] = map[bgp.Service]string{}
	}
	given, distinct := 0, map[*bgp.Update]bool{}
	var late []func()
	take := func(id PeerID, most int) {
		for range most {
			u := tab.Update(id)
			if u == nil {
				return
			}
			given++
			distinct[u] = true
			late = append(late, func() { applyTo(t, holds[id], u) }) // as a stream that is behind would send it
		}
	}
	for range 400 {
		tab.Apply(1, batch(r, 1+r.IntN(200)))
		for id := PeerID(2); id < receivers+2; id++ {
			if id > 2 || r.IntN(40) == 0 {
				take(id, r.IntN(3))
			}
		}
		if r.IntN(100) == 0 {
			id := PeerID(3 + r.IntN(receivers-1))
			late = append(late, func() { clear(holds[id]) })
			tab.Down(id)
			tab.Established(id, "127.0.0.1:1")
		}
	}
	for id := PeerID(1); id < receivers+2; id++ {
		take(id, 10_000)
	}
	for _, f := range late {
		f()
	}
	want := map[bgp.Service]string{}
	tab.AdvertisedTo(receivers+1, func(svc bgp.Service, a bgp.Attributes) bool {
		want[svc] = string(attr.Append(nil, &a))
		return true
	})
	if len(want) != tab.Counts().Services {
		t.Fatalf("%d services are advertised, the table has %d", len(want), tab.Counts().Services)
	}
	for id := 2; id < receivers+2; id++ {
		if !maps.Equal(holds[id], want) {
			t.Errorf("peer %d holds %d services, or others than the %d of the table", id, len(holds[id]), len(want))
		}
	}
	if given <= len(distinct) {
		t.Errorf("%d messages were made for %d: want some shared", len(distinct), given)
	}
	if tab.recent.held > 0 {
		t.Errorf("%d messages are kept although nobody waits", tab.recent.held)
	}
}
