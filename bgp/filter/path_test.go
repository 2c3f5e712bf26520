package filter

import (
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

func TestPathPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "", true}, {"", "a.b", false}, {"*", "", true}, {"*", "a.b c.d", true}, {"?", "a.b", true}, {"?", "", false},
		{"a.b", "a.b", true}, {"a.b", "a.b c.d", false}, {"a.b *", "a.b c.d e.f", true}, {"* e.f", "a.b c.d e.f", true},
		{"* c.d *", "a.b c.d e.f", true}, {"* c.d ?", "a.b c.d", false}, {"a.b * a.b * e.f", "a.b c.d a.b c.d e.f", true},
		{"? ? ?", "a.b c.d", false},
	} {
		var path []bgp.Org
		for _, o := range strings.Fields(tt.path) {
			path = append(path, bgp.Org(o))
		}
		if got := matchPath(strings.Fields(tt.pattern), path); got != tt.want {
			t.Errorf("%q meets %q: %v", tt.path, tt.pattern, got)
		}
	}
	for _, bad := range []string{"ACME.example", "acme", "a.b, c.d", "**", strings.Repeat("? ", 200)} {
		if checkPath(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// Each term that was tried is told of, with the first condition that failed; the term that decided is the last.
func TestExplain(t *testing.T) {
	yes := true
	c := Chain{Default: Reject, Terms: []Term{
		{Name: "far", Match: Match{Services: []string{"*.acme.example"}, Protocols: []bgp.Protocol{bgp.TCP}}, Action: Reject},
		{Name: "tag", Set: Set{AddTags: []string{"seen"}}},
		{Name: "carried", Match: Match{Transit: &yes, Tags: []string{"seen"}}, Action: Accept},
		{Name: "never reached", Action: Reject},
	}}
	a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{{Org: "acme.example", Name: "a"}}}
	steps, v := c.Explain("books.acme.example", &a, Facts{Neighbour: "bravo.example"})
	want := []Step{
		{Term: "far", Unmet: "protocols", Action: Reject}, {Term: "tag", Action: Next, Set: true},
		{Term: "carried", Action: Accept},
	}
	if len(steps) != len(want) || !v.Accepted || !v.Transit || len(a.Tags) > 0 {
		t.Fatalf("%+v, %+v, %v", steps, v, a.Tags)
	}
	for i := range want {
		if steps[i] != want[i] {
			t.Errorf("step %d: %+v", i, steps[i])
		}
	}
	steps, v = c.Explain("books.acme.example", &a, Facts{Neighbour: "acme.example"})
	if last := steps[len(steps)-1]; v.Term != "never reached" || last.Term != v.Term || steps[2].Unmet != "transit" {
		t.Errorf("%+v, %+v", steps, v)
	}
}

// An organisation sets and strips its own communities; those that keep a route where it is stay.
func TestCommunitiesBelongToSomebody(t *testing.T) {
	own, other := bgp.Community{Org: "acme.example", Key: "k"}, bgp.Community{Org: "bravo.example", Key: "k"}
	for _, tt := range []struct {
		set Set
		ok  bool
	}{
		{Set{AddCommunities: []bgp.Community{own, bgp.NoExport}, RemoveCommunities: []bgp.Community{own}}, true},
		{Set{AddCommunities: []bgp.Community{other}}, false},
		{Set{RemoveCommunities: []bgp.Community{other}}, false},
		{Set{RemoveCommunities: []bgp.Community{bgp.NoExport}}, false},
		{Set{RemoveCommunities: []bgp.Community{bgp.GracefulShutdown}}, true},
	} {
		c := Chain{Terms: []Term{{Name: "x", Set: tt.set}}}
		if err := c.CheckOwnership("acme.example"); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.set, err)
		}
	}
}
