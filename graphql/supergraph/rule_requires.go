package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// requiredArguments checks that the arguments that requirements give are known to all who resolve the required
// fields: an argument that is not in all of them is not in the supergraph.
func (m *merger) requiredArguments() {
	for _, n := range m.order {
		t := m.types[n]
		if !slices.ContainsFunc(t.in, func(d *typeDef) bool { return d.has.requires }) {
			continue
		}
		for _, f := range t.fields {
			for _, d := range f.in {
				if d.requires != nil {
					m.requiredArgumentsOf(d, t, d.requires.sels)
				}
			}
		}
	}
}

func (m *merger) requiredArgumentsOf(d *fieldDef, t *mergedType, sels []*selection) {
	for _, s := range sels {
		on := t
		if s.name == "" {
			if s.on != "" {
				on = m.types[s.on]
			}
		} else {
			f := t.field(s.name)
			if f == nil {
				continue
			}
			m.argumentsKnown(d, f, s)
			on = m.types[f.typ.Name()]
		}
		if on != nil {
			m.requiredArgumentsOf(d, on, s.sub)
		}
	}
}

func (m *merger) argumentsKnown(d *fieldDef, f *mergedField, s *selection) {
	for _, a := range s.args {
		if merged := f.args.ForName(a.Name); merged != nil {
			if !m.holds(a.Value, merged.Type) {
				m.errs = append(m.errs, d.parent.sub.failure(RequiresInvalidFields, d.pos, d.coordinate(),
					"on field %q, for @requires(fields: %q): %s is no value of argument %q of field %q: not all subgraphs have it",
					d.coordinate(), d.requires.text, a.Value.String(), a.Name, f.coordinate()))
			}
			continue
		}
		var lack []*subgraph
		for _, o := range f.in {
			if o.args.ForName(a.Name) == nil {
				lack = append(lack, o.parent.sub)
			}
		}
		m.errs = append(m.errs, d.parent.sub.failure(RequiresInvalidFields, d.pos, d.coordinate(),
			"on field %q, for @requires(fields: %q): cannot provide a value for argument %q of field %q as argument %q is "+
				"not defined in %s",
			d.coordinate(), d.requires.text, a.Name, f.coordinate(), a.Name, m.nameList(lack)))
	}
	for _, o := range f.in {
		for _, a := range o.args {
			if a.Type.NonNull && a.DefaultValue == nil && !o.external && s.args.ForName(a.Name) == nil {
				m.errs = append(m.errs, d.parent.sub.failure(RequiresInvalidFields, d.pos, d.coordinate(),
					"on field %q, for @requires(fields: %q): no value is provided for argument %q of field %q, which is "+
						"required in subgraph %q", d.coordinate(), d.requires.text, a.Name, f.coordinate(), o.parent.sub.name))
				return
			}
		}
	}
}

// importNames checks that subgraphs that use a directive of a specification in the supergraph import it under one name.
func (m *merger) importNames() {
	for i := range directiveSpecs {
		spec := &directiveSpecs[i]
		if spec.feature == "" && spec.name != "context" {
			continue
		}
		names := map[string]bool{}
		for _, s := range m.subs {
			names[s.nameOf(spec.name)] = true
		}
		if len(names) < 2 { // nearly always
			continue
		}
		var used []string
		var users []*subgraph
		for _, s := range m.subs {
			if s.applies(spec.name) {
				used, users = append(used, "@"+s.nameOf(spec.name)), append(users, s)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(used)))) > 1 {
			m.fail(LinkImportNameMismatch, "", users,
				"the \"@%s\" directive is imported with mismatched name between subgraphs: it is imported as %v in %s",
				spec.name, used, m.nameList(users))
		}
	}
}

// nameOf is what the subgraph calls a directive of federation's.
func (s *subgraph) nameOf(directive string) string {
	if n := s.links.local[directive]; n != "" {
		return n
	}
	return directive
}

// applies reports whether a directive, by its canonical name, stands anywhere in the subgraph.
func (s *subgraph) applies(directive string) bool {
	at := func(ds ast.DirectiveList) bool { return ds.ForName(directive) != nil }
	if at(s.schemaDirs) {
		return true
	}
	for _, t := range s.types {
		if at(t.dirs) || slices.ContainsFunc(t.values, func(v *ast.EnumValueDefinition) bool { return at(v.Directives) }) {
			return true
		}
		for _, f := range t.fields {
			if at(f.dirs) || slices.ContainsFunc(f.args, func(a *ast.ArgumentDefinition) bool { return at(a.Directives) }) {
				return true
			}
		}
	}
	return false
}
