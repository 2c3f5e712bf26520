package rib

import "testing"

// A session that ends leaves nothing behind, whatever of its table was sent, however many paths of a service, and
// whatever still waited; and no call works on it for longer than a slice.
func TestEndOfSessionIsClearedInSlices(t *testing.T) {
	const n, slice = 50_000, 500
	for name, c := range map[string]struct {
		addPath int
		most    int // messages that are sent before the end
	}{
		"all is sent": {1, n}, "all is sent, of many paths": {2, n}, "some still waits": {1, 10}, "nothing is sent": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tab := New(Config{Self: self})
			for i := range 3 {
				tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i), AddPath: c.addPath})
				tab.Established(PeerID(i+1), "")
				for tab.Update(PeerID(i+1)) != nil { // End-of-RIB: what comes now waits in a queue
				}
			}
			for _, from := range []int{0, 1} {
				for _, u := range updates(n, from) {
					tab.Apply(PeerID(from+1), u)
				}
			}
			for range c.most {
				if tab.Update(3) == nil {
					break
				}
			}
			for i := range 3 {
				if cost := step(tab, func() { tab.Down(PeerID(i + 1)) }); cost > slice {
					t.Errorf("the end itself cost %d", cost)
				}
			}
			slices := 0
			for working := true; working; slices++ {
				if cost := step(tab, func() { working = tab.Work(slice) }); cost > 2*slice {
					t.Errorf("a slice cost %d, want about %d", cost, slice)
				}
			}
			for i := range 2 {
				tab.Clear(PeerID(i + 1))
			}
			finish(tab)
			if k := tab.Counts(); k.Services+k.Paths+k.Sets != 0 || len(tab.names.refs) != len(tab.names.free) {
				t.Errorf("left when all has gone: %+v, %d names", k, len(tab.names.refs)-len(tab.names.free))
			}
			if c.most == n && slices < 10 {
				t.Errorf("it took %d slices: nothing was sliced", slices)
			}
		})
	}
}

// step returns what f cost.
func step(tab *Table, f func()) uint64 {
	before := tab.Effort()
	f()
	return tab.Effort() - before
}
