package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// begun is when a test begins; the table itself reads no clock.
func begun() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

func take(t *testing.T, tab *Table, now time.Time, svc bgp.Service, want uint16) {
	t.Helper()
	if got, err := tab.Take(now, svc); got != want || err != nil {
		t.Errorf("%s has %d, %v; want %d", svc, got, err, want)
	}
}

// A port stays with its name while nothing leads to it, over a restart, and whatever order names come back in.
func TestAPortBelongsToAName(t *testing.T) {
	now := begun()
	tab := New([]uint16{1, 2, 3}, nil, now)
	take(t, tab, now, "zeta", 1)
	take(t, tab, now, "alpha", 2)
	tab.Leave(now, "zeta")
	tab.Leave(now, "alpha")
	take(t, tab, now, "alpha", 2)
	take(t, tab, now, "zeta", 1)
	tab.Leave(now, "zeta")
	take(t, tab, now.Add(1000*time.Hour), "new", 3)
	kept, free := tab.Entries()
	if free != 0 || len(kept) != 3 {
		t.Errorf("got %+v, %d free", kept, free)
	}
	tab = New([]uint16{1, 2, 3}, kept, now)
	take(t, tab, now, "alpha", 2)
	take(t, tab, now, "zeta", 1)
}

// Where every port belongs to a name, the one that has been away longest loses its own, nobody before the grace is
// over, and it is said who.
func TestAnExhaustedPool(t *testing.T) {
	now := begun()
	tab := New([]uint16{1, 2, 3}, nil, now)
	for i, svc := range []bgp.Service{"a", "b", "c"} {
		take(t, tab, now, svc, uint16(i+1))
	}
	if _, err := tab.Take(now, "d"); !errors.Is(err, ErrExhausted) || !strings.Contains(err.Error(), "envoy.tcp-ports") {
		t.Errorf("an exhausted pool says %v", err)
	}
	tab.Leave(now, "b")
	tab.Leave(now.Add(time.Second), "a")
	if _, err := tab.Take(now.Add(Grace-time.Nanosecond), "d"); !errors.Is(err, ErrExhausted) {
		t.Errorf("a port is taken from a service that has just gone: %v", err)
	}
	now = now.Add(time.Hour)
	take(t, tab, now, "d", 2)
	want := []Reclaimed{{At: now, Port: 2, From: "b", To: "d", Away: begun()}}
	if got := tab.Reclaimed(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	put, drop := tab.Unkept()
	if !slices.ContainsFunc(put, func(e Entry) bool { return e.Service == "d" }) ||
		!slices.Equal(drop, []bgp.Service{"b"}) {
		t.Errorf("to be kept: %+v, %v", put, drop)
	}
}

func TestOperatorsPinAndFree(t *testing.T) {
	now := begun()
	tab := New([]uint16{1, 2}, nil, now)
	take(t, tab, now, "a", 1)
	if err := tab.Pin(now, "b", 1); err == nil || !strings.Contains(err.Error(), "belongs to a") {
		t.Errorf("a port of another is pinned: %v", err)
	}
	if err := errors.Join(tab.Pin(now, "b", 2), tab.Pin(now, "a", 9000)); err != nil {
		t.Fatal(err)
	}
	take(t, tab, now, "a", 9000)
	take(t, tab, now, "c", 1)
	tab.Leave(now, "a")
	tab.Leave(now, "b")
	now = now.Add(time.Hour)
	if _, err := tab.Take(now, "d"); !errors.Is(err, ErrExhausted) {
		t.Errorf("a pinned port is given to another: %v", err)
	}
	if had, err := tab.Free("c"); err == nil || !had || !strings.Contains(err.Error(), "in use at port 1") {
		t.Errorf("a port in use is freed: %v, %v", had, err)
	}
	for svc, want := range map[bgp.Service]bool{"b": true, "nobody": false} {
		if had, err := tab.Free(svc); had != want || err != nil {
			t.Errorf("%s: %v, %v", svc, had, err)
		}
	}
	take(t, tab, now, "d", 2)
	tab.Leave(now, "c")
	if err := tab.Pin(now, "c", 1); err != nil { // the one that it has
		t.Fatal(err)
	}
	if _, free := tab.Entries(); free != 0 {
		t.Errorf("a pinned port is free")
	}
}

func TestAdopt(t *testing.T) {
	now := begun()
	tab := New([]uint16{1, 2, 3}, []Entry{{Service: "a", Port: 1}, {Service: "dup", Port: 1}}, now)
	for _, tt := range []struct {
		svc  bgp.Service
		port uint16
		want bool
	}{{"a", 1, true}, {"a", 2, false}, {"b", 1, false}, {"b", 2, true}, {"c", 9000, true}} {
		if got := tab.Adopt(tt.svc, tt.port, now); got != tt.want {
			t.Errorf("%s at %d: %v", tt.svc, tt.port, got)
		}
	}
	take(t, tab, now, "b", 2)
	take(t, tab, now, "d", 3)
}

// In any order of arrivals, departures, pins, restarts and failures to write: no two names have one port, a name's
// port changes only by the operator's hand or by a reclaim that is reported, the reclaimed one was away longest, and
// what was kept is what the table says.
func TestRandomOrder(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := &twin{
			t:    t,
			rnd:  rnd,
			pool: []uint16{1, 2, 3, 4, 5},
			now:  begun(),
			kept: map[bgp.Service]Entry{},
			had:  map[bgp.Service]uint16{},
		}
		w.tab = New(w.pool, nil, w.now)
		for range 300 {
			w.step()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// twin follows a table with what may be expected of it.
type twin struct {
	t    *testing.T
	rnd  *rand.Rand
	tab  *Table
	pool []uint16
	now  time.Time
	kept map[bgp.Service]Entry
	had  map[bgp.Service]uint16 // every name's port, as it was last seen
}

func (w *twin) step() {
	svc := bgp.Service(fmt.Sprintf("s%d", w.rnd.IntN(9)))
	w.now = w.now.Add(time.Duration(w.rnd.IntN(int(2 * Grace))))
	before, _ := w.tab.Entries()
	reclaims := len(w.tab.Reclaimed())
	switch op := w.rnd.IntN(20); {
	case op < 9:
		if _, err := w.tab.Take(w.now, svc); err != nil {
			w.exhausted(before)
		}
	case op < 16:
		w.tab.Leave(w.now, svc)
	case op == 16:
		if w.tab.Pin(w.now, svc, uint16(1+w.rnd.IntN(7))) == nil {
			delete(w.had, svc)
		}
	case op == 17:
		if _, err := w.tab.Free(svc); err == nil {
			delete(w.had, svc)
		}
	case op == 18: // written down
		w.keep()
	default: // a restart, after everything was written down
		w.keep()
		var entries []Entry
		for _, e := range w.kept {
			entries = append(entries, e)
		}
		w.tab, reclaims = New(w.pool, entries, w.now), 0
	}
	w.check(before, reclaims)
}

func (w *twin) keep() {
	put, drop := w.tab.Unkept()
	if w.rnd.IntN(4) == 0 {
		put, drop = w.tab.Unkept() // the disk was full
	}
	for _, e := range put {
		w.kept[e.Service] = e
	}
	for _, svc := range drop {
		delete(w.kept, svc)
	}
	w.tab.Kept(put, drop)
	all, _ := w.tab.Entries()
	if len(all) != len(w.kept) {
		w.t.Errorf("kept %v, want %v", w.kept, all)
	}
	for _, e := range all {
		if w.kept[e.Service] != e {
			w.t.Errorf("kept %v, want %v", w.kept[e.Service], e)
		}
	}
}

// exhausted checks that no port could have been given.
func (w *twin) exhausted(before []Entry) {
	used := map[uint16]bool{}
	for _, e := range before {
		used[e.Port] = true
		if !e.Away.IsZero() && !e.Pinned && slices.Contains(w.pool, e.Port) && w.now.Sub(e.Away) >= Grace {
			w.t.Errorf("%+v could have been reclaimed at %s", e, w.now)
		}
	}
	for _, p := range w.pool {
		if !used[p] {
			w.t.Errorf("%d is free", p)
		}
	}
}

func (w *twin) check(before []Entry, reclaims int) {
	now, free := w.tab.Entries()
	taken := map[uint16]bgp.Service{}
	for _, e := range now {
		if other := taken[e.Port]; other != "" {
			w.t.Errorf("%s and %s have port %d", other, e.Service, e.Port)
		}
		taken[e.Port] = e.Service
		if was := w.had[e.Service]; was != 0 && was != e.Port {
			w.t.Errorf("%s had port %d and has %d", e.Service, was, e.Port)
		}
		w.had[e.Service] = e.Port
	}
	all := w.tab.Reclaimed()
	for _, r := range all[min(reclaims, len(all)):] {
		delete(w.had, r.From)
		for _, e := range before {
			if e.Service != r.From && !e.Pinned && !e.Away.IsZero() && e.Away.Before(r.Away) && slices.Contains(w.pool, e.Port) {
				w.t.Errorf("%+v is reclaimed, and %+v was away longer", r, e)
			}
		}
	}
	inPool := 0
	for port := range taken {
		if slices.Contains(w.pool, port) {
			inPool++
		}
	}
	if free+inPool != len(w.pool) {
		w.t.Errorf("%d ports are free and %d taken, of %d", free, inPool, len(w.pool))
	}
}
