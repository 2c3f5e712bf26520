package exec

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var update = flag.Bool("update", false, "rewrite the golden files") //nolint:gochecknoglobals // a flag

// TestScripted runs the archives of testdata/scenarios: NAME.graphql is a subgraph, NAME.json what it knows,
// CASE.query an operation, CASE.NAME.json what a subgraph answers differently in this case, CASE.want the requests,
// sorted, and the response.
func TestScripted(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || files == nil {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runScenarios(t, file) })
	}
}

func runScenarios(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var subs []supergraph.Subgraph
	for _, f := range ar.Files {
		if name, ok := strings.CutSuffix(f.Name, ".graphql"); ok {
			subs = append(subs, supergraph.Subgraph{Name: name, URL: "http://" + name, SDL: string(f.Data)})
		}
	}
	composed := supergraph.Compose(subs, supergraph.Options{})
	if len(composed.Errors) > 0 {
		t.Fatal(composed.Errors)
	}
	g, err := graph.Read(composed.SDL)
	if err != nil {
		t.Fatal(err)
	}
	planner := plan.New(g, plan.Options{})
	for _, f := range slices.Clone(ar.Files) {
		name, ok := strings.CutSuffix(f.Name, ".query")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := &scripted{}
			got := s.run(t, planner, ar, subs, name, string(f.Data))
			want := fileOf(ar, name+".want")
			if want == nil {
				t.Fatalf("no %s.want", name)
			}
			if *update {
				want.Data = []byte(got)
			} else if string(want.Data) != got {
				t.Errorf("got\n%s\nwant\n%s", got, want.Data)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(ar), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func fileOf(ar *txtar.Archive, name string) *txtar.File {
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			return &ar.Files[i]
		}
	}
	return nil
}

// scripted is the subgraphs of a scenario, each one a server of its own.
type scripted struct {
	mu  sync.Mutex
	log []string
}

// run returns what the subgraphs were asked and what the client got.
func (s *scripted) run(t *testing.T, planner *plan.Planner, ar *txtar.Archive, subs []supergraph.Subgraph,
	name, query string) string {
	t.Helper()
	op, errs := planner.Prepare(query, "")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	p, err := planner.Plan(op, plan.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(p)
	cfg := Config{Subgraphs: map[string]Subgraph{}}
	for _, sub := range subs {
		k := &known{service: sub.Name, log: s}
		for _, f := range []string{sub.Name + ".json", name + "." + sub.Name + ".json"} {
			if f := fileOf(ar, f); f != nil {
				k.Entities = nil // Unmarshal would use the old ones again
				if err := json.Unmarshal(f.Data, k); err != nil {
					t.Fatal(f.Name, err)
				}
			}
		}
		server := httptest.NewServer(k)
		defer server.Close()
		cfg.Subgraphs[sub.Name] = Subgraph{URL: server.URL}
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out := payloads(t, e, &Request{Plan: p, Incremental: ByID})
	slices.Sort(s.log)
	for i, body := range out {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
			t.Fatal(err, body)
		}
		out[i] = b.String()
	}
	return strings.Join(append(s.log, out...), "\n") + "\n"
}

// known is a subgraph and what it knows.
type known struct {
	Root     map[string]any
	Entities []map[string]any
	// Answer, if given, is the answer to entities as it stands.
	Answer json.RawMessage

	service string
	log     *scripted
}

// ServeHTTP evaluates an operation. A value {"$error": …} is null with an error, {"$by": ARG, VALUE: …} one that
// depends on an argument.
func (k *known) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req struct {
		Query     string
		Variables map[string]any
	}
	_ = json.Unmarshal(body, &req)
	vars, _ := json.Marshal(req.Variables)
	k.log.mu.Lock()
	k.log.log = append(k.log.log, k.service+" "+req.Query+" "+string(vars))
	k.log.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if k.Answer != nil && strings.Contains(req.Query, "_entities") {
		w.Write(k.Answer)
		return
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: req.Query})
	if err != nil {
		panic(err)
	}
	op := doc.Operations[0]
	for _, v := range op.VariableDefinitions { // as the specification's CoerceVariableValues
		if v.Type.NonNull && req.Variables[v.Variable] == nil {
			fmt.Fprintf(w, `{"errors":[{"message":"Variable $%s must not be null."}]}`, v.Variable)
			return
		}
	}
	a := &answering{k: k, vars: req.Variables}
	data := a.object(op.SelectionSet, k.Root, nil)
	out := map[string]any{"data": data}
	if a.errs != nil {
		out["errors"] = a.errs
	}
	_ = json.NewEncoder(w).Encode(out)
}

type answering struct {
	k    *known
	vars map[string]any
	errs []any
}

func (a *answering) object(set ast.SelectionSet, from map[string]any, path []any) map[string]any {
	out := map[string]any{}
	for _, s := range set {
		switch s := s.(type) {
		case *ast.InlineFragment:
			if s.TypeCondition == "" || s.TypeCondition == from["__typename"] {
				for key, v := range a.object(s.SelectionSet, from, path) {
					out[key] = v
				}
			}
		case *ast.Field:
			below := append(slices.Clip(path), s.Alias)
			v, ok := from[s.Name]
			if s.Name == "_entities" {
				v, ok = a.entities(s), true
			}
			if ok { // what it does not know is absent
				out[s.Alias] = a.value(s, v, below)
			}
		}
	}
	return out
}

func (a *answering) value(f *ast.Field, v any, path []any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = a.value(f, v[i], append(slices.Clip(path), i))
		}
		return out
	case map[string]any:
		if text, ok := v["$error"]; ok {
			a.errs = append(a.errs, map[string]any{"message": text, "path": path})
			return nil
		}
		if arg, ok := v["$by"]; ok {
			x, _ := f.Arguments.ForName(arg.(string)).Value.Value(a.vars)
			return v[fmt.Sprint(x)]
		}
		return a.object(f.SelectionSet, v, path)
	}
	return v
}

// entities finds the entities of representations, which say nothing else of them than they are; null stands for one
// that is not known. "$of" is the interface that an entity may be asked for as.
func (a *answering) entities(f *ast.Field) []any {
	list, _ := f.Arguments.ForName("representations").Value.Value(a.vars)
	var out []any
	for _, rep := range list.([]any) {
		var found any
		for _, e := range a.k.Entities {
			fits := true
			for key, v := range rep.(map[string]any) {
				fits = fits && (fmt.Sprint(e[key]) == fmt.Sprint(v) || key == "__typename" && e["$of"] == v)
			}
			if fits {
				found = e
				break
			}
		}
		out = append(out, found)
	}
	return out
}
