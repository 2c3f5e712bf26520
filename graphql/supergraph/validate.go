package supergraph

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// validate checks the merged schema.
func (m *merger) validate() {
	if q := m.types["Query"]; q == nil || len(q.fields) == 0 && len(m.errs) == 0 {
		m.fail(NoQueries, "Query", nil, "no queries found in any subgraph: a supergraph must have a query root type")
	}
	if len(m.errs) > 0 {
		return
	}
	for _, n := range m.order {
		t := m.types[n]
		if t.kind == ast.Interface {
			m.interfaceKeys(t)
		}
	}
	if len(m.errs) > 0 {
		return
	}
	for _, n := range m.order {
		if t := m.types[n]; t.kind == ast.Object || t.kind == ast.Interface {
			m.implementations(t)
		}
	}
	if len(m.errs) > 0 {
		return
	}
	m.defaultsHold()
	m.inputCircles()
	m.requiredArguments()
	m.inaccessible()
	m.transitiveAuth()
}

// implementations checks that a merged type has what the merged interfaces promise.
func (m *merger) implementations(t *mergedType) {
	for _, n := range t.interfaces {
		i := m.types[n]
		if i == nil {
			continue
		}
		for _, want := range i.fields {
			got := t.field(want.name)
			if got == nil {
				m.fail(InterfaceFieldNoImplem, want.coordinate(), m.having(i),
					"interface field %q is declared in %s but type %q, which implements %q, does not have it", want.coordinate(),
					m.nameList(m.withField(want)), t.name, n)
				continue
			}
			m.implementation(got, want)
		}
	}
}

func (m *merger) withField(f *mergedField) []*subgraph {
	var out []*subgraph
	for _, d := range f.in {
		out = append(out, d.parent.sub)
	}
	return out
}

func (m *merger) implementation(got, want *mergedField) {
	if !m.subtype(got.typ, want.typ) {
		m.fail(InvalidGraphQL, got.coordinate(), m.withField(got),
			"interface field %s expects type %s but %s of type %s is not a proper subtype", want.coordinate(),
			want.typ.String(), got.coordinate(), got.typ.String())
	}
	for _, a := range want.args {
		if b := got.args.ForName(a.Name); b == nil {
			m.fail(InvalidGraphQL, got.coordinate(), m.withField(got),
				"interface field argument %s(%s:) expected but %s does not provide it", want.coordinate(), a.Name, got.coordinate())
		} else if a.Type.String() != b.Type.String() {
			m.fail(InvalidGraphQL, got.coordinate(), m.withField(got),
				"interface field argument %s(%s:) expects type %s but in %s it is %s", want.coordinate(), a.Name,
				a.Type.String(), got.coordinate(), b.Type.String())
		}
	}
	for _, b := range got.args {
		if want.args.ForName(b.Name) == nil && b.Type.NonNull && b.DefaultValue == nil {
			m.fail(InvalidGraphQL, got.coordinate(), m.withField(got),
				"field %s includes required argument %s that is missing from the interface field %s", got.coordinate(), b.Name,
				want.coordinate())
		}
	}
}

// possible returns the object types of the supergraph that a type can stand for, sorted.
func (m *merger) possible(name string) []string {
	t := m.types[name]
	if t == nil {
		return nil
	}
	switch t.kind {
	case ast.Object:
		return []string{name}
	case ast.Union:
		out := slices.Clone(t.members)
		slices.Sort(out)
		return out
	case ast.Interface:
		var out []string
		for _, n := range m.order {
			if o := m.types[n]; o.kind == ast.Object && slices.Contains(o.interfaces, name) {
				out = append(out, n)
			}
		}
		return out
	}
	return nil
}

// interfaceKeys: who resolves entities by an interface's key knows all implementations; who has it as an object knows
// none.
func (m *merger) interfaceKeys(i *mergedType) {
	for _, d := range i.in {
		if len(d.keys) == 0 && !d.interfaceObject {
			continue
		}
		for _, n := range m.possible(i.name) {
			own := d.sub.types[n]
			switch {
			case d.interfaceObject && own != nil:
				m.errs = append(m.errs, d.sub.failure(InterfaceObjectUsageError, own.pos, n,
					"interface type %q is defined as an @interfaceObject in subgraph %q so that subgraph should not define any "+
						"of the implementation types of %q, but it defines type %q", i.name, d.sub.name, i.name, n))
			case !d.interfaceObject && (own == nil || !slices.Contains(own.interfaces, i.name)) &&
				slices.ContainsFunc(d.keys, func(k *key) bool { return k.resolvable }):
				m.errs = append(m.errs, d.sub.failure(InterfaceKeyMissingImplementationType, d.pos, i.name,
					"interface type %q has a resolvable key (@key(fields: %q)) in subgraph %q but that subgraph is missing an "+
						"implementation of %q: it should define type %q (and have it implement %q)", i.name, d.keys[0].text,
					d.sub.name, i.name, n, i.name))
			}
		}
	}
}

// argument is the coordinate of an argument.
func argument(f *mergedField, a *ast.ArgumentDefinition) string {
	return fmt.Sprintf("%s(%s:)", f.coordinate(), a.Name)
}

// inputCircles finds input objects of the merged schema that need themselves: in no subgraph alone they do, or it would
// have been refused.
func (m *merger) inputCircles() {
	for _, n := range m.order {
		t := m.types[n]
		if t.kind == ast.InputObject && m.needs(t, t, map[*mergedType]bool{}) {
			m.fail(InvalidGraphQL, n, m.having(t),
				"input object %q references itself through a series of non-null fields once the subgraphs are put together", n)
		}
	}
}

// needs reports whether every value of input object t has one of want inside.
func (m *merger) needs(t, want *mergedType, seen map[*mergedType]bool) bool {
	for _, f := range t.fields {
		next := m.types[f.typ.Name()]
		if f.typ.Elem != nil || !f.typ.NonNull || next == nil || next.kind != ast.InputObject {
			continue
		}
		if next == want {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if m.needs(next, want, seen) {
				return true
			}
		}
	}
	return false
}
