package plan_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

// TestPlans plans the operations of each archive in testdata: subgraphs, their supergraph (composed if it is left
// out), and then NAME.query and NAME.plan, optionally with NAME.facts (lines of "true VARIABLE", "label NAME", "scope
// NAME", "policy NAME", "authenticated").
func TestPlans(t *testing.T) {
	for _, file := range archives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { testArchive(t, file) })
	}
}

func archives(t rapid.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	return files
}

func section(ar *txtar.Archive, name string) ([]byte, bool) {
	for _, f := range ar.Files {
		if f.Name == name {
			return f.Data, true
		}
	}
	return nil, false
}

func planner(t rapid.TB, ar *txtar.Archive) *plan.Planner {
	t.Helper()
	g, err := graph.Read(composed(t, ar))
	if err != nil {
		t.Fatal(err)
	}
	return plan.New(g, plan.Options{})
}

// composed is the supergraph of an archive, or what its subgraphs compose to.
func composed(t rapid.TB, ar *txtar.Archive) string {
	t.Helper()
	if sdl, ok := section(ar, "supergraph"); ok {
		return string(sdl)
	}
	var subgraphs []supergraph.Subgraph
	for _, f := range ar.Files {
		if name, ok := strings.CutSuffix(f.Name, ".graphql"); ok {
			subgraphs = append(subgraphs, supergraph.Subgraph{Name: name, URL: "http://" + name, SDL: string(f.Data)})
		}
	}
	r := supergraph.Compose(subgraphs, supergraph.Options{})
	for _, err := range r.Errors {
		t.Error(err)
	}
	if len(r.Errors) > 0 {
		t.FailNow()
	}
	return r.SDL
}

func testArchive(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := planner(t, ar)
	out := &txtar.Archive{Comment: ar.Comment}
	for _, f := range ar.Files {
		if !strings.HasSuffix(f.Name, ".plan") {
			out.Files = append(out.Files, f)
		}
		name, ok := strings.CutSuffix(f.Name, ".query")
		if !ok {
			continue
		}
		facts, _ := section(ar, name+".facts")
		got := planText(t, p, string(f.Data), string(facts))
		out.Files = append(out.Files, txtar.File{Name: name + ".plan", Data: []byte(got)})
		if want, _ := section(ar, name+".plan"); !*update && string(want) != got {
			t.Errorf("%s: got plan\n%s\nwant\n%s", name, got, want)
		}
	}
	if b := txtar.Format(out); *update && !bytes.Equal(b, txtar.Format(ar)) {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func planText(t rapid.TB, p *plan.Planner, query, facts string) string {
	op, errs := p.Prepare(query, "")
	if errs != nil {
		return errs.Error() + "\n"
	}
	pl, err := p.Plan(op, factsOf(t, op, facts))
	if err != nil {
		return err.Error() + "\n"
	}
	return pl.String()
}

func factsOf(t rapid.TB, op *plan.Operation, text string) plan.Facts {
	f := plan.Facts{
		Labels:     map[string]bool{},
		Scopes:     map[string]bool{},
		Policies:   map[string]bool{},
		Conditions: make([]bool, len(op.Conditions)),
	}
	for line := range strings.Lines(text) {
		word, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "true":
			for i, c := range op.Conditions {
				if c == arg {
					f.Conditions[i] = true
				}
			}
		case "label":
			f.Labels[arg] = true
		case "scope":
			f.Scopes[arg] = true
		case "policy":
			f.Policies[arg] = true
		case "authenticated":
			f.Authenticated = true
		case "":
		default:
			t.Fatalf("unknown fact %q", line)
		}
	}
	return f
}
