package plan_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// TestQuestionsInAnyOrder asks graphs for all of their types, in one order and, many at a time, in others. A graph reads
// fields and keys with the first question about a type, and its answers must not depend on what was asked before.
func TestQuestionsInAnyOrder(t *testing.T) {
	for _, file := range archives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first := planner(t, ar).Graph()
			n := first.Types.Len()
			want := make([]string, n)
			for id := range n {
				want[id] = described(first, first.Object(graph.TypeID(id)))
			}
			for seed := range uint64(4) {
				g := planner(t, ar).Graph()
				var asking sync.WaitGroup
				for asker := range uint64(4) {
					asking.Go(func() {
						for _, id := range rand.New(rand.NewPCG(seed, asker)).Perm(n) {
							if got := described(g, g.Object(graph.TypeID(id))); got != want[id] {
								t.Errorf("seed %d: the graph says\n%s, and\n%s when types are asked for one after the other", seed, got,
									want[id])
							}
						}
					})
				}
				asking.Wait()
			}
		})
	}
}

// described is all that a graph says of the fields and keys of an object type and its interfaces.
func described(g *graph.Graph, t *graph.Type) string {
	var b strings.Builder
	of := []*graph.Type{t}
	for _, name := range t.Interfaces {
		of = append(of, g.Type(name))
	}
	for _, t := range of {
		fmt.Fprintf(&b, "%s %s\n", t.Name, t.Kind)
		for s := range t.In.All() {
			for _, k := range t.Keys(s) {
				fmt.Fprintf(&b, " key in %d: %s %t %t\n", s, k.Fields, k.Resolvable, k.Root)
			}
		}
		var lines []string
		for name, f := range t.Fields() {
			line := fmt.Sprintf(" %s of %s: %s, %s, auth %q, shape %q\n", name, f.Parent.Name, f.Type, f.Named.Name, f.Auth,
				f.Shape)
			for s, in := range f.In.All() {
				line += fmt.Sprintf("  in %d: %s %t %t %s %t", s, in.Type, in.External, in.KeyField, in.Label, in.LabelOn)
				line += fmt.Sprintf(" requires %v %q provides %v", in.Requires, in.RequiresText, in.Provides)
				if in.Via != nil {
					line += " via " + in.Via.Name
				}
				line += fmt.Sprintf(" contexts %v\n", in.Contexts)
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return b.String()
}
