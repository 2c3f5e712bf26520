package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/supergraph/sdl"
)

// subtype reports whether every value of a is one of b, in the merged schema: by non-null, lists, interfaces and
// unions.
func (m *merger) subtype(a, b *ast.Type) bool {
	if b.NonNull && !a.NonNull {
		return false
	}
	if a.Elem != nil || b.Elem != nil {
		return a.Elem != nil && b.Elem != nil && m.subtype(a.Elem, b.Elem)
	}
	return a.NamedType == b.NamedType || m.belongs(a.NamedType, b.NamedType)
}

// belongs reports whether type a implements or is a member of b.
func (m *merger) belongs(a, b string) bool {
	m.asked = true
	ta, tb := m.types[a], m.types[b]
	if ta == nil || tb == nil {
		return false
	}
	return slices.Contains(ta.interfaces, b) || tb.kind == ast.Union && slices.Contains(tb.members, a)
}

// mergeTypes merges the types of an element: the most general of output types, the most specific of input types. It
// returns nil after reporting that there is none.
func (m *merger) mergeTypes(code Code, what, coordinate string, subs []*subgraph, types []*ast.Type,
	input bool) *ast.Type {
	best := types[0]
	differ := false
	for _, t := range types[1:] {
		switch {
		case sameType(best, t):
			continue
		case m.subtype(best, t) && !input, m.subtype(t, best) && input:
			best = t
		}
		differ = true
	}
	if !differ {
		return best
	}
	for _, t := range types {
		if ok := m.subtype(t, best) && !input || m.subtype(best, t) && input; !ok {
			m.fail(code, coordinate, subs, "type of %s %q is incompatible across subgraphs: it has %s", what, coordinate,
				typeList(subs, types))
			return nil
		}
	}
	m.hint("INCONSISTENT_BUT_COMPATIBLE_FIELD_TYPE", coordinate, subs,
		"type of %s %q is inconsistent but compatible across subgraphs: %q is used", what, coordinate, best.String())
	return best
}

func typeList(subs []*subgraph, types []*ast.Type) string {
	parts := make([]string, len(types))
	for i, t := range types {
		parts[i] = "type \"" + t.String() + "\" in subgraph \"" + subs[i].name + "\""
	}
	return strings.Join(parts, " and ")
}

// equalValues compares constants, nil being no value.
func equalValues(a, b *ast.Value) bool {
	if a == nil || b == nil {
		return a == b
	}
	return sdl.Canonical(a) == sdl.Canonical(b)
}
