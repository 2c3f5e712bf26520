package plan

import (
	"slices"
	"strconv"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// scope is the set of sources under one path of sources. Subgraph operations may select it on several disjoint types
// at once, so what stands under one source must have the same shape there.
type scope struct {
	children map[string]*scope
	uses     map[string][]*slot
}

func newScope() *scope { return &scope{children: map[string]*scope{}, uses: map[string][]*slot{}} }

func (s *scope) below(source string) *scope {
	c := s.children[source]
	if c == nil {
		c = newScope()
		s.children[source] = c
	}
	return c
}

// slot returns the slots of a client's entry or of an entry of a requirement (which has no Key) for some types, made
// if need be.
func (b *merged) slot(pos *position, e *graph.Entry, types graph.TypeSet) []*slot {
	if e.Sub != nil {
		return b.composite(pos, e, types)
	}
	var out []*slot
	for _, on := range b.sameShape(e.Name, types) {
		out = append(out, b.slotFor(pos, e, on))
	}
	return out
}

// composite is slot for fields whose values are objects. Whoever fetches such a slot fetches it for all its types, so
// that what is below it has to be fetched from one place only: a slot is never extended to further types, and forked
// where its types are fetched from different subgraphs.
func (b *merged) composite(pos *position, e *graph.Entry, types graph.TypeSet) []*slot {
	var out []*slot
	for _, s := range pos.of(e.Name) {
		if !s.answers(e) || !s.on.Overlaps(types) {
			continue
		}
		if e.Client {
			s.client = e.Key
		}
		out = append(out, s)
		types = types.Minus(s.on)
	}
	for _, on := range b.sameShape(e.Name, types) {
		if !on.Empty() {
			out = append(out, b.newSlot(pos, e, on))
		}
	}
	return out
}

// answers reports whether a slot is the field of an entry, with its arguments, and not under another name of the
// client's.
func (s *slot) answers(e *graph.Entry) bool {
	return s.name == e.Name && s.args == e.Args &&
		(!e.Client || s.client == "" || s.client == e.Key)
}

// fork takes some types away from a slot that nobody fetches yet, and makes a slot of them.
func (b *merged) fork(s *slot, on graph.TypeSet) *slot {
	s.on = s.on.Minus(on)
	s.child.types = b.below(s.name, s.on)
	f := &slot{
		pos:    s.pos,
		name:   s.name,
		args:   s.args,
		vars:   s.vars,
		on:     on,
		source: s.source,
		client: s.client,
	}
	f.child = b.newPosition(f, b.below(s.name, on), s.pos.scope.below(s.source))
	s.pos.add(f)
	s.pos.scope.uses[s.source] = append(s.pos.scope.uses[s.source], f)
	s.forks = append(s.forks, f)
	return f
}

// sameShape partitions types such that in no subgraph their field has different shapes.
func (b *merged) sameShape(name string, types graph.TypeSet) []graph.TypeSet {
	if types.Len() < 2 || name == graph.TypeName {
		return []graph.TypeSet{types}
	}
	var out []graph.TypeSet
	var shapes [][]string
next:
	for _, id := range types.IDs() {
		f := b.g.Object(id).Fields()[name]
		if f == nil {
			continue
		}
		for i := range out {
			if joint, ok := joinShapes(shapes[i], f.Shape); ok {
				out[i], shapes[i] = out[i].Or(graph.SetOf(id)), joint
				continue next
			}
		}
		out, shapes = append(out, graph.SetOf(id)), append(shapes, f.Shape)
	}
	return out
}

// joinShapes unites the shapes that fields have by subgraph, "" where there is none; false if they differ somewhere.
func joinShapes(x, y []string) ([]string, bool) {
	if slices.Equal(x, y) {
		return x, true
	}
	out := slices.Clone(x)
	for s := range out {
		switch {
		case out[s] == "":
			out[s] = y[s]
		case y[s] != "" && y[s] != out[s]:
			return nil, false
		}
	}
	return out, true
}

// partition groups types by a property, in the order of their first members.
func partition(types graph.TypeSet, by func(graph.TypeID) string) []graph.TypeSet {
	if types.Len() == 1 {
		return []graph.TypeSet{types}
	}
	ids := types.IDs()
	var out []graph.TypeSet
	index := map[string]int{}
	for _, id := range ids {
		k := by(id)
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, nil)
		}
		out[i] = out[i].Or(graph.SetOf(id))
	}
	return out
}

func (b *merged) slotFor(pos *position, e *graph.Entry, on graph.TypeSet) *slot {
	for _, s := range pos.of(e.Name) {
		if !s.answers(e) {
			continue
		}
		if !s.on.Contains(on) {
			was := s.on
			if len(b.sameShape(e.Name, was.Or(on))) > 1 {
				continue
			}
			s.on = was.Or(on)
			if b.conflicts(pos, s, s.source) {
				s.on = was
				continue
			}
		}
		if e.Client {
			s.client = e.Key
		}
		return s
	}
	return b.newSlot(pos, e, on)
}

func (b *merged) newSlot(pos *position, e *graph.Entry, on graph.TypeSet) *slot {
	s := &slot{pos: pos, name: e.Name, args: e.Args, vars: e.Vars, on: on}
	want := e.Key
	if !e.Client {
		want = e.Name
	} else {
		s.client = e.Key
	}
	s.source = want
	for n := 1; b.conflicts(pos, s, s.source); n++ {
		s.source = want + "_" + strconv.Itoa(n)
	}
	pos.add(s)
	pos.scope.uses[s.source] = append(pos.scope.uses[s.source], s)
	if e.Sub != nil {
		s.child = b.newPosition(s, b.below(e.Name, on), pos.scope.below(s.source))
	}
	return s
}

// below returns the types that values of a field may have.
func (b *merged) below(name string, on graph.TypeSet) graph.TypeSet {
	var out graph.TypeSet
	for id := range on.All() {
		if f := b.g.Object(id).Fields()[name]; f != nil && !out.Contains(f.Named.Possible) {
			out = out.Or(f.Named.Possible)
		}
	}
	return out
}

// conflicts reports whether a slot cannot use a source because of another one that has it.
func (b *merged) conflicts(pos *position, s *slot, source string) bool {
	if source == graph.TypeName && s.name != graph.TypeName {
		return true
	}
	for _, o := range pos.scope.uses[source] {
		if o == s {
			continue
		}
		same := o.name == s.name && o.args == s.args
		if o.pos == pos && !same && (o.on.Overlaps(s.on) || b.opaque(o) || b.opaque(s)) {
			return true
		}
		if _, ok := joinShapes(b.shapeOf(o), b.shapeOf(s)); !ok {
			return true
		}
	}
	return false
}

// opaque reports whether a slot's field is known to some subgraph by an interface only: there types cannot be told
// apart.
func (b *merged) opaque(s *slot) bool {
	f := s.pos.field(b.g, s, s.on)
	return f != nil && f.In.Any(func(in *graph.FieldIn) bool { return in != nil && in.Via != nil })
}

// shapeOf is the shape of a slot's field by subgraph.
func (b *merged) shapeOf(s *slot) []string {
	out := make([]string, len(b.g.Subgraphs))
	for _, id := range s.on.IDs() {
		if f := b.g.Object(id).Fields()[s.name]; f != nil {
			if joint, ok := joinShapes(out, f.Shape); ok {
				out = joint
			}
		}
	}
	return out
}

// supplied returns the types for which what is visible to this block already fetches a slot.
func (b *merged) supplied(s *slot) graph.TypeSet {
	var out graph.TypeSet
	for _, x := range s.supplies {
		if b.visible(x.view.group) {
			out = out.Or(x.on)
		}
	}
	return out
}

// suppliers returns the groups that fetch a slot for some types, and their greatest depth.
func (b *merged) suppliers(s *slot, types graph.TypeSet) []*group {
	var out []*group
	rest := types
	for _, x := range s.supplies {
		if !b.visible(x.view.group) || !rest.Overlaps(x.on) {
			continue
		}
		rest = rest.Minus(x.on)
		if !slices.Contains(out, x.view.group) {
			out = append(out, x.view.group)
		}
	}
	return out
}

// pick selects a slot in a view for some types, and returns the view below it (nil for leaves).
func (b *merged) pick(v *view, s *slot, on graph.TypeSet) *view {
	b.steps++
	before := b.supplied(s)
	if !slices.ContainsFunc(s.supplies, func(x supply) bool { return x.view == v && x.on.Contains(on) }) {
		s.supplies = append(s.supplies, supply{v, on})
	}
	if s.child == nil {
		for _, p := range v.picks {
			if p.slot == s {
				p.on = p.on.Or(on)
				return nil
			}
		}
		v.picks = append(v.picks, &pick{slot: s, on: on})
		return nil
	}
	var child *view
	for _, id := range on.IDs() {
		f := b.g.Object(id).Fields()[s.name]
		if f == nil || f.In.At(v.group.sub) == nil {
			continue
		}
		child = b.descend(v, s, graph.SetOf(id), f, !before.Has(id))
	}
	return child
}

// descend makes the view of a composite field's value.
func (b *merged) descend(v *view, s *slot, on graph.TypeSet, f *graph.Field, first bool) *view {
	in := f.In.At(v.group.sub)
	for _, p := range v.picks {
		if p.slot == s && p.child.declared == in.Named {
			if !p.on.Contains(on) {
				p.on = p.on.Or(on)
				p.child.provided = both(p.child.provided, provided(v.provided, f, in))
			}
			if first {
				s.child.reach = s.child.reach.Or(p.child.possible)
			}
			return p.child
		}
	}
	c := &view{group: v.group, pos: s.child, declared: in.Named, provided: provided(v.provided, f, in)}
	if t := in.Named.Known(v.group.sub); t != nil {
		c.possible, c.opaque = t.Possible.And(s.child.types), t.InterfaceObject
	} else {
		c.possible = in.Named.Possible.And(s.child.types)
	}
	v.picks = append(v.picks, &pick{slot: s, on: on, child: c})
	s.child.views = append(s.child.views, c)
	b.version++
	if first {
		s.child.reach = s.child.reach.Or(c.possible)
	}
	if c.opaque && s.child.iface == nil {
		s.child.iface = in.Named
	}
	if !s.child.static() && !c.opaque {
		b.nameTypes(c)
	}
	return c
}

// nameTypes selects __typename in a view if no other one does.
func (b *merged) nameTypes(v *view) {
	s := b.typenameSlot(v.pos)
	if !b.supplied(s).Contains(v.possible) {
		b.pick(v, s, v.possible)
	}
}

func (b *merged) typenameSlot(pos *position) *slot {
	for _, s := range pos.of(graph.TypeName) {
		if s.name == graph.TypeName {
			return s
		}
	}
	s := &slot{pos: pos, name: graph.TypeName, source: graph.TypeName, client: graph.TypeName, on: pos.types}
	pos.add(s)
	pos.scope.uses[s.source] = append(pos.scope.uses[s.source], s)
	return s
}

// provided returns what a subgraph provides below a field: by the field's own directive, or by one further up.
func provided(up *graph.Selection, f *graph.Field, in *graph.FieldIn) *graph.Selection {
	var from *graph.Selection
	if up != nil {
		if e := up.Find(f.Parent.ID, f.Name); e != nil {
			from = e.Sub
		}
	}
	return both(from, in.Provides)
}

// both unites two provisions.
func both(x, y *graph.Selection) *graph.Selection {
	switch {
	case x == nil || x == y:
		return y
	case y == nil:
		return x
	}
	return &graph.Selection{Entries: append(slices.Clone(x.Entries), y.Entries...), Types: x.Types.Or(y.Types)}
}
