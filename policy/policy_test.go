package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func compile(t testing.TB, policies string, entities ...string) *Snapshot {
	t.Helper()
	src := Source{Policies: []Document{{"test.cedar", policies}}}
	for i, e := range entities {
		src.Entities = append(src.Entities, Document{fmt.Sprintf("entities%d.json", i), e})
	}
	s, err := Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func call(change func(*Call)) Call {
	c := Call{
		Peer:         "spiffe://bravo.example/node/edge",
		Service:      "books.acme.example",
		Organisation: "acme.example",
		Method:       "GET",
		Path:         "/a",
		Host:         "books.acme.example",
		Time:         time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
	}
	if change != nil {
		change(&c)
	}
	return c
}

func principals() []string {
	return []string{"ADMIN", "NODE", "NODE_CUSTODIAN", "DATA_CUSTODIAN", "USER"}
}

// matrix is who may do what (ADMIN, NODE, NODE_CUSTODIAN, DATA_CUSTODIAN, USER), and the resource that it is about.
func matrix() map[string][2]string {
	return map[string][2]string{
		"LOGIN": {"x...x", "AdminPanel"}, "MANAGE": {"x....", "AdminPanel"},
		"IBGP_CONNECT": {"xxx..", "IBGP"}, "IBGP_DISCONNECT": {"xxx..", "IBGP"}, "IBGP_UPDATE": {"xxx..", "IBGP"},
		"IBGP_LIST":   {"xxx..", "IBGP"},
		"PEER_CREATE": {"x.x..", "Peer"}, "PEER_UPDATE": {"x.x..", "Peer"}, "PEER_DELETE": {"x.x..", "Peer"},
		"PEER_LIST":    {"x.x.x", "Peer"},
		"ROUTE_CREATE": {"x..x.", "Route"}, "ROUTE_DELETE": {"x..x.", "Route"}, "ROUTE_LIST": {"x..xx", "Route"},
		"TOKEN_CREATE": {"x....", "Token"}, "TOKEN_REVOKE": {"x....", "Token"}, "TOKEN_LIST": {"x....", "Token"},
		"GATEWAY_CONFIG_UPDATE": {"xx...", "Gateway"},
	}
}

// Every principal × every action × domains and nodes that are trusted, others, or none at all.
func TestMatrix(t *testing.T) {
	snap, err := Compile(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if len(matrix()) != 17 || len(snap.index.actions) >= 64 {
		t.Fatalf("%d actions, %d in the schema", len(matrix()), len(snap.index.actions))
	}
	trust := []struct {
		domains, nodes       []string
		adminOK, everybodyOK bool
	}{
		{[]string{"acme.example"}, []string{"a"}, true, true}, {[]string{"acme.example"}, nil, true, true},
		{nil, nil, true, false}, {nil, []string{"a"}, true, false},
		{[]string{"bravo.example"}, []string{"a"}, false, false}, {[]string{"acme.example"}, []string{"b"}, false, false},
		{nil, []string{"b"}, false, false},
		{[]string{"bravo.example", "acme.example"}, []string{"b", "a"}, true, true},
	}
	for action, row := range matrix() {
		for i, principal := range principals() {
			for _, tr := range trust {
				d := snap.Decide(Order{Bearer: Bearer{
					Principal:      principal,
					Subject:        "s",
					TrustedDomains: tr.domains,
					TrustedNodes:   tr.nodes,
				},
					Action: action, Kind: row[1], ID: "x", Node: "a", Domain: "acme.example"}.Request())
				want := row[0][i] == 'x' && (tr.everybodyOK || principal == "ADMIN" && tr.adminOK)
				if d.Allow != want || len(d.Errors) > 0 || want != (len(d.Policies) == 1) {
					t.Errorf("%s %s with %v %v: got %+v, want %t", principal, action, tr.domains, tr.nodes, d, want)
				}
			}
		}
	}
	if d := snap.Decide(Order{
		Bearer: Bearer{Principal: "ADMIN", Subject: "s"},
		Action: "PEER_CREATE",
		Kind:   "Peer",
		ID:     "",
		Node:   "a",
		Domain: "x",
	}.Request()); !d.Allow {
		t.Errorf("an order about no resource in particular: %+v", d)
	}
}

// What a call's facts decide, one policy each; with nothing that matches, and with anything that cannot be evaluated,
// it is a denial.
func TestCalls(t *testing.T) {
	const group = `[{"uid": {"type": "CATALYST::Group", "id": "partners"}, "parents": []},
		{"uid": {"type": "CATALYST::Organisation", "id": "bravo.example"}, "parents": [{"type": "CATALYST::Group", "id": "partners"}]},
		{"uid": {"type": "CATALYST::Service", "id": "books.acme.example"}, "parents": [], "tags": {"tier": "gold"}}]`
	for _, tt := range []struct {
		name, policy string
		change       func(*Call)
		allow        bool
		failed       bool
	}{
		{"an organisation",
			`principal in CATALYST::Organisation::"bravo.example", action, resource == CATALYST::Service::"books.acme.example"`, nil, true, false},
		{"another organisation", `principal in CATALYST::Organisation::"evil.example", action, resource`, nil, false, false},
		{"a group of organisations", `principal in CATALYST::Group::"partners", action, resource`, nil, true, false},
		{"a node",
			`principal == CATALYST::NODE::"spiffe://bravo.example/node/edge", action, resource is CATALYST::Service`, nil,
			true, false},
		{"a tag of the service",
			`principal, action, resource is CATALYST::Service) when { resource.hasTag("tier") && resource.getTag("tier") == "gold" `, nil, true, false},
		{"a method", `principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "GET" `, nil,
			true, false},
		{"another method", `principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "PUT" `,
			nil, false, false},
		{"a path", `principal, action == CATALYST::Action::"REQUEST", resource) when { context.path like "/a*" `, nil,
			true, false},
		{"a header",
			`principal, action == CATALYST::Action::"REQUEST", resource) when { context.headers.hasTag("x-tenant") && context.headers.getTag("x-tenant") == "7" `,
			func(c *Call) { c.Headers = map[string]string{"x-tenant": "7"} }, true, false},
		{"no header",
			`principal, action == CATALYST::Action::"REQUEST", resource) when { context.headers.hasTag("x-tenant") `, nil,
			false, false},
		{"the time",
			`principal, action == CATALYST::Action::"REQUEST", resource) when { context.hour >= 8 && context.hour < 18 && context.weekday == 1 `, nil, true, false},
		{"a token's principal",
			`principal is CATALYST::USER, action == CATALYST::Action::"REQUEST", resource) when { context.authenticated && context.claims.hasTag("team") `,
			func(c *Call) {
				c.Bearer = &Bearer{Principal: "USER", Subject: "joe", Claims: map[string]string{"team": "a"}}
			}, true, false},
		{"no token", `principal is CATALYST::USER, action, resource`, nil, false, false},
		{"a connection", `principal, action == CATALYST::Action::"CONNECT", resource) when { context.port == 5432 `,
			func(c *Call) { c.Connect, c.Port = true, 5432 }, true, false},
		{"a caller beside the node", `principal is CATALYST::Workload, action, resource`, func(c *Call) { c.Peer = "" },
			true, false},
		{"an identity that is none", `principal, action, resource`,
			func(c *Call) { c.Peer = "https://bravo.example/node/edge" }, false, true},
		{"a service with a line feed", `principal, action, resource`, func(c *Call) { c.Service = "a\nb" }, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			snap := compile(t, "@id(\"p\") permit ("+tt.policy+closing(tt.policy), group)
			d := snap.Decide(call(tt.change).Request())
			if d.Allow != tt.allow || tt.failed != (len(d.Errors) > 0) ||
				tt.allow != slices.Equal(d.Policies, []string{"p"}) || d.Snapshot != snap.Hash() {
				t.Errorf("got %+v, want %t", d, tt.allow)
			}
		})
	}
}

func closing(policy string) string {
	if strings.Contains(policy, "when {") {
		return "};"
	}
	return ");"
}

// In Cedar a forbid that cannot be evaluated forbids nothing. Here it denies.
func TestErrorsDeny(t *testing.T) {
	snap := compile(t, `@id("all") permit (principal, action, resource);
		@id("odd") forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.port + 9223372036854775807 > 5 };`)
	d := snap.Decide(call(func(c *Call) { c.Port = 1 }).Request())
	if d.Allow || len(d.Errors) != 1 || !strings.HasPrefix(d.Errors[0], "policy odd: ") {
		t.Errorf("got %+v", d)
	}
	if d := (&Engine{}).Decide(call(nil).Request()); d.Allow || len(d.Errors) != 1 {
		t.Errorf("without a snapshot: %+v", d)
	}
}

// Each problem is named with its place, and all of them at once.
func TestProblems(t *testing.T) {
	deep := strings.Repeat("(", MaxNesting+1)
	for _, tt := range []struct{ name, text, entities, want string }{
		{"syntax", "permit (principal, action, resource);\npermit (principal action, resource);", "", "test.cedar:2:"},
		{"an action that there is not", `@id("a") permit (principal, action == CATALYST::Action::"CALL", resource);`, "",
			"test.cedar:1:1: policy a: "},
		{"an attribute that there is not",
			`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.methd == "GET" };`, "", "methd"},
		{"types that differ",
			`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.port == "1" };`, "",
			"policy test.cedar#1"},
		{"two of one id", `@id("a") permit (principal, action, resource);@id("a") permit (principal, action, resource);`,
			"", "the same @id"},
		{"an id of the defaults", `@id("admin") permit (principal, action, resource);`, "", "the same @id"},
		{"never true", `permit (principal, action, resource) when { false };`, "", "never"},
		{"an unknown group", `forbid (principal, action, resource) unless { principal in CATALYST::Group::"frends" };`, "",
			`Group::"frends"`},
		{"nesting", "permit (principal, action, resource) when { " + deep, "", "brackets"},
		{"a million brackets", strings.Repeat("(", 200_000), "", "brackets"},
		{"a million signs", "permit (principal, action, resource) when { " + strings.Repeat("!", 200_000), "", "negation"},
		{"a chain", "permit (principal, action, resource) when { " + strings.Repeat("true || ", 20_000), "", "operators"},
		{"conditionals", "permit (principal, action, resource) when { " + strings.Repeat("if true then true else ",
			10_000), "", "operators"},
		{"size", strings.Repeat(" ", MaxDocument+1), "", "bytes"},
		{"not UTF-8", "\xff", "", "UTF-8"},
		{"entities", "permit (principal, action, resource);", "[" + strings.Repeat("[", 100_000), "brackets"},
		{"an entity of no type", "permit (principal, action, resource);",
			`[{"uid": {"type": "CATALYST::Fish", "id": "x"}, "parents": []}]`, "Fish"},
		{"an attribute of an entity", "permit (principal, action, resource);",
			`[{"uid": {"type": "CATALYST::Group", "id": "x"}, "attrs": {"a": 1}, "parents": []}]`, "Group"},
		{"nothing but policies without scope", strings.Repeat("permit (principal, action, resource);", maxBucket+1), "",
			"the same principal and resource"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := Source{Policies: []Document{{"test.cedar", tt.text}}}
			if tt.entities != "" {
				src.Entities = []Document{{"entities.json", tt.entities}}
			}
			_, err := Compile(src)
			var problems Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// generated is n policies as a real set has them, over a world of organisations and services.
func generated(n int, rnd *rand.Rand, organisations, services int) (policies []Document, entities Document) {
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			policies = append(policies, Document{fmt.Sprintf("p%d.cedar", len(policies)), b.String()})
			b.Reset()
		}
	}
	for i := range n {
		org, svc := rnd.IntN(organisations), rnd.IntN(services)
		fmt.Fprintf(&b, "@id(\"g%d\") ", i)
		switch k := rnd.IntN(100); {
		case k < 60:
			fmt.Fprintf(&b, "permit (principal == CATALYST::NODE::\"spiffe://o%d.example/node/edge\", action, resource == "+
				"CATALYST::Service::\"s%d.acme.example\");\n", org, svc)
		case k < 90:
			fmt.Fprintf(&b, "permit (principal in CATALYST::Organisation::\"o%d.example\", action == "+
				"CATALYST::Action::\"REQUEST\", resource in CATALYST::Group::\"g%d\") "+
				"when { context.method == \"GET\" && context.path like \"/%d*\" };\n", org, svc%10, rnd.IntN(3))
		case k < 98 || i > 2000:
			fmt.Fprintf(&b, "forbid (principal, action == CATALYST::Action::\"REQUEST\", resource == "+
				"CATALYST::Service::\"s%d.acme.example\") when { context.port + 9223372036854775800 > %d };\n", svc, rnd.IntN(1000))
		default:
			fmt.Fprintf(&b, "permit (principal is CATALYST::USER, action, resource is CATALYST::Service) when { "+
				"context.authenticated && %d == context.port };\n", rnd.IntN(5))
		}
		if b.Len() > MaxDocument-1000 || i%MaxPolicies == MaxPolicies-1 {
			flush()
		}
	}
	flush()
	var e []string
	for g := range 10 {
		e = append(e, fmt.Sprintf(`{"uid": {"type": "CATALYST::Group", "id": "g%d"}, "parents": []}`, g))
	}
	for s := range services {
		e = append(e,
			fmt.Sprintf(`{"uid": {"type": "CATALYST::Service", "id": "s%d.acme.example"}, "parents": [{"type": "CATALYST::Group", "id": "g%d"}]}`, s, s%10))
	}
	return policies, Document{"world.json", "[" + strings.Join(e, ",") + "]"}
}

func drawn(rnd *rand.Rand, organisations, services int) Call {
	c := Call{
		Peer:         fmt.Sprintf("spiffe://o%d.example/node/edge", rnd.IntN(organisations)),
		Service:      fmt.Sprintf("s%d.acme.example", rnd.IntN(services)),
		Organisation: "acme.example",
		Method:       []string{"GET", "POST"}[rnd.IntN(2)],
		Path:         fmt.Sprintf("/%d/x", rnd.IntN(3)),
		Connect:      rnd.IntN(5) == 0,
		Port:         rnd.IntN(20),
	}
	switch rnd.IntN(10) {
	case 0:
		c.Peer = ""
	case 1:
		c.Bearer = &Bearer{
			Principal:    principals()[rnd.IntN(5)],
			Subject:      "joe",
			Organisation: fmt.Sprintf("o%d.example", rnd.IntN(organisations)),
		}
	}
	return c
}

// Looking only at the policies that can apply decides as a look at all of them does: the same answer, the same
// policies, the same errors.
func TestSlicingAgreesWithTheFullScan(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		policies, entities := generated(300, rnd, 8, 12)
		snap, err := Compile(Source{Policies: policies, Entities: []Document{entities}})
		if err != nil {
			t.Fatal(err)
		}
		allowed, failed := 0, 0
		const asked = 2000
		for range asked {
			c := drawn(rnd, 9, 13)
			r := c.Request()
			got, want := snap.Decide(r), snap.Scan(r)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d: %+v:\n%s", seed, c, diff)
			}
			if got.Allow {
				allowed++
			}
			failed += len(got.Errors)
		}
		if allowed < asked/50 || allowed > asked*9/10 || failed == 0 {
			t.Errorf("seed %d: %d of %d allowed, %d errors: it tries too little", seed, allowed, asked, failed)
		}
	}
}

// While sets are exchanged under load, every decision is one whole set's: old and new forbid what the other permits,
// and no call gets both.
func TestEverySetDecidesAsAWhole(t *testing.T) {
	sets := []*Snapshot{
		compile(t,
			`@id("get") permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "GET" };
			@id("no-post") forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "POST" };`),
		compile(t,
			`@id("post") permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "POST" };
			@id("no-get") forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == "GET" };`),
	}
	var e Engine
	e.Publish(sets[0])
	want := map[string]map[string]string{sets[0].Hash(): {"GET": "get", "POST": "no-post"},
		sets[1].Hash(): {"GET": "no-get", "POST": "post"}}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, method := range []string{"GET", "POST"} {
		r := call(func(c *Call) { c.Method = method }).Request()
		asking.Go(func() {
			for seen := map[string]bool{}; ; {
				d := e.Decide(r)
				if !slices.Equal(d.Policies, []string{want[d.Snapshot][method]}) {
					t.Errorf("%s: %+v", method, d)
					return
				}
				seen[d.Snapshot] = true
				select {
				case <-stop:
					if len(seen) != 2 {
						t.Errorf("%s saw %d sets", method, len(seen))
					}
					return
				default:
				}
			}
		})
	}
	for i := range 3000 {
		e.Publish(sets[i%2])
		if i%100 == 0 {
			e.Decide(call(nil).Request())
		}
	}
	for i := range 200 { // both are seen, however busy the machine is
		e.Publish(sets[i%2])
		time.Sleep(100 * time.Microsecond)
	}
	close(stop)
	asking.Wait()
}

// A decision allocates as much with ten thousand policies as with ten.
func TestNothingGrowsWithTheSet(t *testing.T) {
	allocations := map[int]float64{}
	for _, n := range []int{10, 10_000} {
		rnd := rand.New(rand.NewPCG(3, 3))
		policies, entities := generated(n, rnd, 1000, 1000)
		snap, err := Compile(Source{Policies: policies, Entities: []Document{entities}})
		if err != nil {
			t.Fatal(err)
		}
		r := call(func(c *Call) { c.Peer, c.Service = "spiffe://o1.example/node/edge", "s1.acme.example" }).Request()
		allocations[n] = testing.AllocsPerRun(200, func() { snap.Decide(r) })
	}
	if allocations[10_000] > allocations[10]+12 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		rnd := rand.New(rand.NewPCG(3, 3))
		policies, entities := generated(n, rnd, 1000, 1000)
		snap, err := Compile(Source{Policies: policies, Entities: []Document{entities}})
		if err != nil {
			b.Fatal(err)
		}
		calls := make([]Call, 500)
		for i := range calls {
			calls[i] = drawn(rnd, 1000, 1000)
		}
		b.Run(fmt.Sprintf("sliced/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				snap.Decide(calls[i%len(calls)].Request())
			}
		})
		b.Run(fmt.Sprintf("scan/%d", n), func(b *testing.B) {
			for i := range b.N {
				snap.Scan(calls[i%len(calls)].Request())
			}
		})
	}
}
