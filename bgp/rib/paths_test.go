package rib

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// overThree returns n routes of erin.example that come over dave, carol and bravo, each with attributes of its own, and
// the path signed by each.
func overThree(tb testing.TB, tab *Table, n int) (updates []*bgp.Update, hops [][]byte) {
	tb.Helper()
	now := time.Unix(1_800_000_000, 0)
	orgs := []bgp.Org{"erin.example", "dave.example", "carol.example", "bravo.example", self.Org}
	keys := map[bgp.Org]*ecdsa.PrivateKey{}
	for _, org := range orgs[:4] {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		keys[org] = key
		public := attest.Key{ID: "path", Public: &key.PublicKey, Path: true}
		tab.Attested().SetKeys(now, org, []attest.Key{public, {ID: "set", Public: &key.PublicKey}})
	}
	set := &attest.Set{
		Org: "erin.example", Serial: 1, NotBefore: now, NotAfter: now.Add(time.Hour),
		Entries: []attest.Entry{{Names: "*.erin.example", Carriers: []string{attest.Anyone}}},
	}
	signed, chunks, err := attest.Sign(set, keys["erin.example"], "set", rand.Reader)
	if err == nil {
		err = tab.Attested().Add(now, signed, chunks)
	}
	if err != nil {
		tb.Fatal(err)
	}
	digest, _ := tab.Attested().CurrentSet("erin.example")
	var before attest.Digest
	for i, org := range orgs[:4] {
		h := attest.Hop{From: org, To: orgs[i+1], Set: digest, Before: before, Until: now.Add(time.Hour), KeyID: "path"}
		raw, err := attest.SignHop(h.Encode(), keys[org], rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		before, hops = attest.HopDigest(h), append(hops, raw)
	}
	path := []bgp.NodeID{
		{Org: "bravo.example", Name: "edge"}, {Org: "carol.example", Name: "c"}, {Org: "dave.example", Name: "d"},
		{Org: "erin.example", Name: "e"},
	}
	for from := 0; from < n; from += 500 {
		u := &bgp.Update{}
		for i := from; i < min(n, from+500); i++ {
			a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: path, MED: uint32(i + 1)}
			u.Announced = append(u.Announced, bgp.Group{
				Attributes: attr.Append(nil, &a), Routes: []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.erin.example", i))}},
			})
		}
		updates = append(updates, u)
	}
	return updates, hops
}

// 100,000 routes over four organisations, each route with attributes of its own, with and without a signed path being
// asked for; and what the signatures themselves cost, once for all of them.
func BenchmarkSignedPaths(b *testing.B) {
	const n = 100_000
	no := func() error { return nil }
	for _, asked := range []bool{false, true} {
		b.Run(fmt.Sprintf("asked=%v", asked), func(b *testing.B) {
			var cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				tab := New(Config{Self: self})
				updates, hops := overThree(b, tab, n)
				tab.AddPeer(1, PeerConfig{
					Node: bgp.NodeID{Org: "bravo.example", Name: "edge"}, External: true, Import: &filter.Chain{},
					Namespaces: []string{"*"}, PathAttested: asked,
				})
				tab.Established(1, "")
				runtime.GC()
				began := cpuTime(b)
				b.StartTimer()
				if asked {
					if _, _, err := tab.Attested().AddPath(time.Unix(1_800_000_000, 0), self.Org, hops, no); err != nil {
						b.Fatal(err)
					}
				}
				for _, u := range updates {
					tab.Apply(1, u)
				}
				cpu += cpuTime(b) - began
				if c := tab.PeerCounts(1); c.Received != n || c.Rejected != 0 {
					b.Fatalf("%+v", c)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/route")
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/n, "cpu-ns/route")
		})
	}
	b.Run("verify four hops", func(b *testing.B) {
		tab := New(Config{Self: self})
		_, hops := overThree(b, tab, 1)
		for b.Loop() {
			b.StopTimer()
			tab.Attested().SetKeys(time.Unix(1_800_000_000, 0), "nobody.example", nil) // forgets what was verified
			b.StartTimer()
			if _, _, err := tab.Attested().AddPath(time.Unix(1_800_000_000, 0), self.Org, hops, no); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sign a hop", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		hop := attest.Hop{From: "a.example", To: "b.example", Until: time.Unix(1_800_000_000, 0), KeyID: "k"}
		for b.Loop() {
			if _, err := attest.SignHop(hop.Encode(), key, rand.Reader); err != nil {
				b.Fatal(err)
			}
		}
	})
}
