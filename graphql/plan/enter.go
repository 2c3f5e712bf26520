package plan

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// realise makes the view that an option promises.
func (b *builder) realise(sl *slot, class graph.TypeSet, o option) (*view, error) {
	if o.in != nil && (o.in.Requires != nil || o.in.Contexts != nil) && o.way.how == entered {
		return b.enter(sl.pos, class, o.sub, o.way, o.in)
	}
	return b.have(sl.pos, class, o.sub, o.way)
}

// have makes a view of subgraph s at a position.
func (b *builder) have(pos *position, types graph.TypeSet, s int, w way) (*view, error) {
	switch w.how {
	case seen:
		return w.view, nil
	case rooted:
		return b.rootGroup(s).view, nil
	case around:
		up := pos.slot
		on := up.on.And(up.pos.reach)
		v, err := b.have(up.pos, on, s, b.waysTo(up.pos, on)[s])
		if err != nil {
			return nil, err
		}
		return b.pick(v, up, on), nil
	}
	return b.enter(pos, types, s, w, nil)
}

// enter makes or extends the request for entities of subgraph s. field is what has to be told something, or nil.
func (b *builder) enter(pos *position, types graph.TypeSet, s int, w way, field *graph.FieldIn) (*view, error) {
	if pos.entering[s] && !(door{via: w.via}).tells(pos) {
		return nil, fmt.Errorf("a key of %s at %q needs itself", b.g.Subgraphs[s].Name, pos.path())
	}
	deps, err := b.requireApart(pos, w.key.Fields, types, s)
	if err != nil {
		return nil, err
	}
	all := types
	if w.via != nil {
		if all = b.unnamed(pos, types, w.via.Possible, deps, field); !types.Contains(all) {
			if deps, err = b.requireApart(pos, w.key.Fields, all, s); err != nil {
				return nil, err
			}
		}
	}
	if !pos.static() && (w.via == nil || !all.Contains(pos.reach)) {
		more, err := b.typenameFor(pos, types, s)
		if err != nil {
			return nil, err
		}
		deps = union(deps, more)
	}
	more, err := b.wayHere(pos)
	if err != nil {
		return nil, err
	}
	deps = union(deps, more)
	// a key of nothing but the type's name: what makes the object comes first nevertheless
	if len(deps) == 0 && pos.slot != nil {
		deps = b.suppliers(pos.slot, pos.slot.on)
	}
	n := need{on: all, keys: []*graph.Selection{w.key.Fields}, text: w.key.Text}
	if field != nil && field.Requires != nil {
		told := b.p.widened(field.Requires, field.RequiresText, types)
		more, err := b.require(pos, told, types)
		if err != nil {
			return nil, err
		}
		deps = union(deps, more)
		n.requires = append(n.requires, told)
	}
	var givens []*given
	if field != nil && field.Contexts != nil {
		givens, _ = b.givens(pos, field)
		if more, err = b.lend(givens); err != nil {
			return nil, err
		}
		deps = union(deps, more)
	}
	gr := b.entityGroup(pos, s, w.via, deps, n, givens)
	if w.key.Root {
		gr.root, gr.view.declared = true, b.g.Root(ast.Query)
	}
	return gr.view, nil
}

// requireApart is require without entering s.
func (b *builder) requireApart(pos *position, sel *graph.Selection, types graph.TypeSet, s int) ([]*group, error) {
	defer pos.enter(s)()
	was := b.keying
	b.keying = true
	defer func() { b.keying = was }()
	return b.require(pos, sel, types)
}

// unnamed widens the types for which an interface's entities are asked for, if waiting to know them would take longer.
func (b *builder) unnamed(pos *position, types, possible graph.TypeSet, deps []*group,
	field *graph.FieldIn) graph.TypeSet {
	if types.Contains(pos.reach) || !possible.Contains(pos.reach) || field != nil && field.Requires != nil {
		return types
	}
	if b.named(pos, types) && deepest(b.suppliers(b.typenameSlot(pos), types)) <= deepest(deps) {
		return types
	}
	return pos.reach
}

func deepest(gs []*group) int {
	n := 0
	for _, gr := range gs {
		n = max(n, gr.depth)
	}
	return n
}

func union(a, c []*group) []*group {
	for _, gr := range c {
		if !slices.Contains(a, gr) {
			a = append(a, gr)
		}
	}
	return a
}

// wayHere returns the groups that tell the run-time types on the way to a position, where it depends on them.
func (b *builder) wayHere(pos *position) ([]*group, error) {
	var deps []*group
	for p := pos; p.slot != nil; p = p.slot.pos {
		up := p.slot.pos
		if p.slot.on.Contains(up.types) || up.static() {
			continue
		}
		more, err := b.typename(up)
		if err != nil {
			return nil, err
		}
		deps = union(deps, more)
	}
	return deps, nil
}

// typename makes sure that run-time types at a position are known, and returns the groups that tell them.
func (b *builder) typename(pos *position) ([]*group, error) {
	if pos.static() || pos.slot == nil {
		return nil, nil
	}
	return b.typenameFor(pos, pos.reach, -1)
}

func (b *builder) typenameFor(pos *position, types graph.TypeSet, entering int) ([]*group, error) {
	sl := b.typenameSlot(pos)
	sl.on = pos.types
	if entering >= 0 {
		defer pos.enter(entering)()
	}
	if err := b.supply(sl, types, nil); err != nil {
		return nil, err
	}
	return b.suppliers(sl, types), nil
}

// require fetches a selection that a representation consists of, and returns the groups that deliver it.
func (b *builder) require(pos *position, sel *graph.Selection, types graph.TypeSet) ([]*group, error) {
	var deps []*group
	for _, e := range sel.Entries {
		on := e.On.And(types)
		if on.Empty() {
			continue
		}
		if e.Name == graph.TypeName {
			more, err := b.typename(pos)
			if err != nil {
				return nil, err
			}
			deps = union(deps, more)
			continue
		}
		for _, sl := range b.slot(pos, e, on) {
			more, err := b.requireSlot(sl, e, sl.on.And(on))
			if err != nil {
				return nil, err
			}
			deps = union(deps, more)
		}
	}
	return deps, nil
}

func (b *builder) requireSlot(sl *slot, e *graph.Entry, on graph.TypeSet) ([]*group, error) {
	if err := b.supply(sl, on, e.Sub); err != nil {
		return nil, err
	}
	if e.Sub == nil {
		return b.suppliers(sl, on), nil
	}
	var deps []*group
	for _, s := range withForks([]*slot{sl}, on) {
		more, err := b.requireBelow(s, e.Sub, s.on.And(on))
		if err != nil {
			return nil, err
		}
		deps = union(deps, more)
	}
	if len(sl.forks) > 0 {
		more, err := b.typename(sl.pos)
		if err != nil {
			return nil, err
		}
		deps = union(deps, more)
	}
	return deps, nil
}

// abstract reports whether a slot's field is of an interface or a union.
func (b *merged) abstract(sl *slot) bool {
	f := sl.pos.field(b.g, sl, sl.on)
	return f != nil && f.Named.Kind != ast.Object
}

// requireBelow fetches a selection on the values of a slot.
func (b *builder) requireBelow(sl *slot, sub *graph.Selection, on graph.TypeSet) ([]*group, error) {
	deps := b.suppliers(sl, on)
	reach := sl.child.reach
	more, err := b.require(sl.child, sub, reach)
	if err != nil {
		return nil, err
	}
	// the subgraph that is told does not know that there is one type only
	if b.abstract(sl) && sl.child.static() &&
		!slices.ContainsFunc(sl.child.views, func(v *view) bool { return v.opaque }) {
		if err := b.supply(b.typenameSlot(sl.child), reach, nil); err != nil {
			return nil, err
		}
	}
	deps = union(deps, more)
	for _, c := range sub.Entries {
		if !c.On.Contains(reach) {
			if more, err = b.typename(sl.child); err != nil {
				return nil, err
			}
			return union(deps, more), nil
		}
	}
	return deps, nil
}

// entityGroup returns the request that enters s at a position with a need, made if no request can take it in without
// waiting longer (or, if b.apart, one would have it wait).
func (b *builder) entityGroup(pos *position, s int, via *graph.Type, deps []*group, n need, givens []*given) *group {
	depth := deepest(deps)
	var gr *group
	for _, o := range pos.entered {
		if o.sub != s || o.via != via || o.block != b.block || o.segment != b.segment || o.depth <= depth {
			continue
		}
		if slices.ContainsFunc(deps, func(d *group) bool { return d.waitsFor(o) }) || o.contradicts(n) || o.tooWide(n) ||
			!sameGivens(o.givens, givens) {
			continue
		}
		if o.depth > depth+1 {
			b.waits = true
			if b.apart {
				continue
			}
		}
		gr = o
		break
	}
	if gr == nil {
		gr = b.newGroup(s, pos)
		gr.entity, gr.via, gr.givens = true, via, givens
		pos.entered = append(pos.entered, gr)
		if via != nil && via.In.At(s).InterfaceObject {
			gr.view.opaque = true
		}
	}
	gr.read(deps)
	gr.add(n)
	if !gr.view.possible.Contains(n.on) {
		gr.view.possible = gr.view.possible.Or(n.on)
		b.version++
	}
	return gr
}

// add notes what representations need; equal keys share a note.
func (gr *group) add(n need) {
	for i := range gr.needs {
		o := &gr.needs[i]
		if o.text == n.text {
			o.on = o.on.Or(n.on)
			o.keys, o.requires = include(o.keys, n.keys), include(o.requires, n.requires)
			return
		}
	}
	gr.needs = append(gr.needs, n)
}

func include(list, more []*graph.Selection) []*graph.Selection {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// tooWide reports whether fields with requirements would be asked of objects that they are not wanted of, since the
// subgraph cannot tell types.
func (gr *group) tooWide(n need) bool {
	if !gr.view.opaque {
		return false
	}
	needy := n.requires != nil || slices.ContainsFunc(gr.needs, func(o need) bool { return o.requires != nil })
	return needy && !gr.view.possible.Equal(n.on)
}

// contradicts reports whether representations would need one field with different arguments.
func (gr *group) contradicts(n need) bool {
	for _, o := range gr.needs {
		if !o.on.Overlaps(n.on) {
			continue
		}
		for _, x := range slices.Concat(o.keys, o.requires) {
			for _, y := range slices.Concat(n.keys, n.requires) {
				if contradict(x, y) {
					return true
				}
			}
		}
	}
	return false
}

func contradict(x, y *graph.Selection) bool {
	if x == y || x == nil || y == nil {
		return false
	}
	for _, e := range x.Entries {
		for _, f := range y.Entries {
			if e.Name == f.Name && e.On.Overlaps(f.On) && (e.Args != f.Args || contradict(e.Sub, f.Sub)) {
				return true
			}
		}
	}
	return false
}
