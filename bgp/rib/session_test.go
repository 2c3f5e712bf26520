package rib

import (
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// held is what a peer holds after it has taken all that waits for it.
func held(t *testing.T, tab *Table, id PeerID, holds map[bgp.Service]string) (updates, announced, withdrawn int) {
	t.Helper()
	for u := tab.Update(id); u != nil; u = tab.Update(id) {
		updates++
		withdrawn += len(u.Withdrawn)
		for _, g := range u.Announced {
			announced += len(g.Routes)
		}
		applyTo(t, holds, u)
	}
	return updates, announced, withdrawn
}

func from(i int) bgp.Attributes {
	return bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(i)}}
}

func numbered(i int) bgp.Service { return bgp.Service(fmt.Sprintf("s%d.acme.example", i)) }

// Removing a large table goes in slices. A peer that comes back meanwhile and announces a route again must not have
// it removed by the rest of the walk.
func TestAnnouncedAgainWhileCleared(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	for i := range 10 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	tab.Clear(1)
	tab.Work(2)
	tab.Established(1, "")
	for i := range 5 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	finish(tab)
	if c := tab.PeerCounts(1); c.Received != 5 || c.Stale != 0 || tab.Counts().Services != 5 {
		t.Errorf("%+v of %d services are left, want the 5 that were announced again", c, tab.Counts().Services)
	}
}

// A session that drops while the sweep after End-of-RIB is still under way: what was to be swept goes, what was
// announced before the drop stays as stale.
func TestDropDuringASweep(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	for i := range 10 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	tab.MarkStale(1)
	tab.Established(1, "")
	for i := range 5 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	finish(tab)
	tab.Sweep(1)
	tab.Work(1)
	tab.MarkStale(1)
	finish(tab)
	if c := tab.PeerCounts(1); c.Received != 5 || c.Stale != 5 {
		t.Errorf("%+v, want the 5 fresh ones, stale now", c)
	}
}

// Generations are eight bits: a peer that fails 256 times must not make what is stale look fresh.
func TestStaleStaysStale(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.Apply(1, announcement(numbered(0), from(0)))
	for range 256 {
		tab.MarkStale(1)
		finish(tab)
	}
	if all := tab.Explain(numbered(0)); !all[0].Stale || tab.PeerCounts(1).Stale != 1 {
		t.Errorf("after 256 failures: %+v", all[0])
	}
	for range 255 { // and a refresh that is begun 255 times must not either
		tab.BeginRefresh(1)
	}
	tab.Sweep(1)
	finish(tab)
	if c := tab.PeerCounts(1); c.Received != 0 || c.Stale != 0 {
		t.Errorf("%+v are left", c)
	}
}

// An end-of-refresh marker that nobody asked for must not sweep the stale routes of a peer that is just coming back
// (RFC 7313 §4.2).
func TestEndOfRefreshWithoutBegin(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.Apply(1, announcement(numbered(0), from(0)))
	tab.MarkStale(1)
	tab.Established(1, "")
	tab.EndRefresh(1)
	finish(tab)
	if tab.PeerCounts(1).Received != 1 {
		t.Error("the stale route was swept")
	}
}

// A refresh of what has not changed must cost no decision, no message and no compilation.
func TestRefreshOfTheSameIsSilent(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.AddPeer(2, PeerConfig{Node: node(1)})
	tab.Established(2, "")
	holds := map[bgp.Service]string{}
	for i := range 10 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	held(t, tab, 2, holds)
	revision := tab.Revision()
	tab.BeginRefresh(1)
	for i := range 9 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	if tab.Revision() != revision || tab.Pending(2) != 0 {
		t.Errorf("revision %d was %d, %d services wait", tab.Revision(), revision, tab.Pending(2))
	}
	tab.EndRefresh(1)
	finish(tab)
	if _, a, w := held(t, tab, 2, holds); a != 0 || w != 1 || len(holds) != 9 {
		t.Errorf("%d announced, %d withdrawn, %d held: want the one that was not repeated to go", a, w, len(holds))
	}
}

// A route marked no-llgr goes when the restart time is over; the others serve on as last resort, marked so for those
// further away (RFC 9494 §4).
func TestNoLongLived(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.AddPeer(2, PeerConfig{Node: node(1)})
	tab.Established(2, "")
	marked := from(0)
	marked.Communities = []bgp.Community{bgp.NoLongLived}
	tab.Apply(1, announcement(numbered(0), from(0)))
	tab.Apply(1, announcement(numbered(1), marked))
	tab.MarkStale(1)
	finish(tab)
	holds := map[bgp.Service]string{}
	held(t, tab, 2, holds)
	if len(holds) != 2 {
		t.Fatalf("%d routes told during the restart time, want 2", len(holds))
	}
	tab.MarkLongLived(1)
	finish(tab)
	if _, a, w := held(t, tab, 2, holds); a != 1 || w != 1 {
		t.Errorf("%d announced again and %d withdrawn, want 1 and 1", a, w)
	}
	tab.AdvertisedTo(2, func(s bgp.Service, a bgp.Attributes) bool {
		if s != numbered(0) || !a.HasCommunity(bgp.LongLivedStale) {
			t.Errorf("told of %s with %v", s, a.Communities)
		}
		return true
	})
}

// Who is a client of a hub decides what goes to every other peer, and the first client makes this node a hub: a
// change of it has to reach them all (RFC 4456 §6).
func TestClientsChange(t *testing.T) {
	tab := New(Config{Self: self})
	holds := map[bgp.Service]string{}
	for i := range 3 {
		tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
		tab.Established(PeerID(i+1), "h:1")
	}
	tab.Apply(1, announcement(numbered(0), from(0)))
	held(t, tab, 2, holds)
	passed := holds[numbered(0)]
	if passed == "" {
		t.Fatal("a node that is no hub passes routes on")
	}
	tab.UpdatePeer(3, PeerConfig{Node: node(2), Client: true}) // a hub now: nothing from a non-client to a non-client
	if held(t, tab, 2, holds); len(holds) != 0 {
		t.Errorf("a non-client holds a non-client's route: %q", holds)
	}
	tab.UpdatePeer(1, PeerConfig{Node: node(0), Client: true}) // a client's goes to all
	if held(t, tab, 2, holds); len(holds) != 1 || holds[numbered(0)] == passed {
		t.Errorf("a non-client holds %q of a client's, want it reflected", holds)
	}
	tab.RemovePeer(3)
	tab.UpdatePeer(1, PeerConfig{Node: node(0)})
	if held(t, tab, 2, holds); holds[numbered(0)] != passed {
		t.Errorf("without clients: %q, want %q", holds, passed)
	}
}

// The best two of three with distinct next hops; when one goes the third fills in, and what stays keeps its path id,
// so that nothing is sent of it.
func TestAddPathFillsIn(t *testing.T) {
	tab := New(Config{Self: self})
	for i := range 4 {
		tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
	}
	tab.AddPeer(5, PeerConfig{Node: node(5), AddPath: 2})
	tab.Established(5, "")
	via := func(hub, hop int) bgp.Attributes {
		return bgp.Attributes{
			Protocol:    bgp.HTTP,
			NodePath:    []bgp.NodeID{node(hop)},
			Originator:  node(hop),
			NextHop:     bgp.NextHop{Node: node(hop), Address: "x:1"},
			ClusterList: []bgp.NodeID{node(hub)},
		}
	}
	// Two hubs reflect the same next hop: they are one choice, not two.
	tab.Apply(1, announcement(numbered(0), via(0, 7)))
	tab.Apply(2, announcement(numbered(0), via(1, 7)))
	tab.Apply(3, announcement(numbered(0), from(2)))
	tab.Apply(4, announcement(numbered(0), bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(3), node(8)}}))
	type key struct {
		svc bgp.Service
		id  uint32
	}
	holds := map[key]string{}
	take := func() (announced, withdrawn int) {
		for u := tab.Update(5); u != nil; u = tab.Update(5) {
			for _, n := range u.Withdrawn {
				withdrawn++
				delete(holds, key{n.Service, n.PathID})
			}
			for _, g := range u.Announced {
				for _, n := range g.Routes {
					announced++
					holds[key{n.Service, n.PathID}] = string(g.Attributes)
				}
			}
		}
		return announced, withdrawn
	}
	if a, w := take(); a != 2 || w != 0 || len(holds) != 2 {
		t.Fatalf("%d announced, %d withdrawn: %v, want two next hops", a, w, holds)
	}
	tab.Apply(3, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: numbered(0)}}})
	if a, w := take(); a != 1 || w != 1 || len(holds) != 2 {
		t.Errorf("%d announced, %d withdrawn: %v, want the third to fill in alone", a, w, holds)
	}
	if got := fmt.Sprint(holds); !strings.Contains(got, "/n7") || !strings.Contains(got, "/n8") {
		t.Errorf("%s, want one path by n7 and one by n8", got)
	}
	tab.Apply(3, announcement(numbered(0), from(2)))
	if a, w := take(); a != 1 || w != 1 || len(holds) != 2 {
		t.Errorf("%d announced, %d withdrawn: %v, want the better one back", a, w, holds)
	}
}

// A peer that subscribes gets its names and no others; a change of the set costs exactly the difference, also while
// the first table is under way, and a change of exact names looks at those names alone.
func TestSubscription(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.AddPeer(2, PeerConfig{Node: node(1)})
	for i := range 1000 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	tab.Apply(1, announcement("x.deep.acme.example", from(0)))
	tab.Apply(1, announcement("*.wild.acme.example", from(0)))
	tab.Established(2, "")
	holds := map[bgp.Service]string{}
	set := func(names ...bgp.Service) { tab.SetWanted(2, filter.NewNames(names)); finish(tab) }
	set(numbered(3), "*.deep.acme.example")
	if _, a, w := held(t, tab, 2, holds); a != 2 || w != 0 || holds[numbered(3)] == "" ||
		holds["x.deep.acme.example"] == "" {
		t.Errorf("%d announced, %d withdrawn: %q", a, w, holds)
	}
	set(numbered(4), numbered(5), "*.deep.acme.example")
	if waiting := tab.Pending(2); waiting != 3 {
		t.Errorf("%d services are looked at for a change of 3 names", waiting)
	}
	if _, a, w := held(t, tab, 2, holds); a != 2 || w != 1 || len(holds) != 3 {
		t.Errorf("%d announced, %d withdrawn: %q", a, w, holds)
	}
	set("y.wild.acme.example")
	if held(t, tab, 2, holds); len(holds) != 1 || holds["*.wild.acme.example"] == "" {
		t.Errorf("a name below a suffix route: %q", holds)
	}
	tab.Apply(1, announcement("new.acme.example", from(0)))
	if _, a, _ := held(t, tab, 2, holds); a != 0 {
		t.Error("told of a name that it does not want")
	}
	tab.SetWanted(2, nil)
	if held(t, tab, 2, holds); len(holds) != 1003 {
		t.Errorf("%d of 1003 once everything is wanted", len(holds))
	}
}

// A filter edited live costs the exact difference.
func TestFilterEditSendsTheDifference(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.AddPeer(2, PeerConfig{Node: node(1), Export: rejecting(numbered(1))})
	tab.Established(2, "")
	for i := range 100 {
		tab.Apply(1, announcement(numbered(i), from(0)))
	}
	holds := map[bgp.Service]string{}
	held(t, tab, 2, holds)
	for _, c := range []struct {
		name                 string
		edit                 func()
		announced, withdrawn int
	}{
		{"export moves from one name to another",
			func() { tab.UpdatePeer(2, PeerConfig{Node: node(1), Export: rejecting(numbered(2))}) }, 1, 1},
		{"the same export rules again", func() {
			tab.UpdatePeer(2,
				PeerConfig{Node: node(1), Export: rejecting(numbered(2))})
		}, 0, 0},
		{"import rejects one", func() { tab.UpdatePeer(1, PeerConfig{Node: node(0), Import: rejecting(numbered(5))}) }, 0, 1},
		{"import lets it in again", func() { tab.UpdatePeer(1, PeerConfig{Node: node(0)}) }, 1, 0},
		{"import changes what all carry", func() { tab.UpdatePeer(1, PeerConfig{Node: node(0), Import: preferring(200)}) },
			99, 0},
	} {
		c.edit()
		finish(tab)
		if _, a, w := held(t, tab, 2, holds); a != c.announced || w != c.withdrawn {
			t.Errorf("%s: %d announced and %d withdrawn, want %d and %d", c.name, a, w, c.announced, c.withdrawn)
		}
	}
}

// A trace times one change on its way. The table that a new session is sent is none, and a change without a trace is
// not the one before it.
func TestTraceIsOfTheChange(t *testing.T) {
	tab := New(Config{Self: self})
	for i := range 3 {
		tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
	}
	tab.Established(1, "")
	tab.Established(2, "")
	held(t, tab, 2, map[bgp.Service]string{})
	traced := announcement(numbered(0), from(0))
	traced.Trace = bgp.Trace{TraceID: [16]byte{1}, Declared: 42}
	tab.Apply(1, traced)
	if u := tab.Update(2); u == nil || u.Trace != traced.Trace {
		t.Errorf("a peer that is told of the change gets %+v, want its trace", u)
	}
	tab.Established(3, "")
	if u := tab.Update(3); u == nil || len(u.Announced) != 1 || u.Trace != (bgp.Trace{}) {
		t.Errorf("a new session gets %+v, want the route without a trace", u)
	}
	again := from(0)
	again.MED = 7
	tab.Apply(1, announcement(numbered(0), again))
	if u := tab.Update(2); u == nil || len(u.Announced) != 1 || u.Trace != (bgp.Trace{}) {
		t.Errorf("a change without a trace goes out as %+v", u)
	}
}
