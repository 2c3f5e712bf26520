package plan

import "github.com/catalyst-router/catalyst/graphql/plan/graph"

// deferred makes the tree of an operation with deferred fragments.
func (e *emitter) deferred(primary, _ []*request, sel *graph.Selection, blocks []deferred) Node {
	out := &Defer{Primary: e.steps(primary)}
	places := map[int]place{}
	e.places(sel, e.root, places)
	ids := map[int]int{0: -1}
	for n := 1; n < len(blocks); n++ {
		at, ok := places[n]
		if !ok {
			ids[n] = ids[blocks[n].parent]
			continue
		}
		ids[n] = len(out.Blocks)
		s := &shaper{emitter: e, block: n, denied: map[string]bool{}}
		shape := s.object(at.sel, at.pos)
		rs, _ := e.split(n)
		out.Blocks = append(out.Blocks, Block{
			ID: ids[n], Parent: ids[blocks[n].parent], Label: blocks[n].label, Path: e.path(at.pos), Response: shape, Node: e.steps(rs),
		})
	}
	if len(out.Blocks) == 0 {
		return out.Primary
	}
	return out
}

// place is where a deferred fragment stands.
type place struct {
	sel *graph.Selection
	pos *position
}

func (e *emitter) places(sel *graph.Selection, pos *position, out map[int]place) {
	for _, n := range sel.Deferred {
		if _, ok := out[n]; !ok {
			out[n] = place{sel, pos}
		}
	}
	for _, en := range sel.Entries {
		if en.Sub == nil {
			continue
		}
		for _, sl := range e.answersAt(en, pos) {
			e.places(en.Sub, sl.child, out)
		}
	}
}

// early finds the deferred entries that only the request of their parent can fetch, since the parent is no entity: they are fetched with it, and
// delivered with their fragment. Running the parent's field again could give another answer.
func early(g *graph.Graph, sel *graph.Selection, blocks int) map[*graph.Entry]int {
	if blocks < 2 {
		return nil
	}
	out := map[*graph.Entry]int{}
	var walk func(sel *graph.Selection, block int, root bool)
	walk = func(sel *graph.Selection, block int, root bool) {
		for _, e := range sel.Entries {
			at := e.Defer
			if at != block && !root && !entities(g, e.On) {
				at = block
				out[e] = at
			}
			if e.Sub != nil {
				walk(e.Sub, at, false)
			}
		}
	}
	walk(sel, 0, true)
	return out
}

// entities reports whether each of the types can be entered by a key somewhere.
func entities(g *graph.Graph, types graph.TypeSet) bool {
	for _, id := range types.IDs() {
		found := false
		for s := range g.Subgraphs {
			found = found || len(keysOf(g, g.Object(id), s)) > 0
		}
		if !found {
			return false
		}
	}
	return true
}

// fetchedIn is the block whose requests fetch an entry.
func (b *builder) fetchedIn(e *graph.Entry) int {
	if at, ok := b.early[e]; ok {
		return at
	}
	return e.Defer
}
