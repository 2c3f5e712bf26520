package rib

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// attesting enters a set of bravo.example that covers the names that a function gives.
func attesting(tb testing.TB, tab *Table, serial uint64, n int, name func(int) string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	set := &attest.Set{Org: "bravo.example", Serial: serial, NotBefore: now, NotAfter: now.Add(time.Hour)}
	for i := range n {
		set.Entries = append(set.Entries, attest.Entry{Names: name(i)})
	}
	signed, chunks, err := attest.Sign(set, key, "k", rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tab.Attested().SetKeys(now, "bravo.example", []attest.Key{{ID: "k", Public: &key.PublicKey}})
	if err := tab.Attested().Add(now, signed, chunks); err != nil {
		tb.Fatal(err)
	}
}

// distinct announces n services of bravo.example, each with attributes of its own.
func distinct(n int) []*bgp.Update {
	var all []*bgp.Update
	for from := 0; from < n; from += 500 {
		u := &bgp.Update{}
		for i := from; i < min(n, from+500); i++ {
			a := bgp.Attributes{
				Protocol: bgp.HTTP, NodePath: []bgp.NodeID{{Org: "bravo.example", Name: "edge"}}, MED: uint32(i + 1),
			}
			u.Announced = append(u.Announced, bgp.Group{
				Attributes: attr.Append(nil, &a), Routes: []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.bravo.example", i))}},
			})
		}
		all = append(all, u)
	}
	return all
}

func fromBravo() PeerConfig {
	return PeerConfig{
		Node: bgp.NodeID{Org: "bravo.example", Name: "edge"}, External: true, Import: &filter.Chain{}, Attested: true,
	}
}

// A list that changes touches the routes that it concerns and no others.
func TestAChangedListTouchesWhatItConcerns(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, fromBravo())
	tab.Established(1, "")
	name := func(i int) string { return fmt.Sprintf("s%d.bravo.example", i) }
	attesting(t, tab, 1, 1000, name)
	for _, u := range distinct(1000) {
		tab.Apply(1, u)
	}
	if c := tab.PeerCounts(1); c.Rejected != 0 || c.Received != 1000 {
		t.Fatalf("%+v", c)
	}
	before := tab.Revision()
	attesting(t, tab, 2, 990, name) // the last ten are gone
	tab.Revalidate()
	for tab.Work(100) {
	}
	if c := tab.PeerCounts(1); c.Rejected != 10 || tab.Revision()-before != 10 {
		t.Errorf("%+v, %d changes", c, tab.Revision()-before)
	}
	attesting(t, tab, 3, 1, func(int) string { return "*.bravo.example" })
	tab.Revalidate()
	for tab.Work(100) {
	}
	if c := tab.PeerCounts(1); c.Rejected != 0 || tab.Revision()-before != 20 {
		t.Errorf("%+v, %d changes", c, tab.Revision()-before)
	}
}

// 100,000 routes of a peer, taken without a list, with one pattern for all, and with a list of 100,000 names, which
// was read before.
func BenchmarkAttested(b *testing.B) {
	const n = 100_000
	messages := distinct(n)
	name := func(i int) string { return fmt.Sprintf("s%d.bravo.example", i) }
	for _, bb := range []struct {
		name  string
		names int
		of    func(int) string
	}{{"none", 0, nil}, {"pattern", 1, func(int) string { return "*.bravo.example" }}, {"names", n, name}} {
		b.Run(bb.name, func(b *testing.B) {
			var cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				tab := New(Config{Self: self})
				cfg := fromBravo()
				cfg.Attested = bb.names > 0
				tab.AddPeer(1, cfg)
				tab.Established(1, "")
				if bb.names > 0 {
					attesting(b, tab, 1, bb.names, bb.of)
				}
				runtime.GC() // what making the list has left over is not its readers' cost
				before := cpuTime(b)
				b.StartTimer()
				for _, u := range messages {
					tab.Apply(1, u)
				}
				cpu += cpuTime(b) - before
				if c := tab.PeerCounts(1); c.Received != n || c.Rejected != 0 {
					b.Fatalf("%+v", c)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/route")
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/n, "cpu-ns/route")
		})
	}
}

// cpuTime is what the process has used, by all its threads: unlike time, it says little of the machine's other users.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// A border with 1,000 peers of other organisations that all have the same export rules: what a peer costs, and how long
// it takes until one change is in the message of each.
func BenchmarkThousandPeers(b *testing.B) {
	const peers, services = 1000, 1000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	rules := &filter.Chain{Terms: []filter.Term{{Name: "own", Action: filter.Accept}}}
	tab := New(Config{Self: self})
	a := bgp.Attributes{Protocol: bgp.HTTP}
	for i := range services {
		if err := tab.SetLocal(bgp.Service(fmt.Sprintf("s%d.acme.example", i)), &a, bgp.Trace{}); err != nil {
			b.Fatal(err)
		}
	}
	before := heap()
	told := func() (n int) {
		for id := range PeerID(peers) {
			for u := tab.Update(id + 1); u != nil; u = tab.Update(id + 1) {
				for g := range u.Announced {
					n += len(u.Announced[g].Routes)
				}
			}
		}
		return n
	}
	for id := range PeerID(peers) {
		org := bgp.Org(fmt.Sprintf("org%d.example", id))
		tab.AddPeer(id+1, PeerConfig{
			Node: bgp.NodeID{Org: org, Name: "edge"}, External: true, Import: &filter.Chain{}, Export: rules,
		})
		tab.Established(id+1, "")
	}
	if n := told(); n != peers*services {
		b.Fatalf("%d routes were told of", n)
	}
	each := float64(heap()-before) / peers
	for b.Loop() {
		a.MED++
		if err := tab.SetLocal("s7.acme.example", &a, bgp.Trace{}); err != nil {
			b.Fatal(err)
		}
		if n := told(); n != peers {
			b.Fatalf("%d peers were told", n)
		}
	}
	b.ReportMetric(each, "B/peer")
}
