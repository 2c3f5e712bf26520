package supergraph

import (
	"fmt"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/supergraph/sample"
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

// federatedGraph makes a large graph of sample's schemas.
func federatedGraph(n, types int) []Subgraph {
	out := make([]Subgraph, n)
	for i, sdl := range sample.Large(n, types) {
		out[i] = Subgraph{Name: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://s%d.example/graphql", i), SDL: sdl}
	}
	return out
}
