package rib

import (
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

const shop = bgp.Service("shop.acme.example")

// offering is a path of the shop that node i announces as its own.
func offering(i int, change func(*bgp.Attributes)) *bgp.Update {
	a := from(i)
	if change != nil {
		change(&a)
	}
	return announcement(shop, a)
}

func best(t *testing.T, tab *Table) Candidate {
	t.Helper()
	all := tab.Explain(shop)
	if len(all) == 0 {
		t.Fatal("nobody offers the shop")
	}
	return all[0]
}

// One node of the organisation announces another's service with the highest local preference that there is. At the
// offerer itself its own workload serves on, at others the preference counts as the default; who trusts the peer
// takes it as it is. The offerer's operator may say otherwise.
func TestNobodyTakesANameOver(t *testing.T) {
	loud := func(a *bgp.Attributes) { a.LocalPref = 4_000_000_000 }
	own := bgp.Attributes{Protocol: bgp.HTTP}
	for _, c := range []struct {
		name   string
		trust  uint32
		offers bool // this node
		yields bool
		down   bool // this node's workload
		want   bgp.NodeID
		why    Reason
	}{
		{name: "at the offerer", trust: 5_000, offers: true, want: self, why: ReasonOwn},
		{name: "at the offerer, who yields", trust: 5_000, offers: true, yields: true, want: node(2), why: ReasonLocalPref},
		{name: "at the offerer, whose workload is down", offers: true, down: true, want: node(1), why: ReasonUsable},
		{name: "elsewhere", want: node(1), why: ReasonPeer},
		{name: "elsewhere, from a peer that is trusted", trust: 5_000, want: node(2), why: ReasonLocalPref},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := New(Config{Self: self})
			tab.AddPeer(1, PeerConfig{Node: node(1)})
			tab.AddPeer(2, PeerConfig{Node: node(2), MaxLocalPref: c.trust})
			tab.Apply(1, offering(1, nil))
			if c.offers {
				a := own
				if c.down {
					a.Health = bgp.HealthDown
				}
				if err := tab.SetLocal(shop, &a, bgp.Trace{}); err != nil {
					t.Fatal(err)
				}
				tab.SetYields(shop, c.yields)
			}
			tab.Apply(2, offering(2, loud))
			b := best(t, tab)
			if b.Peer != c.want || c.why != ReasonPeer && b.Lost != c.why && c.why != ReasonUsable {
				t.Errorf("the best path is that of %s by %q, want %s by %q", b.Peer, b.Lost, c.want, c.why)
			}
			for _, x := range tab.Explain(shop) {
				if most := max(c.trust, bgp.DefaultLocalPref); x.Attrs.EffectiveLocalPref() > most {
					t.Errorf("a path of %s has preference %d, want at most %d", x.Peer, x.Attrs.LocalPref, most)
				}
			}
		})
	}
}

// A second node that begins to offer a name is told of once, and the name counts as contested until an operator
// agrees or the newcomer goes. One that offered it before this node knew anything is no newcomer, and neither is one
// that comes back.
func TestANewOffererIsToldOf(t *testing.T) {
	tab := New(Config{Self: self})
	for i := range 4 {
		tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
	}
	tab.SetTime(time.Unix(1000, 0))
	tab.SetLearning(true)
	tab.Apply(1, offering(0, nil))
	tab.Apply(2, offering(1, nil))
	tab.SetLearning(false)
	if n := tab.Contested(); n != 0 || tab.Newcomers() != 0 {
		t.Fatalf("%d names are contested at the start", n)
	}
	through := offering(0, func(a *bgp.Attributes) { a.NodePath = []bgp.NodeID{node(3), node(0)} })
	if tab.Apply(4, through); tab.Newcomers() != 0 {
		t.Error("another path to an offerer counts as an offerer")
	}
	tab.SetTime(time.Unix(2000, 0))
	tab.Apply(3, offering(2, nil))
	list, n := tab.TakeNewcomers()
	if n != 1 || len(list) != 1 || list[0] != (Newcomer{shop, node(2), node(0)}) || tab.Contested() != 1 {
		t.Fatalf("newcomers %v (%d), %d contested", list, n, tab.Contested())
	}
	o := tab.Offers(shop)
	if len(o.Offerers) != 3 || !o.Contested || o.Offerers[2].Agreed || o.Offerers[2].Since.Unix() != 2000 ||
		!o.Offerers[0].Agreed {
		t.Errorf("the book says %+v", o)
	}
	tab.Apply(3, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: shop}}})
	if tab.Contested() != 0 || len(tab.Offers(shop).Offerers) != 2 {
		t.Errorf("the newcomer has gone: %d contested, %+v", tab.Contested(), tab.Offers(shop))
	}
	tab.Apply(3, offering(2, nil))
	if !tab.Agree(shop, node(2)) || tab.Agree(shop, node(2)) || tab.Contested() != 0 {
		t.Errorf("%d contested after an operator agreed", tab.Contested())
	}
	tab.Apply(3, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: shop}}})
	tab.TakeNewcomers()
	if tab.Apply(3, offering(2, nil)); tab.Newcomers() != 0 {
		t.Error("who is agreed to and comes back counts as new")
	}
}

// With names held, a newcomer ranks after whoever has offered the name for longest, even if that one's path is longer
// or stale; it serves only when no other is usable. That outlives a restart, at which the newcomer may come first.
func TestNamesAreHeld(t *testing.T) {
	begin := func() *Table {
		tab := New(Config{Self: self, HoldNames: true})
		for i := range 3 {
			tab.AddPeer(PeerID(i+1), PeerConfig{Node: node(i)})
		}
		tab.WatchOffers()
		return tab
	}
	far := offering(0, func(a *bgp.Attributes) { a.NodePath = []bgp.NodeID{node(0), node(7), node(8)} })
	tab := begin()
	tab.Apply(1, far)
	tab.Apply(2, offering(1, nil))
	if b := best(t, tab); b.Attrs.Origin() != node(8) || b.Lost != ReasonStanding {
		t.Errorf("the best path is that of %s by %q", b.Attrs.Origin(), b.Lost)
	}
	tab.MarkStale(1)
	finish(tab)
	if b := best(t, tab); b.Attrs.Origin() != node(8) {
		t.Errorf("while the standing offerer's session is away the best path is that of %s", b.Attrs.Origin())
	}
	tab.SetNextHop(1, false, 0)
	finish(tab)
	if b := best(t, tab); b.Attrs.Origin() != node(1) {
		t.Errorf("while the standing offerer is dead the best path is that of %s", b.Attrs.Origin())
	}
	kept := tab.TakeOffers(10)
	if len(kept) != 1 || len(kept[0].Offerers) != 2 {
		t.Fatalf("to be kept: %+v", kept)
	}

	again := begin()
	again.Remember(kept[0])
	again.SetLearning(true)
	again.Apply(2, offering(1, nil))
	again.Apply(1, far)
	again.SetLearning(false)
	if b := best(t, again); b.Attrs.Origin() != node(8) || again.Contested() != 1 {
		t.Errorf("after a restart the best path is that of %s, %d contested", b.Attrs.Origin(), again.Contested())
	}
	again.Agree(shop, node(1))
	if b := best(t, again); b.Attrs.Origin() != node(1) {
		t.Errorf("after an operator agreed the best path is that of %s, want the nearer one", b.Attrs.Origin())
	}
}

// Who has not offered a name for a week is forgotten, and so is the book.
func TestOfferersAreForgotten(t *testing.T) {
	tab := New(Config{Self: self, HoldNames: true})
	tab.AddPeer(1, PeerConfig{Node: node(0)})
	tab.SetTime(time.Unix(1000, 0))
	tab.Apply(1, offering(0, nil))
	tab.Apply(1, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: shop}}})
	finish(tab)
	if len(tab.Offers(shop).Offerers) != 1 {
		t.Fatal("who has just gone is forgotten")
	}
	tab.SetTime(time.Unix(1000, 0).Add(forgetOfferer + time.Hour))
	for range 3 {
		finish(tab)
	}
	if len(tab.Offers(shop).Offerers) != 0 || tab.names.find([]byte(shop)) != none {
		t.Errorf("after more than a week: %+v", tab.Offers(shop))
	}
}
