package supergraph

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
)

// setRule checks the selection of @key, @requires or @provides.
type setRule struct {
	l                            *loader
	directive, where, coordinate string
	text                         string
	at                           *ast.Position
	invalid, directives          Code
	external                     Code // if a selected field must be external; "" if not
	// field checks one selected field; it reports false after an error.
	field func(v *setRule, f *fieldDef, sel *selection) bool
}

func (v *setRule) fail(code Code, format string, args ...any) bool {
	v.l.fail(code, v.at, v.coordinate, "on %s, for @%s(fields: %q): %s", v.where, v.directive, v.text,
		fmt.Sprintf(format, args...))
	return false
}

// set checks selections on a type. below says that a field above is external.
func (v *setRule) set(t *typeDef, sels []*selection, below bool) bool {
	for _, sel := range sels {
		if sel.dirs {
			return v.fail(v.directives, "cannot have directive applications in the selection")
		}
		if ok := sel.name == "" && v.fragment(t, sel, below) || sel.name != "" && v.one(t, sel, below); !ok {
			return false
		}
	}
	return true
}

func (v *setRule) fragment(t *typeDef, sel *selection, below bool) bool {
	on := t
	if sel.on != "" {
		on = v.l.s.types[sel.on]
	}
	if on == nil || !on.composite() {
		return v.fail(v.invalid, "unknown type %q in fragment", sel.on)
	}
	return v.set(on, sel.sub, below)
}

func (v *setRule) one(t *typeDef, sel *selection, below bool) bool {
	if sel.alias != "" {
		return v.fail(v.invalid, "cannot use alias %q: aliases are not supported in @%s", sel.alias, v.directive)
	}
	if sel.name == "__typename" {
		if v.external != "" && !below {
			return v.fail(v.external, "field \"%s.__typename\" should not be part of a @%s since it is already provided by "+
				"this subgraph", t.name, v.directive)
		}
		return true
	}
	f := t.byName[sel.name]
	if f == nil {
		return v.fail(v.invalid, "cannot query field %q on type %q: if another subgraph defines it, add it to this one "+
			"with @external", sel.name, t.name)
	}
	if !v.field(v, f, sel) {
		return false
	}
	next := v.l.s.types[f.typ.Name()]
	composite := next != nil && next.composite()
	switch {
	case composite && len(sel.sub) == 0:
		return v.fail(v.invalid, "field %q of type %q must have a selection of subfields", f.coordinate(), f.typ.String())
	case !composite && len(sel.sub) > 0:
		return v.fail(v.invalid, "field %q of type %q cannot have a selection of subfields", f.coordinate(), f.typ.String())
	case !composite:
		if v.external != "" && !below && !f.external {
			return v.fail(v.external, "field %q should not be part of a @%s since it is already provided by this subgraph "+
				"(it is not marked @external)", f.coordinate(), v.directive)
		}
		return true
	}
	return v.set(next, sel.sub, below || f.external || v.l.s.externalSomewhere(t, f.name))
}

// arguments checks the arguments given to a selected field.
func (v *setRule) arguments(f *fieldDef, sel *selection) bool {
	if problem := v.l.s.argumentsProblem(f, sel); problem != "" {
		return v.fail(v.invalid, "%s", problem)
	}
	return true
}

// argumentsProblem says what is wrong with the arguments of a selected field; "" if nothing is.
func (s *subgraph) argumentsProblem(f *fieldDef, sel *selection) string {
	for _, a := range sel.args {
		def := f.args.ForName(a.Name)
		if def == nil {
			return fmt.Sprintf("unknown argument %q of field %q", a.Name, f.coordinate())
		}
		if !s.coerces(a.Value, def.Type) {
			return fmt.Sprintf("invalid value %s for argument %q of field %q", a.Value.String(), a.Name, f.coordinate())
		}
	}
	for _, def := range f.args {
		if def.Type.NonNull && def.DefaultValue == nil && sel.args.ForName(def.Name) == nil {
			return fmt.Sprintf("missing mandatory value for argument %q of field %q", def.Name, f.coordinate())
		}
	}
	return ""
}
