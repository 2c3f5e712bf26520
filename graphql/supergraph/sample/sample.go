// Package sample writes schemas of large federated graphs, for benchmarks.
package sample

import (
	"fmt"
	"strings"
)

// Large returns the schemas of n subgraphs of the given number of types each, in SDL. A third of the types are
// entities, which two other subgraphs extend; there are shared value types, enums, inputs and requirements. 100
// subgraphs of 150 types have 2 MB.
func Large(n, types int) []string {
	out := make([]string, n)
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
		out[i] = b.String()
	}
	return out
}
