package rib

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// updates returns n routes of one peer, each with attributes of its own, in full messages.
func updates(n, from int) []*bgp.Update {
	var all []*bgp.Update
	for i := 0; i < n; i += 400 {
		u := &bgp.Update{}
		for j := i; j < min(n, i+400); j++ {
			a := bgp.Attributes{
				Protocol: bgp.HTTP,
				NodePath: []bgp.NodeID{node(from), node(77)},
				Region:   fmt.Sprintf("r%d", j),
				Tags:     []string{fmt.Sprintf("tag-%d", j)},
			}
			u.Announced = append(u.Announced, bgp.Group{
				Attributes: attr.Append(nil, &a),
				Routes:     []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("service-%d.acme.example", j))}},
			})
		}
		all = append(all, u)
	}
	return all
}

// One transit hop: routes of one peer in, the same routes to another out.
func BenchmarkTransit(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := updates(n, 0)
			for b.Loop() {
				tab := New(Config{Self: self})
				tab.AddPeer(1, PeerConfig{Node: node(0)})
				tab.AddPeer(2, PeerConfig{Node: node(1)})
				tab.Established(1, "")
				tab.Established(2, "")
				var before, after runtime.MemStats
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				for _, m := range in {
					tab.Apply(1, m)
					for u := tab.Update(2); u != nil; u = tab.Update(2) {
					}
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/route")
				runtime.KeepAlive(tab)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/route")
		})
	}
}

// Failover: the better of two peers that announce everything goes away.
func BenchmarkFailover(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.StopTimer()
		tab := New(Config{Self: self})
		for i := range 3 {
			tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
			tab.Established(PeerID(i+1), "")
		}
		for _, from := range []int{0, 1} {
			for _, m := range updates(n, from) {
				tab.Apply(PeerID(from+1), m)
			}
		}
		for u := tab.Update(3); u != nil; u = tab.Update(3) {
		}
		b.StartTimer()
		tab.Down(1)
		tab.Clear(1)
		for tab.Work(2000) {
			for u := tab.Update(3); u != nil; u = tab.Update(3) {
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/route")
}
