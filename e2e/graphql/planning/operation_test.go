//go:build e2e

package planning

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// operations makes up one operation on a schema.
type operations struct {
	r      *rand.Rand
	schema *ast.Schema
	left   int // fields that may still be added
	vars   []string
	values map[string]any
	// named are the fragments so far, fragments is their number.
	named     string
	fragments int
}

func operation(r *rand.Rand, schema *ast.Schema) (string, map[string]any) {
	o := &operations{r: r, schema: schema, left: 3 + r.IntN(25), values: map[string]any{}}
	kind, root := "query", schema.Query
	if schema.Mutation != nil && r.IntN(6) == 0 {
		kind, root = "mutation", schema.Mutation
	}
	body := o.set(root, 0)
	if o.vars != nil {
		kind += " (" + strings.Join(o.vars, ", ") + ")"
	}
	return kind + " " + body + o.named, o.values
}

func (o *operations) set(d *ast.Definition, depth int) string {
	var out []string
	for range 1 + o.r.IntN(4) {
		if o.left--; o.left < 0 && len(out) > 0 {
			break
		}
		out = append(out, o.selection(d, depth))
	}
	return "{ " + strings.Join(out, " ") + " }"
}

func (o *operations) selection(d *ast.Definition, depth int) string {
	if conds := o.conditions(d); len(conds) > 0 && depth < 6 && (d.Kind == ast.Union || o.r.IntN(3) == 0) {
		if d.Kind == ast.Union && o.r.IntN(8) == 0 {
			return "__typename"
		}
		c := conds[o.r.IntN(len(conds))]
		if o.r.IntN(6) == 0 {
			body := o.set(c, depth+1)
			name := fmt.Sprintf("F%d", o.fragments)
			o.fragments++
			o.named += " fragment " + name + " on " + c.Name + " " + body
			return "..." + name + o.directive()
		}
		return "... on " + c.Name + o.directive() + " " + o.set(c, depth+1)
	}
	var fields ast.FieldList
	for _, f := range d.Fields {
		leaf := o.schema.Types[f.Type.Name()].IsLeafType()
		if !strings.HasPrefix(f.Name, "__") && (leaf || depth < 6 && o.left > 0) {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 || o.r.IntN(12) == 0 {
		return "__typename"
	}
	f := fields[o.r.IntN(len(fields))]
	s := f.Name
	if o.r.IntN(8) == 0 {
		s = fmt.Sprintf("%s: %s", []string{"x", "y", "id", "f1"}[o.r.IntN(4)], s)
	}
	s += o.arguments(f) + o.directive()
	if t := o.schema.Types[f.Type.Name()]; !t.IsLeafType() {
		s += " " + o.set(t, depth+1)
	}
	return s
}

func (o *operations) directive() string {
	switch o.r.IntN(24) {
	case 0:
		return " @include(if: true)"
	case 1:
		return " @skip(if: true)"
	case 2:
		name := fmt.Sprintf("v%d", len(o.vars))
		o.vars = append(o.vars, "$"+name+": Boolean!")
		o.values[name] = o.r.IntN(2) == 0
		return fmt.Sprintf(" @%s(if: $%s)", []string{"skip", "include"}[o.r.IntN(2)], name)
	}
	return ""
}

// conditions are the types that a fragment on d may name.
func (o *operations) conditions(d *ast.Definition) []*ast.Definition {
	if d == o.schema.Query || d == o.schema.Mutation || d.Kind == ast.Object && o.r.IntN(4) > 0 {
		return nil
	}
	var out []*ast.Definition
	possible := o.schema.GetPossibleTypes(d)
	for _, t := range o.schema.Types {
		shared := func(x *ast.Definition) bool { return slices.Contains(possible, x) }
		if t.IsCompositeType() && !strings.HasPrefix(t.Name, "__") &&
			slices.ContainsFunc(o.schema.GetPossibleTypes(t), shared) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (o *operations) arguments(f *ast.FieldDefinition) string {
	var out []string
	for _, a := range f.Arguments {
		if !a.Type.NonNull && o.r.IntN(2) == 0 {
			continue
		}
		if o.r.IntN(3) == 0 {
			name := fmt.Sprintf("v%d", len(o.vars))
			o.variable(name, a.Type)
			out = append(out, a.Name+": $"+name)
			continue
		}
		out = append(out, a.Name+": "+o.literal(o.value(a.Type), a.Type))
	}
	if out == nil {
		return ""
	}
	return "(" + strings.Join(out, ", ") + ")"
}

// variable declares a variable of a type. Some have a default, which lets a variable that may be null stand where null
// is not allowed, and no value.
func (o *operations) variable(name string, t *ast.Type) {
	v := o.value(t)
	with := (o.left + len(o.vars)) % 4 // no chance of its own: operations of a seed stay what they were
	if with > 1 {
		o.vars = append(o.vars, "$"+name+": "+t.String())
		o.values[name] = v
		return
	}
	nullable := *t
	nullable.NonNull = false
	o.vars = append(o.vars, "$"+name+": "+nullable.String()+" = "+o.literal(v, t))
	if with == 1 {
		o.values[name] = v
	}
}

func (o *operations) value(t *ast.Type) any {
	if !t.NonNull && o.r.IntN(8) == 0 {
		return nil
	}
	if t.Elem != nil {
		return []any{o.value(t.Elem), o.value(t.Elem)}[:o.r.IntN(3)]
	}
	d := o.schema.Types[t.NamedType]
	switch {
	case d.Kind == ast.Enum:
		return d.EnumValues[o.r.IntN(len(d.EnumValues))].Name
	case d.Kind == ast.InputObject:
		out := map[string]any{}
		for _, f := range d.Fields {
			if f.Type.NonNull || o.r.IntN(2) == 0 {
				out[f.Name] = o.value(f.Type)
			}
		}
		return out
	case t.NamedType == "Int":
		return o.r.IntN(3)
	}
	return []string{"a", `b"\`}[o.r.IntN(2)]
}

func (o *operations) literal(v any, t *ast.Type) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, o.literal(x, t.Elem))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case map[string]any:
		var out []string
		for _, f := range o.schema.Types[t.NamedType].Fields {
			if x, ok := v[f.Name]; ok {
				out = append(out, f.Name+": "+o.literal(x, f.Type))
			}
		}
		return "{" + strings.Join(out, ", ") + "}"
	case string:
		if o.schema.Types[t.NamedType].Kind == ast.Enum {
			return v
		}
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
