package plan

import (
	"fmt"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// hopsFrom returns how many entity requests lie between a view of an object in one subgraph and a view of it in each
// other one: -1 if no chain of keys leads there. The result is shared and must not be changed.
func (p *Planner) hopsFrom(t *graph.Type, s int) []int16 {
	key := hopKey{t.ID, s}
	if h, ok := p.hops.Load(key); ok {
		return h.([]int16)
	}
	h := p.computeHops(t, s)
	p.hops.Store(key, h)
	return h
}

type hopKey struct {
	t graph.TypeID
	s int
}

func (p *Planner) computeHops(t *graph.Type, from int) []int16 {
	hops := make([]int16, len(p.graph.Subgraphs))
	for i := range hops {
		hops[i] = -1
	}
	hops[from] = 0
	for changed := true; changed; {
		changed = false
		for s := range hops {
			if s == from {
				continue
			}
			for _, k := range keysOf(p.graph, t, s) {
				n := p.keyHops(k.Fields, t, s, hops)
				if n >= 0 && (hops[s] < 0 || n+1 < hops[s]) {
					hops[s], changed = n+1, true
				}
			}
		}
	}
	return hops
}

// keysOf lists the resolvable keys of an object type in a subgraph, those of interfaces it knows as objects included.
func keysOf(g *graph.Graph, t *graph.Type, s int) []*graph.Key {
	var out []*graph.Key
	add := func(t *graph.Type) {
		for _, k := range t.Keys(s) {
			if k.Resolvable {
				out = append(out, k)
			}
		}
	}
	add(t)
	for _, name := range t.Interfaces {
		if i := g.Type(name); i != nil && i.In.At(s) != nil && i.In.At(s).InterfaceObject {
			add(i)
		}
	}
	return out
}

// keyHops is how far away the subgraphs are that have the fields of a key, not asking subgraph not; -1 if they are
// nowhere.
func (p *Planner) keyHops(sel *graph.Selection, t *graph.Type, not int, hops []int16) int16 {
	worst := int16(0)
	for _, e := range sel.Entries {
		if !e.On.Has(t.ID) || e.Name == graph.TypeName {
			continue
		}
		best := int16(-1)
		for s, h := range hops {
			if s == not || h < 0 || best >= 0 && h >= best {
				continue
			}
			if n := p.has(t, e, s, 0); n >= 0 && (best < 0 || h+n < best) {
				best = h + n
			}
		}
		if best < 0 {
			return -1
		}
		worst = max(worst, best)
	}
	return worst
}

// has is how many more rounds a subgraph needs to resolve an entry by itself; -1 if it cannot, and 1 where something
// deep inside is missing that other subgraphs have.
func (p *Planner) has(t *graph.Type, e *graph.Entry, s, depth int) int16 {
	f := t.Fields()[e.Name]
	if f == nil || f.In.At(s) == nil || f.In.At(s).External || f.In.At(s).Requires != nil || depth > 20 {
		return -1
	}
	worst := int16(0)
	if e.Sub == nil {
		return 0
	}
	types, _ := possibleIn(f.In.At(s).Named, s)
	for _, c := range e.Sub.Entries {
		for _, id := range c.On.And(types).IDs() {
			if c.Name != graph.TypeName {
				n := p.has(p.graph.Object(id), c, s, depth+1)
				if n < 0 {
					n = 1
				}
				worst = max(worst, n)
			}
		}
	}
	return worst
}

type textOn struct{ text, types string }

// keyOf returns a key that several types have, for all of them.
func (p *Planner) keyOf(k *graph.Key, types graph.TypeSet) *graph.Key {
	sel := p.widened(k.Fields, k.Text, types)
	if sel == k.Fields {
		return k
	}
	return &graph.Key{Fields: sel, Resolvable: k.Resolvable, Text: k.Text}
}

// widened returns a selection that several types have in the same words, for all of them.
func (p *Planner) widened(sel *graph.Selection, text string, types graph.TypeSet) *graph.Selection {
	if sel.Types.Contains(types) {
		return sel
	}
	id := textOn{text, fmt.Sprint(types)}
	if v, ok := p.texts.Load(id); ok {
		return v.(*graph.Selection)
	}
	wide, err := p.graph.FieldSet(text, types)
	if err != nil { // each of them alone could be read
		return sel
	}
	v, _ := p.texts.LoadOrStore(id, wide)
	return v.(*graph.Selection)
}
