package sim

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// organisations are some that sign sets and paths, and know each other's keys.
type organisations struct {
	t     *testing.T
	n     *Net
	sets  map[bgp.Org]authority
	paths map[bgp.Org]authority
	keys  []speaker.AttestKeys
}

func newOrganisations(t *testing.T, n *Net, names ...string) *organisations {
	t.Helper()
	o := &organisations{t: t, n: n, sets: map[bgp.Org]authority{}, paths: map[bgp.Org]authority{}}
	for i, name := range names {
		org := bgp.Org(name + ".example")
		path := newAuthority(t, int64(500+i))
		path.pub.Path = true
		o.sets[org], o.paths[org] = newAuthority(t, int64(i)), path
		o.keys = append(o.keys, keysOf(t, org, o.sets[org], path))
	}
	return o
}

// add starts a node that signs paths for its organisation and knows all keys.
func (o *organisations) add(node bgp.NodeID) {
	key := o.paths[node.Org]
	o.n.Add(node, func(c *speaker.Config) { c.PathKey = key.pub.ID })
	o.n.Node(node).Sign = func(hop []byte) []byte {
		signed, err := attest.SignHop(hop, key.key, rand.Reader)
		if err != nil {
			o.t.Error(err)
		}
		return signed
	}
	for _, k := range o.keys {
		o.n.Do(node, k)
	}
}

// asksForPaths has a node take from a peer only what comes by a signed path.
func (o *organisations) asksForPaths(at, peer bgp.NodeID) {
	p := o.n.Node(at).peers[peer]
	p.PathAttested = true
	o.n.SetPeer(at, p)
}

// publishes has acme sign that all below it may be carried on by anyone.
func (o *organisations) publishes(at bgp.NodeID, serial uint64) {
	o.n.Do(at, o.sets["acme.example"].sign(list(o.n, serial, 30*24*time.Hour, attest.Entry{
		Names: "*.acme.example", Carriers: []string{attest.Anyone},
	})))
}

// A route of acme goes over bravo and carol to dave, who asks for signed paths. Each organisation signs once for all
// names, and again when the set changes or half a day has passed; a second border of carol tells on what the first
// one took. Nobody's session is reset, and what is not signed any more is not used.
func TestPathsAreSigned(t *testing.T) {
	n := New(1)
	o := newOrganisations(t, n, "acme", "bravo", "carol", "dave")
	a, b, c1, c2, d := id("a"), id("b@bravo"), id("c1@carol"), id("c2@carol"), id("d@dave")
	for _, node := range []bgp.NodeID{a, b, c1, c2, d} {
		o.add(node)
	}
	peered(n, a, b, bgp.RoleNone, bgp.RoleNone)
	peered(n, b, c1, bgp.RoleNone, bgp.RoleNone)
	n.Link(c1, c2, time.Millisecond)
	n.Peer(c1, c2, false)
	peered(n, c2, d, bgp.RoleNone, bgp.RoleNone)
	o.asksForPaths(d, c2)
	for i := range 100 {
		n.Announce(a, bgp.Service(fmt.Sprintf("s%d.acme.example", i)), http)
	}
	n.Announce(c2, "own.carol.example", http)
	n.Run(3 * time.Second)
	wants(t, n, d, "s7.acme.example", "not every organisation on its path has signed it")
	wants(t, n, d, "own.carol.example", "accepted")

	o.publishes(a, 1)
	n.Run(3 * time.Second)
	wants(t, n, d, "s7.acme.example", "valid: accepted")
	n.Announce(a, "late.acme.example", http)
	n.Run(3 * time.Second)
	wants(t, n, d, "late.acme.example", "valid: accepted")
	n.Withdraw(a, "late.acme.example")
	for node, most := range map[bgp.NodeID]int{a: 1, b: 1, c2: 1} {
		if got := n.Node(node).Hops; got != most {
			t.Errorf("%s signed %d times for 100 names, want %d", node, got, most)
		}
	}
	route := n.Node(d).sp.Table().Explain("s7.acme.example")[0]
	if until, ok := n.Node(d).sp.Table().PathSigned(&route.Attrs); !ok || until.Sub(n.Now) > 24*time.Hour {
		t.Errorf("%v until %v", ok, until)
	}
	// a new set has everything signed again; so has time
	o.publishes(a, 2)
	n.Run(3 * time.Second)
	wants(t, n, d, "s7.acme.example", "valid: accepted")
	n.Run(72 * time.Hour)
	wants(t, n, d, "s7.acme.example", "valid: accepted")
	if got := n.Node(b).Hops; got < 6 || got > 30 {
		t.Errorf("bravo signed %d times in three days and two sets", got)
	}
	// carol's neighbour restarts: what was signed is there before its routes are
	n.Crash(c2)
	n.Restart(c2)
	for _, k := range o.keys { // as a restarted node finds them
		n.Do(c2, k)
	}
	n.Run(5 * time.Second)
	wants(t, n, d, "s7.acme.example", "valid: accepted")
	// bravo's path key is not trusted at dave's any more; it does not help that carol still trusts it
	n.Do(d, keysOf(t, "bravo.example", o.sets["bravo.example"]))
	n.Run(3 * time.Second)
	wants(t, n, d, "s7.acme.example", "not every organisation on its path has signed it")
	n.Do(d, o.keys[1])
	n.Run(3 * time.Second)
	wants(t, n, d, "s7.acme.example", "valid: accepted")
	// nothing is told any more: a day later no signature counts
	for i := range 100 {
		n.Withdraw(a, bgp.Service(fmt.Sprintf("s%d.acme.example", i)))
	}
	n.Run(48 * time.Hour)
	if all := n.Node(d).sp.Table().Attested().Paths(""); len(all) != 0 {
		t.Errorf("%d paths are still signed", len(all))
	}
	for _, node := range []bgp.NodeID{a, b, d} {
		if v := n.Node(node).sp.Peers()[0]; v.Counters.Sessions > 2 || v.Counters.Malformed > 0 {
			t.Errorf("%s: %d sessions, %d malformed", node, v.Counters.Sessions, v.Counters.Malformed)
		}
	}
}

// Mallory is a neighbour of bravo and of dave, signs with its own key, and has seen every hop that was ever signed. It
// shortens paths, leaves bravo out, shows what was signed for another, splices, and shows what is over. Dave uses none
// of that, counts what does not hold, and still uses what mallory says honestly.
func TestPathsThatLie(t *testing.T) {
	n := New(1)
	o := newOrganisations(t, n, "acme", "bravo", "carol", "mallory", "dave")
	b, evil, d := id("b@bravo"), id("m@mallory"), id("d@dave")
	o.add(d)
	n.Add(evil, nil)
	peered(n, d, evil, bgp.RoleNone, bgp.RoleNone)
	o.asksForPaths(d, evil)
	o.publishes(d, 1)
	n.Run(3 * time.Second)
	set, _ := n.Node(d).sp.Table().Attested().CurrentSet("acme.example")
	l := &liar{t, n, d, evil}
	sign := func(by bgp.Org, h attest.Hop) []byte {
		h.KeyID = o.paths[h.From].pub.ID
		signed, err := attest.SignHop(h.Encode(), o.paths[by].key, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	// what was signed in truth: acme for bravo, bravo for mallory and for carol; and of another set
	until := n.Now.Add(time.Hour)
	toBravo := attest.Hop{From: "acme.example", To: "bravo.example", Set: set, Until: until}
	next := func(h attest.Hop, to bgp.Org) attest.Hop {
		return attest.Hop{From: h.To, To: to, Set: h.Set, Before: attest.HopDigest(withKey(o, h)), Until: until}
	}
	toMallory, toCarol := next(toBravo, "mallory.example"), next(toBravo, "carol.example")
	toDave := next(toMallory, "dave.example")
	otherSet := toBravo
	otherSet.Set[0]++
	over := toBravo
	over.Until = n.Now.Add(-time.Second)
	alone := attest.Hop{From: "acme.example", To: "mallory.example", Set: set, Until: until}
	honest := [][]byte{sign("acme.example", toBravo), sign("bravo.example", toMallory), sign("mallory.example", toDave)}
	shortPath, longPath := []bgp.NodeID{evil, id("a")}, []bgp.NodeID{evil, b, id("a")}
	for _, tt := range []struct {
		name string
		hops [][]byte
		path []bgp.NodeID
		kind string // of the fault that is counted; "" for none
	}{
		{"nothing is signed", nil, longPath, ""},
		{"bravo is left out", [][]byte{honest[0], honest[2]}, shortPath, "malformed set"},
		{"acme's hop is forged", [][]byte{
			sign("mallory.example", alone), sign("mallory.example", next(alone, "dave.example")),
		}, shortPath, "bad signature"},
		{"what was signed for carol", [][]byte{
			honest[0], sign("bravo.example", toCarol), sign("mallory.example", attest.Hop{
				From: "mallory.example", To: "dave.example", Set: set,
				Before: attest.HopDigest(withKey(o, toCarol)), Until: until,
			}),
		}, longPath, "malformed set"},
		{"it is not signed for dave", honest[:2], longPath, "malformed set"},
		{"hops of two sets", [][]byte{sign("acme.example", otherSet), honest[1], honest[2]}, longPath, "malformed set"},
		{"of a set that does not count", [][]byte{
			sign("acme.example", otherSet), sign("bravo.example", next(otherSet, "mallory.example")),
			sign("mallory.example", next(next(otherSet, "mallory.example"), "dave.example")),
		}, longPath, ""},
		{"it is over", [][]byte{sign("acme.example", over), honest[1], honest[2]}, longPath, "expired set"},
		{"it comes back", [][]byte{
			honest[0], honest[1], sign("mallory.example", next(toMallory, "acme.example")),
		}, longPath, "malformed set"},
		{"too many hops", slices.Repeat(honest, 6), longPath, "malformed set"},
		{"garbage", [][]byte{{1, 2, 3}}, longPath, "malformed set"},
		{"the path of what is signed is shortened", honest, shortPath, ""},
	} {
		v, _ := n.Node(d).sp.Peer(evil)
		before := v.Counters.Faults
		if tt.hops != nil {
			n.Do(d, speaker.Received{Conn: n.Node(d).sp.ConnOf(evil), Msg: &bgp.Hops{Signed: tt.hops}})
		}
		l.says("books.acme.example", bgp.Attributes{NodePath: tt.path})
		n.Run(time.Second)
		want := "valid: not every organisation on its path has signed it (attested-path)"
		if got := became(n, d, "books.acme.example"); !strings.HasPrefix(got, "acme.example/a: "+want) &&
			!strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", tt.name, got)
		}
		v, _ = n.Node(d).sp.Peer(evil)
		for kind, count := range v.Counters.Faults {
			if count > before[kind] && kind.Attribute != "path: "+tt.kind {
				t.Errorf("%s: counted as %s", tt.name, kind.Attribute)
			} else if count > before[kind] {
				tt.kind = ""
			}
		}
		if tt.kind != "" {
			t.Errorf("%s: not counted as %s", tt.name, tt.kind)
		}
	}
	n.Do(d, speaker.Received{Conn: n.Node(d).sp.ConnOf(evil), Msg: &bgp.Hops{Signed: honest}})
	l.says("books.acme.example", bgp.Attributes{NodePath: longPath})
	n.Run(time.Second)
	wants(t, n, d, "books.acme.example", "valid: accepted")
	if v, _ := n.Node(d).sp.Peer(evil); v.Counters.Sessions != 1 {
		t.Errorf("%d sessions", v.Counters.Sessions)
	}
}

// More hops come than are verified in a short time: what was left out is asked for again, once there is room.
func TestPathsThatWereTooManyComeAgain(t *testing.T) {
	n := New(1)
	o := newOrganisations(t, n, "acme", "mallory", "dave")
	evil, d := id("m@mallory"), id("d@dave")
	o.add(d)
	n.Add(evil, nil)
	peered(n, d, evil, bgp.RoleNone, bgp.RoleNone)
	n.Run(3 * time.Second)
	view, _ := n.Node(evil).sp.Peer(d)
	before := view.Counters.UpdatesOut
	for i := range 300 {
		h := withKey(o, attest.Hop{
			From: "mallory.example", To: "dave.example", Set: attest.Digest{byte(i), byte(i >> 8)}, Until: n.Now.Add(time.Hour),
		})
		forged := attest.JoinHop(h.Encode(), make([]byte, 96))
		n.Do(d, speaker.Received{Conn: n.Node(d).sp.ConnOf(evil), Msg: &bgp.Hops{Signed: [][]byte{forged}}})
	}
	view, _ = n.Node(d).sp.Peer(evil)
	kinds := map[string]uint64{}
	for kind, count := range view.Counters.Faults {
		kinds[kind.Attribute] = count
	}
	if kinds["path: bad signature"] < 190 || kinds["path: bad signature"] > 210 || kinds["path: too many"] < 90 {
		t.Errorf("%v, want some 200 verified and the rest left out", kinds)
	}
	n.Run(30 * time.Second)
	if view, _ = n.Node(evil).sp.Peer(d); view.Counters.UpdatesOut == before || view.Counters.Sessions != 1 {
		t.Errorf("%+v, want it asked again, in the same session", view.Counters)
	}
}

// withKey is a hop as the organisation that it is of signs it.
func withKey(o *organisations, h attest.Hop) attest.Hop {
	h.KeyID = o.paths[h.From].pub.ID
	return h
}

// An attacker puts hops together out of true ones and its own, in every order: exactly the paths are taken that their
// organisations signed in a row, so that each on them is named.
func TestNoSpliceIsTaken(t *testing.T) {
	n := New(1)
	o := newOrganisations(t, n, "acme", "bravo", "carol", "mallory", "dave")
	d := id("d@dave")
	o.add(d)
	o.publishes(d, 1)
	set, _ := n.Node(d).sp.Table().Attested().CurrentSet("acme.example")
	until := n.Now.Add(time.Hour)
	type signedHop struct {
		hop attest.Hop
		raw []byte
	}
	var pool []signedHop
	honest := map[string]bool{}
	add := func(h attest.Hop, path string) attest.Hop {
		h = withKey(o, h)
		raw, err := attest.SignHop(h.Encode(), o.paths[h.From].key, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pool = append(pool, signedHop{h, raw})
		if path != "" {
			honest[path] = true
		}
		return h
	}
	step := func(h attest.Hop, to bgp.Org) attest.Hop {
		return attest.Hop{From: h.To, To: to, Set: set, Before: attest.HopDigest(h), Until: until}
	}
	ab := add(attest.Hop{From: "acme.example", To: "bravo.example", Set: set, Until: until}, "")
	bc, bm := add(step(ab, "carol.example"), ""), add(step(ab, "mallory.example"), "")
	cm := add(step(bc, "mallory.example"), "")
	// acme tells carol itself, too: carol tells mallory only of what came over bravo
	add(attest.Hop{From: "acme.example", To: "carol.example", Set: set, Until: until}, "")
	// mallory names a hop that was for bravo as the one before its own, and leaves bravo out
	leftOut := step(ab, "dave.example")
	leftOut.From = "mallory.example"
	add(leftOut, "")
	add(step(bm, "dave.example"), "mallory.example bravo.example acme.example")
	add(step(cm, "dave.example"), "mallory.example carol.example bravo.example acme.example")
	add(attest.Hop{From: "mallory.example", To: "dave.example", Set: set, Until: until}, "mallory.example")
	store := n.Node(d).sp.Table().Attested()
	taken := map[string]bool{}
	var try func(hops [][]byte)
	try = func(hops [][]byte) { // every sequence of up to four hops
		p, _, err := store.AddPath(n.Now, "dave.example", hops, func() error { return nil })
		if err == nil {
			taken[attest.PathText(p.Orgs)] = true
		}
		for i := range pool {
			if len(hops) < 4 {
				try(append(slices.Clone(hops), pool[i].raw))
			}
		}
	}
	try(nil)
	if !maps.Equal(taken, honest) {
		t.Errorf("taken: %v, want %v", taken, honest)
	}
}
