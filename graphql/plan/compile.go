package plan

import (
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// plan compiles an operation for some facts.
func (p *Planner) plan(op *Operation, f *Facts) (*Plan, error) {
	root := p.graph.Root(op.Kind.operation())
	if root == nil {
		return nil, fmt.Errorf("the supergraph has no %s type", op.Kind)
	}
	var blocks deferrals
	n := graph.Normaliser{
		Graph:     p.graph,
		Fragments: op.Document.Fragments,
		Client:    true,
		Hidden:    p.graph.Hidden(),
		Limit:     p.opts.Limits.Fields * 5,
		Bool: func(name string) bool {
			for i, c := range op.Conditions {
				if c == name {
					return i < len(f.Conditions) && f.Conditions[i]
				}
			}
			return false
		},
		Denied: func(t *graph.Type, fd *graph.Field) bool {
			return !f.May(t.Auth) || !f.May(fd.Auth) || !f.May(fd.Named.Auth)
		},
	}
	if op.Kind == Query && !f.Whole {
		n.Defer = blocks.add
	}
	blocks.list = []deferred{{}}
	sel, err := n.Normalise(op.Definition.SelectionSet, root.Possible)
	if errors.Is(err, graph.ErrTooLarge) {
		return nil, limitError("MAX_FIELDS_LIMIT", "The operation has too many fields.")
	}
	if err != nil {
		return nil, err
	}
	s := searcher{
		p:         p,
		f:         f,
		kind:      op.Kind,
		sel:       sel,
		parents:   blocks.parents(),
		early:     early(p.graph, sel, len(blocks.list)),
		estimates: map[estimateKey]estimate{},
	}
	best, err := s.search()
	if err != nil {
		return nil, err
	}
	pl := p.emit(op, sel, best, blocks.list, &n)
	if err := checkLocal(pl.Response); err != nil {
		return nil, err
	}
	return pl, nil
}

// deferrals numbers the deferred fragments; number 0 is what is not deferred.
type deferrals struct{ list []deferred }

type deferred struct {
	label  string
	parent int
}

// mostDeferred is how many deferred fragments an operation may have; further ones are answered at once.
const mostDeferred = 64

func (d *deferrals) add(label string, parent int) int {
	if len(d.list) > mostDeferred {
		return parent
	}
	d.list = append(d.list, deferred{label, parent})
	return len(d.list) - 1
}

func (d *deferrals) parents() []int {
	out := make([]int, len(d.list))
	for i, x := range d.list {
		out[i] = x.parent
	}
	return out
}

// emit makes the plan of a draft.
func (p *Planner) emit(op *Operation, sel *graph.Selection, d *draft, blocks []deferred, n *graph.Normaliser) *Plan {
	out := &Plan{
		Kind:        op.Kind,
		Name:        op.Name,
		RootType:    p.graph.Root(op.Kind.operation()).Name,
		Types:       p.graph.Types,
		Variables:   op.Variables,
		Fetches:     d.price.requests,
		Rounds:      d.price.rounds,
		Introspects: op.Introspects,
		ClientKeys:  map[string]string{},
		MaxAge:      -1,
		Cost:        p.cost(op.Kind, sel),
	}
	e := &emitter{draft: d, op: op, plan: out, vars: map[string]int{}, norm: n, streamed: map[*slot]*Stream{}}
	for i, v := range op.Variables {
		e.vars[v.Name] = i
	}
	d.block = 0
	s := &shaper{emitter: e, denied: map[string]bool{}}
	out.Response = s.object(sel, d.root)
	e.needWhole()
	primary, rest := e.split(0)
	switch {
	case op.Kind == Subscribe:
		out.Root = e.subscription(primary)
	case len(blocks) == 1:
		out.Root = e.steps(primary)
	default:
		out.Root = e.deferred(primary, rest, sel, blocks)
	}
	if _, ok := out.Root.(*Defer); e.streams && !ok {
		out.Root = &Defer{Primary: out.Root}
	}
	return out
}

// split separates the requests of a block from the others.
func (e *emitter) split(block int) (of, others []*request) {
	for _, r := range e.requests {
		if r.groups[0].block == block {
			of = append(of, r)
		} else {
			others = append(others, r)
		}
	}
	return of, others
}

// steps arranges requests by segments, one after the other.
func (e *emitter) steps(rs []*request) Node {
	var nodes []Node
	for len(rs) > 0 {
		n := 0
		for n < len(rs) && rs[n].groups[0].segment == rs[0].groups[0].segment {
			n++
		}
		nodes = append(nodes, e.tree(rs[:n]))
		rs = rs[n:]
	}
	return sequence(nodes...)
}

func (e *emitter) subscription(rs []*request) Node {
	if len(rs) == 0 {
		return nil
	}
	return &Subscription{Primary: e.node(rs[0]).(*Fetch), Then: e.tree(rs[1:])}
}
