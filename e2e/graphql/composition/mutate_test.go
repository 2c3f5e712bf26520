//go:build e2e

package composition

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// mutate changes one thing in one of the subgraphs, as people do. It returns nil if the draw does not apply.
func mutate(r *rand.Rand, in []supergraph.Subgraph) ([]supergraph.Subgraph, string) {
	out := slices.Clone(in)
	i := r.IntN(len(out))
	doc, err := parser.ParseSchema(&ast.Source{Input: out[i].SDL})
	if err != nil {
		return nil, ""
	}
	m := &mutation{r: r, doc: doc, others: in, self: i}
	kinds := m.kinds()
	k := kinds[r.IntN(len(kinds))]
	if !k.do() {
		return nil, ""
	}
	var b bytes.Buffer
	formatter.NewFormatter(&b).FormatSchemaDocument(doc)
	out[i].SDL = b.String()
	return out, k.name
}

type mutation struct {
	r      *rand.Rand
	doc    *ast.SchemaDocument
	others []supergraph.Subgraph
	self   int
}

type kind struct {
	name string
	do   func() bool
}

func (m *mutation) kinds() []kind {
	return []kind{
		{"drop a directive of a field", m.dropFieldDirective},
		{"drop a directive of a type", m.dropTypeDirective},
		{"change nullability", func() bool {
			return m.onField(func(f *ast.FieldDefinition) bool { f.Type.NonNull = !f.Type.NonNull; return true })
		}},
		{"change type", func() bool { return m.onField(m.retype) }},
		{"make a list", func() bool {
			return m.onField(func(f *ast.FieldDefinition) bool { f.Type = ast.ListType(f.Type, nil); return true })
		}},
		{"drop a field", m.dropField},
		{"drop a type", m.dropType},
		{"add an argument", func() bool { return m.onField(m.addArgument) }},
		{"change an argument", func() bool { return m.onField(m.changeArgument) }},
		{"change enum values", m.changeEnum},
		{"mark a field", m.markField},
		{"mark a type", m.markType},
		{"drop a relation", m.dropRelation},
		{"change a key", m.changeKey},
		{"change a default", m.changeDefault},
		{"add a field", m.addField},
		{"make it an extension", m.extend},
	}
}

func pick[T any](r *rand.Rand, s []T) (T, bool) {
	if len(s) == 0 {
		var zero T
		return zero, false
	}
	return s[r.IntN(len(s))], true
}

func (m *mutation) definitions() []*ast.Definition {
	return append(slices.Clone([]*ast.Definition(m.doc.Definitions)), m.doc.Extensions...)
}

func (m *mutation) withFields() (*ast.Definition, bool) {
	var ds []*ast.Definition
	for _, d := range m.definitions() {
		if len(d.Fields) > 0 {
			ds = append(ds, d)
		}
	}
	return pick(m.r, ds)
}

func (m *mutation) onField(fn func(*ast.FieldDefinition) bool) bool {
	d, ok := m.withFields()
	if !ok {
		return false
	}
	f, ok := pick(m.r, d.Fields)
	return ok && fn(f)
}

func (m *mutation) dropFieldDirective() bool {
	return m.onField(func(f *ast.FieldDefinition) bool {
		if len(f.Directives) == 0 {
			return false
		}
		f.Directives = dropOne(m.r, f.Directives)
		return true
	})
}

func dropOne[S ~[]T, T any](r *rand.Rand, s S) S {
	i := r.IntN(len(s))
	return slices.Delete(slices.Clone(s), i, i+1)
}

func (m *mutation) dropTypeDirective() bool {
	d, ok := pick(m.r, m.definitions())
	if !ok || len(d.Directives) == 0 {
		return false
	}
	d.Directives = dropOne(m.r, d.Directives)
	return true
}

func (m *mutation) retype(f *ast.FieldDefinition) bool {
	names := []string{"Int", "String", "ID"}
	for _, d := range m.doc.Definitions {
		names = append(names, d.Name)
	}
	n, _ := pick(m.r, names)
	t := f.Type
	for t.Elem != nil {
		t = t.Elem
	}
	t.NamedType = n
	return true
}

func (m *mutation) dropField() bool {
	d, ok := m.withFields()
	if !ok {
		return false
	}
	d.Fields = dropOne(m.r, d.Fields)
	return true
}

func (m *mutation) dropType() bool {
	if len(m.doc.Definitions) < 2 {
		return false
	}
	m.doc.Definitions = dropOne(m.r, m.doc.Definitions)
	return true
}

func (m *mutation) addArgument(f *ast.FieldDefinition) bool {
	f.Arguments = append(slices.Clone(f.Arguments),
		&ast.ArgumentDefinition{Name: "added", Type: &ast.Type{NamedType: "Int", NonNull: m.r.IntN(2) == 0}})
	return true
}

func (m *mutation) changeArgument(f *ast.FieldDefinition) bool {
	a, ok := pick(m.r, f.Arguments)
	if !ok {
		return false
	}
	switch m.r.IntN(3) {
	case 0:
		a.Type.NonNull = !a.Type.NonNull
	case 1:
		a.Type = ast.NamedType("Boolean", nil)
		a.DefaultValue = nil
	default:
		f.Arguments = dropOne(m.r, f.Arguments)
	}
	return true
}

func (m *mutation) changeEnum() bool {
	var ds []*ast.Definition
	for _, d := range m.doc.Definitions {
		if d.Kind == ast.Enum {
			ds = append(ds, d)
		}
	}
	d, ok := pick(m.r, ds)
	if !ok || len(d.EnumValues) == 0 {
		return false
	}
	switch m.r.IntN(3) {
	case 0:
		d.EnumValues = dropOne(m.r, d.EnumValues)
	case 1:
		d.EnumValues = append(slices.Clone(d.EnumValues), &ast.EnumValueDefinition{Name: "ADDED"})
	default:
		v, _ := pick(m.r, d.EnumValues)
		v.Directives = append(v.Directives, &ast.Directive{Name: "inaccessible"})
	}
	return true
}

func directive(name string, args ...string) *ast.Directive {
	d := &ast.Directive{Name: name}
	for i := 0; i < len(args); i += 2 {
		d.Arguments = append(d.Arguments, &ast.Argument{
			Name:  args[i],
			Value: &ast.Value{Kind: ast.StringValue, Raw: args[i+1]},
		})
	}
	return d
}

func (m *mutation) markField() bool {
	other := m.others[m.r.IntN(len(m.others))].Name
	ds := []*ast.Directive{
		directive("shareable"), directive("external"), directive("inaccessible"), directive("tag", "name", "x"),
		directive("override", "from", other),
		directive("override", "from", other, "label", "percent(50)"), directive("deprecated"),
	}
	return m.onField(func(f *ast.FieldDefinition) bool {
		d, _ := pick(m.r, ds)
		f.Directives = append(slices.Clone(f.Directives), d)
		return true
	})
}

func (m *mutation) markType() bool {
	d, ok := pick(m.r, m.definitions())
	if !ok {
		return false
	}
	ds := []*ast.Directive{directive("shareable"), directive("external"), directive("inaccessible"),
		directive("interfaceObject"), directive("key", "fields", "id")}
	dir, _ := pick(m.r, ds)
	d.Directives = append(slices.Clone(d.Directives), dir)
	return true
}

func (m *mutation) dropRelation() bool {
	d, ok := pick(m.r, m.definitions())
	switch {
	case !ok:
		return false
	case len(d.Interfaces) > 0:
		d.Interfaces = dropOne(m.r, d.Interfaces)
	case len(d.Types) > 1:
		d.Types = dropOne(m.r, d.Types)
	default:
		return false
	}
	return true
}

func (m *mutation) changeKey() bool {
	d, ok := m.withFields()
	if !ok {
		return false
	}
	k := d.Directives.ForName("key")
	if k == nil {
		return false
	}
	if m.r.IntN(3) == 0 {
		k.Arguments = append(slices.Clone(k.Arguments),
			&ast.Argument{Name: "resolvable", Value: &ast.Value{Kind: ast.BooleanValue, Raw: "false"}})
		return k.Arguments.ForName("resolvable") == k.Arguments[len(k.Arguments)-1]
	}
	f, _ := pick(m.r, d.Fields)
	k.Arguments.ForName("fields").Value.Raw = f.Name
	return true
}

func (m *mutation) changeDefault() bool {
	return m.onField(func(f *ast.FieldDefinition) bool {
		a, ok := pick(m.r, f.Arguments)
		if !ok || a.Type.NamedType != "Int" {
			return false
		}
		a.DefaultValue = &ast.Value{Kind: ast.IntValue, Raw: "77"}
		return true
	})
}

func (m *mutation) addField() bool {
	d, ok := m.withFields()
	if !ok {
		return false
	}
	f := &ast.FieldDefinition{Name: "added", Type: ast.NamedType("Int", nil)}
	if m.r.IntN(2) == 0 {
		if g, ok := pick(m.r, m.definitions()); ok && len(g.Fields) > 0 {
			f.Name, f.Type = g.Fields[0].Name, g.Fields[0].Type
		}
	}
	d.Fields = append(slices.Clone(d.Fields), f)
	return true
}

func (m *mutation) extend() bool {
	d, ok := pick(m.r, m.doc.Definitions)
	if !ok || d.Kind != ast.Object {
		return false
	}
	m.doc.Definitions = slices.DeleteFunc(slices.Clone(m.doc.Definitions), func(o *ast.Definition) bool { return o == d })
	m.doc.Extensions = append(m.doc.Extensions, d)
	return true
}
