package plan

import (
	"sort"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// options lists the subgraphs that can resolve a slot for a class of types, cheapest first. A leaf that is at hand
// has no other.
func (b *pricer) options(sl *slot, class graph.TypeSet, sub *graph.Selection) []option {
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
	for s, in := range f.In.All() {
		if !b.usable(in) || sl.pos.entering[s] && (in.Requires != nil || in.Contexts != nil || ways[s].how != seen) {
			continue
		}
		for _, o := range b.waysOf(sl, class, f, s, ways) {
			o.sub, o.in = s, in
			out = append(out, o)
		}
	}
	alternatives := b.alternatives(sl, class, out)
	for i := range out {
		o := &out[i]
		below := b.estimateBelow(o.in, sub, o.sub, alternatives)
		o.cost = estimate{
			missing: below.missing, rounds: max(b.rounds(), o.way.depth+below.rounds),
			subs: o.way.fresh.or(below.subs), depth: o.way.depth + below.rounds,
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].cost.less(out[j].cost) })
	return out
}

// extends reports whether something may be selected in a view: in what is being built, or a key in what encloses it.
func (b *pricer) extends(v *view) bool {
	return v.group.block == b.block || b.keying && b.visible(v.group)
}

// atHand finds a view that resolves a leaf as it is.
func (b *pricer) atHand(sl *slot, class graph.TypeSet) (option, bool) {
	var best option
	for _, v := range sl.pos.views {
		if !b.extends(v) || best.way.ok && best.way.depth <= v.group.depth {
			continue
		}
		if b.resolves(v, sl.name, class) {
			f := sl.pos.field(b.g, sl, class)
			best = option{sub: v.group.sub, way: way{ok: true, depth: v.group.depth, how: seen, view: v},
				in: f.In.At(v.group.sub)}
		}
	}
	return best, best.way.ok
}

// resolves reports whether a view resolves a field for all the types as it is.
func (b *pricer) resolves(v *view, name string, types graph.TypeSet) bool {
	if !v.possible.Contains(types) {
		return false
	}
	lent := v.lent()
	for _, id := range types.IDs() {
		f := b.g.Object(id).Fields()[name]
		if f == nil || !b.local(f, v.group.sub, v.provided, lent) {
			return false
		}
		// Objects of all types would be asked for it there, and one that nobody wants it of would be null for its null.
		if in := f.In.At(v.group.sub); v.opaque && in.Type.NonNull && !in.KeyField && !types.Contains(v.possible) {
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

// waysOf lists how a field can be had in subgraph s: from a view that resolves it, by entering s, or by being told
// what it requires.
func (b *pricer) waysOf(sl *slot, class graph.TypeSet, f *graph.Field, s int, ways []way) []option {
	in := f.In.At(s)
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
func (b *pricer) late(w way) bool {
	if w.depth <= 2 || !w.view.group.entity || w.view.group.view != w.view {
		return false
	}
	b.waits = true
	return b.apart
}

// sooner is the way to enter s for a field if it is cheaper than w.
func (b *pricer) sooner(w way, sl *slot, class graph.TypeSet, in *graph.FieldIn, s int, ways []way) way {
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
func (b *pricer) told(pos *position, class graph.TypeSet, f *graph.Field, s int, ways []way) way {
	in := f.In.At(s)
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

func (b *pricer) andTold(pos *position, class graph.TypeSet, sel *graph.Selection, s int, d door, w way,
	ways []way) way {
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
func (b *pricer) namers(pos *position, class graph.TypeSet) []option {
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
			if d.via == nil || d.via.In.At(s).InterfaceObject || pos.entering[s] && !d.tells(pos) {
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
	sort.SliceStable(out, func(i, j int) bool { return out[i].way.cheaper(out[j].way) })
	return out
}
