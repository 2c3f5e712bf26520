package attest

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
			ix.mask = 0
			for i := range ix.refs {
				ix.refs[i].hash = 0
			}
			if err := ix.resize(len(ix.slots)); err != nil {
				t.Fatal(err)
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

// Whoever signs a list cannot make it dear to look at: of one name there are not many entries, and the others are found
// at once however many there are.
func TestEntriesOfOneNameAreFew(t *testing.T) {
	list := func(n int) error {
		var entries []Entry
		for i := range n {
			entries = append(entries, Entry{Names: "*.acme.example", Protocols: []bgp.Protocol{bgp.HTTP},
				Origins: []string{fmt.Sprintf("n%d", i)}})
		}
		set := Set{Org: "acme.example", Serial: 1, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0), Entries: entries}
		_, err := newIndex("acme.example", chunksOf(entries))
		if (err == nil) != (set.Check() == nil) {
			t.Errorf("of %d entries who signs says %v, who reads %v", n, set.Check(), err)
		}
		return err
	}
	if err := list(maxAlike); err != nil {
		t.Error(err)
	}
	if err := list(maxAlike + 1); err == nil {
		t.Errorf("%d entries of one name are taken", maxAlike+1)
	}
}
