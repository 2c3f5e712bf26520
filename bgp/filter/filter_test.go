package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/bgp"
)

func u32(v uint32) *uint32 { return &v }

// A rule that adds a tag of its own must not push out the mark that keeps a route inside.
func TestWellKnownCommunitiesStay(t *testing.T) {
	var many []bgp.Community
	for i := range 31 {
		many = append(many, bgp.Community{Org: "acme.example", Key: "k", Value: fmt.Sprint(i)})
	}
	a := bgp.Attributes{Communities: append(many, bgp.NoExport)}
	c := Chain{Terms: []Term{{Name: "x", Set: Set{AddCommunities: []bgp.Community{{Org: "bravo.example", Key: "z"}}}}}}
	if c.Apply("books.acme.example", &a, Facts{}); !a.HasCommunity(bgp.NoExport) || len(a.Communities) != bgp.MaxTags {
		t.Errorf("%d communities, no-export among them: %v", len(a.Communities), a.HasCommunity(bgp.NoExport))
	}
}

func TestApply(t *testing.T) {
	a := bgp.Attributes{
		NodePath: []bgp.NodeID{{Org: "acme.example", Name: "b"}, {Org: "acme.example", Name: "a"}},
		Protocol: bgp.HTTP,
		Region:   "eu",
		Tags:     []string{"gold"}, Communities: []bgp.Community{{Org: "acme.example", Key: "k"}},
	}
	other := bgp.Community{Org: "bravo.example", Key: "x"}
	for _, tt := range []struct {
		name  string
		chain Chain
		want  Verdict
		set   func(*bgp.Attributes)
	}{
		{"no terms take everything", Chain{}, Verdict{Accepted: true}, nil},
		{"the default rejects", Chain{Default: Reject}, Verdict{}, nil},
		{"the first that decides decides", Chain{
			Terms: []Term{{Name: "yes", Action: Accept}, {Name: "no", Action: Reject}},
		}, Verdict{Accepted: true, Term: "yes"}, nil},
		{"a term that does not match is passed over",
			Chain{Terms: []Term{{Name: "no", Match: Match{Regions: []string{"us"}}, Action: Reject}}},
			Verdict{Accepted: true}, nil},
		{"all conditions of a match count", Chain{
			Terms: []Term{{Name: "no", Match: Match{Regions: []string{"eu"}, Tags: []string{"silver"}}, Action: Reject}},
		}, Verdict{Accepted: true}, nil},
		{"one element of a list is enough", Chain{
			Terms: []Term{{Name: "no", Match: Match{Tags: []string{"silver", "gold"}}, Action: Reject}},
		}, Verdict{Term: "no"}, nil},
		{"names below", Chain{
			Terms: []Term{{Name: "no", Match: Match{Services: []string{"*.acme.example"}}, Action: Reject}},
		}, Verdict{Term: "no"}, nil},
		{"origin", Chain{
			Terms: []Term{{Name: "no", Match: Match{Origins: []bgp.NodeID{{Org: "acme.example", Name: "a"}}}, Action: Reject}},
		}, Verdict{Term: "no"}, nil},
		{"too many hops", Chain{Terms: []Term{{Name: "near", Match: Match{MaxHops: 1}, Action: Accept}}, Default: Reject},
			Verdict{}, nil},
		{"settings of several terms add up", Chain{Terms: []Term{
			{Name: "pref", Set: Set{LocalPref: u32(200)}},
			{Name: "tag", Set: Set{AddTags: []string{"a"}, AddCommunities: []bgp.Community{other}}, Action: Accept},
		}}, Verdict{Accepted: true, Changed: true, Term: "tag"}, func(a *bgp.Attributes) {
			a.LocalPref, a.Tags, a.Communities = 200, []string{"a", "gold"},
				[]bgp.Community{{Org: "acme.example", Key: "k"}, other}
		}},
		{"communities go", Chain{
			Terms: []Term{{Name: "strip", Set: Set{RemoveCommunities: []bgp.Community{{Org: "acme.example", Key: "k"}}}}},
		},
			Verdict{Accepted: true, Changed: true}, func(a *bgp.Attributes) { a.Communities = []bgp.Community{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, want := a, a
			if v := tt.chain.Apply("books.acme.example", &got, Facts{}); v != tt.want {
				t.Errorf("verdict %+v, want %+v", v, tt.want)
			}
			if tt.set != nil {
				tt.set(&want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if a.Tags[0] != "gold" || len(a.Communities) != 1 {
		t.Error("a shared slice was written to")
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		svc     bgp.Service
		want    bool
	}{
		{"*", "a.b.c", true}, {"a.acme.example", "a.acme.example", true}, {"*.acme.example", "a.acme.example", true},
		{"*.acme.example", "x.a.acme.example", true},
		{"*.acme.example", "a.notacme.example", false}, {"*.acme.example", "acme.example", false},
		{"a.acme.example", "b.acme.example", false},
	} {
		if got := Covers(tt.pattern, tt.svc); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.pattern, tt.svc, got)
		}
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	c := Chain{
		Terms: []Term{{Name: "a", Match: Match{Services: []string{"BAD NAME"}}}, {Name: "a", Set: Set{Weight: u32(5000)}},
			{Set: Set{LocalPref: u32(1)}, Action: Reject}},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("passes")
	}
	for _, want := range []string{"match.services", "want one that no other term has", "set.weight", "nothing to set"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}
