package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/xds"
)

// carried is bravo's app and x, then acme's a and b, each of which remembers a call of books at b that app's
// application made.
func carried() (*world, []bgp.NodeID) {
	way := []bgp.NodeID{{Org: "bravo.example", Name: "app"}, {Org: "bravo.example", Name: "x"}, id("a"), id("b")}
	w := &world{nodes: map[bgp.NodeID]*fake{}, dead: map[string]error{}}
	for i, self := range way {
		n := &fake{w: w, self: self}
		seen := Seen{Where: xds.TapIngress, Took: time.Millisecond, Text: "ok 200 GET /" + self.Name, Upstream: "workload"}
		if i == 0 {
			seen.Where = xds.TapEgress
		} else {
			seen.From = way[i-1]
		}
		p := rib.Path{Local: true}
		if i < len(way)-1 {
			next := way[i+1]
			p = rib.Path{Peer: next, NextHop: bgp.NextHop{Node: next, Address: "ingress-" + next.Name}}
			seen.Upstream = p.NextHop.Address
		}
		n.facts.Paths = []rib.Candidate{{Path: p}}
		n.calls = []Seen{seen}
		n.tracer = New(n, Organisation, func() uint64 { w.ids++; return w.ids })
		w.nodes[self] = n
	}
	return w, way
}

func (w *world) call(t *testing.T, from bgp.NodeID) string {
	t.Helper()
	hops, err := w.nodes[from].tracer.Call(t.Context(), books, "one")
	if err != nil {
		t.Fatal(err)
	}
	return said(hops)
}

// said are hops as one text: what each node says, and "?" for a note.
func said(hops []bgp.TraceHop) string {
	var all []string
	for _, h := range hops {
		part := h.Node.Name + "?"
		if len(h.Steps) > 0 {
			part = h.Node.Name
		}
		all = append(all, part)
	}
	return strings.Join(all, " ")
}

// Where both organisations name each other, each node of the way shows the whole call, in the order in which it went.
func TestHalvesOfACallAreJoined(t *testing.T) {
	w, way := carried()
	for _, n := range way {
		w.nodes[n].joins = []bgp.Org{"bravo.example", "acme.example"}
	}
	for _, from := range way {
		if got := w.call(t, from); got != "app x a b" {
			t.Errorf("at %s: %s", from, got)
		}
	}
	w.nodes[id("b")].calls = []Seen{} // it has forgotten
	if got := w.call(t, way[0]); got != "app x a b?" {
		t.Errorf("one node has forgotten: %s", got)
	}
	w.nodes[id("a")].calls = nil // it is not told of calls
	if got := w.call(t, way[0]); got != "app x a?" {
		t.Errorf("one node is not told of calls: %s", got)
	}
}

// Nobody behind a border is asked or answered unless both sides want it; inside an organisation everybody is.
func TestHalvesAreJoinedWithConsentAlone(t *testing.T) {
	for _, c := range []struct {
		acme, bravo bool
		app, b      string // what they show
	}{
		{acme: false, bravo: false, app: "app x a?", b: "x? a b"},
		{acme: true, bravo: false, app: "app x a?", b: "x? a b"},
		{acme: false, bravo: true, app: "app x a?", b: "x? a b"},
		{acme: true, bravo: true, app: "app x a b", b: "app x a b"},
	} {
		w, way := carried()
		for _, n := range way {
			if f := w.nodes[n]; n.Org == "acme.example" && c.acme {
				f.joins = []bgp.Org{"bravo.example"}
			} else if n.Org == "bravo.example" && c.bravo {
				f.joins = []bgp.Org{"acme.example"}
			}
		}
		if app, b := w.call(t, way[0]), w.call(t, id("b")); app != c.app || b != c.b {
			t.Errorf("acme joins %t, bravo %t: app shows %q, want %q; b shows %q, want %q", c.acme, c.bravo, app, c.app, b,
				c.b)
		}
	}
}

// Who did not carry a call hears of it what he hears of one that there never was, though he knows its id, or gives his
// own call the id of somebody else's.
func TestCallsOfOthersAreNotTold(t *testing.T) {
	w, _ := carried()
	a := w.nodes[id("a")]
	stranger := bgp.NodeID{Org: "delta.example", Name: "z"}
	a.joins = []bgp.Org{"delta.example"}
	ask := func(svc bgp.Service) []bgp.TraceHop {
		return a.tracer.Answer(t.Context(), stranger, bgp.TraceRequest{
			ID: 9, Service: svc, TTL: 8, Budget: time.Second, Call: "one",
		})
	}
	there := ask(books)
	before := a.calls
	a.calls = []Seen{}
	never := ask(books)
	if fmt.Sprint(there) != fmt.Sprint(never) || said(there) != "a?" {
		t.Errorf("of a call that it did not carry: %v; of one that there never was: %v", there, never)
	}
	a.calls = append(before, Seen{Where: xds.TapIngress, From: stranger, Upstream: "workload", Text: "of the stranger"})
	hops := ask(books)
	if len(hops) != 1 || len(hops[0].Steps) != 1 || hops[0].Steps[0].Text != "of the stranger" {
		t.Errorf("of its own call of the same id: %v", hops)
	}
	if b := w.nodes[id("b")]; b.asked.Load() != 0 {
		t.Error("the next node was asked for a stranger")
	}
}

// A node that is too old to know the question traces the service, which is no answer.
func TestAnOlderNodeTellsOfNoCalls(t *testing.T) {
	old := bgp.TraceHop{Node: id("a"), Steps: []bgp.TraceStep{{Name: "route", State: bgp.TraceOK}}}
	if tellsOfCalls(old) {
		t.Error("a trace of the service is taken for what is remembered of a call")
	}
}
