package plan

import (
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// TestNamedOperations: operations to subgraphs are called after the client's, with what a name may hold.
func TestNamedOperations(t *testing.T) {
	r := supergraph.Compose([]supergraph.Subgraph{
		{Name: "books.acme-1.example", URL: "http://a", SDL: `type Query { book(n: Int): Book } type Book @key(fields: "id") { id: ID! }`},
		{Name: "b", URL: "http://b", SDL: `type Query { b: Int } type Book @key(fields: "id") { id: ID! price: Int }`},
	}, supergraph.Options{})
	g, err := graph.Read(r.SDL)
	if err != nil {
		t.Fatal(err, r.Errors)
	}
	for _, c := range []struct {
		named       bool
		query, want string
	}{
		{true, `query Shelf($n: Int) { book(n: $n) { price } }`,
			`{"query":"query Shelf__books_acme_1_example__0($n:Int){book(n:$n){id}}","operationName":"Shelf__books_acme_1_example__0","variables":{` +
				`{"query":"query Shelf__b__1($representations:[_Any!]!){_entities(representations:$representations){...on Book{price}}}","operationName":"Shelf__b__1","variables":{`},
		{true, `query Just { b }`, `{"query":"query Just__b__0{b}","operationName":"Just__b__0"}`},
		{true, `{ b }`, `{"query":"{b}"}`},
		{false, `query Just { b }`, `{"query":"{b}"}`},
	} {
		p := New(g, Options{Named: c.named})
		op, errs := p.Prepare(c.query, "")
		if errs != nil {
			t.Fatal(errs)
		}
		pl, err := p.Plan(op, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		nodes := []Node{pl.Root}
		for len(nodes) > 0 {
			n := nodes[0]
			nodes = nodes[1:]
			switch n := n.(type) {
			case *Sequence:
				nodes = append(nodes, n.Nodes...)
			case *Fetch:
				got += string(n.Head)
			case *EntityFetch:
				got += string(n.Head)
			}
		}
		if got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.query, got, c.want)
		}
	}
}
