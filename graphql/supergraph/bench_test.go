package supergraph

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkCompose composes graphs of a few and of many subgraphs.
func BenchmarkCompose(b *testing.B) {
	for _, n := range []int{4, 100} {
		in := federatedGraph(n, 120)
		size := 0
		for _, s := range in {
			size += len(s.SDL)
		}
		b.Run(fmt.Sprintf("subgraphs=%d/kB=%d", n, size/1000), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := Compose(in, Options{}); len(r.Errors) > 0 {
					b.Fatal(r)
				}
			}
		})
	}
}

// federatedGraph makes n subgraphs of the given number of types each. A third of the types are entities, which two
// other subgraphs extend; there are shared value types, enums, inputs and requirements.
func federatedGraph(n, types int) []Subgraph {
	out := make([]Subgraph, n)
	for i := range out {
		var b strings.Builder
		b.WriteString("extend schema @link(url: \"https://specs.apollo.dev/federation/v2.9\", import: [\"@key\", " +
			"\"@shareable\", \"@external\", \"@requires\"])\n")
		b.WriteString("type Money @shareable { amount: Float! currency: Currency! }\nenum Currency { EUR USD JPY }\n")
		fmt.Fprintf(&b, "type Query { first%d(filter: Filter%d, limit: Int = 10): [Entity%d_0!]! second%d: Value%d_0 }\n",
			i, i, i, i, i)
		fmt.Fprintf(&b, "input Filter%d { name: String, from: Int, to: Int }\n", i)
		for k := range types / 3 {
			fmt.Fprintf(&b, "\"What subgraph %d knows of entity %d.\"\ntype Entity%d_%d @key(fields: \"id\") { id: ID! "+
				"name: String! description: String price: Money weight: Float related: [Entity%d_%d!]! value: Value%d_%d }\n", i,
				k, i, k, (i+1)%n, k, i, k)
			fmt.Fprintf(&b, "type Value%d_%d { a: Int b: String c: [Float!] next: Value%d_%d }\n", i, k, i, (k+1)%(types/3))
			fmt.Fprintf(&b, "type Entity%d_%d @key(fields: \"id\") { id: ID! weight: Float @external shipping%d: Int "+
				"@requires(fields: \"weight\") owner%d: String }\n", (i+1)%n, k, i, i)
		}
		out[i] = Subgraph{Name: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://s%d.example/graphql", i), SDL: b.String()}
	}
	return out
}
