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
		for _, sl := range e.answers[en] {
			e.places(en.Sub, sl.child, out)
		}
	}
}
