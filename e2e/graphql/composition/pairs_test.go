package composition

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/e2e/graphql/shorthand"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// A pair is a few subgraphs and what Apollo's composer says of them. Each file of testdata/pairs has many:
//
//	-- NAME/SUBGRAPH --  a schema; a first line "#2.9 @key" is short for a @link to federation v2.9 that imports @key
//	-- NAME:apollo --    Apollo's verdict: the codes of its errors, or "composes" and the schema that clients see, or
//	                     "crashes" where it throws what is no error of composition.
//	                     go test -tags e2e -run TestPairsAgainstApollo -update writes it
//	-- NAME:ours --      our verdict where it differs on purpose, below a line that says why
type pair struct {
	name      string
	subgraphs []supergraph.Subgraph
	apollo    string
	ours      string // "" if it is Apollo's
}

// pairs reads a file of them, in its order.
func pairs(t *testing.T, file string) []*pair {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []*pair
	at := func(name string) *pair {
		i := slices.IndexFunc(out, func(p *pair) bool { return p.name == name })
		if i < 0 {
			out = append(out, &pair{name: name})
			i = len(out) - 1
		}
		return out[i]
	}
	for _, f := range a.Files {
		if name, what, ok := strings.Cut(f.Name, ":"); ok {
			switch p := at(name); what {
			case "apollo":
				p.apollo = string(f.Data)
			case "ours":
				p.ours = string(f.Data)
			default:
				t.Fatalf("%s: %s is neither apollo nor ours", file, f.Name)
			}
			continue
		}
		name, subgraph, ok := strings.Cut(f.Name, "/")
		if !ok {
			t.Fatalf("%s: %s is no NAME/SUBGRAPH", file, f.Name)
		}
		p := at(name)
		p.subgraphs = append(p.subgraphs, supergraph.Subgraph{Name: subgraph,
			URL: "http://" + subgraph + ".example/graphql", SDL: shorthand.Expand(string(f.Data))})
	}
	return out
}

func pairFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/pairs/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pairs: %v", err)
	}
	return files
}

// TestPairs holds our composer to the verdicts that Apollo's gave.
func TestPairs(t *testing.T) {
	for _, file := range pairFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			for _, p := range pairs(t, file) {
				t.Run(p.name, p.check)
			}
		})
	}
}

func (p *pair) check(t *testing.T) {
	if len(p.subgraphs) == 0 || p.apollo == "" {
		t.Fatal("a pair has subgraphs and Apollo's verdict")
	}
	got, errs := verdict(t, p.subgraphs)
	want := p.apollo
	if p.ours != "" {
		why, ours, _ := strings.Cut(p.ours, "\n")
		if !strings.HasPrefix(why, "# ") {
			t.Fatal("a verdict of ours begins with a line that says why it is another")
		}
		want = ours
	}
	if want == "composes\n" { // of what Apollo refuses there is no schema to compare
		got, _, _ = strings.Cut(got, "\n")
		got += "\n"
	}
	if diff := cmp.Diff(outline(t, want), got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, errs)
	}
	if p.ours != "" && cmp.Equal(outline(t, p.apollo), outline(t, want)) {
		t.Error("our verdict is said to differ from Apollo's, and does not")
	}
}

// verdict composes and returns the codes of the errors, or "composes" and the schema that clients see.
func verdict(t *testing.T, subgraphs []supergraph.Subgraph) (string, []supergraph.Error) {
	t.Helper()
	r := supergraph.Compose(subgraphs, supergraph.Options{})
	if len(r.Errors) > 0 {
		var codes []string
		for _, e := range r.Errors {
			codes = append(codes, string(e.Code))
		}
		slices.Sort(codes)
		return strings.Join(slices.Compact(codes), "\n") + "\n", r.Errors
	}
	g, err := graph.Read(r.SDL)
	if err != nil {
		t.Fatalf("our planner does not read our supergraph: %v\n%s", err, r.SDL)
	}
	return "composes\n" + strings.Join(lines(g.Schema), "\n"), nil
}

// outline brings a verdict into a form that can be compared: a schema as lines, sorted.
func outline(t *testing.T, verdict string) string {
	t.Helper()
	first, sdl, _ := strings.Cut(verdict, "\n")
	if first != "composes" || sdl == "" {
		return verdict
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: sdl})
	if err != nil {
		t.Fatalf("read the schema of a verdict: %v\n%s", err, sdl)
	}
	return "composes\n" + strings.Join(lines(schema), "\n")
}

// lines are the types, fields, arguments, values and directives of a schema, each a line, sorted. What every schema has
// is left out.
func lines(schema *ast.Schema) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, strings.TrimSpace(fmt.Sprintf(format, args...))) }
	for _, d := range schema.Types {
		if d.BuiltIn || strings.HasPrefix(d.Name, "__") {
			continue
		}
		say("%s %s %s", d.Kind, d.Name, marks(d.Directives))
		for _, i := range d.Interfaces {
			say("%s implements %s", d.Name, i)
		}
		for _, m := range d.Types {
			say("%s includes %s", d.Name, m)
		}
		for _, v := range d.EnumValues {
			say("%s.%s %s", d.Name, v.Name, marks(v.Directives))
		}
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			say("%s.%s: %s%s %s", d.Name, f.Name, f.Type, byDefault(f.DefaultValue), marks(f.Directives))
			for _, a := range f.Arguments {
				say("%s.%s(%s): %s%s %s", d.Name, f.Name, a.Name, a.Type, byDefault(a.DefaultValue), marks(a.Directives))
			}
		}
	}
	for _, d := range schema.Directives {
		switch d.Name {
		case "skip", "include", "deprecated", "specifiedBy", "oneOf", "defer", "stream":
			continue
		}
		say("directive @%s", d.Name)
		for _, a := range d.Arguments {
			say("@%s(%s): %s%s", d.Name, a.Name, a.Type, byDefault(a.DefaultValue))
		}
	}
	slices.Sort(out)
	return out
}

func byDefault(v *ast.Value) string {
	if v == nil {
		return ""
	}
	if f, err := strconv.ParseFloat(v.Raw, 64); err == nil && v.Kind == ast.FloatValue {
		return " = " + strconv.FormatFloat(f, 'f', -1, 64)
	}
	return " = " + v.String()
}

// marks are the directives that introspection shows.
func marks(ds ast.DirectiveList) string {
	var out []string
	for _, d := range ds {
		switch d.Name {
		case "deprecated", "specifiedBy", "oneOf":
			text := "@" + d.Name
			for _, a := range d.Arguments {
				if d.Name == "deprecated" && a.Value.Raw == "No longer supported" {
					continue
				}
				text += " " + a.Value.String()
			}
			out = append(out, text)
		}
	}
	return strings.Join(out, " ")
}
