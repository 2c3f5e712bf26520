package policy

import (
	"testing"
	"time"
)

// Routes pass until a policy forbids some, or permits some by name, after which no other passes; policies on calls
// alone change nothing for routes.
func TestRoutes(t *testing.T) {
	const bravo, charlie = "spiffe://bravo.example/node/edge", "spiffe://charlie.example/node/edge"
	named := `@id("books") permit (principal in CATALYST::Organisation::"bravo.example",
		action == CATALYST::Action::"ROUTE_IMPORT", resource == CATALYST::Service::"books.bravo.example");`
	near := `@id("far") forbid (principal, action == CATALYST::Action::"ROUTE_IMPORT", resource) when { context.pathLength > 2 };`
	both := named + `@id("told") permit (principal, action == CATALYST::Action::"ROUTE_EXPORT", resource);`
	calls := `permit (principal, action == CATALYST::Action::"REQUEST", resource);`
	of := func(peer, service string) Announcement {
		return Announcement{Peer: peer, Service: service + ".bravo.example"}
	}
	told := func(service string) Announcement { a := of(bravo, service); a.Export = true; return a }
	path := func(n int) Announcement { a := of(bravo, "films"); a.PathLength = n; return a }
	for name, tt := range map[string]struct {
		text           string
		a              Announcement
		judged, byName bool
		allow          bool
	}{
		"the defaults":              {"", of(bravo, "films"), false, true, true},
		"policies on calls":         {calls, of(bravo, "films"), false, true, true},
		"what is permitted by name": {named, of(bravo, "books"), true, true, true},
		"of another service":        {named, of(bravo, "films"), true, true, false},
		"of another peer":           {named, of(charlie, "books"), true, true, false},
		"in the other direction":    {named, told("books"), true, true, false},
		"where that is permitted":   {both, told("films"), true, true, true},
		"a short path":              {near, path(2), true, false, true},
		"a long path":               {near, path(3), true, false, false},
		"no SPIFFE id":              {"", of("bravo", "films"), false, true, false},
		"everything is forbidden": {`@id("no") forbid (principal, action, resource);`,
			of(bravo, "films"), true, true, false},
	} {
		src := Source{}
		if tt.text != "" {
			src.Policies = []Document{{Name: "t", Text: tt.text}}
		}
		s, err := Compile(src)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tt.a.Organisation, tt.a.Origin, tt.a.Time = "bravo.example", "bravo.example/edge", time.Unix(1_700_000_000, 0)
		if s.JudgesRoutes() != tt.judged || s.RoutesByName() != tt.byName {
			t.Errorf("%s: judged %t, by name %t", name, s.JudgesRoutes(), s.RoutesByName())
		}
		if d := s.Decide(tt.a.Request()); d.Allow != tt.allow {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
