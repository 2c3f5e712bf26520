package supergraph

import (
	"cmp"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// use says where an enum appears: a coordinate of each kind, or "".
type use struct{ input, output string }

// uses finds how the supergraph uses its enums.
func (m *merger) uses() map[string]*use {
	out := map[string]*use{}
	for _, n := range m.order {
		if m.types[n].kind == ast.Enum {
			out[n] = &use{}
		}
	}
	for _, n := range m.order {
		t := m.types[n]
		for _, f := range t.fields {
			if u := out[f.typ.Name()]; u != nil {
				if t.kind == ast.InputObject {
					u.input = cmp.Or(u.input, f.coordinate())
				} else {
					u.output = cmp.Or(u.output, f.coordinate())
				}
			}
			for _, a := range f.args {
				if u := out[a.Type.Name()]; u != nil {
					u.input = cmp.Or(u.input, argument(f, a))
				}
			}
		}
	}
	directive := func(name string, args ast.ArgumentDefinitionList) {
		for _, a := range args {
			if u := out[a.Type.Name()]; u != nil {
				u.input = cmp.Or(u.input, "@"+name+"("+a.Name+":)")
			}
		}
	}
	for _, c := range m.composed {
		directive(c.name, c.definition.Arguments)
	}
	for _, d := range m.dirs {
		directive(d.Name, d.Arguments)
	}
	return out
}

// defaultsHold checks that the default values of arguments and input fields are values of the merged types: what not
// all subgraphs have of an enum or an input object is left out of those.
func (m *merger) defaultsHold() {
	for _, n := range m.order {
		t := m.types[n]
		for _, f := range t.fields {
			if f.defaultValue != nil && !m.holds(f.defaultValue, f.typ) {
				m.fail(InvalidGraphQL, f.coordinate(), m.having(t),
					"invalid default value (got: %s) provided for input field %s of type %s", f.defaultValue.String(),
					f.coordinate(), f.typ.String())
			}
			for _, a := range f.args {
				if a.DefaultValue != nil && !m.holds(a.DefaultValue, a.Type) {
					m.fail(InvalidGraphQL, argument(f, a), m.having(t),
						"invalid default value (got: %s) provided for argument %s of type %s", a.DefaultValue.String(), argument(f, a),
						a.Type.String())
				}
			}
		}
	}
}

// holds reports whether the enum values and input fields in a constant are in the merged types.
func (m *merger) holds(v *ast.Value, typ *ast.Type) bool {
	if typ.Elem != nil && v.Kind == ast.ListValue {
		return !slices.ContainsFunc(v.Children, func(c *ast.ChildValue) bool { return !m.holds(c.Value, typ.Elem) })
	}
	t := m.types[typ.Name()]
	switch {
	case t == nil:
	case t.kind == ast.Enum && (v.Kind == ast.EnumValue || v.Kind == ast.StringValue):
		return slices.ContainsFunc(t.values, func(o *mergedValue) bool { return o.name == v.Raw })
	case t.kind == ast.InputObject && v.Kind == ast.ObjectValue:
		return !slices.ContainsFunc(v.Children, func(c *ast.ChildValue) bool {
			f := t.field(c.Name)
			return f == nil || !m.holds(c.Value, f.typ)
		})
	}
	return true
}

// mergeEnums merges enum values: all of them where clients only receive the enum, the common ones where they only
// send it; where they do both, all subgraphs must have the same.
func (m *merger) mergeEnums() {
	var uses map[string]*use
	of := func(t *mergedType) *use { // asked for seldom
		if uses == nil {
			uses = m.uses()
		}
		return uses[t.name]
	}
	for _, n := range m.order {
		if t := m.types[n]; t.kind == ast.Enum {
			m.mergeEnum(t, of)
		}
	}
}

func (m *merger) mergeEnum(t *mergedType, of func(*mergedType) *use) {
	for _, d := range t.in {
		for _, v := range d.values {
			if !slices.ContainsFunc(t.values, func(o *mergedValue) bool { return o.name == v.Name }) {
				t.values = append(t.values, m.mergeValue(t, v.Name))
			}
		}
	}
	failed := len(m.errs)
	t.values = slices.DeleteFunc(t.values, func(v *mergedValue) bool { return !m.keepValue(t, v, of) })
	if len(t.values) == 0 && len(m.errs) == failed {
		m.fail(EmptyMergedEnumType, t.name, m.having(t),
			"none of the values of enum type %q are defined consistently in all the subgraphs defining that type", t.name)
	}
}

func (m *merger) mergeValue(t *mergedType, name string) *mergedValue {
	v := &mergedValue{name: name, in: make([]bool, len(m.subs))}
	var texts []string
	var sources []directiveSource
	for _, d := range t.in {
		for _, o := range d.values {
			if o.Name == name {
				v.in[d.sub.index] = true
				texts = append(texts, o.Description)
				sources = append(sources, directiveSource{d.sub, o.Directives})
			}
		}
	}
	v.description = m.describe(t.name+"."+name, texts)
	v.dirs = m.mergeDirectives(t.name+"."+name, sources)
	return v
}

func (m *merger) keepValue(t *mergedType, v *mergedValue, of func(*mergedType) *use) bool {
	var with, without []*subgraph
	for _, s := range m.having(t) {
		if v.in[s.index] {
			with = append(with, s)
		} else {
			without = append(without, s)
		}
	}
	if len(without) == 0 || v.dirs.ForName("inaccessible") != nil {
		return true
	}
	u := of(t)
	if u.input == "" {
		return true
	}
	at := t.name + "." + v.name
	if u.output == "" {
		m.hint("INCONSISTENT_ENUM_VALUE_FOR_INPUT_ENUM", at, without,
			"value %q of enum type %q is left out of the supergraph: it is not in %s", v.name, t.name, m.nameList(without))
		return false
	}
	m.fail(EnumValueMismatch, at, append(with, without...),
		"enum type %q is used as both input type (for example, as type of %q) and output type (for example, as type of "+
			"%q), but value %q is not defined in all the subgraphs defining %q: it is in %s but not in %s",
		t.name, u.input, u.output, v.name, t.name, m.nameList(with), m.nameList(without))
	return true
}
