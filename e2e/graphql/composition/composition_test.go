//go:build e2e

package composition

import (
	"bytes"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/e2e/graphql/process"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var (
	mutations = flag.Int("mutations", 12, "mutations of each set that composes")
	seed      = flag.Uint64("seed", 0, "added to the seed of every mutation")
)

// request and answer are the lines of oracle.js.
type request struct {
	Subgraphs []wire `json:"subgraphs"`
	Ours      string `json:"ours,omitempty"`
	Only      bool   `json:"only,omitempty"`
}

type wire struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	SDL  string `json:"sdl"`
}

type answer struct {
	Errors []struct{ Code, Message string }
	Crash  string
	SDL    string
	API    string
	Guild  []string
	Ours   *struct {
		Error string
		API   string
		Plans []struct{ Query, Theirs, Ours string }
	}
}

// oracle asks the composers.
type oracle struct{ *process.Oracle }

func start(t *testing.T) oracle {
	t.Helper()
	return oracle{process.StartOracle(t, 9*time.Minute)}
}

func (o oracle) ask(t *testing.T, subgraphs []supergraph.Subgraph, ours string) answer {
	t.Helper()
	return o.put(t, request{Ours: ours}, subgraphs)
}

// apollo asks Apollo's composer alone.
func (o oracle) apollo(t *testing.T, subgraphs []supergraph.Subgraph, ours string) answer {
	t.Helper()
	return o.put(t, request{Ours: ours, Only: true}, subgraphs)
}

func (o oracle) put(t *testing.T, req request, subgraphs []supergraph.Subgraph) answer {
	t.Helper()
	for _, s := range subgraphs {
		req.Subgraphs = append(req.Subgraphs, wire{s.Name, s.URL, s.SDL})
	}
	var a answer
	o.Ask(t, req, &a)
	return a
}

// TestHandWritten gives the composer's own cases to Apollo's.
func TestHandWritten(t *testing.T) {
	o := start(t)
	files, err := filepath.Glob("../../../graphql/supergraph/testdata/compose/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			subgraphs, deviates := read(t, file)
			diff := o.differ(t, subgraphs)
			switch {
			case deviates && diff == "":
				t.Error("the file says that it deviates from Apollo's composer, but it does not")
			case !deviates && diff != "":
				t.Error(diff)
			}
		})
	}
}

// TestMutations changes one or two things in sets that compose and asks both composers again.
func TestMutations(t *testing.T) {
	o := start(t)
	files, err := filepath.Glob("../../../graphql/supergraph/testdata/compose/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	rejected, total := 0, 0
	for _, file := range files {
		base, deviates := read(t, file)
		if deviates || strings.Contains(file, "machinery") || len(supergraph.Compose(base, supergraph.Options{}).Errors) > 0 {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			h := fnv.New64a()
			h.Write([]byte(name)) // a case's own mutations, whatever cases there are besides
			of := h.Sum64()
			for n := range *mutations {
				r := rand.New(rand.NewPCG(of, uint64(n)+*seed))
				subgraphs, what := mutate(r, base)
				if subgraphs == nil {
					continue
				}
				total++
				if len(supergraph.Compose(subgraphs, supergraph.Options{}).Errors) > 0 {
					rejected++
				}
				diff := o.differ(t, subgraphs)
				if name == "v1_extension_without_key" && strings.Contains(diff, "TYPE_WITH_ONLY_UNUSED_EXTERNAL") {
					// beside a subgraph that is refused, Apollo goes on to upgrade those of Federation 1, and tells what it finds
					// there
					continue
				}
				if diff != "" {
					t.Errorf("seed %d, %s: %s%s", n, what, diff, changed(base, subgraphs))
				}
			}
		})
	}
	t.Logf("%d mutations, %d of them rejected", total, rejected)
}

// changed shows what a mutation did.
func changed(before, after []supergraph.Subgraph) string {
	for i := range before {
		if before[i].SDL != after[i].SDL {
			return "\n" + before[i].Name + ":\n" + after[i].SDL
		}
	}
	return ""
}

// read reads the subgraphs of a case. A comment with "Deviation:" in it says that we differ, and why.
func read(t *testing.T, file string) (out []supergraph.Subgraph, deviates bool) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		if name, ok := strings.CutSuffix(f.Name, ".graphql"); ok {
			out = append(out, supergraph.Subgraph{Name: name, URL: "http://" + name + ".example/graphql", SDL: string(f.Data)})
		}
	}
	return out, bytes.Contains(a.Comment, []byte("Deviation:"))
}

// differ composes with both composers and says where they differ; "" if they agree.
func (o oracle) differ(t *testing.T, subgraphs []supergraph.Subgraph) string {
	t.Helper()
	ours := supergraph.Compose(subgraphs, supergraph.Options{})
	theirs := o.ask(t, subgraphs, ours.SDL)
	if theirs.Crash != "" {
		t.Logf("the oracle crashed: %s", theirs.Crash)
		return ""
	}
	return difference(ours, theirs)
}

func difference(ours *supergraph.Result, theirs answer) string {
	switch {
	case len(ours.Errors) > 0 && theirs.SDL != "":
		return fmt.Sprintf("we reject, they accept: %v", ours.Errors)
	case len(ours.Errors) == 0 && theirs.SDL == "":
		return fmt.Sprintf("we accept, they reject: %v", theirs.Errors)
	case theirs.SDL == "":
		return codes(ours, theirs)
	}
	return sameGraph(ours.SDL, theirs)
}

func codes(ours *supergraph.Result, theirs answer) string {
	var a, b []string
	for _, e := range ours.Errors {
		a = append(a, string(e.Code))
	}
	for _, e := range theirs.Errors {
		b = append(b, e.Code)
	}
	slices.Sort(a)
	slices.Sort(b)
	a, b = slices.Compact(a), slices.Compact(b)
	if slices.Equal(a, b) {
		return ""
	}
	return fmt.Sprintf("codes differ: ours %v\n  %v\ntheirs %v\n  %v", a, ours.Errors, b, theirs.Errors)
}

// sameGraph compares what both composers accepted: the API schema, and the plans that Apollo's planner makes of both.
func sameGraph(sdl string, theirs answer) string {
	if theirs.Ours == nil || theirs.Ours.Error != "" {
		return fmt.Sprintf("Apollo's planner does not take our supergraph: %+v\n%s", theirs.Ours, sdl)
	}
	if diff := cmp.Diff(theirs.API, theirs.Ours.API); diff != "" {
		return "API schema differs (-theirs +ours):\n" + diff
	}
	for _, p := range theirs.Ours.Plans {
		if p.Ours != p.Theirs {
			return fmt.Sprintf("plan of %s differs (-theirs +ours):\n%s", p.Query, cmp.Diff(p.Theirs, p.Ours))
		}
	}
	for name, s := range map[string]string{"our": sdl, "their": theirs.SDL} {
		if _, err := graph.Read(s); err != nil {
			return fmt.Sprintf("our planner does not read %s supergraph: %v", name, err)
		}
	}
	return ""
}
