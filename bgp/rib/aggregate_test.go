package rib

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// told is what an external peer with aggregates is to hold: the dumb version.
func told(routes map[bgp.Service]bgp.Protocol, c *filter.Chain) []string {
	names := map[string]bool{}
	accepts := func(svc bgp.Service) bool {
		return c.Apply(svc, &bgp.Attributes{Protocol: bgp.HTTP}, filter.Facts{Neighbour: self.Org}).Accepted
	}
	for svc, protocol := range routes {
		if !accepts(svc) {
			continue
		}
		as := string(svc)
		for _, pattern := range c.Aggregates {
			closer := as == string(svc) || len(pattern) > len(as)
			if closer && protocol != bgp.TCP && filter.Covers(pattern, svc) && accepts(bgp.Service(pattern)) {
				as = pattern
			}
		}
		names[as] = true
	}
	var all []string
	for n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// reach tells how a name is reached by what a peer holds.
func reach(holds map[bgp.Service]string, svc bgp.Service) bool {
	if holds[svc] != "" {
		return true
	}
	for held, set := range holds {
		if held.IsWildcard() && set != "" && filter.Covers(string(held), svc) {
			return true
		}
	}
	return false
}

var chains = []string{
	"", "*.eu.acme.example", "*.acme.example", "*.eu.acme.example *.acme.example",
	"*.w.eu.acme.example *.eu.acme.example",
}

func drawRules(t *rapid.T) *filter.Chain {
	c := &filter.Chain{Default: filter.Reject}
	if out := rapid.SampledFrom([]string{"", "", "b.eu.acme.example", "*.eu.acme.example"}).Draw(t, "out"); out != "" {
		c.Terms = append(c.Terms, filter.Term{
			Name: "out", Match: filter.Match{Services: []string{out}}, Action: filter.Reject,
		})
	}
	in := []string{"*.acme.example"}
	if rapid.IntRange(0, 3).Draw(t, "by name") == 0 { // and no pattern
		in = []string{"a.acme.example", "a.eu.acme.example", "a.w.eu.acme.example"}
	}
	c.Terms = append(c.Terms, filter.Term{Name: "in", Match: filter.Match{Services: in}, Action: filter.Accept})
	c.Aggregates = strings.Fields(rapid.SampledFrom(chains).Draw(t, "as"))
	return c
}

// A peer that is told of services in one holds, after every step and with every way of cutting what it is told into
// messages, what the rules say of the routes that there are. No name is out of reach in between that is told before
// and after.
func TestAggregatesAgreeWithTwin(t *testing.T) {
	names := []bgp.Service{
		"a.acme.example", "a.eu.acme.example", "b.eu.acme.example", "a.w.eu.acme.example", "z.acme.example",
	}
	rapid.Check(t, func(t *rapid.T) {
		tab := New(Config{Self: self})
		many := rapid.Bool().Draw(t, "add-path")
		cfg := PeerConfig{
			Node: bgp.NodeID{Org: "bravo.example", Name: "x"}, External: true, Export: drawRules(t), Import: &filter.Chain{},
		}
		if many {
			cfg.AddPath = 2
		}
		tab.AddPeer(1, PeerConfig{Node: node(1)})
		tab.AddPeer(2, cfg)
		tab.Established(1, "")
		tab.Established(2, "")
		routes, holds := map[bgp.Service]bgp.Protocol{}, map[bgp.Service]string{}
		was := []string{}
		for step := range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				cfg.Export = drawRules(t)
				tab.UpdatePeer(2, cfg)
			case 1:
				tab.Established(2, "")
				clear(holds)
				was = nil
			case 2:
				tab.Resend(2)
			case 3, 4, 5:
				svc := rapid.SampledFrom(names).Draw(t, "name")
				tab.Apply(1, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: svc}}})
				delete(routes, svc)
			default:
				svc := rapid.SampledFrom(names).Draw(t, "name")
				a := bgp.Attributes{Protocol: rapid.SampledFrom([]bgp.Protocol{bgp.HTTP, bgp.TCP}).Draw(t, "protocol")}
				a.NodePath = []bgp.NodeID{node(1)}
				tab.Apply(1, announcement(svc, a))
				routes[svc] = a.Protocol
			}
			finish(tab)
			want := told(routes, cfg.Export)
			for tab.Pending(2) > 0 {
				u := tab.UpdateAtMost(2, rapid.IntRange(1, 3).Draw(t, "most"))
				if u == nil {
					continue
				}
				take(holds, u)
				for svc := range routes {
					stays := reachIn(was, svc) && reachIn(want, svc) && tab.MayUse(2, svc)
					if stays && !reach(holds, svc) {
						t.Fatalf("step %d: %s cannot be reached while %v becomes %v: the peer holds %v", step, svc, was, want, holds)
					}
				}
			}
			if got := sorted(holds); !slices.Equal(got, want) {
				t.Fatalf("step %d: the peer holds %v, want %v of %v", step, got, want, routes)
			}
			if got := tab.PeerCounts(2).Advertised; got != len(want) {
				t.Fatalf("step %d: %d services count as told, want %d", step, got, len(want))
			}
			was = want
			explained(t, tab, routes, want)
		}
	})
}

// explained compares what is said of each name with what the peer holds.
func explained(t *rapid.T, tab *Table, routes map[bgp.Service]bgp.Protocol, holds []string) {
	for svc := range routes {
		e := tab.ExportTo(2, svc)
		itself := slices.Contains(holds, string(svc))
		switch {
		case itself != (e.Why == NotWithheld) || itself && (!e.Told || e.As != ""):
			t.Fatalf("%s: %+v, and the peer holds %v", svc, e, holds)
		case e.Why == WithheldAggregate && (!slices.Contains(holds, string(e.As)) || !e.Told):
			t.Fatalf("%s: %+v, and the peer holds %v", svc, e, holds)
		case tab.MayUse(2, svc) != (e.Why == NotWithheld || e.Why == WithheldAggregate):
			t.Fatalf("%s may be used: %v, and %+v", svc, tab.MayUse(2, svc), e)
		}
	}
}

func reachIn(names []string, svc bgp.Service) bool {
	return slices.ContainsFunc(names, func(n string) bool { return filter.Covers(n, svc) })
}

func take(holds map[bgp.Service]string, u *bgp.Update) {
	for _, n := range u.Withdrawn {
		delete(holds, n.Service)
	}
	for _, g := range u.Announced {
		for _, n := range g.Routes {
			holds[bgp.Service(strings.Clone(string(n.Service)))] = string(g.Attributes)
		}
	}
}

func sorted(holds map[bgp.Service]string) []string {
	all := make([]string, 0, len(holds))
	for svc := range holds {
		all = append(all, string(svc))
	}
	slices.Sort(all)
	return all
}

// An aggregate says nothing of what it stands for: whose node, where, how well, with which tags.
func TestAnAggregateSaysNothingOfItsMembers(t *testing.T) {
	tab := New(Config{Self: self})
	accept := &filter.Chain{Aggregates: []string{"*.eu.acme.example"}}
	tab.AddPeer(1, PeerConfig{Node: node(1)})
	tab.AddPeer(2, PeerConfig{
		Node: bgp.NodeID{Org: "bravo.example", Name: "x"}, External: true, Export: accept, Role: bgp.RolePeer,
	})
	tab.Established(2, "")
	a := bgp.Attributes{
		Protocol: bgp.GRPC, NodePath: []bgp.NodeID{node(1), node(3)}, Region: "west", Tags: []string{"inner"},
		Health: bgp.HealthDown, MED: 7, LocalPref: 50,
	}
	tab.Apply(1, announcement("a.eu.acme.example", a))
	holds := map[bgp.Service]string{}
	for u := tab.Update(2); u != nil; u = tab.Update(2) {
		take(holds, u)
	}
	got, err := attr.Parse([]byte(holds["*.eu.acme.example"]))
	want := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{self}, OnlyToCustomer: self.Org}
	if err != nil || len(holds) != 1 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the peer holds %v, %v; of it %+v, want %+v", holds, err, got, want)
	}
}

// A message holds at most bgp.MaxUpdateRoutes, aggregates included: here each service is told of by name from now on,
// and the aggregates are withdrawn with the last of them.
func TestAggregatesFitIntoAMessage(t *testing.T) {
	tab := New(Config{Self: self})
	cfg := PeerConfig{Node: bgp.NodeID{Org: "bravo.example", Name: "x"}, External: true, Export: &filter.Chain{}}
	for i := range filter.MaxAggregates {
		cfg.Export.Aggregates = append(cfg.Export.Aggregates, fmt.Sprintf("*.x%d.acme.example", i))
	}
	tab.AddPeer(1, PeerConfig{Node: node(1)})
	tab.AddPeer(2, cfg)
	const services = 950
	for i := range services {
		tab.Apply(1, announcement(bgp.Service(fmt.Sprintf("s%d.x%d.acme.example", i, i%filter.MaxAggregates)), from(1)))
	}
	tab.Established(2, "")
	hears := func(want int) {
		t.Helper()
		total := 0
		for u := tab.Update(2); u != nil; u = tab.Update(2) {
			n := len(u.Withdrawn)
			for _, g := range u.Announced {
				n += len(g.Routes)
			}
			if total += n; n > bgp.MaxUpdateRoutes {
				t.Errorf("a message of %d routes: want at most %d", n, bgp.MaxUpdateRoutes)
			}
		}
		if total != want {
			t.Errorf("%d routes came and went, want %d", total, want)
		}
	}
	hears(filter.MaxAggregates)
	cfg.Export = &filter.Chain{}
	tab.UpdatePeer(2, cfg)
	hears(services + filter.MaxAggregates)
}

// A peer that takes *.NAME for a name is told of each service by its own, and of no pattern of a third either; once it
// comes back with a version that knows patterns, of those.
func TestAPeerThatDoesNotKnowPatterns(t *testing.T) {
	tab := New(Config{Self: self})
	cfg := PeerConfig{
		Node: bgp.NodeID{Org: "bravo.example", Name: "x"}, External: true, NoPatterns: true,
		Export: &filter.Chain{Aggregates: []string{"*.eu.acme.example"}},
	}
	tab.AddPeer(1, PeerConfig{Node: node(1)})
	tab.AddPeer(2, cfg)
	for _, svc := range []bgp.Service{"a.eu.acme.example", "b.eu.acme.example", "*.w.acme.example"} {
		tab.Apply(1, announcement(svc, from(1)))
	}
	hears := func(id PeerID, want ...string) {
		t.Helper()
		tab.Established(id, "")
		var all []string
		for u := tab.Update(id); u != nil; u = tab.Update(id) {
			for _, g := range u.Announced {
				for _, r := range g.Routes {
					all = append(all, string(r.Service))
				}
			}
		}
		slices.Sort(all)
		if !slices.Equal(all, want) {
			t.Errorf("peer %d is told of %v, want %v", id, all, want)
		}
	}
	hears(2, "a.eu.acme.example", "b.eu.acme.example")
	if e := tab.ExportTo(2, "*.w.acme.example"); e.Told || e.Why != WithheldPattern {
		t.Errorf("%+v, want that it is told why", e)
	}
	cfg.NoPatterns = false
	tab.UpdatePeer(2, cfg)
	hears(2, "*.eu.acme.example", "*.w.acme.example")
}

// What is pinned to one neighbour does not go by a pattern that another one announces.
func TestAPatternDoesNotGetRoundAPin(t *testing.T) {
	tab := New(Config{Self: self})
	x, y := bgp.NodeID{Org: "bravo.example", Name: "x"}, bgp.NodeID{Org: "carol.example", Name: "y"}
	all := []string{"*"}
	tab.AddPeer(1, PeerConfig{
		Node: x, External: true, Import: &filter.Chain{}, Namespaces: all, Pins: []string{"pay.delta.example"},
	})
	tab.AddPeer(2, PeerConfig{Node: y, External: true, Import: &filter.Chain{}, Namespaces: all})
	origin := bgp.NodeID{Org: "delta.example", Name: "d"}
	for id, n := range map[PeerID]bgp.NodeID{1: x, 2: y} {
		tab.Apply(id, announcement("*.delta.example", bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{n, origin}}))
		tab.Apply(id, announcement("*.eu.delta.example",
			bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{n, origin}}))
	}
	sel, _ := tab.Selected("*.delta.example")
	other, _ := tab.Selected("*.eu.delta.example")
	if len(sel.Tiers) != 1 || len(other.Tiers) != 1 || len(sel.Tiers[0]) != 1 || len(other.Tiers[0]) != 2 {
		t.Errorf("%+v, %+v: want the first by bravo alone, and the second by both", sel.Tiers, other.Tiers)
	}
}

// Calls of a name go by the closest pattern.
func TestTheClosestPatternCovers(t *testing.T) {
	tab := New(Config{Self: self})
	tab.AddPeer(1, PeerConfig{Node: node(1)})
	for _, svc := range []bgp.Service{"*.acme.example", "*.eu.acme.example"} {
		tab.Apply(1, announcement(svc, from(1)))
	}
	for name, want := range map[bgp.Service]bgp.Service{
		"a.eu.acme.example": "*.eu.acme.example", "a.b.eu.acme.example": "*.eu.acme.example",
		"eu.acme.example": "*.acme.example", "a.acme.example": "*.acme.example", "a.delta.example": "",
		"*.eu.acme.example": "*.acme.example",
	} {
		if sel, ok := tab.Covering(name); ok != (want != "") || sel.Service != want {
			t.Errorf("%s is covered by %q, want %q", name, sel.Service, want)
		}
	}
}
