package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// reacher works out which subgraphs can be entered from where. For an object type and a position it has a closure:
// the places that keys lead to. What a key needs may itself lie behind other keys, so closures are least fixed
// points, computed together for all that are asked for at a time.
type reacher struct {
	m         *merger
	labels    map[string]bool
	positions map[positionKey]*position
	closures  map[closureKey]*closure
	fresh     []*closure // not yet at their fixed point
	solving   bool
	possible  map[*typeDef]map[string]bool
	busy      map[*fieldDef]bool // whose requirement is being looked at
}

// position is a type in a subgraph, and the selection that an enclosing @provides adds there. Equal positions are
// identical.
type position struct {
	sub      *subgraph
	typ      *typeDef
	provided []*selection
}

type positionKey struct {
	typ      *typeDef
	provided string
}

type closureKey struct {
	object string
	at     *position
}

// closure is what can be reached for an object from a position.
type closure struct {
	object string
	places []*place
	// typed says that one of the places knows the object's run-time type.
	typed bool
	has   map[*typeDef]bool
}

// place is a position in a closure.
type place struct {
	position *position
	start    bool // not entered by a key
}

func newReacher(m *merger, labels map[string]bool) *reacher {
	return &reacher{
		m: m, labels: labels, positions: map[positionKey]*position{}, closures: map[closureKey]*closure{},
		possible: map[*typeDef]map[string]bool{}, busy: map[*fieldDef]bool{},
	}
}

func (r *reacher) at(s *subgraph, t *typeDef, provided []*selection) *position {
	k := positionKey{typ: t}
	if len(provided) > 0 {
		k.provided = printSelections(provided)
	}
	p := r.positions[k]
	if p == nil {
		p = &position{s, t, provided}
		r.positions[k] = p
	}
	return p
}

// can reports whether values of the type can be the object, in the type's subgraph.
func (r *reacher) can(t *typeDef, object string) bool {
	if t.kind == ast.Object && !t.interfaceObject {
		return t.name == object
	}
	set := r.possible[t]
	if set == nil {
		set = map[string]bool{}
		names := t.sub.possible(t.name)
		if t.interfaceObject {
			names = r.m.possible(t.name)
		}
		for _, n := range names {
			set[n] = true
		}
		r.possible[t] = set
	}
	return set[object]
}

// narrow is the position for values that are the object; nil if there are none.
func (r *reacher) narrow(p *position, object string) *position {
	if !r.can(p.typ, object) {
		return nil
	}
	t := p.typ
	if t.name == object && !t.interfaceObject && len(p.provided) == 0 {
		return p
	}
	if !t.interfaceObject {
		t = p.sub.types[object]
	}
	return r.at(p.sub, t, r.flatten(p, object))
}

// flatten takes the fragments out of a provided selection.
func (r *reacher) flatten(p *position, object string) []*selection {
	var out []*selection
	var walk func(sels []*selection)
	walk = func(sels []*selection) {
		for _, s := range sels {
			switch on := p.sub.types[s.on]; {
			case s.name != "":
				out = append(out, s)
			case s.on == "" || on != nil && r.can(on, object):
				walk(s.sub)
			}
		}
	}
	walk(p.provided)
	return out
}

// follow is the position behind a field.
func (r *reacher) follow(pl *place, f *fieldDef, _ string) *position {
	t := pl.position.sub.types[f.typ.Name()]
	if t == nil {
		return nil
	}
	var provided []*selection
	if f.provides != nil {
		provided = f.provides.sels
	}
	for _, s := range pl.position.provided {
		if s.name == f.name {
			provided = append(slices.Clone(provided), s.sub...)
		}
	}
	return r.at(pl.position.sub, t, provided)
}

// from returns the closure of an object at a position, complete unless closures are being computed.
func (r *reacher) from(object string, p *position) *closure {
	k := closureKey{object, p}
	c := r.closures[k]
	if c == nil {
		c = &closure{object: object, has: map[*typeDef]bool{}}
		c.enter(&place{p, true})
		r.closures[k] = c
		r.fresh = append(r.fresh, c)
	}
	if !r.solving {
		r.solve()
	}
	return c
}

func (c *closure) enter(pl *place) {
	c.places = append(c.places, pl)
	c.has[pl.position.typ] = true
	c.typed = c.typed || pl.position.typ.name == c.object
}

// solve grows the new closures until none grows any more.
func (r *reacher) solve() {
	r.solving = true
	for changed := true; changed; {
		changed = false
		for i := 0; i < len(r.fresh); i++ {
			before := len(r.fresh)
			if r.grow(r.fresh[i]) || len(r.fresh) > before {
				changed = true
			}
		}
	}
	r.fresh, r.solving = r.fresh[:0], false
}

// grow enters what the places so far allow; it reports whether there was something.
func (r *reacher) grow(c *closure) bool {
	grew := false
	t := r.m.types[c.object]
	root := c.object == "Query" || c.object == "Mutation" || c.object == "Subscription"
	for _, d := range t.in {
		if c.has[d] {
			continue
		}
		if root || c.typed && r.unlocks(c, d.keys) {
			c.enter(&place{r.at(d.sub, d, nil), false})
			grew = true
		}
	}
	for _, n := range t.interfaces {
		grew = r.growBy(c, r.m.types[n]) || grew
	}
	return grew
}

// growBy enters subgraphs by the keys of an interface of the object.
func (r *reacher) growBy(c *closure, i *mergedType) bool {
	if i == nil {
		return false
	}
	grew := false
	for _, d := range i.in {
		if len(d.keys) == 0 {
			continue
		}
		to := d
		if !d.interfaceObject {
			if to = d.sub.types[c.object]; to == nil || !r.can(d, c.object) {
				continue
			}
		}
		if !c.has[to] && r.unlocks(c, d.keys) {
			c.enter(&place{r.at(d.sub, to, nil), false})
			grew = true
		}
	}
	return grew
}

// unlocks reports whether one of the keys can be given.
func (r *reacher) unlocks(c *closure, keys []*key) bool {
	return slices.ContainsFunc(keys, func(k *key) bool { return k.resolvable && r.selects(c, k.fields.sels) })
}

// selects reports whether a selection can be had at the places of the closure.
func (r *reacher) selects(c *closure, sels []*selection) bool {
	return !slices.ContainsFunc(sels, func(s *selection) bool { return !r.selectsOne(c, s) })
}

func (r *reacher) selectsOne(c *closure, s *selection) bool {
	if s.name == "" {
		if s.on != "" && !slices.Contains(r.m.possible(s.on), c.object) {
			return true
		}
		return r.selects(c, s.sub)
	}
	if s.name == "__typename" {
		return true
	}
	for i := 0; i < len(c.places); i++ {
		pl := c.places[i]
		f := pl.position.typ.byName[s.name]
		if f == nil || !r.resolves(c, pl, f) {
			continue
		}
		if len(s.sub) == 0 || r.selectsBelow(r.follow(pl, f, c.object), s.sub) {
			return true
		}
	}
	return false
}

// selectsBelow reports whether a selection can be had from a position, for whatever type the value has.
func (r *reacher) selectsBelow(p *position, sels []*selection) bool {
	if p == nil {
		return false
	}
	name := p.typ.name
	for _, o := range r.m.possible(name) {
		q := r.narrow(p, o)
		if q == nil {
			continue
		}
		if !r.selects(r.from(o, q), sels) {
			return false
		}
	}
	return true
}

// resolves reports whether a field can be had at a place.
func (r *reacher) resolves(c *closure, pl *place, f *fieldDef) bool {
	if f.overridden || !r.owned(f) {
		return false
	}
	if f.external {
		return slices.ContainsFunc(pl.position.provided, func(s *selection) bool { return s.name == f.name })
	}
	if f.requires == nil {
		return true
	}
	if r.busy[f] {
		return false
	}
	r.busy[f] = true
	defer delete(r.busy, f)
	if pl.start && !r.unlocks(c, pl.position.typ.keys) {
		return false
	}
	if pl.start {
		return r.selects(c, f.requires.sels)
	}
	return r.selects(r.from(c.object, pl.position), f.requires.sels) // what it needs is fetched after it was entered
}

// owned says whether the field is this subgraph's under the override labels that are on.
func (r *reacher) owned(f *fieldDef) bool {
	if f.overrideLabel == "" || f.parent.kind == ast.Interface {
		return true
	}
	return r.labels[f.overrideLabel] == (f.overrideFrom != "")
}
