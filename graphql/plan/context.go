package plan

import (
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// given is an argument of a subgraph's field that an enclosing object fills (@fromContext).
type given struct {
	arg, typ string
	lenders  []lender // nearest first
}

// lender is a place above an entity where a context is set.
type lender struct {
	up  int // fields between it and the entity
	pos *position
	on  graph.TypeSet
	sel *graph.Selection
}

// givens finds the places that fill the arguments of a field at a position; false if one must have a value and nobody
// has it.
func (b *pricer) givens(pos *position, in *graph.FieldIn) ([]*given, bool) {
	var out []*given
	for i := range in.Contexts {
		a := &in.Contexts[i]
		gv := &given{arg: a.Name, typ: a.Type}
		up := 0
		for p := pos; p.slot != nil; {
			p = p.slot.pos
			up++
			set, all := b.setters(p, a)
			for _, l := range set {
				l.up = up
				gv.lenders = append(gv.lenders, l)
			}
			if all {
				break
			}
		}
		if gv.lenders == nil {
			if strings.HasSuffix(a.Type, "!") {
				return nil, false
			}
			continue
		}
		out = append(out, gv)
	}
	return out, true
}

// setters lists which types at a position set a context, each with what it sets it to, and whether all of them do.
func (b *pricer) setters(p *position, a *graph.ContextArgument) ([]lender, bool) {
	var out []lender
	rest := p.types
	for _, exact := range []bool{true, false} { // an object type's own word goes before its interface's
		names := make([]string, 0, len(a.Selection))
		for n := range a.Selection {
			if t := b.g.Type(n); t.Abstract() != exact {
				names = append(names, n)
			}
		}
		slices.Sort(names)
		for _, n := range names {
			if on := b.g.Type(n).Possible.And(rest); !on.Empty() {
				out = append(out, lender{pos: p, on: on, sel: a.Selection[n]})
				rest = rest.Minus(on)
			}
		}
	}
	return out, rest.Empty()
}

// filled prices the entry of a subgraph by when the values for its arguments are there.
func (b *pricer) filled(pos *position, in *graph.FieldIn, w way) way {
	gs, ok := b.givens(pos, in)
	if !ok {
		return way{}
	}
	for _, gv := range gs {
		for _, l := range gv.lenders {
			ways := b.waysTo(l.pos, l.on)
			for _, e := range l.sel.Entries {
				on := e.On.And(l.on)
				if on.Empty() {
					continue
				}
				src := b.source(l.pos, e, on, -1, ways)
				if !src.ok {
					src = way{ok: true, depth: w.depth}
				}
				w.depth, w.fresh = max(w.depth, src.depth+1), w.fresh.or(src.fresh)
			}
		}
	}
	return w
}

// lend fetches the values that fill arguments and returns the groups that deliver them.
func (b *builder) lend(gs []*given) ([]*group, error) {
	var deps []*group
	for _, gv := range gs {
		for _, l := range gv.lenders {
			on := l.on.And(l.pos.reach)
			if l.pos.slot == nil {
				on = l.on
			}
			more, err := b.require(l.pos, l.sel, on)
			if err != nil {
				return nil, err
			}
			deps = union(deps, more)
			if !on.Contains(l.pos.types) || slices.ContainsFunc(l.sel.Entries,
				func(e *graph.Entry) bool { return !e.On.Contains(on) }) {
				if more, err = b.typename(l.pos); err != nil {
					return nil, err
				}
				deps = union(deps, more)
			}
		}
	}
	return deps, nil
}

// sameGivens reports whether two requests fill the same arguments from the same places.
func sameGivens(x, y []*given) bool {
	return slices.EqualFunc(x, y, func(a, c *given) bool {
		return a.arg == c.arg && a.typ == c.typ && slices.EqualFunc(a.lenders, c.lenders, func(l, m lender) bool {
			return l.pos == m.pos && l.sel == m.sel && l.on.Equal(m.on)
		})
	})
}

// contexts describes how a request's variable is filled.
func (e *emitter) contexts(gv *given, variable int) []Context {
	var out []Context
	for _, l := range gv.lenders {
		for _, end := range e.leaves(l.pos, l.sel, l.on) {
			c := Context{Variable: variable, Up: l.up, From: end.path, NonNull: strings.HasSuffix(gv.typ, "!")}
			if !end.on.Contains(l.pos.types) {
				c.On = end.on
			}
			out = append(out, c)
		}
	}
	return out
}

// leaf is a path from a position to a value.
type leaf struct {
	on   graph.TypeSet
	path Path
}

func (e *emitter) leaves(pos *position, sel *graph.Selection, on graph.TypeSet) []leaf {
	var out []leaf
	for _, en := range sel.Entries {
		for _, sl := range pos.slots {
			at := en.On.And(on).And(sl.on)
			if sl.name != en.Name || sl.args != en.Args || at.Empty() || !e.fetches(sl, at) {
				continue
			}
			st := Step{Source: sl.source, ClientKey: sl.client}
			if !at.Contains(pos.types) {
				st.On = at
			}
			if en.Sub == nil {
				out = append(out, leaf{at, Path{st}})
				continue
			}
			for _, below := range e.leaves(sl.child, en.Sub, sl.child.types) {
				out = append(out, leaf{at, append(Path{st}, below.path...)})
			}
		}
	}
	return out
}
