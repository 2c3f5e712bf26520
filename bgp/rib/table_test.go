package rib

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

var self = bgp.NodeID{Org: "acme.example", Name: "self"}

func node(i int) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("n%d", i)} }

func announcement(svc bgp.Service, a bgp.Attributes) *bgp.Update {
	return &bgp.Update{Announced: []bgp.Group{{Attributes: attr.Append(nil, &a), Routes: []bgp.NLRI{{Service: svc}}}}}
}

// twin is the dumb version of one table: maps, and the ladder written out over decoded attributes.
type twin struct {
	peers map[PeerID]*twinPeer
}

type twinPeer struct {
	cfg    PeerConfig
	paths  map[bgp.Service]twinPath
	usable bool
	holds  map[bgp.Service]string // what it was sent, encoded
	wants  map[bgp.Service]bool   // nil for everything
}

type twinPath struct {
	attrs bgp.Attributes
	stale bool
}

func (w *twin) best(svc bgp.Service) (PeerID, *twinPath) {
	type offer struct {
		id PeerID
		p  twinPath
	}
	var all []offer
	for id, p := range w.peers {
		x, ok := p.paths[svc]
		if !ok || slices.Contains(x.attrs.NodePath, self) {
			continue
		}
		if most := cmp.Or(p.cfg.MaxLocalPref, bgp.DefaultLocalPref); x.attrs.EffectiveLocalPref() > most {
			if x.attrs.LocalPref = most; most == bgp.DefaultLocalPref {
				x.attrs.LocalPref = 0
			}
		}
		if p.cfg.Import != nil && !p.cfg.Import.Apply(svc, &x.attrs, filter.Facts{}).Accepted {
			continue
		}
		all = append(all, offer{id, x})
	}
	if len(all) == 0 {
		return 0, nil
	}
	slices.SortFunc(all, func(a, b offer) int {
		dead := func(o offer) int {
			if o.p.attrs.Health == bgp.HealthDown || !w.peers[o.id].usable {
				return 1
			}
			return 0
		}
		stale := func(o offer) int {
			if o.p.stale {
				return 1
			}
			return 0
		}
		return cmp.Or(dead(a)-dead(b), stale(a)-stale(b),
			cmp.Compare(b.p.attrs.EffectiveLocalPref(), a.p.attrs.EffectiveLocalPref()),
			cmp.Compare(len(a.p.attrs.OrgPath()), len(b.p.attrs.OrgPath())),
			cmp.Compare(len(a.p.attrs.NodePath), len(b.p.attrs.NodePath)),
			cmp.Compare(a.p.attrs.MED, b.p.attrs.MED),
			w.peers[a.id].cfg.Node.Compare(w.peers[b.id].cfg.Node))
	})
	return all[0].id, &all[0].p
}

func (w *twin) exported(to PeerID, svc bgp.Service) string {
	from, p := w.best(svc)
	if wants := w.peers[to].wants; wants != nil && !wants[svc] {
		return ""
	}
	if p == nil || from == to || slices.Contains(p.attrs.NodePath, w.peers[to].cfg.Node) ||
		p.attrs.HasCommunity(bgp.NoAdvertise) {
		return ""
	}
	a := p.attrs
	if e := w.peers[to].cfg.Export; e != nil && !e.Apply(svc, &a, filter.Facts{}).Accepted {
		return ""
	}
	a.NodePath = append([]bgp.NodeID{self}, a.NodePath...)
	return string(attr.Append(nil, &a))
}

func rejecting(svc bgp.Service) *filter.Chain {
	return &filter.Chain{
		Terms: []filter.Term{{Name: "no", Match: filter.Match{Services: []string{string(svc)}}, Action: filter.Reject}},
	}
}

func preferring(pref uint32) *filter.Chain {
	return &filter.Chain{Terms: []filter.Term{{Name: "pref", Set: filter.Set{LocalPref: &pref}, Action: filter.Accept}}}
}

func drawAttributes(t *rapid.T, from int) bgp.Attributes {
	a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(from)}}
	for range rapid.IntRange(0, 2).Draw(t, "hops") {
		a.NodePath = append(a.NodePath, node(rapid.IntRange(0, 6).Draw(t, "hop")))
	}
	if rapid.IntRange(0, 9).Draw(t, "loop") == 0 {
		a.NodePath = append(a.NodePath, self)
	}
	a.LocalPref = rapid.SampledFrom([]uint32{0, 0, 50, 200}).Draw(t, "pref")
	a.MED = rapid.SampledFrom([]uint32{0, 0, 5}).Draw(t, "med")
	a.Health = rapid.SampledFrom([]bgp.Health{bgp.HealthUnknown, bgp.HealthUp, bgp.HealthDown}).Draw(t, "health")
	if rapid.IntRange(0, 9).Draw(t, "quiet") == 0 {
		a.Communities = []bgp.Community{bgp.NoAdvertise}
	}
	return a
}

// Whatever happens in whatever order, the table's best paths, what its peers hold and what its consumers hold are
// those of a dumb twin that sorts decoded attributes.
func TestTableAgreesWithTwin(t *testing.T) { rapid.Check(t, agreesWithTwin) }

// The same, of whatever the fuzzer thinks up.
func FuzzTableAgreesWithTwin(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agreesWithTwin)) }

func agreesWithTwin(t *rapid.T) {
	const peers = 4
	services := []bgp.Service{"a.acme.example", "b.acme.example", "c.acme.example"}
	tab := New(Config{Self: self})
	tab.least = 1 // so that arrays are made shorter all the time
	w := &twin{peers: map[PeerID]*twinPeer{}}
	for i := range peers {
		id := PeerID(i + 1)
		cfg := PeerConfig{Node: node(i), MaxLocalPref: uint32(i * 90)} // the default, 90, 180 and 270
		tab.AddPeer(id, cfg)
		tab.Established(id, "127.0.0.1:1")
		w.peers[id] = &twinPeer{cfg: cfg, paths: map[bgp.Service]twinPath{}, usable: true, holds: map[bgp.Service]string{}}
	}
	cursor := tab.Subscribe()
	consumer := map[bgp.Service]Selected{}
	drain := func(id PeerID) {
		for u := tab.Update(id); u != nil; u = tab.Update(id) {
			applyTo(t, w.peers[id].holds, u)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"announce": func(t *rapid.T) {
			i := rapid.IntRange(0, peers-1).Draw(t, "peer")
			svc := rapid.SampledFrom(services).Draw(t, "service")
			a := drawAttributes(t, i)
			tab.Apply(PeerID(i+1), announcement(svc, a))
			w.peers[PeerID(i+1)].paths[svc] = twinPath{attrs: a}
		},
		"flood": func(t *rapid.T) {
			i := rapid.IntRange(0, peers-1).Draw(t, "peer")
			for n := range 40 {
				svc := bgp.Service(fmt.Sprintf("flood-%d.acme.example", n))
				a := from(i)
				a.MED = uint32(n)
				tab.Apply(PeerID(i+1), announcement(svc, a))
				w.peers[PeerID(i+1)].paths[svc] = twinPath{attrs: a}
			}
		},
		"ebb": func(t *rapid.T) {
			for id, p := range w.peers {
				for n := range 40 {
					svc := bgp.Service(fmt.Sprintf("flood-%d.acme.example", n))
					tab.Apply(id, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: svc}}})
					delete(p.paths, svc)
				}
			}
			finish(tab)
		},
		"withdraw": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			svc := rapid.SampledFrom(services).Draw(t, "service")
			tab.Apply(id, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: svc}}})
			delete(w.peers[id].paths, svc)
		},
		"stale": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			tab.MarkStale(id)
			for svc, p := range w.peers[id].paths {
				p.stale = true
				w.peers[id].paths[svc] = p
			}
		},
		"sweep": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			tab.Sweep(id)
			maps.DeleteFunc(w.peers[id].paths, func(_ bgp.Service, p twinPath) bool { return p.stale })
			finish(tab)
		},
		"clear": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			tab.Clear(id)
			clear(w.peers[id].paths)
			finish(tab)
		},
		"restart": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			tab.Down(id)
			clear(w.peers[id].holds)
			w.peers[id].wants = nil
			tab.Established(id, "127.0.0.1:2")
		},
		"next hop": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			w.peers[id].usable = rapid.Bool().Draw(t, "usable")
			tab.SetNextHop(id, w.peers[id].usable, 0)
		},
		"rules": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			chains := []*filter.Chain{nil, rejecting(services[0]), preferring(300)}
			cfg := w.peers[id].cfg
			cfg.Import = rapid.SampledFrom(chains).Draw(t, "import")
			cfg.Export = rapid.SampledFrom(chains).Draw(t, "export")
			w.peers[id].cfg = cfg
			tab.UpdatePeer(id, cfg)
		},
		"subscribe": func(t *rapid.T) {
			id := PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))
			var names *filter.Names
			w.peers[id].wants = nil
			switch rapid.IntRange(0, 2).Draw(t, "to") {
			case 1:
				names, w.peers[id].wants = filter.NewNames(services[:1]), map[bgp.Service]bool{services[0]: true}
			case 2:
				names, w.peers[id].wants = filter.NewNames(services[1:]), map[bgp.Service]bool{services[1]: true, services[2]: true}
			}
			tab.SetWanted(id, names)
		},
		"drain": func(t *rapid.T) { drain(PeerID(rapid.IntRange(1, peers).Draw(t, "peer"))) },
		"consume": func(t *rapid.T) {
			for _, s := range cursor.Next(nil, rapid.IntRange(1, 3).Draw(t, "n")) {
				consume(consumer, s)
			}
		},
		"": func(t *rapid.T) {
			finish(tab)
			for _, svc := range services {
				compareBest(t, tab, w, svc)
			}
		},
	})
	finish(tab)
	for id, p := range w.peers {
		drain(id)
		for _, svc := range services {
			if got, want := p.holds[svc], w.exported(id, svc); got != want {
				t.Fatalf("peer %d holds %q of %s, want %q", id, got, svc, want)
			}
			compareExport(t, tab, p.cfg.Node, svc, w.exported(id, svc) != "")
		}
	}
	for batch := cursor.Next(nil, 100); len(batch) > 0; batch = cursor.Next(nil, 100) {
		for _, s := range batch {
			consume(consumer, s)
		}
	}
	want := map[bgp.Service]Selected{}
	tab.Scan(0, 100, func(s Selected) { want[s.Service] = s })
	if diff := gocmp.Diff(want, consumer, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("consumer's state (-want +got):\n%s", diff)
	}
}

func finish(tab *Table) {
	for tab.Work(3) {
	}
}

func consume(m map[bgp.Service]Selected, s Selected) {
	if len(s.Tiers) == 0 {
		delete(m, s.Service)
		return
	}
	m[s.Service] = s
}

func compareBest(t *rapid.T, tab *Table, w *twin, svc bgp.Service) {
	id, best := w.best(svc)
	all := tab.Explain(svc)
	if best == nil {
		if len(all) > 0 && all[0].Reject == Accepted {
			t.Fatalf("%s: best is %+v, want none", svc, all[0])
		}
		return
	}
	if len(all) == 0 || all[0].Peer != w.peers[id].cfg.Node {
		t.Fatalf("%s: best is %+v, want that of peer %d", svc, all, id)
	}
}

// compareExport holds the explanation of an export against what was done.
func compareExport(t *rapid.T, tab *Table, peer bgp.NodeID, svc bgp.Service, told bool) {
	for _, e := range tab.Exports(svc) {
		if e.Peer == peer && (e.Told != told || e.Pending || told != (e.Why == NotWithheld)) {
			t.Fatalf("%s to %s is explained as %+v, told: %t", svc, peer, e, told)
		}
	}
}

// applyTo does what a peer does with an UPDATE, and fails on a withdrawal of what it does not hold.
func applyTo(t interface{ Fatalf(string, ...any) }, holds map[bgp.Service]string, u *bgp.Update) {
	for _, n := range u.Withdrawn {
		if _, ok := holds[n.Service]; !ok {
			t.Fatalf("withdrawal of %s, which was not announced", n.Service)
		}
		delete(holds, n.Service)
	}
	for _, g := range u.Announced {
		if _, ok := attr.Check(g.Attributes); !ok {
			t.Fatalf("announced attributes break a rule: %q", g.Attributes)
		}
		for _, n := range g.Routes {
			holds[n.Service] = string(g.Attributes)
		}
	}
}

// The same routes give the same tables in whatever order they come.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type say struct {
			from PeerID
			a    bgp.Attributes
		}
		var said []say
		for i := range 6 {
			said = append(said, say{PeerID(i + 1), drawAttributes(t, i)})
		}
		build := func(order []int) []Candidate {
			tab := New(Config{Self: self})
			for i := range 6 {
				tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
			}
			for _, i := range order {
				tab.Apply(said[i].from, announcement("a.acme.example", said[i].a))
			}
			all := tab.Explain("a.acme.example")
			slices.SortStableFunc(all, func(a, b Candidate) int {
				return cmp.Or(cmp.Compare(a.Reject, b.Reject), cmp.Compare(uint(a.Tier), uint(b.Tier)))
			})
			return slices.DeleteFunc(all, func(c Candidate) bool { return c.Reject != Accepted })
		}
		order := []int{0, 1, 2, 3, 4, 5}
		want := build(order)
		got := build(rapid.Permutation(order).Draw(t, "order"))
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("another order, another table (-first +second):\n%s", diff)
		}
	})
}

// Of 30,000 routes one in fifty stays: no chunk is empty, and their memory has to come back all the same.
func TestSparseChunksAreMerged(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	const all, every = 30_000, 50
	for i := range all {
		a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(0)}, Tags: []string{fmt.Sprintf("tag-%d", i)}}
		tab.Apply(1, announcement(numbered(i), a))
	}
	for i := range all {
		if i%every != 0 {
			tab.Apply(1, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: numbered(i)}}})
		}
	}
	if c := tab.Counts(); c.Services != all/every || c.Bytes > 16*chunkSize {
		t.Errorf("%d bytes are held for %d routes", c.Bytes, c.Services)
	}
	for i := 0; i < all; i += every {
		if got := tab.Explain(numbered(i)); len(got) != 1 || got[0].Attrs.Tags[0] != fmt.Sprintf("tag-%d", i) {
			t.Fatalf("%s is %+v", numbered(i), got)
		}
	}
}

// Memory comes back: after a hundred times the table's size has come and gone, arenas are no larger than a few tables.
func TestArenasShrink(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	r := rand.New(rand.NewPCG(1, 2))
	const live = 2000
	name := func(i int) bgp.Service { return bgp.Service(fmt.Sprintf("svc-%d.acme.example", i)) }
	for i := range 60_000 {
		a := bgp.Attributes{
			Protocol: bgp.HTTP,
			NodePath: []bgp.NodeID{node(0)},
			Tags:     []string{fmt.Sprintf("tag-%d", r.Uint64())},
		}
		tab.Apply(1, announcement(name(i), a))
		if i >= live {
			tab.Apply(1, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: name(i - live)}}})
		}
	}
	c := tab.Counts()
	if c.Services != live || c.Sets != live {
		t.Errorf("%d services and %d sets are left, want %d", c.Services, c.Sets, live)
	}
	if most := live * 100 * 4; c.Bytes > max(most, 8*chunkSize) {
		t.Errorf("arenas hold %d bytes for %d routes", c.Bytes, live)
	}
	for i := 60_000 - live; i < 60_000; i++ {
		if tab.Explain(name(i)) == nil {
			t.Fatalf("%s is lost", name(i))
		}
	}
}
