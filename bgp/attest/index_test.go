package attest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// The index finds for every name what a look at each entry finds, whatever names share a hash.
func TestIndexFindsWhatCovers(t *testing.T) {
	names := []string{
		"*.acme.example", "a.acme.example", "b.acme.example", "*.a.acme.example", "b.a.acme.example", "*.b.a.acme.example",
		"c.b.a.acme.example",
	}
	rapid.Check(t, func(t *rapid.T) {
		var entries []Entry
		for i, n := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 12).Draw(t, "names") {
			entries = append(entries, Entry{Names: n, Protocols: []bgp.Protocol{bgp.Protocol(i%5 + 1)}})
		}
		entries = sortEntries(entries)
		ix, err := newIndex("acme.example", chunksOf(entries))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "collide") { // as if all hashes were one
			for i := range ix.refs {
				ix.refs[i].next = uint32(i+2) % uint32(len(ix.refs)+1)
			}
			for _, by := range []map[uint64]uint32{ix.exact, ix.below} {
				for hash := range by {
					by[hash] = 1
				}
			}
		}
		svc := bgp.Service(rapid.SampledFrom(append(names, "x.y.acme.example")).Draw(t, "name"))
		var got, want []bgp.Protocol
		ix.find(svc, func(e *Entry) bool {
			got = append(got, e.Protocols[0])
			return true
		})
		for i := range entries {
			if filter.Covers(entries[i].Names, svc) {
				want = append(want, entries[i].Protocols[0])
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%s of %+v: %v, want %v", svc, entries, got, want)
		}
	})
}
