package plan_test

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// TestGeneratedOperations compares plans with the monolith on operations made up by chance, over the graphs of the
// archives.
func TestGeneratedOperations(t *testing.T) {
	for _, file := range archives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := planner(t, ar)
			base := newWorld(t, ar, p.Graph())
			rapid.Check(t, func(rt *rapid.T) {
				q := operation(rt, p.Graph().Schema)
				if _, errs := p.Prepare(q, ""); errs != nil {
					rt.Skip(errs.Error()) // mostly fields that cannot be merged
				}
				rt.Log(q)
				differ(rt, base, p, q, labels(rt, p), nil)
			})
		})
	}
}

func labels(t *rapid.T, p *plan.Planner) string {
	out := ""
	for _, l := range p.Graph().Labels {
		if rapid.Bool().Draw(t, "label") {
			out += "label " + l + "\n"
		}
	}
	return out
}

// generator writes operations on a schema.
type generator struct {
	t      *rapid.T
	schema *ast.Schema
	budget int
	defers bool // a query with deferred fragments
	frags  []string
}

func operation(t *rapid.T, schema *ast.Schema) string {
	g := &generator{t: t, schema: schema, budget: rapid.IntRange(3, 40).Draw(t, "size")}
	kind, root := "query", schema.Query
	if schema.Mutation != nil && rapid.IntRange(0, 3).Draw(t, "mutation") == 0 {
		kind, root = "mutation", schema.Mutation
	}
	g.defers = kind == "query" && rapid.IntRange(0, 4).Draw(t, "defers") == 0
	body := g.set(root, 0)
	return kind + " " + body + strings.Join(g.frags, "")
}

func (g *generator) pick(n int, what string) int { return rapid.IntRange(0, n-1).Draw(g.t, what) }

func (g *generator) set(d *ast.Definition, depth int) string {
	n := 1 + g.pick(4, "fields")
	var out []string
	for range n {
		g.budget--
		if g.budget < 0 && len(out) > 0 {
			break
		}
		out = append(out, g.selection(d, depth))
	}
	return "{ " + strings.Join(out, " ") + " }"
}

func (g *generator) selection(d *ast.Definition, depth int) string {
	if conds := g.conditions(d); len(conds) > 0 && depth < 6 && (d.Kind == ast.Union || g.pick(3, "fragment") == 0) {
		c := conds[g.pick(len(conds), "condition")]
		if d.Kind == ast.Union && g.pick(8, "typename") == 0 {
			return "__typename"
		}
		return "... on " + c.Name + g.directive() + g.deferred() + " " + g.set(c, depth+1)
	}
	if g.defers && depth < 6 && g.pick(12, "fragment") == 0 {
		return "..." + g.directive() + g.deferred() + " " + g.set(d, depth+1)
	}
	var fields ast.FieldList
	for _, f := range d.Fields {
		leaf := g.schema.Types[f.Type.Name()].IsLeafType()
		if !strings.HasPrefix(f.Name, "__") && (leaf || depth < 6 && g.budget > 0) {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 || g.pick(12, "typename") == 0 {
		return "__typename"
	}
	f := fields[g.pick(len(fields), "field")]
	s := f.Name
	if g.pick(6, "alias") == 0 {
		s = fmt.Sprintf("%s: %s", []string{"x", "y", "id", "name"}[g.pick(4, "name")], s)
	}
	s += g.arguments(f) + g.directive()
	if t := g.schema.Types[f.Type.Name()]; !t.IsLeafType() {
		s += " " + g.set(t, depth+1)
	}
	return s
}

func (g *generator) deferred() string {
	if g.defers && g.pick(2, "defer") == 0 {
		return " @defer"
	}
	return ""
}

func (g *generator) directive() string {
	return []string{"", "", "", "", "", "", " @include(if: true)", " @skip(if: false)", " @skip(if: true)"}[g.pick(9,
		"directive")]
}

// conditions are the types that a fragment on d may name.
func (g *generator) conditions(d *ast.Definition) []*ast.Definition {
	if d == g.schema.Query || d == g.schema.Mutation || d.Kind == ast.Object && g.pick(4, "upcast") > 0 {
		return nil
	}
	var out []*ast.Definition
	for _, t := range g.schema.Types {
		if t.IsCompositeType() && !strings.HasPrefix(t.Name, "__") &&
			overlap(g.schema.GetPossibleTypes(t), g.schema.GetPossibleTypes(d)) {
			out = append(out, t)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func overlap(x, y []*ast.Definition) bool {
	for _, a := range x {
		for _, b := range y {
			if a == b {
				return true
			}
		}
	}
	return false
}

func (g *generator) arguments(f *ast.FieldDefinition) string {
	var out []string
	for _, a := range f.Arguments {
		if !a.Type.NonNull && g.pick(2, "give") == 0 {
			continue
		}
		out = append(out, a.Name+": "+g.literal(a.Type))
	}
	if out == nil {
		return ""
	}
	return "(" + strings.Join(out, ", ") + ")"
}

func (g *generator) literal(t *ast.Type) string {
	if t.Elem != nil {
		return "[" + g.literal(t.Elem) + "]"
	}
	d := g.schema.Types[t.NamedType]
	switch d.Kind {
	case ast.Enum:
		return d.EnumValues[g.pick(len(d.EnumValues), "value")].Name
	case ast.InputObject:
		var out []string
		for _, f := range d.Fields {
			if f.Type.NonNull {
				out = append(out, f.Name+": "+g.literal(f.Type))
			}
		}
		return "{" + strings.Join(out, ", ") + "}"
	}
	switch t.NamedType {
	case "Int", "Float":
		return []string{"1", "2"}[g.pick(2, "number")]
	case "Boolean":
		return "true"
	}
	return []string{`"a"`, `"b"`}[g.pick(2, "text")]
}
