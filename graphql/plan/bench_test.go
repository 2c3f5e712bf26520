package plan_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// BenchmarkCold prepares and plans operations that the planner has never seen, of a thousand fields: all of one type, a
// quarter from each of four subgraphs, and of many types, twenty from each of fifty subgraphs.
func BenchmarkCold(b *testing.B) {
	for _, c := range []struct {
		name, query string
		subgraphs   []supergraph.Subgraph
	}{{"one type of four subgraphs", wideQuery(), wideGraph()}, {"fifty subgraphs", chainQuery(50), chain(50)}} {
		b.Run(c.name, func(b *testing.B) {
			r := supergraph.Compose(c.subgraphs, supergraph.Options{})
			if len(r.Errors) > 0 {
				b.Fatal(r)
			}
			g, err := graph.ReadDocument(r.Document)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			at := processor()
			for b.Loop() {
				p := plan.New(g, plan.Options{})
				op, errs := p.Prepare(c.query, "")
				if errs != nil {
					b.Fatal(errs)
				}
				if _, err := p.Plan(op, plan.Facts{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processor()-at)/float64(b.N), "cpu-ms/op")
		})
	}
}

// processor is the processor time that the process has used, in ms.
func processor() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e6
}

const linked = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", ` +
	`import: ["@key", "@external", "@requires"]) `

func wideGraph() []supergraph.Subgraph {
	var all []supergraph.Subgraph
	for _, letter := range []string{"a", "b", "c", "d"} {
		sdl := linked + `type Wide @key(fields: "id") { id: ID! `
		for i := range 250 {
			sdl += fmt.Sprintf("%s%d: Int ", letter, i)
		}
		sdl += "}"
		if letter == "a" {
			sdl += " type Query { wide: Wide }"
		}
		all = append(all, supergraph.Subgraph{Name: letter, URL: "http://" + letter, SDL: sdl})
	}
	return all
}

func wideQuery() string {
	var b strings.Builder
	b.WriteString("{ wide {")
	for _, letter := range []string{"a", "b", "c", "d"} {
		for i := range 250 {
			fmt.Fprintf(&b, " %s%d", letter, i)
		}
	}
	b.WriteString(" } }")
	return b.String()
}

// chain makes n subgraphs, each with an entity that the next one extends.
func chain(n int) []supergraph.Subgraph {
	all := make([]supergraph.Subgraph, n)
	for i := range all {
		var b strings.Builder
		next := (i + 1) % n
		fmt.Fprintf(&b, "%s type Query { first%d: [E%d!]! } type E%d @key(fields: \"id\") { id: ID! weight: Int "+
			"next: V%d ", linked, i, i, i, i)
		for f := range 9 {
			fmt.Fprintf(&b, "f%d(limit: Int = 3): String ", f)
		}
		fmt.Fprintf(&b, "} type V%d { a: Int b: String c: [Float!] } ", i)
		fmt.Fprintf(&b, "type E%d @key(fields: \"id\") { id: ID! weight: Int @external s%d: Int "+
			"@requires(fields: \"weight\") o%d: String p%d: Int q%d: Int }", next, i, i, i, i)
		all[i] = supergraph.Subgraph{Name: fmt.Sprint("s", i), URL: fmt.Sprint("http://s", i), SDL: b.String()}
	}
	return all
}

func chainQuery(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		before := (i + n - 1) % n
		fmt.Fprintf(&b, " first%d { id weight next { a b c } ", i)
		for f := range 9 {
			fmt.Fprintf(&b, "f%d(limit: %d) ", f, f)
		}
		fmt.Fprintf(&b, "s%d o%d p%d q%d }", before, before, before, before)
	}
	b.WriteString(" }")
	return b.String()
}
