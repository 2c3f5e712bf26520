package judge

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/sim"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/policy"
)

// simulated takes events for a node of a simulated network.
type simulated struct {
	net  *sim.Net
	node bgp.NodeID
}

func (s simulated) Do(_ context.Context, ev speaker.Event) error { s.net.Do(s.node, ev); return nil }

// Policies decide on routes as they are learned and told; a change decides on all that there are, and no session is
// reset. What was refused names the policy.
func TestPoliciesDecideOnRoutes(t *testing.T) {
	j := open(t, t.TempDir())
	j.cfg.Routes = true
	a, b, c := bgp.NodeID{Org: "acme.example", Name: "a"}, bgp.NodeID{Org: "acme.example", Name: "b"},
		bgp.NodeID{Org: "acme.example", Name: "c"}
	n := sim.New(1)
	n.Add(a, func(cfg *speaker.Config) { cfg.Guards = j.Guards })
	for _, id := range []bgp.NodeID{b, c} {
		n.Add(id, nil)
		n.Link(a, id, time.Millisecond)
	}
	at := simulated{n, a}
	apply := func(text string) {
		t.Helper()
		src := policy.Source{}
		if text != "" {
			src = source(text)
		}
		if _, err := j.Apply(t.Context(), src, "joe", "", false); err != nil {
			t.Fatal(err)
		}
		if err := j.GuardRoutes(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		n.Run(10 * time.Second)
	}
	const books, films = bgp.Service("books.acme.example"), bgp.Service("films.acme.example")
	const noBooks = `@id("no-books") forbid (principal == CATALYST::NODE::"spiffe://acme.example/node/b",
		action == CATALYST::Action::"ROUTE_IMPORT", resource == CATALYST::Service::"books.acme.example");
		@id("no-films") forbid (principal == CATALYST::NODE::"spiffe://acme.example/node/c",
		action == CATALYST::Action::"ROUTE_EXPORT", resource == CATALYST::Service::"films.acme.example");`
	apply(noBooks)
	n.Peer(a, b, true)
	n.Peer(a, c, true)
	n.Announce(b, books, bgp.Attributes{Protocol: bgp.HTTP})
	n.Announce(b, films, bgp.Attributes{Protocol: bgp.HTTP})
	n.Announce(a, films, bgp.Attributes{Protocol: bgp.HTTP})
	n.Run(30 * time.Second)
	table := n.Node(a).Speaker().Table()
	if got := n.Best(a, books); got != "" {
		t.Errorf("what is forbidden is used: %s", got)
	}
	if all := table.Explain(books); len(all) != 1 || all[0].Term != "policy no-books" {
		t.Errorf("explained as %+v", all)
	}
	if n.Best(a, films) == "" || n.Best(c, films) != "" {
		t.Errorf("films at a: %q, at c: %q", n.Best(a, films), n.Best(c, films))
	}
	sessions := len(n.Node(a).Log)
	apply("")
	if n.Best(a, books) == "" || n.Best(c, films) == "" {
		t.Errorf("with the defaults, books at a: %q, films at c: %q", n.Best(a, books), n.Best(c, films))
	}
	apply(noBooks)
	if n.Best(a, books) != "" || n.Best(c, films) != "" {
		t.Errorf("forbidden again, books at a: %q, films at c: %q", n.Best(a, books), n.Best(c, films))
	}
	if log := n.Node(a).Log[sessions:]; len(log) > 0 {
		t.Errorf("sessions: %s", strings.Join(log, "; "))
	}
}

// A recorded event brings the same decisions back, and one that cannot be read refuses all.
func TestGuardsAreReplayed(t *testing.T) {
	j := open(t, t.TempDir())
	j.cfg.Routes = true
	if _, err := j.Apply(t.Context(), source(`@id("no") forbid (principal, action == CATALYST::Action::"ROUTE_IMPORT",
		resource == CATALYST::Service::"books.acme.example");`), "joe", "", false); err != nil {
		t.Fatal(err)
	}
	var kept []speaker.Guarded
	if err := j.GuardRoutes(t.Context(), keeping{&kept}); err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	peer := bgp.NodeID{Org: "acme.example", Name: "b"}
	for name, tt := range map[string]struct {
		of           speaker.Guards
		books, films string
	}{
		"live":     {j.Guards(kept[0]), "policy no", ""},
		"replayed": {Replayed(kept[0]), "policy no", ""},
		"unread":   {Replayed(speaker.Guarded{Set: "x"}), "policy: none permits it", "policy: none permits it"},
	} {
		imports, _ := tt.of(peer)
		for range 2 { // the second time it is remembered
			attrs := &bgp.Attributes{NodePath: []bgp.NodeID{peer}}
			books, films := imports.Refuses("books.acme.example", attrs), imports.Refuses("films.acme.example", attrs)
			if books != tt.books || films != tt.films {
				t.Errorf("%s: %q, %q", name, books, films)
			}
		}
	}
}

type keeping struct{ kept *[]speaker.Guarded }

func (k keeping) Do(_ context.Context, ev speaker.Event) error {
	*k.kept = append(*k.kept, ev.(speaker.Guarded)) //nolint:forcetypeassert // nothing else is sent
	return nil
}
