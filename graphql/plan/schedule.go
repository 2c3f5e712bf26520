package plan

import (
	"slices"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// request is one HTTP request to be: a group for root fields, or entity groups of one subgraph and wave.
type request struct {
	id     int
	groups []*group
	reads  []*request
}

// scheduler decides which groups are asked together, and when.
type scheduler struct {
	g      *graph.Graph
	groups []*group
}

// schedule gives each group a wave, counted within its segment and block, and joins what can go together. Requests
// wait longer than they must only where that saves one, and never so long that the plan takes more rounds.
func (s *scheduler) schedule() []*request {
	s.delay()
	s.join()
	var out []*request
	of := map[*group]*request{}
	shared := map[turn]*request{} // those for entities
	for _, gr := range s.groups {
		if gr.merged != nil {
			continue
		}
		var r *request
		if gr.entity {
			r = shared[gr.turn()]
		}
		if r == nil {
			r = &request{}
			out = append(out, r)
			if gr.entity {
				shared[gr.turn()] = r
			}
		}
		r.groups = append(r.groups, gr)
		of[gr] = r
	}
	slices.SortStableFunc(out, func(x, y *request) int {
		a, c := x.groups[0], y.groups[0]
		switch {
		case a.block != c.block:
			return a.block - c.block
		case a.segment != c.segment:
			return a.segment - c.segment
		}
		return a.wave - c.wave
	})
	for i, r := range out {
		r.id = i
	}
	for _, r := range out {
		for _, gr := range r.groups {
			for _, d := range gr.reads {
				if q := of[d.final()]; q != r && !slices.Contains(r.reads, q) {
					r.reads = append(r.reads, q)
				}
			}
		}
		slices.SortFunc(r.reads, func(x, y *request) int { return x.id - y.id })
	}
	return out
}

// turn is what the entity groups of one request have in common.
type turn struct{ sub, wave, block, segment, root int }

func (gr *group) turn() turn {
	t := turn{sub: gr.sub, wave: gr.wave, block: gr.block, segment: gr.segment}
	if gr.root { // not with others: it is no list of entities
		t.root = gr.pos.id
	}
	return t
}

func (gr *group) final() *group {
	for gr.merged != nil {
		gr = gr.merged
	}
	return gr
}

// delay chooses waves between the earliest and the latest possible, so that as many groups of a subgraph as possible
// meet.
func (s *scheduler) delay() {
	last := 0
	for _, gr := range s.groups {
		gr.wave = gr.depth
		last = max(last, gr.depth)
	}
	for sub := range s.g.Subgraphs {
		var mine []*group
		for _, gr := range s.groups {
			if gr.entity && gr.sub == sub {
				mine = append(mine, gr)
			}
		}
		if len(mine) < 2 {
			continue
		}
		slices.SortStableFunc(mine, func(x, y *group) int { return x.latest(last) - y.latest(last) })
		s.meet(mine, last)
	}
}

// meet takes the group with the earliest deadline and lets it wait for as many others as fit before that.
func (s *scheduler) meet(mine []*group, last int) {
	for len(mine) > 0 {
		first := mine[0]
		deadline := first.latest(last)
		together, rest := []*group{first}, []*group(nil)
		for _, gr := range mine[1:] {
			fits := gr.wave <= deadline && gr.block == first.block && gr.segment == first.segment
			for _, t := range together {
				fits = fits && !gr.waitsFor(t) && !t.waitsFor(gr)
			}
			if fits {
				together = append(together, gr)
			} else {
				rest = append(rest, gr)
			}
		}
		at := 0
		for _, gr := range together {
			at = max(at, gr.wave)
		}
		for _, gr := range together {
			gr.postpone(at)
		}
		mine = rest
	}
}

// latest is the last wave a group may be in.
func (gr *group) latest(last int) int {
	for _, f := range gr.feeds {
		last = min(last, f.latest(last)-1)
	}
	return last
}

func (gr *group) postpone(wave int) {
	if wave <= gr.wave {
		return
	}
	gr.wave = wave
	for _, f := range gr.feeds {
		f.postpone(wave + 1)
	}
}

// join makes one group of those of one position and wave that can share representations.
func (s *scheduler) join() {
	type place struct {
		pos  *position
		via  *graph.Type
		turn turn
	}
	kept := map[place][]*group{}
next:
	for _, o := range s.groups {
		if !o.entity || o.merged != nil {
			continue
		}
		at := place{o.pos, o.via, o.turn()}
		for _, gr := range kept[at] {
			if !slices.ContainsFunc(o.needs, gr.unlike) && sameGivens(gr.givens, o.givens) {
				gr.take(o)
				continue next
			}
		}
		kept[at] = append(kept[at], o)
	}
}

// unlike reports whether a need cannot share the group's representations.
func (gr *group) unlike(n need) bool { return gr.contradicts(n) || gr.tooWide(n) || gr.otherKey(n) }

// otherKey reports whether the group enters some of the types by another key.
func (gr *group) otherKey(n need) bool {
	return slices.ContainsFunc(gr.needs, func(o need) bool { return o.text != n.text && o.on.Overlaps(n.on) })
}

func (gr *group) take(o *group) {
	o.merged = gr
	for _, n := range o.needs {
		gr.add(n)
	}
	for _, d := range o.reads {
		if !slices.Contains(gr.reads, d) && d != gr {
			gr.reads = append(gr.reads, d)
		}
	}
	gr.view.possible = gr.view.possible.Or(o.view.possible)
	for _, p := range o.view.picks {
		if p.givens != nil {
			p.givens = gr.givens
		}
	}
	gr.view.absorb(o.view)
}

// absorb adds the picks of another view of the same position and subgraph.
func (v *view) absorb(o *view) {
next:
	for _, p := range o.picks {
		for _, q := range v.picks {
			if q.slot == p.slot && (p.child == nil || q.child.declared == p.child.declared) {
				q.on = q.on.Or(p.on)
				if p.child != nil {
					q.child.absorb(p.child)
				}
				continue next
			}
		}
		v.picks = append(v.picks, p)
	}
}
