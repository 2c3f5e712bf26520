package filter

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// Rules that are valid do to a route what a dumb twin does, never write to what they are given, and leave attributes
// that the protocol allows: otherwise the route would be withheld for a reason that nobody has written down.
func FuzzChain(f *testing.F) {
	route := bgp.Attributes{
		NodePath:    []bgp.NodeID{{Org: "acme.example", Name: "b"}},
		Protocol:    bgp.HTTP,
		Region:      "eu",
		Tags:        []string{"gold"},
		Communities: []bgp.Community{bgp.NoExport},
	}
	set := attr.Append(nil, &route)
	for _, chain := range []string{
		`{"Default":"reject","Terms":[{"Name":"x","Match":{"Services":["*.acme.example"],"MaxHops":1},"Set":{"LocalPref":200},"Action":"accept"}]}`,
		`{"Terms":[{"Name":"x","Match":{"Tags":["gold"],"Regions":["eu"]},"Set":{"AddTags":["silver"],"Weight":5},"Action":"next"},{"Name":"y","Action":"reject","Match":{"Protocols":["tcp"]}}]}`,
		`{"Terms":[{"Name":"x","Set":{"AddCommunities":["acme.example:k:v"],"RemoveCommunities":["no-export"]},"Action":"next"}]}`,
		`{"Terms":[{"Name":"x","Set":{"AddTags":["für"]},"Action":"accept"}]}`,
		`{"Terms":[{"Name":"x","Match":{"Paths":["? * acme.example *","* ?"],"Transit":true},"Action":"accept"}]}`,
		`{"Terms":[{"Name":"x","Match":{"OriginStates":["not-found"],"Paths":[""]},"Action":"reject"}]}`,
	} {
		f.Add([]byte(chain), set, "books.acme.example")
	}
	f.Fuzz(func(t *testing.T, rules, set []byte, name string) {
		var c Chain
		svc := bgp.Service(name)
		if json.Unmarshal(rules, &c) != nil || c.Validate() != nil || svc.Check() != nil {
			return
		}
		if _, ok := attr.Check(set); !ok {
			return
		}
		given, _ := attr.Parse(set)
		got, want := given, given
		v := c.Apply(svc, &got, Facts{})
		if before := attr.Append(nil, &given); string(before) != string(set) {
			t.Fatalf("%s wrote to what it was given: %q", rules, before)
		}
		if accepted, term := applied(&c, svc, &want); v.Accepted != accepted || v.Term != term {
			t.Fatalf("%s: %+v, want %v by %q", rules, v, accepted, term)
		}
		if !v.Accepted {
			return
		}
		if !v.Changed && !reflect.DeepEqual(got, given) {
			t.Fatalf("%s: changed without saying so", rules)
		}
		after := attr.Append(nil, &got)
		if string(after) != string(attr.Append(nil, &want)) {
			t.Fatalf("%s made of %+v\n%+v, want\n%+v", rules, given, got, want)
		}
		if _, ok := attr.Check(after); !ok && len(after) <= attr.MaxSize {
			t.Fatalf("%s made %+v, which breaks a rule of the protocol", rules, got)
		}
	})
}

// applied is Apply, the dumb way.
func applied(c *Chain, svc bgp.Service, a *bgp.Attributes) (accepted bool, term string) {
	for _, t := range c.Terms {
		if !matches(&t.Match, svc, a) {
			continue
		}
		if t.Action == Reject {
			return false, t.Name
		}
		for _, n := range []struct{ to, from *uint32 }{{&a.LocalPref, t.Set.LocalPref}, {&a.MED, t.Set.MED},
			{&a.Weight, t.Set.Weight}} {
			if n.from != nil {
				*n.to = *n.from
			}
		}
		if len(t.Set.AddCommunities)+len(t.Set.RemoveCommunities) > 0 {
			texts := map[string]bgp.Community{}
			for _, x := range append(append([]bgp.Community{}, a.Communities...), t.Set.AddCommunities...) {
				texts[x.String()] = x
			}
			for _, x := range t.Set.RemoveCommunities {
				delete(texts, x.String())
			}
			a.Communities = nil
			for _, text := range slices.Sorted(maps.Keys(texts)) {
				if len(texts) > bgp.MaxTags && strings.Contains(text, ":") {
					delete(texts, text)
					continue
				}
				a.Communities = append(a.Communities, texts[text])
			}
		}
		if len(t.Set.AddTags) > 0 {
			tags := map[string]bool{}
			for _, tag := range append(append([]string{}, a.Tags...), t.Set.AddTags...) {
				tags[tag] = true
			}
			a.Tags = sorted(tags)
		}
		if t.Action == Accept {
			return true, t.Name
		}
	}
	return c.Default != Reject, ""
}

func sorted[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all[:min(len(all), bgp.MaxTags)]
}

func matches(m *Match, svc bgp.Service, a *bgp.Attributes) bool {
	some := func(n int, is func(i int) bool) bool {
		for i := range n {
			if is(i) {
				return true
			}
		}
		return n == 0
	}
	return some(len(m.Services), func(i int) bool { return below(m.Services[i], svc) }) &&
		some(len(m.Orgs), func(i int) bool { return strings.HasSuffix(string(svc), "."+string(m.Orgs[i])) }) &&
		some(len(m.Origins), func(i int) bool {
			return len(a.NodePath) > 0 && a.NodePath[len(a.NodePath)-1] == m.Origins[i] ||
				len(a.NodePath) == 0 && m.Origins[i].IsZero()
		}) &&
		some(len(m.Protocols), func(i int) bool { return m.Protocols[i] == a.Protocol }) &&
		some(len(m.Communities), func(i int) bool { return slices.Contains(a.Communities, m.Communities[i]) }) &&
		some(len(m.Tags), func(i int) bool { return slices.Contains(a.Tags, m.Tags[i]) }) &&
		some(len(m.Regions), func(i int) bool { return m.Regions[i] == a.Region }) &&
		(m.MaxHops <= 0 || len(a.NodePath) <= m.MaxHops) &&
		some(len(m.OriginStates), func(i int) bool { return m.OriginStates[i] == bgp.OriginNotFound }) &&
		(m.Transit == nil || *m.Transit == (len(a.NodePath) > 0)) &&
		some(len(m.Paths), func(i int) bool { return pathMatches(m.Paths[i], a.OrgPath()) })
}

// pathMatches is matchPath, by a regular expression.
func pathMatches(pattern string, path []bgp.Org) bool {
	var re, text strings.Builder
	for _, w := range strings.Fields(pattern) {
		switch w {
		case "?":
			re.WriteString(`[^ ]+ `)
		case "*":
			re.WriteString(`([^ ]+ )*`)
		default:
			re.WriteString(regexp.QuoteMeta(w + " "))
		}
	}
	for _, o := range path {
		text.WriteString(string(o) + " ")
	}
	return regexp.MustCompile("^" + re.String() + "$").MatchString(text.String())
}

// below is Covers, label by label.
func below(pattern string, svc bgp.Service) bool {
	p, s := strings.Split(pattern, "."), strings.Split(string(svc), ".")
	if p[0] == "*" && len(p) == 1 {
		return true
	}
	if p[0] != "*" || slices.Equal(p, s) {
		return slices.Equal(p, s)
	}
	return len(s) >= len(p) && slices.Equal(p[1:], s[len(s)-len(p)+1:])
}

// A set of names has what one of its names or patterns stands for, and the difference of two sets names each service
// that only one of them has, or says that patterns differ.
func FuzzNames(f *testing.F) {
	f.Add("books.acme.example *.shop.acme.example", "books.acme.example x.acme.example", "cart.shop.acme.example")
	f.Add("*.acme.example", "*.x.acme.example *.acme.example", "*.x.acme.example")
	f.Fuzz(func(t *testing.T, first, second, name string) {
		svc := bgp.Service(name)
		read := func(text string) (list []bgp.Service) {
			for _, word := range strings.Fields(text) {
				if s := bgp.Service(word); s.Check() == nil {
					list = append(list, s)
				}
			}
			return list
		}
		if svc.Check() != nil {
			return
		}
		a, b := read(first), read(second)
		inA, inB := NewNames(a), NewNames(b)
		for _, n := range []struct {
			set  *Names
			list []bgp.Service
		}{{inA, a}, {inB, b}} {
			want := slices.ContainsFunc(n.list, func(p bgp.Service) bool {
				return below(string(p), svc) ||
					svc.IsWildcard() && overlap(p, svc)
			})
			if got := n.set.Has(svc); got != want {
				t.Fatalf("%v has %s: %v, want %v", n.list, svc, got, want)
			}
		}
		var names []bgp.Service
		differ := func(s bgp.Service) { names = append(names, s) }
		inA.Lacks(inB, inA.Lacks(inB, 0, 1, differ), len(b), differ)
		inB.Lacks(inA, 0, len(a), differ)
		patterns := PatternsDiffer(inA, inB)
		if inA.Has(svc) != inB.Has(svc) && !patterns && !slices.Contains(names, svc) && !svc.IsWildcard() {
			t.Fatalf("%v and %v differ in %s, and the difference is %v", a, b, svc, names)
		}
	})
}

// overlap tells whether a wildcard route serves any name that a wanted name or pattern stands for.
func overlap(wanted, route bgp.Service) bool {
	w, r := "."+strings.TrimPrefix(string(wanted), "*."), string(route)[1:]
	return strings.HasSuffix(w, r) || wanted.IsWildcard() && strings.HasSuffix(r, w)
}
