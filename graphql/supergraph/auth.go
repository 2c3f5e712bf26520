package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// transitiveAuth checks that a field with a requirement asks of callers all that the required fields ask of them.
func (m *merger) transitiveAuth() {
	if !m.used["authenticated"] && !m.used["requiresScopes"] && !m.used["policy"] {
		return
	}
	for _, n := range m.order {
		t := m.types[n]
		if t.kind != ast.Object && t.kind != ast.Interface {
			continue
		}
		for _, f := range t.fields {
			for _, d := range f.in {
				if d.requires != nil {
					m.requiredAuth(t, f, d)
				}
			}
		}
	}
}

func (m *merger) requiredAuth(t *mergedType, f *mergedField, d *fieldDef) {
	have := slices.Concat(f.dirs, t.dirs)
	var missing string
	var walk func(t *mergedType, sels []*selection)
	walk = func(t *mergedType, sels []*selection) {
		for _, s := range sels {
			on := t
			if s.name == "" {
				if s.on != "" {
					on = m.types[s.on]
				}
			} else {
				g := t.byName[s.name]
				if g == nil {
					continue
				}
				on = m.types[g.typ.Name()]
				if !implies(have, g.dirs) || on != nil && !implies(have, on.dirs) {
					missing = g.coordinate()
				}
			}
			if on != nil {
				walk(on, s.sub)
			}
		}
	}
	walk(t, d.requires.sels)
	if missing != "" {
		m.errs = append(m.errs, d.parent.sub.failure(MissingTransitiveAuthRequirements, d.pos, f.coordinate(),
			"field %q does not specify necessary @authenticated, @requiresScopes and/or @policy auth requirements to access the transitive field %q data from @requires selection set", f.coordinate(), missing))
	}
}

// implies reports whether callers who meet one list of requirements meet the other.
func implies(have, want ast.DirectiveList) bool {
	if want.ForName("authenticated") != nil && have.ForName("authenticated") == nil {
		return false
	}
	return impliesOne(have.ForNames("requiresScopes"), want.ForNames("requiresScopes"), "scopes") && impliesOne(have.ForNames("policy"), want.ForNames("policy"), "policies")
}

func impliesOne(have, want ast.DirectiveList, arg string) bool {
	if len(want) == 0 {
		return true
	}
	if len(have) == 0 {
		return false
	}
	wanted := alternatives(want, arg)
	for _, h := range alternatives(have, arg) {
		if !slices.ContainsFunc(wanted, func(w []string) bool { return containsAll(h, w) }) {
			return false
		}
	}
	return true
}

// alternatives multiplies the lists of several applications out.
func alternatives(ds ast.DirectiveList, arg string) [][]string {
	v := conjunction(ds, arg)
	out := make([][]string, len(v.Children))
	for i, c := range v.Children {
		for _, s := range c.Value.Children {
			out[i] = append(out[i], s.Value.Raw)
		}
	}
	return out
}
