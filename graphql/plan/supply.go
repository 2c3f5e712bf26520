package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// option is a subgraph to resolve a slot in, with what it costs.
type option struct {
	sub  int
	way  way
	in   *graph.FieldIn
	cost estimate
}

// supply makes sure that a slot is fetched for some types. sub is what is wanted of its values, to look ahead. A slot
// of objects is fetched for all its types, and forked where these come from different subgraphs.
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

// lent reports whether nobody but interface objects resolves a slot's field: then it does not matter by which keys
// the types can be entered.
func (b *pricer) lent(sl *slot, types graph.TypeSet) bool {
	for id := range types.All() {
		f := b.g.Object(id).Fields()[sl.name]
		if f == nil || f.In.Any(func(in *graph.FieldIn) bool { return b.usable(in) && !in.External && in.Via == nil }) {
			return false
		}
	}
	return true
}

// classes partitions types by which subgraphs resolve a slot's field, how, and, if keyed, by which keys they are
// entered.
func (b *pricer) classes(sl *slot, types graph.TypeSet, keyed bool) []graph.TypeSet {
	return partition(types, func(id graph.TypeID) string {
		t := b.g.Object(id)
		var k strings.Builder
		for s := range b.g.Subgraphs {
			if keyed {
				for _, key := range t.Keys(s) {
					if key.Resolvable {
						k.WriteString(key.Text)
						k.WriteByte(',')
					}
				}
			}
			k.WriteByte('|')
			f := t.Fields()[sl.name]
			if f == nil || !b.usable(f.In.At(s)) {
				continue
			}
			in := f.In.At(s)
			if in.External && !slices.ContainsFunc(sl.pos.views,
				func(v *view) bool { return v.group.sub == s && provides(v.provided, f) }) {
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
				if v.group.sub == s && b.visible(v.group) &&
					(!v.possible.Has(id) || (in.External || in.Requires != nil) && !b.local(f, s, v.provided, v.lent())) {
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
	if sl.child != nil {
		sl.child.alternatives = append(sl.child.alternatives, b.alternatives(sl, class, opts)...)
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
