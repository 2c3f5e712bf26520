package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// inaccessible checks that what is left when hidden elements are taken out is a schema.
func (m *merger) inaccessible() {
	if !m.used["inaccessible"] {
		return
	}
	for _, n := range m.order {
		t := m.types[n]
		if hidden(t.dirs) {
			if n == "Query" {
				m.fail(QueryRootTypeInaccessible, n, m.having(t),
					"type %q is @inaccessible but is the query root type, which must be in the API schema", n)
			}
			continue
		}
		m.visibleChildren(t)
		for _, f := range t.fields {
			m.accessibleField(t, f)
		}
	}
	for _, d := range m.dirs {
		for _, a := range d.Arguments {
			if at := "@" + d.Name + "(" + a.Name + ":)"; m.hiddenType(a.Type) && !hidden(a.Directives) {
				m.fail(ReferencedInaccessible, at, m.having(m.types[a.Type.Name()]),
					"type %q is @inaccessible but is referenced by %q, which is in the API schema", a.Type.Name(), at)
			}
		}
	}
}

func hidden(ds ast.DirectiveList) bool { return ds.ForName("inaccessible") != nil }

func (m *merger) hiddenType(t *ast.Type) bool {
	d := m.types[t.Name()]
	return d != nil && hidden(d.dirs)
}

func (m *merger) visibleChildren(t *mergedType) {
	all, visible, what := 0, 0, "fields"
	for _, f := range t.fields {
		all++
		if !hidden(f.dirs) {
			visible++
		}
	}
	for _, v := range t.values {
		what = "values"
		all++
		if !hidden(v.dirs) {
			visible++
		}
	}
	for _, u := range t.members {
		what = "members"
		all++
		if !hidden(m.types[u].dirs) {
			visible++
		}
	}
	if all > 0 && visible == 0 {
		m.fail(OnlyInaccessibleChildren, t.name, m.having(t),
			"type %q is in the API schema but all of its %s are @inaccessible", t.name, what)
	}
}

func (m *merger) accessibleField(t *mergedType, f *mergedField) {
	subs := m.withField(f)
	if hidden(f.dirs) {
		m.hiddenField(t, f, subs)
		return
	}
	if m.hiddenType(f.typ) {
		m.fail(ReferencedInaccessible, f.coordinate(), subs,
			"type %q is @inaccessible but is referenced by %q, which is in the API schema", f.typ.Name(), f.coordinate())
	}
	if t.kind == ast.InputObject {
		m.visibleDefault(f.defaultValue, f.typ, f.coordinate(), subs)
	}
	for _, a := range f.args {
		m.accessibleArgument(t, f, a, subs)
	}
}

func (m *merger) hiddenField(t *mergedType, f *mergedField, subs []*subgraph) {
	if t.kind == ast.InputObject {
		if f.typ.NonNull && f.defaultValue == nil {
			m.fail(RequiredInaccessible, f.coordinate(), subs,
				"input field %q is @inaccessible but is a required input field of its type", f.coordinate())
		}
		return
	}
	for _, n := range t.interfaces {
		i := m.types[n]
		if i == nil || hidden(i.dirs) || i.field(f.name) == nil || hidden(i.field(f.name).dirs) {
			continue
		}
		m.fail(ImplementedByInaccessible, f.coordinate(), subs,
			"field %q is @inaccessible but implements the interface field %q, which is in the API schema", f.coordinate(),
			i.field(f.name).coordinate())
	}
}

func (m *merger) accessibleArgument(t *mergedType, f *mergedField, a *ast.ArgumentDefinition, subs []*subgraph) {
	at := argument(f, a)
	if !hidden(a.Directives) {
		if m.hiddenType(a.Type) {
			m.fail(ReferencedInaccessible, at, subs,
				"type %q is @inaccessible but is referenced by %q, which is in the API schema", a.Type.Name(), at)
		}
		m.visibleDefault(a.DefaultValue, a.Type, at, subs)
		return
	}
	if a.Type.NonNull && a.DefaultValue == nil {
		m.fail(RequiredInaccessible, at, subs, "argument %q is @inaccessible but is a required argument of its field", at)
	}
	for _, n := range t.interfaces {
		i := m.types[n]
		if i == nil || hidden(i.dirs) || i.field(f.name) == nil || hidden(i.field(f.name).dirs) {
			continue
		}
		if b := i.field(f.name).args.ForName(a.Name); b != nil && !hidden(b.Directives) {
			m.fail(ImplementedByInaccessible, at, subs,
				"argument %q is @inaccessible but implements an argument of interface %q, which is in the API schema", at, n)
		}
	}
}

// visibleDefault finds hidden enum values and input fields in a default value.
func (m *merger) visibleDefault(v *ast.Value, t *ast.Type, at string, subs []*subgraph) {
	if v == nil {
		return
	}
	if v.Kind == ast.ListValue {
		for _, c := range v.Children {
			if t.Elem != nil {
				m.visibleDefault(c.Value, t.Elem, at, subs)
			}
		}
		return
	}
	d := m.types[t.Name()]
	switch {
	case d == nil:
	case d.kind == ast.Enum:
		i := slices.IndexFunc(d.values, func(o *mergedValue) bool { return o.name == v.Raw })
		if i >= 0 && hidden(d.values[i].dirs) {
			m.fail(DefaultValueUsesInaccessible, at, subs,
				"enum value %q is @inaccessible but is used in the default value of %q, which is in the API schema",
				d.name+"."+v.Raw, at)
		}
	case d.kind == ast.InputObject && v.Kind == ast.ObjectValue:
		for _, c := range v.Children {
			f := d.field(c.Name)
			if f == nil {
				continue
			}
			if hidden(f.dirs) {
				m.fail(DefaultValueUsesInaccessible, at, subs,
					"input field %q is @inaccessible but is used in the default value of %q, which is in the API schema",
					f.coordinate(), at)
				continue
			}
			m.visibleDefault(c.Value, f.typ, at, subs)
		}
	}
}
