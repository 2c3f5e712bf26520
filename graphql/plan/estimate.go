package plan

import "github.com/catalyst-router/catalyst/graphql/plan/graph"

// estimate is what it costs to fetch a selection from a view in some subgraph.
type estimate struct {
	missing int    // fields that cannot be had from there
	rounds  int    // rounds after the view's own
	subs    subset // subgraphs asked in them
	depth   int
}

// less orders by what cannot be had, then by rounds, then by requests.
func (e estimate) less(o estimate) bool {
	if e.missing != o.missing {
		return e.missing < o.missing
	}
	if e.rounds != o.rounds {
		return e.rounds < o.rounds
	}
	if x, y := e.subs.len(), o.subs.len(); x != y {
		return x < y
	}
	return e.depth < o.depth
}

// estimateBelow looks ahead: what will a selection on a field's values cost if the field is resolved in s? What not all
// of the alternatives have is not fetched.
func (b *pricer) estimateBelow(in *graph.FieldIn, sel *graph.Selection, s int, alternatives []graph.TypeSet) estimate {
	if sel == nil {
		return estimate{}
	}
	return b.estimate(sel, in.Named, s, in.Provides, alternatives)
}

type estimateKey struct {
	sel *graph.Selection
	t   *graph.Type
	s   int
}

func (b *pricer) estimate(sel *graph.Selection, t *graph.Type, s int, prov *graph.Selection,
	alternatives []graph.TypeSet) estimate {
	key := estimateKey{sel, t, s}
	known := prov == nil && alternatives == nil
	if known {
		if e, ok := b.estimates[key]; ok {
			return e
		}
	}
	e := b.computeEstimate(sel, t, s, prov, alternatives)
	if known {
		b.estimates[key] = e
	}
	return e
}

func (b *pricer) computeEstimate(sel *graph.Selection, t *graph.Type, s int, prov *graph.Selection,
	alternatives []graph.TypeSet) estimate {
	var out estimate
	types, lent := possibleIn(t, s)
	for _, e := range sel.Entries {
		if e.Denied || e.Name == graph.TypeName || alternatives != nil && !agreed(e, sel, alternatives) {
			continue
		}
		on := e.On.And(types)
		for _, id := range on.IDs() {
			b.steps++
			f := b.g.Object(id).Fields()[e.Name]
			if f == nil {
				continue
			}
			if b.local(f, s, prov, lent) {
				if e.Sub != nil {
					out.add(b.estimate(e.Sub, f.In.At(s).Named, s, provided(prov, f, f.In.At(s)), b.resolvers(f)), 0)
				}
				continue
			}
			b.estimateAway(&out, e, f, s)
		}
	}
	return out
}

// estimateAway adds the cost of a field that s does not resolve.
func (b *pricer) estimateAway(out *estimate, e *graph.Entry, f *graph.Field, s int) {
	hops := b.p.hopsFrom(f.Parent, s)
	best, at := estimate{}, -1
	for to, in := range f.In.All() {
		if !b.usable(in) || in.External || hops[to] < 0 {
			continue
		}
		c := estimate{rounds: int(hops[to])}
		if in.Requires != nil {
			c.rounds = max(c.rounds, 1+max(0, b.servesAll(in.Requires, f.Parent, s, nil, 0)))
		}
		if in.Contexts != nil {
			c.rounds = max(c.rounds, 1)
		}
		if to != s && !out.subs.has(to) || to == s {
			c.subs = subset{}.with(to)
		}
		if e.Sub != nil {
			below := b.estimate(e.Sub, in.Named, to, in.Provides, b.resolvers(f))
			c.missing, c.subs = below.missing, c.subs.or(below.subs)
			c.rounds += below.rounds
		}
		if at < 0 || c.less(best) {
			best, at = c, to
		}
	}
	if at < 0 {
		out.missing++
		return
	}
	out.add(best, 0)
}

func (e *estimate) add(o estimate, rounds int) {
	e.missing += o.missing
	e.rounds = max(e.rounds, o.rounds+rounds)
	e.subs = e.subs.or(o.subs)
}
