package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// checkInterfaces checks that a type has what its interfaces promise.
func (l *loader) checkInterfaces(t *typeDef) {
	for _, n := range t.interfaces {
		i := l.s.types[n]
		switch {
		case i == nil:
			l.fail(InvalidGraphQL, t.pos, t.name, "cannot implement unknown type %s", n)
		case i == t:
			l.fail(InvalidGraphQL, t.pos, t.name,
				"type %s cannot implement itself because it would create a circular reference", n)
		case i.kind != ast.Interface:
			l.fail(InvalidGraphQL, t.pos, t.name, "type %s cannot implement %s, which is no interface", t.name, n)
		default:
			l.checkInterface(t, i)
		}
	}
}

func (l *loader) checkInterface(t, i *typeDef) {
	for _, up := range i.interfaces {
		if up == t.name {
			l.fail(InvalidGraphQL, t.pos, t.name, "type %s cannot implement %s because it would create a circular reference",
				t.name, i.name)
		} else if !slices.Contains(t.interfaces, up) {
			l.fail(InvalidGraphQL, t.pos, t.name, "type %s must implement %s because it is implemented by %s", t.name, up,
				i.name)
		}
	}
	for _, want := range i.fields {
		got := t.byName[want.name]
		if got == nil {
			l.fail(InvalidGraphQL, t.pos, t.name, "interface field %s expected but %s does not provide it", want.coordinate(),
				t.name)
			continue
		}
		if !l.s.subtype(got.typ, want.typ) {
			l.fail(InvalidGraphQL, got.pos, got.coordinate(),
				"interface field %s expects type %s but %s of type %s is not a proper subtype", want.coordinate(),
				want.typ.String(), got.coordinate(), got.typ.String())
		}
		l.checkInterfaceArguments(got, want)
	}
}

func (l *loader) checkInterfaceArguments(got, want *fieldDef) {
	for _, a := range want.args {
		b := got.args.ForName(a.Name)
		if b == nil {
			l.fail(InvalidGraphQL, got.pos, got.coordinate(),
				"interface field argument %s(%s:) expected but %s does not provide it", want.coordinate(), a.Name, got.coordinate())
		} else if a.Type.String() != b.Type.String() {
			l.fail(InvalidGraphQL, b.Position, got.coordinate(),
				"interface field argument %s(%s:) expects type %s but in %s it is %s", want.coordinate(), a.Name,
				a.Type.String(), got.coordinate(), b.Type.String())
		}
	}
	for _, b := range got.args {
		if want.args.ForName(b.Name) == nil && b.Type.NonNull && b.DefaultValue == nil {
			l.fail(InvalidGraphQL, b.Position, got.coordinate(),
				"field %s includes required argument %s that is missing from the interface field %s", got.coordinate(), b.Name,
				want.coordinate())
		}
	}
}

// subtype reports whether every value of a is one of b.
func (s *subgraph) subtype(a, b *ast.Type) bool {
	if b.NonNull && !a.NonNull {
		return false
	}
	if a.Elem != nil || b.Elem != nil {
		return a.Elem != nil && b.Elem != nil && s.subtype(a.Elem, b.Elem)
	}
	if a.NamedType == b.NamedType {
		return true
	}
	ta, tb := s.types[a.NamedType], s.types[b.NamedType]
	return ta != nil && tb != nil && (slices.Contains(ta.interfaces, tb.name) ||
		tb.kind == ast.Union && slices.Contains(tb.members, ta.name))
}
