package plan

import (
	"slices"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// deferred makes the tree of an operation with deferred fragments.
func (e *emitter) deferred(primary, _ []*request, sel *graph.Selection, blocks []deferred) Node {
	out := &Defer{Primary: e.steps(primary)}
	places := map[int][]place{}
	e.places(sel, e.root, nil, places)
	ids := map[int]int{0: -1}
	for n := 1; n < len(blocks); n++ {
		ids[n] = ids[blocks[n].parent]
		rs, _ := e.split(n)
		for i, at := range places[n] {
			s := &shaper{emitter: e, block: n, denied: map[string]bool{}}
			b := Block{
				ID:       len(out.Blocks),
				Parent:   ids[n],
				Label:    blocks[n].label,
				Path:     at.path,
				Response: s.object(at.sel, at.pos),
			}
			if i == 0 { // the others come after it
				b.Node = e.steps(rs)
				ids[n] = b.ID
			}
			out.Blocks = append(out.Blocks, b)
		}
	}
	if len(out.Blocks) == 0 {
		return out.Primary
	}
	return out
}

// place is where a deferred fragment stands.
type place struct {
	sel  *graph.Selection
	pos  *position
	path Path
}

// places finds where the deferred fragments stand: one that is spread on several types may stand at several places.
func (e *emitter) places(sel *graph.Selection, pos *position, path Path, out map[int][]place) {
	for _, n := range sel.Deferred {
		out[n] = append(out[n], place{sel, pos, path})
	}
	for _, en := range sel.Entries {
		if en.Sub == nil {
			continue
		}
		for _, sl := range e.answersAt(en, pos) {
			st := e.step(sl)
			if on := en.On.And(sl.on); !on.Contains(pos.types) {
				st.On = on
			}
			e.places(en.Sub, sl.child, append(slices.Clip(path), st), out)
		}
	}
}

// early finds the deferred entries that only the request of their parent can fetch, since the parent is no entity:
// they are fetched with it, and delivered with their fragment. Running the parent's field again could give another
// answer.
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
