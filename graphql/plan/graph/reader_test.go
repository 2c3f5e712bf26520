package graph_test

import (
	"bytes"
	"testing"

	"github.com/vektah/gqlparser/v2/formatter"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// TestReader reads one graph after the other, in which definitions stay the same while what they name becomes invisible
// and visible again. Clients have to see of each what they would see if it was the only one.
func TestReader(t *testing.T) {
	link := `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@shareable", "@inaccessible"]) `
	a := supergraph.Subgraph{Name: "a", SDL: link + `type Query { w: W } interface I { n: Int } type W implements I { n: Int }
		type V { n: Int }`}
	open := supergraph.Subgraph{Name: "b", SDL: link + `interface I { n: Int } type Other { n: Int }`}
	closed := supergraph.Subgraph{Name: "b", SDL: link + `interface I @inaccessible { n: Int } type Other { n: Int }`}
	composer := supergraph.NewComposer(supergraph.Options{})
	var reader graph.Reader
	for i, b := range []supergraph.Subgraph{open, closed, open, open} {
		r := composer.Compose([]supergraph.Subgraph{a, b})
		if len(r.Errors) > 0 {
			t.Fatal(r)
		}
		got, err := reader.ReadDocument(r.Document)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := graph.Read(r.SDL)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := printed(got), printed(alone); got != want {
			t.Errorf("graph %d: clients see\n%s, want\n%s", i, got, want)
		}
	}
}

func printed(g *graph.Graph) string {
	var b bytes.Buffer
	formatter.NewFormatter(&b).FormatSchema(g.Schema)
	return b.String()
}
