package plan

import (
	"math/bits"
	"slices"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// subset is a set of subgraphs.
type subset []uint64

func (s subset) has(i int) bool { return i/64 < len(s) && s[i/64]&(1<<(i%64)) != 0 }

func (s subset) with(i int) subset {
	out := make(subset, max(len(s), i/64+1))
	copy(out, s)
	out[i/64] |= 1 << (i % 64)
	return out
}

func (s subset) or(o subset) subset {
	if len(o) == 0 {
		return s
	}
	out := make(subset, max(len(s), len(o)))
	copy(out, s)
	for i, w := range o {
		out[i] |= w
	}
	return out
}

func (s subset) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// way is how a subgraph's view of a position is had for some types.
type way struct {
	ok    bool
	depth int    // of the group the view is in
	fresh subset // subgraphs that need a new request for it
	how   means
	view  *view // seen
	// through are the subgraphs entered at the same position, itself included.
	through subset
	key     *graph.Key // entered
	via     *graph.Type
}

type means uint8

const (
	seen    means = iota + 1 // a view is there
	rooted                   // by root fields
	around                   // the field above is selected in that subgraph as well
	entered                  // by a key
)

// cheaper orders ways by depth, then by requests.
func (w way) cheaper(o way) bool {
	if !o.ok || !w.ok {
		return w.ok
	}
	if w.depth != o.depth {
		return w.depth < o.depth
	}
	return w.fresh.len() < o.fresh.len()
}

// table holds the ways to all subgraphs from a position, for some types.
type table struct {
	version, block int
	keying         bool
	types          graph.TypeSet
	ways           []way
}

// waysTo works out how each subgraph can be had at a position for objects of the given types, all of which have the
// same keys.
func (b *pricer) waysTo(pos *position, types graph.TypeSet) []way {
	if t := pos.table; t != nil && t.version == b.version && t.block == b.block && t.keying == b.keying &&
		t.types.Equal(types) && len(pos.entering) == 0 {
		return t.ways
	}
	ways := make([]way, len(b.g.Subgraphs))
	if pos.slot == nil {
		b.rootWays(ways)
	} else {
		b.seenWays(pos, types, ways)
		if b.fetchedBefore(pos.slot) { // rather than run a field again, that may give another answer, enter by keys
			b.enteredWays(pos, types, ways)
		}
		b.aroundWays(pos, types, ways)
		b.enteredWays(pos, types, ways)
	}
	if len(pos.entering) == 0 {
		pos.table = &table{b.version, b.block, b.keying, types, ways}
	}
	return ways
}

func (b *pricer) rootWays(ways []way) {
	for _, v := range b.root.views {
		if v.group.block == b.block && v.group.segment == b.segment {
			ways[v.group.sub] = way{ok: true, depth: v.group.depth, how: seen, view: v}
		}
	}
	if b.kind != Query {
		return
	}
	for s := range ways {
		if !ways[s].ok {
			ways[s] = way{ok: true, depth: 1, how: rooted, fresh: subset{}.with(s)}
		}
	}
}

// seenWays notes the views that are there. Views of an enclosing block are no place to add anything but keys to: its
// answer would wait.
func (b *pricer) seenWays(pos *position, types graph.TypeSet, ways []way) {
	for _, v := range pos.views {
		if !b.extends(v) || !v.possible.Overlaps(types) {
			continue
		}
		w := way{ok: true, depth: v.group.depth, how: seen, view: v}
		if w.cheaper(ways[v.group.sub]) {
			ways[v.group.sub] = w
		}
	}
}

// fetchedBefore reports whether an enclosing block fetches a slot.
func (b *pricer) fetchedBefore(s *slot) bool {
	return b.block > 0 && slices.ContainsFunc(s.supplies,
		func(x supply) bool { return x.view.group.block != b.block && b.visible(x.view.group) })
}

// aroundWays selects the field that leads here in other subgraphs too, from wherever they can be had, if it can have
// all the types there.
func (b *pricer) aroundWays(pos *position, types graph.TypeSet, ways []way) {
	up := pos.slot
	if b.kind != Query && up.pos.slot == nil {
		return // a mutation runs once
	}
	var from []way
	on := up.on.And(up.pos.reach)
	for s := range ways {
		if ways[s].how == seen || pos.entering[s] || !b.plain(up.name, on, s) || !b.returns(up, on, s).Contains(types) ||
			ways[s].ok && b.fetchedBefore(up) {
			continue
		}
		if from == nil {
			from = b.waysTo(up.pos, on)
		}
		if w := from[s]; w.ok && (w.how != seen || w.view.possible.Contains(on)) {
			w.how, w.view, w.through = around, nil, nil
			if w.cheaper(ways[s]) {
				ways[s] = w
			}
		}
	}
}

// returns are the types that a slot's field can have in a subgraph that resolves it for some types: fewer than
// elsewhere, if it is declared narrower there.
func (b *pricer) returns(sl *slot, on graph.TypeSet, s int) graph.TypeSet {
	types, _ := possibleIn(sl.pos.field(b.g, sl, on).In.At(s).Named, s)
	return types
}

// plain reports whether a subgraph resolves a field of all the types without being told anything.
func (b *pricer) plain(name string, on graph.TypeSet, s int) bool {
	for _, id := range on.IDs() {
		f := b.g.Object(id).Fields()[name]
		if f == nil {
			return false
		}
		if in := f.In.At(s); !b.usable(in) || in.External || in.Requires != nil || in.Contexts != nil {
			return false
		}
	}
	return !on.Empty()
}

// enteredWays follows keys from the subgraphs that can be had to those that can be entered, until nothing gets cheaper.
func (b *pricer) enteredWays(pos *position, types graph.TypeSet, ways []way) {
	for changed := true; changed; {
		changed = false
		for s := range ways {
			if ways[s].how == seen && ways[s].view.possible.Contains(types) || pos.entering[s] {
				continue
			}
			for _, d := range b.doors(pos, types, s) {
				if w := b.enter1(pos, types, s, d, ways); w.cheaper(ways[s]) {
					ways[s], changed = w, true
				}
			}
		}
	}
}

// door is a key by which a subgraph can be entered.
type door struct {
	key *graph.Key
	via *graph.Type
}

// tells reports whether entering by the door tells the type of any object at a position, without knowing it before.
func (d door) tells(pos *position) bool { return d.via != nil && d.via.Possible.Contains(pos.reach) }

// doors lists the keys by which subgraph s can be entered with objects of all the given types.
func (b *pricer) doors(pos *position, types graph.TypeSet, s int) []door {
	if pos.slot == nil { // root fields are asked for as they are
		return nil
	}
	var out []door
	first := b.g.Object(types.IDs()[0])
	for _, k := range first.Keys(s) {
		if k.Resolvable && b.common(k, types, s) {
			out = append(out, door{key: b.p.keyOf(k, types)})
		}
	}
	for _, name := range first.Interfaces {
		i := b.g.Type(name)
		if i == nil || i.In.At(s) == nil || !i.Possible.Contains(types) {
			continue
		}
		if !i.In.At(s).InterfaceObject && (pos.iface != i || b.named(pos, types)) {
			continue
		}
		for _, k := range i.Keys(s) {
			if k.Resolvable {
				out = append(out, door{key: k, via: i})
			}
		}
	}
	return out
}

// common reports whether all the types have a key in subgraph s.
func (b *pricer) common(k *graph.Key, types graph.TypeSet, s int) bool {
	for _, id := range types.IDs() {
		keys := b.g.Object(id).Keys(s)
		if !slices.ContainsFunc(keys, func(o *graph.Key) bool { return o.Resolvable && o.Text == k.Text }) {
			return false
		}
	}
	return true
}

// named reports whether the run-time types of objects at a position are known.
func (b *pricer) named(pos *position, types graph.TypeSet) bool {
	return pos.static() || b.supplied(b.typenameSlot(pos)).Contains(types)
}

// enter1 prices the entry of a subgraph by one key.
func (b *pricer) enter1(pos *position, types graph.TypeSet, s int, d door, ways []way) way {
	out := way{ok: true, how: entered, key: d.key, via: d.via}
	need := func(sel *graph.Selection) bool {
		for _, e := range sel.Entries {
			on := e.On.And(types)
			if on.Empty() {
				continue
			}
			w := b.source(pos, e, on, s, ways)
			if !w.ok {
				return false
			}
			out.depth = max(out.depth, w.depth)
			out.fresh, out.through = out.fresh.or(w.fresh), out.through.or(w.through)
		}
		return true
	}
	if !need(d.key.Fields) {
		return way{}
	}
	if d.via == nil && !pos.static() && !b.named(pos, types) { // the type's name is needed, too
		w := b.cheapestNamer(pos, types, s, ways)
		if !w.ok {
			return way{}
		}
		out.depth, out.fresh, out.through = max(out.depth, w.depth), out.fresh.or(w.fresh), out.through.or(w.through)
	}
	out.depth++
	out.through = out.through.with(s)
	if gr := b.groupAt(pos, s, d.via, out.depth); gr == nil {
		out.fresh = out.fresh.with(s)
	} else {
		out.depth = max(out.depth, gr.depth)
	}
	return out
}

// groupAt finds a group that enters s at the position and that could take in what comes with the given depth.
func (b *pricer) groupAt(pos *position, s int, via *graph.Type, depth int) *group {
	for _, gr := range pos.entered {
		if gr.sub == s && gr.via == via && gr.block == b.block && gr.segment == b.segment && gr.depth >= depth &&
			gr.givens == nil && (!b.apart || gr.depth == depth) {
			return gr
		}
	}
	return nil
}

func (b *pricer) cheapestNamer(pos *position, types graph.TypeSet, not int, ways []way) way {
	var best way
	for s, w := range ways {
		if s == not && w.how != seen || !w.ok || w.how == seen && w.view.opaque ||
			w.how != seen && !b.names(pos, types, s, w) {
			continue
		}
		if w.cheaper(best) {
			best = w
		}
	}
	return best
}

// names reports whether a view of s at the position would tell run-time types.
func (b *pricer) names(pos *position, types graph.TypeSet, s int, w way) bool {
	switch w.how {
	case seen:
		return !w.view.opaque
	case entered:
		return w.via == nil || !w.via.In.At(s).InterfaceObject
	case around:
		f := pos.slot.pos.field(b.g, pos.slot, pos.slot.on)
		t := f.In.At(s).Named.Known(s)
		return t == nil || !t.InterfaceObject
	}
	return !types.Empty()
}

// source prices the cheapest way to have an entry of a key or requirement without subgraph not.
func (b *pricer) source(pos *position, e *graph.Entry, on graph.TypeSet, not int, ways []way) way {
	if sl := b.existing(pos, e, on); sl != nil && e.Sub == nil {
		w := way{ok: true}
		for _, gr := range b.suppliers(sl, on) {
			w.depth = max(w.depth, gr.depth)
		}
		return w
	}
	var best, circle way
	for s := range ways {
		if s == not && ways[s].how != seen || !ways[s].ok {
			continue
		}
		w := ways[s]
		extra := b.serves(e, on, s, w)
		if extra < 0 {
			continue
		}
		w.depth += extra
		if not >= 0 && w.through.has(not) {
			if w.cheaper(circle) {
				circle = w // there may be another way
			}
		} else if w.cheaper(best) {
			best = w
		}
	}
	if !best.ok {
		best = circle
		best.depth += len(ways)
	}
	if v := b.enclosing(pos, e, on); v.cheaper(best) {
		best = v
	}
	return best
}

// enclosing finds an entry that was not fetched, in a view of an enclosing block: nothing but keys may be added there.
func (b *pricer) enclosing(pos *position, e *graph.Entry, on graph.TypeSet) way {
	if b.block == 0 {
		return way{}
	}
	var best way
	for _, v := range pos.views {
		if v.group.block == b.block || !b.visible(v.group) {
			continue
		}
		w := way{ok: true, depth: v.group.depth, how: seen, view: v}
		if x := b.serves(e, on, v.group.sub, w); x == 0 && w.cheaper(best) {
			best = w
		}
	}
	return best
}

// existing returns a slot that already fetches an entry for all the types.
func (b *pricer) existing(pos *position, e *graph.Entry, on graph.TypeSet) *slot {
	for _, sl := range pos.slots {
		if sl.name == e.Name && sl.args == e.Args && b.supplied(sl).Contains(on) {
			return sl
		}
	}
	return nil
}

// serves reports how many more rounds a subgraph that is had in some way needs to deliver an entry: 0 if it has all
// of it, -1 if it cannot.
func (b *pricer) serves(e *graph.Entry, on graph.TypeSet, s int, w way) int {
	var prov *graph.Selection
	var lent *graph.Type
	if w.view != nil {
		if !w.view.possible.Contains(on) {
			return -1
		}
		prov = w.view.provided
		if w.view.opaque {
			lent = w.view.declared
		}
	} else if w.via != nil && w.via.In.At(s).InterfaceObject {
		lent = w.via
	}
	worst := 0
	for _, id := range on.IDs() {
		t := b.g.Object(id)
		if e.Name == graph.TypeName {
			if lent != nil {
				return -1
			}
			continue
		}
		f := t.Fields()[e.Name]
		if f == nil || !b.local(f, s, prov, lent) {
			return -1
		}
		if e.Sub == nil {
			continue
		}
		n := b.servesAll(e.Sub, f.In.At(s).Named, s, provided(prov, f, f.In.At(s)), 0)
		if n < 0 {
			return -1
		}
		worst = max(worst, n)
	}
	return worst
}

// local reports whether a view of s with a provision resolves a field as it is. lent is the interface it knows as an
// object.
func (b *pricer) local(f *graph.Field, s int, prov *graph.Selection, lent *graph.Type) bool {
	in := f.In.At(s)
	if !b.usable(in) || in.Requires != nil && !provides(prov, f) && !b.given(in.Requires, f.Parent, s, prov) ||
		in.Contexts != nil {
		return false
	}
	if in.Via != lent && in.Via != nil {
		return false
	}
	return !in.External || provides(prov, f)
}

// given reports whether a view of s has all that a field of t requires, by what is provided to it: then it need not
// be told.
func (b *pricer) given(requires *graph.Selection, t *graph.Type, s int, prov *graph.Selection) bool {
	if prov == nil {
		return false
	}
	for _, e := range requires.Entries {
		if !e.On.Overlaps(t.Possible) {
			continue
		}
		if e.Args != "" || b.serves(e, e.On.And(t.Possible), s, way{view: &view{possible: t.Possible, provided: prov}}) != 0 {
			return false
		}
	}
	return true
}

func provides(prov *graph.Selection, f *graph.Field) bool {
	return prov != nil && prov.Find(f.Parent.ID, f.Name) != nil
}

// servesAll is serves for a selection on values declared as t in s.
func (b *pricer) servesAll(sel *graph.Selection, t *graph.Type, s int, prov *graph.Selection, depth int) int {
	b.steps++
	if depth > 20 {
		return -1
	}
	types, lent := possibleIn(t, s)
	worst := 0
	for _, e := range sel.Entries {
		for _, id := range e.On.And(types).IDs() {
			if e.Name == graph.TypeName {
				if lent != nil {
					return -1
				}
				continue
			}
			f := b.g.Object(id).Fields()[e.Name]
			if f == nil {
				return -1
			}
			n := 0
			switch {
			case b.local(f, s, prov, lent):
				if e.Sub != nil {
					n = b.servesAll(e.Sub, f.In.At(s).Named, s, provided(prov, f, f.In.At(s)), depth+1)
				}
			default:
				n = b.hop(f, s)
			}
			if n < 0 {
				return -1
			}
			worst = max(worst, n)
		}
	}
	return worst
}

// possibleIn returns the object types of values declared as t in s, and t itself if s knows the interface as an object.
func possibleIn(t *graph.Type, s int) (graph.TypeSet, *graph.Type) {
	in := t.Known(s)
	switch {
	case in == nil:
		return t.Possible, nil
	case in.InterfaceObject:
		return in.Possible, t
	}
	return in.Possible, nil
}

// hop is the number of rounds from s to some subgraph that resolves a field, or -1.
func (b *pricer) hop(f *graph.Field, s int) int {
	best := -1
	hops := b.p.hopsFrom(f.Parent, s)
	for to, in := range f.In.All() {
		if to == s || !b.usable(in) || in.External || hops[to] < 0 {
			continue
		}
		n := int(hops[to])
		if in.Requires != nil || in.Contexts != nil {
			n++
		}
		if best < 0 || n < best {
			best = n
		}
	}
	return best
}
