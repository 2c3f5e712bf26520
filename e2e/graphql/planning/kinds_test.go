//go:build e2e

package planning

import (
	"flag"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/e2e/graphql/shorthand"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var more = flag.Int("more", 4, "operations by chance on each world of testdata/kinds, besides those written there")

// kind is a world written by hand, and operations on it.
type kind struct {
	name      string
	subgraphs []supergraph.Subgraph
	queries   []string
}

// TestKinds serves worlds written by hand, each a kind of federated schema, from our supergraph and from Apollo's.
// Answers are the monolith's, by plans no worse than Apollo's.
func TestKinds(t *testing.T) {
	o := start(t)
	files, err := filepath.Glob("testdata/kinds/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no kinds: %v", err)
	}
	var sum figures
	for _, file := range files {
		for i, k := range kinds(t, file) {
			name := strings.TrimSuffix(filepath.Base(file), ".txtar") + "/" + k.name
			t.Run(name, func(t *testing.T) { k.check(t, o, name, i%2 == 0, &sum) })
		}
	}
}

func (k *kind) check(t *testing.T, o oracle, name string, theirSupergraph bool, sum *figures) {
	g, planner := serve(t, o, name, k.subgraphs, theirSupergraph, sum)
	if g == nil {
		t.Fatal("no composer takes it")
	}
	c := &check{t: t, g: g, planner: planner, oracle: o, sum: sum}
	for _, q := range k.queries {
		c.said = nil
		if _, errs := planner.Prepare(q, ""); errs != nil {
			t.Errorf("%s: %v", q, errs)
			continue
		}
		if !c.operation(q, nil) {
			t.Errorf("%s\n%s", q, strings.Join(c.said, "\n"))
		}
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	c.chance(rand.New(rand.NewPCG(h.Sum64(), *seed)), *more, 0, k.subgraphs)
}

func kinds(t *testing.T, file string) []*kind {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []*kind
	for _, f := range a.Files {
		name, subgraph, schema := strings.Cut(f.Name, "/")
		name, _, queries := strings.Cut(name, ":")
		i := slices.IndexFunc(out, func(k *kind) bool { return k.name == name })
		if i < 0 {
			out = append(out, &kind{name: name})
			i = len(out) - 1
		}
		switch k := out[i]; {
		case schema:
			k.subgraphs = append(k.subgraphs, supergraph.Subgraph{Name: subgraph, SDL: shorthand.Expand(string(f.Data))})
		case queries:
			k.queries = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		default:
			t.Fatalf("%s: %s is neither WORLD/SUBGRAPH nor WORLD:queries", file, f.Name)
		}
	}
	return out
}
