package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// option is a subgraph to resolve a slot in, with what it costs.
type option struct {
	sub  int
	way  way
	in   *graph.FieldIn
	cost estimate
}

// supply makes sure that a slot is fetched for some types. sub is what is wanted of its values, to look ahead. A slot of objects is fetched for all its
// types, and forked where these come from different subgraphs.
func (b *builder) supply(sl *slot, types graph.TypeSet, sub *graph.Selection) error {
	if sl.child != nil && sl.pos.slot != nil {
		types = sl.on.And(sl.pos.reach)
	}
	done := b.supplied(sl)
	rest := types.Minus(done)
	if rest.Empty() {
		return nil
	}
	classes := b.together(sl, rest, sub)
	slots := []*slot{sl}
	for _, class := range classes[1:] {
		if sl.child == nil || len(sl.supplies) > 0 {
			slots = append(slots, sl)
			continue
		}
		slots = append(slots, b.fork(sl, class))
	}
	for i, class := range classes {
		if err := b.supplyClass(slots[i], class, sub); err != nil {
			return err
		}
	}
	if len(sl.forks) == 0 {
		return nil
	}
	_, err := b.typename(sl.pos)
	return err
}

// together partitions types into those for which a slot is fetched from one place.
func (b *builder) together(sl *slot, types graph.TypeSet, sub *graph.Selection) []graph.TypeSet {
	var out []graph.TypeSet
	for _, alike := range b.classes(sl, types, false) {
		if b.lent(sl, alike) && len(b.options(sl, alike, sub)) > 0 {
			out = append(out, alike)
		} else {
			out = append(out, b.classes(sl, alike, true)...)
		}
	}
	return out
}

// lent reports whether nobody but interface objects resolves a slot's field: then it does not matter by which keys the types can be entered.
func (b *builder) lent(sl *slot, types graph.TypeSet) bool {
	for _, id := range types.IDs() {
		f := b.g.Object(id).Fields[sl.name]
		if f == nil || slices.ContainsFunc(f.In, func(in *graph.FieldIn) bool { return b.usable(in) && !in.External && in.Via == nil }) {
			return false
		}
	}
	return true
}

// classes partitions types by which subgraphs resolve a slot's field, how, and, if keyed, by which keys they are entered.
func (b *builder) classes(sl *slot, types graph.TypeSet, keyed bool) []graph.TypeSet {
	return partition(types, func(id graph.TypeID) string {
		t := b.g.Object(id)
		var k strings.Builder
		for s := range b.g.Subgraphs {
			if in := t.In[s]; in != nil && keyed {
				for _, key := range in.Keys {
					if key.Resolvable {
						k.WriteString(key.Text)
						k.WriteByte(',')
					}
				}
			}
			k.WriteByte('|')
			f := t.Fields[sl.name]
			if f == nil || !b.usable(f.In[s]) {
				continue
			}
			in := f.In[s]
			if in.External && !slices.ContainsFunc(sl.pos.views, func(v *view) bool { return v.group.sub == s && provides(v.provided, f) }) {
				continue
			}
			fmt.Fprintf(&k, "%t %s", in.External, in.Named.Name)
			if in.Requires != nil {
				k.WriteString(in.RequiresText)
			}
			if in.Via != nil {
				k.WriteString(in.Via.Name)
			}
			for _, v := range sl.pos.views {
				if v.group.sub == s && b.visible(v.group) && (!v.possible.Has(id) || (in.External || in.Requires != nil) && !b.local(f, s, v.provided, v.lent())) {
					k.WriteString("!" + strconv.Itoa(v.group.id))
				}
			}
		}
		return k.String()
	})
}

func (b *builder) supplyClass(sl *slot, class graph.TypeSet, sub *graph.Selection) error {
	opts := b.options(sl, class, sub)
	if len(opts) == 0 {
		return b.unresolvable(sl, class)
	}
	o := b.decide(sl, class, opts)
	v, err := b.realise(sl, class, o)
	if err != nil {
		return err
	}
	b.pick(v, sl, class)
	if o.in != nil && o.in.Contexts != nil && o.way.how == entered {
		for _, p := range v.picks {
			if p.slot == sl {
				p.givens = v.group.givens
			}
		}
	}
	return nil
}

// decide takes the option named by the search, or the cheapest.
func (b *builder) decide(sl *slot, class graph.TypeSet, opts []option) option {
	if len(opts) == 1 {
		return opts[0]
	}
	d := decision{name: fmt.Sprintf("%d %s/%s%s %v", b.block, sl.pos.path(), sl.source, sl.args, class)}
	at := 0
	for i, o := range opts {
		d.options = append(d.options, o.sub)
		if s, ok := b.choices[d.name]; ok && s == o.sub {
			at = i
		}
	}
	d.taken = opts[at].sub
	b.decisions = append(b.decisions, d)
	return opts[at]
}

// options lists the subgraphs that can resolve a slot for a class of types, cheapest first. A leaf that is at hand has no other.
func (b *builder) options(sl *slot, class graph.TypeSet, sub *graph.Selection) []option {
	if sl.name == graph.TypeName {
		return b.namers(sl.pos, class)
	}
	if sub == nil {
		if o, ok := b.atHand(sl, class); ok && !b.late(o.way) {
			return []option{o}
		}
	}
	var out []option
	ways := b.waysTo(sl.pos, class)
	f := sl.pos.field(b.g, sl, class)
	if f == nil {
		return nil
	}
	for s, in := range f.In {
		if !b.usable(in) || sl.pos.entering[s] && (in.Requires != nil || in.Contexts != nil || ways[s].how != seen) {
			continue
		}
		for _, o := range b.waysOf(sl, class, f, s, ways) {
			below := b.estimateBelow(in, sub, s)
			o.sub, o.in = s, in
			o.cost = estimate{
				missing: below.missing, rounds: max(b.rounds(), o.way.depth+below.rounds),
				subs: o.way.fresh.or(below.subs), depth: o.way.depth + below.rounds,
			}
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(x, y option) int {
		switch {
		case x.cost.less(y.cost):
			return -1
		case y.cost.less(x.cost):
			return 1
		}
		return 0
	})
	return out
}

// extends reports whether something may be selected in a view: in what is being built, or a key in what encloses it.
func (b *builder) extends(v *view) bool {
	return v.group.block == b.block || b.keying && b.visible(v.group)
}

// atHand finds a view that resolves a leaf as it is.
func (b *builder) atHand(sl *slot, class graph.TypeSet) (option, bool) {
	var best option
	for _, v := range sl.pos.views {
		if !b.extends(v) || best.way.ok && best.way.depth <= v.group.depth {
			continue
		}
		if b.resolves(v, sl.name, class) {
			f := sl.pos.field(b.g, sl, class)
			best = option{sub: v.group.sub, way: way{ok: true, depth: v.group.depth, how: seen, view: v}, in: f.In[v.group.sub]}
		}
	}
	return best, best.way.ok
}

// resolves reports whether a view resolves a field for all the types as it is.
func (b *builder) resolves(v *view, name string, types graph.TypeSet) bool {
	if !v.possible.Contains(types) {
		return false
	}
	lent := v.lent()
	for _, id := range types.IDs() {
		f := b.g.Object(id).Fields[name]
		if f == nil || !b.local(f, v.group.sub, v.provided, lent) {
			return false
		}
	}
	return true
}

// lent is the interface that the view's subgraph knows as an object here, or nil.
func (v *view) lent() *graph.Type {
	switch {
	case !v.opaque:
		return nil
	case v.group.entity && v.group.view == v:
		return v.group.via
	}
	return v.declared
}

// waysOf lists how a field can be had in subgraph s: from a view that resolves it, by entering s, or by being told what it requires.
func (b *builder) waysOf(sl *slot, class graph.TypeSet, f *graph.Field, s int, ways []way) []option {
	in := f.In[s]
	best := way{}
	for _, v := range sl.pos.views {
		if v.group.sub == s && b.extends(v) && b.resolves(v, sl.name, class) {
			w := way{ok: true, depth: v.group.depth, how: seen, view: v}
			if w.cheaper(best) {
				best = w
			}
		}
	}
	if best.ok && !b.late(best) {
		return []option{{way: best}}
	}
	if in.Requires != nil || in.Contexts != nil {
		if w := b.told(sl.pos, class, f, s, ways); w.cheaper(best) {
			best = w
		}
		if best.ok {
			return []option{{way: best}}
		}
		return nil
	}
	if best.ok {
		return []option{{way: b.sooner(best, sl, class, in, s, ways)}}
	}
	var out []option
	if w := ways[s]; w.ok && w.how != seen && !in.External && (in.Via == nil || w.via == in.Via || w.how == around) {
		return append(out, option{way: w})
	}
	if in.External {
		return nil
	}
	if sl.pos.entering[s] {
		return nil
	}
	// A view is there, but not for these types or not of this field: enter.
	if w := b.sooner(way{}, sl, class, in, s, ways); w.ok {
		out = append(out, option{way: w})
	}
	return out
}

// late reports whether a view waits for so much that another request for the same entities could be made before.
func (b *builder) late(w way) bool {
	if w.depth <= 2 || !w.view.group.entity || w.view.group.view != w.view {
		return false
	}
	b.waits = true
	return b.apart
}

// sooner is the way to enter s for a field if it is cheaper than w.
func (b *builder) sooner(w way, sl *slot, class graph.TypeSet, in *graph.FieldIn, s int, ways []way) way {
	if sl.pos.entering[s] {
		return w
	}
	for _, d := range b.doors(sl.pos, class, s) {
		if in.Via != nil && d.via != in.Via {
			continue
		}
		if e := b.enter1(sl.pos, class, s, d, ways); e.cheaper(w) {
			w = e
		}
	}
	return w
}

// told prices the entry of s with a field's requirements.
func (b *builder) told(pos *position, class graph.TypeSet, f *graph.Field, s int, ways []way) way {
	in := f.In[s]
	var best way
	for _, d := range b.doors(pos, class, s) {
		if in.Via != nil && d.via != in.Via {
			continue
		}
		w := b.enter1(pos, class, s, d, ways)
		if !w.ok {
			continue
		}
		if in.Requires != nil {
			if w = b.andTold(pos, class, in.Requires, s, d, w, ways); !w.ok {
				continue
			}
		}
		if in.Contexts != nil {
			if w = b.filled(pos, in, w); !w.ok {
				continue
			}
		}
		if w.cheaper(best) {
			best = w
		}
	}
	return best
}

func (b *builder) andTold(pos *position, class graph.TypeSet, sel *graph.Selection, s int, d door, w way, ways []way) way {
	depth, fresh := w.depth-1, w.fresh
	for _, e := range sel.Entries {
		on := e.On.And(class)
		if on.Empty() {
			continue
		}
		src := b.source(pos, e, on, -1, ways)
		if !src.ok {
			src = way{ok: true, depth: w.depth + 1} // it needs something itself
		}
		depth, fresh = max(depth, src.depth), fresh.or(src.fresh)
	}
	if depth+1 > w.depth || b.groupAt(pos, s, d.via, depth+1) == nil {
		fresh = fresh.with(s)
	}
	w.depth, w.fresh = max(w.depth, depth+1), fresh
	return w
}

// namers lists the subgraphs that can tell run-time types.
func (b *builder) namers(pos *position, class graph.TypeSet) []option {
	for _, v := range pos.views {
		if b.visible(v.group) && !v.opaque && v.possible.Contains(class) {
			return []option{{sub: v.group.sub, way: way{ok: true, depth: v.group.depth, how: seen, view: v}}}
		}
	}
	var out []option
	ways := b.waysTo(pos, class)
	for s, w := range ways {
		if w.how == seen && w.view.opaque || w.how != seen && pos.entering[s] {
			w = way{}
		}
		for _, d := range b.doors(pos, class, s) {
			if d.via == nil || d.via.In[s].InterfaceObject || pos.entering[s] && !d.tells(pos) {
				continue
			}
			if e := b.enter1(pos, class, s, d, ways); e.cheaper(w) {
				w = e
			}
		}
		if w.ok && b.names(pos, class, s, w) && (w.how != entered || w.via != nil) {
			out = append(out, option{sub: s, way: w, cost: estimate{rounds: w.depth, subs: w.fresh}})
		}
	}
	slices.SortStableFunc(out, func(x, y option) int {
		switch {
		case x.way.cheaper(y.way):
			return -1
		case y.way.cheaper(x.way):
			return 1
		}
		return 0
	})
	return out
}

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
func (b *builder) unnamed(pos *position, types, possible graph.TypeSet, deps []*group, field *graph.FieldIn) graph.TypeSet {
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
func (b *builder) abstract(sl *slot) bool {
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
	if b.abstract(sl) && sl.child.static() && !slices.ContainsFunc(sl.child.views, func(v *view) bool { return v.opaque }) { // the subgraph that is told does not know that there is one type only
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

// entityGroup returns the request that enters s at a position with a need, made if no request can take it in without waiting longer
// (or, if b.apart, one would have it wait).
func (b *builder) entityGroup(pos *position, s int, via *graph.Type, deps []*group, n need, givens []*given) *group {
	depth := deepest(deps)
	var gr *group
	for _, o := range pos.entered {
		if o.sub != s || o.via != via || o.block != b.block || o.segment != b.segment || o.depth <= depth {
			continue
		}
		if slices.ContainsFunc(deps, func(d *group) bool { return d.waitsFor(o) }) || o.contradicts(n) || o.tooWide(n) || !sameGivens(o.givens, givens) {
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
		if via != nil && via.In[s].InterfaceObject {
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

// tooWide reports whether fields with requirements would be asked of objects that they are not wanted of, since the subgraph
// cannot tell types.
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
