package live

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
	"github.com/catalyst-router/catalyst/graphql/supergraph/sample"
)

// processor is the processor time that the process has used, in ms.
func processor() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e6
}

// federated makes a large graph of sample's schemas.
func federated(n, types int) []supergraph.Subgraph {
	out := make([]supergraph.Subgraph, n)
	for i, sdl := range sample.Large(n, types) {
		out[i] = supergraph.Subgraph{Name: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://s%d.example/graphql", i), SDL: sdl}
	}
	return out
}

// BenchmarkRecompose composes a graph of 100 subgraphs (2 MB) after one of them has changed, another one each time, and
// reads what came out for the planner; and says what the reading adds to the heap beside what the composer keeps.
func BenchmarkRecompose(b *testing.B) {
	c := changing{composer: supergraph.NewComposer(supergraph.Options{}), subgraphs: federated(100, 150)}
	c.read(b, c.compose(b))
	b.Run("composed", func(b *testing.B) {
		measure(b, func() { c.compose(b) })
	})
	b.Run("ready to be planned on", func(b *testing.B) {
		measure(b, func() { c.read(b, c.compose(b)) })
	})
	b.Run("memory", func(b *testing.B) {
		r := c.compose(b)
		before := live()
		g := c.read(b, r)
		b.ReportMetric(live()-before, "graph-MB")
		runtime.KeepAlive(g)
		runtime.KeepAlive(r)
		b.ReportMetric(live(), "kept-MB")
	})
}

// measure reports how much processor time and memory something takes.
func measure(b *testing.B, do func()) {
	b.ReportAllocs()
	at := processor()
	for b.Loop() {
		do()
	}
	b.ReportMetric((processor()-at)/float64(b.N), "cpu-ms/op")
}

// live is what is left on the heap after a collection, in MB.
func live() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

// changing is a graph of which one subgraph after the other changes its schema.
type changing struct {
	composer  *supergraph.Composer
	subgraphs []supergraph.Subgraph
	changes   int
	reader    graph.Reader
}

// compose gives a subgraph another version of its schema and composes.
func (c *changing) compose(b *testing.B) *supergraph.Result {
	c.changes++
	s := &c.subgraphs[c.changes%len(c.subgraphs)]
	before, _, _ := strings.Cut(s.SDL, "\nscalar Version")
	s.SDL = fmt.Sprintf("%s\nscalar Version%d\n", before, c.changes)
	r, excluded := c.composer.ComposeLargest(c.subgraphs, nil)
	if len(r.Errors)+len(excluded) > 0 {
		b.Fatal(r, excluded)
	}
	return r
}

func (c *changing) read(b *testing.B, r *supergraph.Result) *graph.Graph {
	g, err := c.reader.ReadDocument(r.Document)
	if err != nil {
		b.Fatal(err)
	}
	return g
}
