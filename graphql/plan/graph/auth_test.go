package graph_test

import (
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// computed is a supergraph as composers before federation 2.9.4 made it: nothing says that what is computed of
// protected data is protected.
const computed = `
schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "https://specs.apollo.dev/join/v0.5", for: EXECUTION)
  @link(url: "https://specs.apollo.dev/context/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/authenticated/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/requiresScopes/v0.1", for: SECURITY) { query: Query }
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
enum join__Graph { A @join__graph(name: "a", url: "") B @join__graph(name: "b", url: "") }
type Query @join__type(graph: A) { t: T @join__field(graph: A) u: U @join__field(graph: A) xs: [X] @join__field(graph: A) }
interface X @join__type(graph: A) @join__type(graph: B) { y: Int }
type X1 implements X @join__implements(graph: A, interface: "X") @join__implements(graph: B, interface: "X") @join__type(graph: A) @join__type(graph: B) { y: Int @authenticated }
type X2 implements X @join__implements(graph: A, interface: "X") @join__implements(graph: B, interface: "X") @join__type(graph: A) @join__type(graph: B) { y: Int }
type T @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
  id: ID!
  x: X @join__field(graph: A) @join__field(graph: B, external: true)
  computed: Int @join__field(graph: B, requires: "x { y }")
  again: Int @join__field(graph: A, requires: "computed") @requiresScopes(scopes: [["s"]])
  free: Int @join__field(graph: A)
}
type U @join__type(graph: A, key: "id") @context(name: "a__c") { id: ID! p: Int @authenticated d: D }
type D @join__type(graph: A, key: "id") {
  id: ID!
  v: Int @join__field(graph: A, contextArguments: [{context: "a__c", name: "x", type: "Int", selection: " { p }"}])
}
`

// TestComputedOfProtected: what a field is computed of is as secret in the field.
func TestComputedOfProtected(t *testing.T) {
	g, err := graph.Read(computed)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"T.computed": "@authenticated",
		"T.again":    `@requiresScopes(scopes: [["s"]]) @authenticated`,
		"T.free":     "",
		"T.x":        "",
		"D.v":        "@authenticated",
	} {
		typ, name, _ := strings.Cut(at, ".")
		if got := g.Type(typ).Fields()[name].Auth.String(); got != want {
			t.Errorf("%s asks for %q, want %q", at, got, want)
		}
	}
}

// TestInterfaceRequirements: requirements that a composer derives for an interface are no more than those of its
// objects; any other holds for all of them.
func TestInterfaceRequirements(t *testing.T) {
	sdl := func(join, onType, onField string) string {
		return `schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "https://specs.apollo.dev/join/` +
			join + `", for: EXECUTION)
  @link(url: "https://specs.apollo.dev/authenticated/v0.1", for: SECURITY) @link(url: "https://specs.apollo.dev/policy/v0.1", for: SECURITY) { query: Query }
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
enum join__Graph { A @join__graph(name: "a", url: "") }
type Query @join__type(graph: A) { xs: [X] }
interface X @join__type(graph: A) ` + onType + ` { y: Int ` + onField + ` }
type X1 implements X @join__implements(graph: A, interface: "X") @join__type(graph: A) @authenticated { y: Int @policy(policies: [["p"]]) }
type X2 implements X @join__implements(graph: A, interface: "X") @join__type(graph: A) { y: Int }`
	}
	for _, c := range []struct{ name, sdl, onType, x1, x2 string }{
		{"derived", sdl("v0.5", "@authenticated", `@policy(policies: [["p"]])`), "", `@policy(policies: [["p"]])`, ""},
		{"of the author", sdl("v0.3", "@authenticated", `@policy(policies: [["p"]])`), "@authenticated",
			`@policy(policies: [["p"]])`, `@policy(policies: [["p"]])`},
		{
			"more than the objects", sdl("v0.5", `@policy(policies: [["q"]])`, "@authenticated"),
			`@policy(policies: [["q"]])`, `@policy(policies: [["p"]]) @authenticated`, "@authenticated",
		},
	} {
		g, err := graph.Read(c.sdl)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Type("X").Auth.String(); got != c.onType {
			t.Errorf("%s: the interface asks for %q, want %q", c.name, got, c.onType)
		}
		for typ, want := range map[string]string{"X1": c.x1, "X2": c.x2} {
			if got := g.Type(typ).Fields()["y"].Auth.String(); got != want {
				t.Errorf("%s: %s.y asks for %q, want %q", c.name, typ, got, want)
			}
		}
	}
}
