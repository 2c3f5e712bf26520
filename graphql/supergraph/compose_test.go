package supergraph

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph/sdl"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestCompose composes the subgraphs of each file under testdata. After them stands what must come out: the
// supergraph, or the errors. What composes is read back by the planner's reader.
func TestCompose(t *testing.T) {
	files, err := filepath.Glob("testdata/compose/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	subgraphs, want := split(a)
	r := Compose(subgraphs, Options{})
	got := outcome(t, r)
	if *update {
		a.Files = a.Files[:len(subgraphs)]
		for _, n := range []string{"errors", "hints", "supergraph"} {
			if got[n] != "" {
				a.Files = append(a.Files, txtar.File{Name: n, Data: []byte(got[n])})
			}
		}
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome differs (-want +got):\n%s", diff)
	}
}

// split separates the subgraphs of an archive from the expected outcome.
func split(a *txtar.Archive) (subgraphs []Subgraph, want map[string]string) {
	want = map[string]string{}
	for _, f := range a.Files {
		if name, ok := strings.CutSuffix(f.Name, ".graphql"); ok {
			subgraphs = append(subgraphs, Subgraph{Name: name, URL: "http://" + name + ".example/graphql", SDL: string(f.Data)})
		} else {
			want[f.Name] = string(f.Data)
		}
	}
	return subgraphs, want
}

func outcome(t *testing.T, r *Result) map[string]string {
	t.Helper()
	out := map[string]string{}
	var b strings.Builder
	for _, e := range r.Errors {
		b.WriteString(e.Error() + "\n")
	}
	if b.Len() > 0 {
		out["errors"] = b.String()
	}
	b.Reset()
	for _, h := range r.Hints {
		b.WriteString(h.Code + ": " + h.Message + "\n")
	}
	if b.Len() > 0 {
		out["hints"] = b.String()
	}
	if r.SDL == "" {
		return out
	}
	out["supergraph"] = withoutMachinery(r.SDL)
	readable(t, r)
	return out
}

// readable checks that the planner reads what was composed, and that the document is what the text says.
func readable(t *testing.T, r *Result) {
	t.Helper()
	if _, err := graph.Read(r.SDL); err != nil {
		t.Errorf("the planner cannot read the supergraph: %v\n%s", err, r.SDL)
	}
	doc, err := parser.ParseSchema(&ast.Source{Input: r.SDL})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(doc, r.Document, cmpopts.EquateEmpty(),
		cmpopts.IgnoreTypes(&ast.Position{}, []*ast.Position{}, &ast.CommentGroup{})); diff != "" {
		t.Errorf("the document is not what the text says (-text +document):\n%s\n%s", diff, r.SDL)
	}
}

// withoutMachinery leaves out what is the same in every supergraph: the definitions of the join and link
// specifications.
func withoutMachinery(text string) string {
	text = strings.Replace(text, sdl.Join, "", 1)
	for _, machine := range sdl.Machines() {
		text = strings.TrimSuffix(strings.Replace(text+"\n", machine, "", 1), "\n")
	}
	return strings.TrimRight(text, "\n") + "\n"
}
