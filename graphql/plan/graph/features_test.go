package graph_test

import (
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/plan/graph/feature"
)

// protected is a supergraph whose field is protected by the given directive, linked in the given way.
func protected(link, directive string) string {
	return `schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "https://specs.apollo.dev/join/v0.5", for: EXECUTION) ` + link + ` { query: Query }
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
enum join__Graph { A @join__graph(name: "a", url: "") }
scalar join__FieldSet
type Query @join__type(graph: A) { open: Int secret: Int ` + directive + ` }`
}

// TestFeaturesByAnyName: a protection counts whatever name the supergraph's @link gives it.
func TestFeaturesByAnyName(t *testing.T) {
	for _, feature := range []struct{ name, version, args string }{
		{"authenticated", "v0.1", ""},
		{"requiresScopes", "v0.1", `(scopes: [["a"]])`},
		{"policy", "v0.1", `(policies: [["a"]])`},
		{"inaccessible", "v0.2", ""},
	} {
		url := `@link(url: "https://specs.apollo.dev/` + feature.name + `/` + feature.version + `"`
		for _, c := range []struct{ how, link, name string }{
			{"plainly", url + `, for: SECURITY)`, feature.name},
			{"as", url + `, as: "guard", for: SECURITY)`, "guard"},
			{"imported by name", url + `, for: SECURITY, import: ["@` + feature.name + `"])`, feature.name},
			{"imported as", url + `, for: SECURITY, import: [{name: "@` + feature.name + `", as: "@federation__` +
				feature.name + `"}])`, "federation__" + feature.name},
			{"imported from another prefix", url + `, as: "x", import: [{name: "@` + feature.name + `", as: "@guard"}])`,
				"guard"},
			{"without a purpose", url + `, as: "guard")`, "guard"},
			{"by a renamed @link", url + `, as: "guard", for: SECURITY)`, "guard"},
		} {
			t.Run(feature.name+" "+c.how, func(t *testing.T) {
				sdl := protected(c.link, "@"+c.name+feature.args)
				if c.how == "by a renamed @link" {
					sdl = strings.ReplaceAll(strings.Replace(sdl, `link/v1.0"`, `link/v1.0", as: "lnk"`, 1), "@link(", "@lnk(")
				}
				g, err := graph.Read(sdl)
				if err != nil {
					t.Fatal(err)
				}
				f := g.Type("Query").Fields()["secret"]
				if feature.name == "inaccessible" {
					if g.Schema.Query.Fields.ForName("secret") != nil {
						t.Error("clients see an inaccessible field")
					}
				} else if f.Auth == nil {
					t.Errorf("@%s does not protect the field", c.name)
				}
				if g.Type("Query").Fields()["open"].Auth != nil {
					t.Error("a field that nothing protects is protected")
				}
			})
		}
	}
}

// TestUnknownFeatures: what must be understood to answer safely, and is not, refuses the supergraph by name.
func TestUnknownFeatures(t *testing.T) {
	for name, link := range map[string]string{
		"https://acme.example/shield/v1.0":            `@link(url: "https://acme.example/shield/v1.0", for: SECURITY)`,
		"https://acme.example/run/v1.0":               `@link(url: "https://acme.example/run/v1.0", for: EXECUTION)`,
		"https://specs.apollo.dev/connect/v0.2":       `@link(url: "https://specs.apollo.dev/connect/v0.2", for: EXECUTION)`,
		"https://specs.apollo.dev/authenticated/v0.9": `@link(url: "https://specs.apollo.dev/authenticated/v0.9")`,
		"https://specs.apollo.dev/source/v0.1":        `@link(url: "https://specs.apollo.dev/source/v0.1", as: "authenticated", for: SECURITY)`,
	} {
		_, err := graph.Read(protected(link, ""))
		if err == nil || !strings.Contains(err.Error(), feature.Unsupported) ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want %s that names it", link, err, feature.Unsupported)
		}
	}
	for _, link := range []string{
		`@link(url: "https://acme.example/hints/v1.0")`,
		`@link(url: "https://acme.example/authenticated/v1.0", import: ["@hint"])`,
		`@link(url: "no version at all")`,
	} {
		if _, err := graph.Read(protected(link, "")); err != nil {
			t.Errorf("%s: %v", link, err)
		}
	}
}
