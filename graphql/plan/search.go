package plan

import (
	"maps"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// draft is a finished builder with its requests.
type draft struct {
	*builder
	requests []*request
	price    price
}

// price of a plan: rounds count most, then requests, then what is fetched.
type price struct{ rounds, requests, fields int }

func (p price) less(o price) bool {
	if p.rounds != o.rounds {
		return p.rounds < o.rounds
	}
	if p.requests != o.requests {
		return p.requests < o.requests
	}
	return p.fields < o.fields
}

// searcher looks for the cheapest draft: first the greedy one, then what changes of single choices improve, until
// nothing does or the budget is used up.
type searcher struct {
	p         *Planner
	f         *Facts
	kind      Kind
	sel       *graph.Selection
	parents   []int
	early     map[*graph.Entry]int
	estimates map[estimateKey]estimate
	steps     int
	apart     bool
}

func (s *searcher) search() (*draft, error) {
	best, err := s.draft(nil, 0)
	if err != nil {
		return nil, err
	}
	if best.waits {
		s.apart = true
		if d, err := s.draft(nil, 0); err == nil && d.price.less(best.price) {
			best = d
		} else {
			s.apart = false
		}
	}
	if len(best.decisions) == 0 || s.p.opts.Budget < 0 {
		return best, nil
	}
	if d, err := s.draft(nil, best.price.rounds); err == nil && d.price.less(best.price) {
		best = d
	}
	for improved := true; improved; {
		improved = false
		for _, d := range best.decisions {
			for _, option := range d.options {
				if option == d.taken {
					continue
				}
				if s.steps >= s.p.opts.Budget {
					return best, nil
				}
				choices := best.taken()
				choices[d.name] = option
				if c, err := s.draft(choices, best.price.rounds); err == nil && c.price.less(best.price) {
					best, improved = c, true
					break
				}
			}
			if improved {
				break
			}
		}
	}
	return best, nil
}

func (b *builder) taken() map[string]int {
	out := maps.Clone(b.choices)
	if out == nil {
		out = map[string]int{}
	}
	for _, d := range b.decisions {
		if d.taken != d.options[0] {
			out[d.name] = d.taken
		}
	}
	return out
}

func (s *searcher) draft(choices map[string]int, floor int) (*draft, error) {
	b := &builder{
		pricer: &pricer{
			merged: &merged{g: s.p.graph, kind: s.kind, parents: s.parents},
			p:      s.p, f: s.f, estimates: s.estimates, floor: floor, apart: s.apart,
		},
		answers: map[*graph.Entry][]*slot{}, early: s.early, choices: choices,
	}
	err := b.build(s.sel)
	s.steps += b.steps + 1
	if err != nil {
		return nil, err
	}
	for b.block = 1; b.block < len(b.parents); b.block++ {
		b.todo = append(b.todo, task{b.root, s.sel})
		if err := b.run(); err != nil {
			return nil, err
		}
	}
	d := &draft{builder: b, requests: (&scheduler{g: b.g, groups: b.groups}).schedule()}
	d.price = d.cost()
	return d, nil
}

func (d *draft) cost() price {
	out := price{requests: len(d.requests)}
	segments := map[[2]int]int{}
	for _, r := range d.requests {
		for _, gr := range r.groups {
			k := [2]int{gr.block, gr.segment}
			segments[k] = max(segments[k], gr.wave)
			out.fields += gr.view.size()
		}
	}
	blocks := map[int]int{}
	for k, n := range segments {
		blocks[k[0]] += n
		out.rounds = max(out.rounds, blocks[k[0]])
	}
	return out
}

// size counts what a view fetches, each composite as one more.
func (v *view) size() int {
	n := len(v.picks)
	for _, p := range v.picks {
		if p.child != nil {
			n += p.child.size()
		}
	}
	return n
}
