package supergraph

import (
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/supergraph/label"
)

// overrides works out which fields moved from one subgraph to another.
func (m *merger) overrides() {
	byName := map[string]*subgraph{}
	for _, s := range m.subs {
		byName[s.name] = s
	}
	for _, n := range m.order {
		t := m.types[n]
		for _, d := range t.in {
			if !d.has.override {
				continue
			}
			for _, f := range d.fields {
				if f.dirs.ForName("override") != nil {
					m.override(t, f, byName)
				}
			}
		}
	}
}

func (m *merger) override(t *mergedType, f *fieldDef, byName map[string]*subgraph) {
	own := f.parent.sub
	if f.parent.interfaceObject {
		m.fail(OverrideCollisionWithAnotherDirective, f.coordinate(), []*subgraph{own},
			"@override is not supported on fields of @interfaceObject types: it cannot be used on field %q on subgraph %q",
			f.coordinate(), own.name)
		return
	}
	if t.kind == ast.Interface {
		m.fail(OverrideOnInterface, f.coordinate(), []*subgraph{own},
			"@override cannot be used on field %q on subgraph %q: @override is not supported on interface type fields",
			f.coordinate(), own.name)
		return
	}
	if f.overrideFrom == own.name {
		m.fail(OverrideFromSelfError, f.coordinate(), []*subgraph{own},
			"source and destination subgraphs %q are the same for overridden field %q", own.name, f.coordinate())
		return
	}
	if f.external {
		m.collision(f, f, "external")
		return
	}
	if f.overrideLabel != "" && !label.Valid(f.overrideLabel) {
		m.fail(OverrideLabelInvalid, f.coordinate(), []*subgraph{own},
			"invalid @override label %q on field %q on subgraph %q: labels must start with a letter and after that contain "+
				"alphanumerics, underscores, minuses, colons, periods, or slashes; or be in the form percent(<float>)",
			f.overrideLabel, f.coordinate(), own.name)
	}
	from := byName[f.overrideFrom]
	if from == nil {
		m.hint("FROM_SUBGRAPH_DOES_NOT_EXIST", f.coordinate(), []*subgraph{own},
			"source subgraph %q for field %q on subgraph %q does not exist", f.overrideFrom, f.coordinate(), own.name)
		f.overrideLabel, own.spent = "", true // nothing to migrate from
		return
	}
	var src *fieldDef
	if td := from.types[t.name]; td != nil {
		src = td.byName[f.name]
	}
	if i := from.abstracts(m.types[t.name], f.name); src == nil && i != "" {
		m.fail(OverrideCollisionWithAnotherDirective, f.coordinate(), []*subgraph{own, from},
			"invalid @override on field %q of subgraph %q: source subgraph %q does not have field %q but abstracts it in "+
				"type %q, and overriding abstracted fields is not supported", f.coordinate(), own.name, from.name,
			f.coordinate(), i)
		return
	}
	if src == nil {
		m.hint("OVERRIDE_DIRECTIVE_CAN_BE_REMOVED", f.coordinate(), []*subgraph{own, from},
			"field %q on subgraph %q no longer exists in the from subgraph: the @override directive can be removed",
			f.coordinate(), own.name)
		f.overrideLabel, own.spent = "", true
		return
	}
	m.overridden(f, src)
}

// abstracts is the interface that the subgraph knows as an object and through which it gives a type a field; "" if
// there is none.
func (s *subgraph) abstracts(t *mergedType, field string) string {
	for _, i := range t.interfaces {
		if d := s.types[i]; d != nil && d.interfaceObject && d.byName[field] != nil {
			return i
		}
	}
	return ""
}

// overridden marks the source of an override.
func (m *merger) overridden(f, src *fieldDef) {
	switch {
	case src.dirs.ForName("override") != nil:
		m.fail(OverrideSourceHasOverride, f.coordinate(), subsOf([]*fieldDef{f, src}),
			"field %q on subgraph %q is also marked with directive @override in subgraph %q: only one @override directive "+
				"is allowed per field", f.coordinate(), f.parent.sub.name, src.parent.sub.name)
	case src.external:
		m.hint("OVERRIDE_DIRECTIVE_CAN_BE_REMOVED", f.coordinate(), subsOf([]*fieldDef{f, src}),
			"field %q on subgraph %q is not resolved anymore by the from subgraph (it is marked @external in %q): the "+
				"@override directive can be removed", f.coordinate(), f.parent.sub.name, src.parent.sub.name)
		// A label stays: while it is off the field is the source's, which does not resolve it, and satisfiability says so.
	case src.dirs.ForName("provides") != nil:
		m.collision(f, src, "provides")
	case src.dirs.ForName("requires") != nil:
		m.collision(f, src, "requires")
	case f.overrideLabel != "":
		if src.overrideLabel == "" {
			src.overrideLabel, src.parent.sub.spent = f.overrideLabel, true
		}
	default:
		src.overridden, src.parent.sub.spent = true, true
	}
}

func (m *merger) collision(f, with *fieldDef, directive string) {
	m.fail(OverrideCollisionWithAnotherDirective, f.coordinate(), subsOf([]*fieldDef{f, with}),
		"@override cannot be used on field %q on subgraph %q since %q on %q is marked with directive @%s", f.coordinate(),
		f.parent.sub.name, with.coordinate(), with.parent.sub.name, directive)
	f.overrideLabel, f.parent.sub.spent = "", true // nothing migrates
}

// used reports whether a subgraph still needs a field that was overridden: in a selection or because of an interface.
func (f *fieldDef) used() bool {
	return f.keyField || f.provided || f.required || f.parent.sub.implements(f)
}
