package plan

import (
	"fmt"
	"strings"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// Options of a Planner. The zero value is useful.
type Options struct {
	// Operations and Plans are how many prepared operations and plans are kept; the least recently used go first. Zero
	// means 2,000 each. Few large ones count as many small ones.
	Operations, Plans int
	// Limits that an operation must keep.
	Limits Limits
	// ListSize is how many elements a list of unknown size counts in Plan.Cost. Zero means 10.
	ListSize int
	// Named names the operations to subgraphs after the client's, if that has a name: Client__subgraph__0.
	Named bool
	// Budget bounds the search for a better plan than the first one, in fields looked at. Zero means 50,000; less than
	// zero takes the first plan. The outcome depends on nothing but the operation and the budget.
	Budget int
}

// Planner prepares and plans operations on one supergraph. It is safe for concurrent use.
type Planner struct {
	graph *graph.Graph
	opts  Options
	ops   *cache[opKey, *Operation]
	plans *cache[string, *Plan]
	hops  sync.Map // hopKey → []int16
	texts sync.Map // textOn → *graph.Selection
}

type opKey struct{ query, name string }

// longestCached is the length in bytes of the longest operation text that is kept as a key.
const longestCached = 128 << 10

// New returns a planner for a supergraph.
func New(g *graph.Graph, opts Options) *Planner {
	opts.Operations = positive(opts.Operations, 2000)
	opts.Plans = positive(opts.Plans, 2000)
	opts.ListSize = positive(opts.ListSize, 10)
	opts.Limits = opts.Limits.orDefaults()
	if opts.Budget == 0 {
		opts.Budget = 50_000
	}
	return &Planner{
		graph: g,
		opts:  opts,
		ops:   newCache[opKey, *Operation](opts.Operations, cachedTokens),
		plans: newCache[string, *Plan](opts.Plans, cachedFields),
	}
}

func positive(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// Graph is the supergraph that operations are planned for.
func (p *Planner) Graph() *graph.Graph { return p.graph }

// Facts are what a plan depends on besides its operation.
type Facts struct {
	// Conditions has the value of each of Operation.Conditions; missing ones count as false.
	Conditions []bool
	// Whole says that the answer is wanted in one: @defer and @stream are passed over, as their draft allows.
	Whole bool
	// Labels are the progressive override labels (graph.Graph.Labels) that are on for the request.
	Labels map[string]bool
	// Authenticated says that the caller presented a valid identity; Scopes are what it holds.
	Authenticated bool
	Scopes        map[string]bool
	// Policies are those among Operation.Policies that were answered with yes.
	Policies map[string]bool
}

// May reports whether the facts satisfy what a type or field asks for. A nil Auth asks for nothing.
func (f *Facts) May(a *graph.Auth) bool {
	for _, p := range a.Parts() {
		if p.Authenticated && !f.Authenticated || !anyHeld(p.Scopes, f.Scopes) || !anyHeld(p.Policies, f.Policies) {
			return false
		}
	}
	return true
}

// anyHeld reports whether one of the lists is held completely, or none is asked for.
func anyHeld(lists [][]string, held map[string]bool) bool {
	if lists == nil {
		return true
	}
	for _, list := range lists {
		all := true
		for _, s := range list {
			all = all && held[s]
		}
		if all {
			return true
		}
	}
	return false
}

// Plan plans an operation that this planner prepared. Equal effective facts (those that matter to the operation)
// share one plan. The error is an operation that the supergraph cannot serve: either the supergraph is broken, or a
// fragment asks for what no subgraph has.
func (p *Planner) Plan(op *Operation, f Facts) (*Plan, error) {
	key := p.key(op, &f)
	if pl, ok := p.plans.get(key); ok {
		return pl, nil
	}
	pl, err := p.plan(op, &f)
	if err != nil {
		return nil, fmt.Errorf("plan the %s: %w", strings.TrimSpace(op.Kind.String()+" "+op.Name), err)
	}
	p.plans.add(key, pl, op.Size.Fields)
	return pl, nil
}

// key is the operation's identity followed by one bit for each fact that matters to it.
func (p *Planner) key(op *Operation, f *Facts) string {
	b := make([]byte, 0, len(op.id)+8)
	b = append(b, op.id...)
	w := bitWriter{b: b}
	for i := range op.Conditions {
		w.bit(i < len(f.Conditions) && f.Conditions[i])
	}
	if op.Parts {
		w.bit(f.Whole)
	}
	for _, l := range p.graph.Labels {
		w.bit(f.Labels[l])
	}
	for _, a := range op.auths {
		w.bit(f.May(a))
	}
	return string(w.b)
}

type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) bit(v bool) {
	if w.n%8 == 0 {
		w.b = append(w.b, 0)
	}
	if v {
		w.b[len(w.b)-1] |= 1 << (w.n % 8)
	}
	w.n++
}

func kindOf(op ast.Operation) Kind {
	switch op {
	case ast.Mutation:
		return Mutation
	case ast.Subscription:
		return Subscribe
	}
	return Query
}
