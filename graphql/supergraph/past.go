package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// past is what the last composition made of the types. A type whose subgraphs say of it what they said then is the same
// again: it is neither merged nor written anew.
//
// That holds for types whose merge looked at nothing but what their subgraphs say of them. Others are never kept: enums
// (their values depend on who uses them), types that an interface object lends fields to or another type's
// authorisation counts for, those whose subgraphs differ in a way that asks how types are related, and all that is
// merged beside composed directives.
type past struct {
	types map[string]*madeType
	order []string
	// names are the directives' names in the supergraph by the canonical ones, and enums the subgraphs' names in it:
	// definitions and texts go by both.
	names map[string]string
	enums map[*subgraph]string
}

// madeType is a merged type, and what came of merging it.
type madeType struct {
	typ        *mergedType
	hints      []Hint
	used       []string // directives
	definition *ast.Definition
	text       string
}

// gathering is a type that is being put together.
type gathering struct {
	made *madeType // what it may be again; nil if that is nothing
	in   []*typeDef
	seen int // how many of made's there were so far
}

// gather finds the types of the subgraphs.
func (m *merger) gather() {
	n := 0
	for _, s := range m.subs {
		n += len(s.order)
	}
	byName := make(map[string]int, len(m.past.types))
	all := make([]gathering, 0, n)
	var fresh []string
	for _, s := range m.subs {
		for _, name := range s.order {
			i, ok := byName[name]
			if !ok {
				i = len(all)
				all, byName[name] = append(all, gathering{made: m.past.types[name]}), i
				if all[i].made == nil {
					fresh = append(fresh, name)
				}
			}
			all[i].add(s.types[name])
		}
	}
	m.order = merged(m.past.order, fresh, func(n string) bool {
		i, ok := byName[n]
		return ok && all[i].made != nil
	})
	for _, n := range m.order {
		m.types[n] = all[byName[n]].typ(n)
	}
}

// add takes in what one more subgraph has of the type.
func (g *gathering) add(d *typeDef) {
	if g.made != nil && g.in == nil {
		if in := g.made.typ.in; g.seen < len(in) && in[g.seen] == d {
			g.seen++
			return
		}
		g.in = slices.Clone(g.made.typ.in[:g.seen])
	}
	g.in = append(g.in, d)
}

// typ is the type: the one that there was if all its subgraphs say what they said.
func (g *gathering) typ(name string) *mergedType {
	if g.made == nil {
		return &mergedType{name: name, in: g.in}
	}
	if g.in == nil && g.seen == len(g.made.typ.in) {
		return g.made.typ
	}
	in := g.in
	if in == nil { // fewer than there were
		in = slices.Clone(g.made.typ.in[:g.seen])
	}
	return &mergedType{name: name, in: in}
}

// merged are those of the sorted names that stay, and the fresh ones, sorted.
func merged(sorted, fresh []string, stays func(string) bool) []string {
	slices.Sort(fresh)
	out := make([]string, 0, len(sorted)+len(fresh))
	for _, n := range sorted {
		if !stays(n) {
			continue
		}
		for len(fresh) > 0 && fresh[0] < n {
			out, fresh = append(out, fresh[0]), fresh[1:]
		}
		out = append(out, n)
	}
	return append(out, fresh...)
}

// renew gives up what an earlier composition made of types that something else has to do with now.
func (m *merger) renew() {
	asks := map[string]bool{} // types that authorisation of others counts for
	for at := range m.spread {
		name, _, _ := strings.Cut(at, ".")
		asks[name] = true
	}
	for _, n := range m.order {
		t := m.types[n]
		if t.made != nil && (asks[n] || !m.alone(t)) {
			m.types[n] = &mergedType{
				name: t.name, kind: t.kind, in: t.in, interfaces: t.interfaces, members: t.members,
			}
		}
	}
}

// alone reports whether a type goes by nothing but what its subgraphs say of it, as far as can be told before it is
// merged.
func (m *merger) alone(t *mergedType) bool {
	return t.kind != ast.Enum && len(m.composed) == 0 &&
		!slices.ContainsFunc(t.in, func(d *typeDef) bool { return d.sub.spent }) &&
		!slices.ContainsFunc(t.interfaces, func(i string) bool {
			it := m.types[i]
			return it == nil || slices.ContainsFunc(it.in, func(d *typeDef) bool { return d.interfaceObject })
		})
}

// mergeOrTake merges a type, or takes what an earlier composition made of it.
func (m *merger) mergeOrTake(t *mergedType) {
	if made := t.made; made != nil {
		m.hints = append(m.hints, made.hints...)
		for _, d := range made.used {
			m.used[d] = true
		}
		m.made[t.name] = made
		return
	}
	hints, errs := len(m.hints), len(m.errs)
	m.asked, m.applied = false, nil
	m.mergeType(t)
	if m.asked || len(m.errs) > errs || !m.alone(t) || m.spreads(t) {
		return
	}
	slices.Sort(m.applied)
	m.made[t.name] = &madeType{typ: t, hints: slices.Clone(m.hints[hints:]), used: slices.Compact(m.applied)}
}

// spreads reports whether authorisation of other types counts for the type or its fields.
func (m *merger) spreads(t *mergedType) bool {
	return len(m.spread) > 0 && (m.spread[t.name] != nil ||
		slices.ContainsFunc(t.fields, func(f *mergedField) bool { return m.spread[f.coordinate()] != nil }))
}

// holds reports whether what was written of types stands for the same in this composition: subgraphs and directives
// have the names that they had.
func (p *past) holds(m *merger) bool {
	for _, s := range m.subs {
		if was, ok := p.enums[s]; ok && was != s.enum {
			return false
		}
	}
	for canonical, local := range p.names {
		if m.documenter.local(canonical) != local {
			return false
		}
	}
	return true
}

// keep notes what was written of the types.
func (m *merger) keep(all []written, text string) {
	for _, w := range all {
		if made := m.made[w.typ.name]; made != nil {
			made.definition, made.text = w.definition, text[w.from:w.to]
		}
	}
}

// remember is what the next composition may take of this one.
func (m *merger) remember() *past {
	p := &past{types: m.made, order: m.order, names: m.documenter.names, enums: make(map[*subgraph]string, len(m.subs))}
	for _, made := range m.made {
		made.typ.made = made
	}
	for _, s := range m.subs {
		if !s.spent {
			p.enums[s] = s.enum
		}
	}
	return p
}
