package plan

import (
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// cost is the static cost of a selection on the root type: a mutation is 10, an object 1, a leaf 0, unless @cost says
// otherwise; lists multiply by @listSize, by their slicing argument, or by the planner's default.
//
// Spec: https://ibm.github.io/graphql-specs/cost-spec.html
func (p *Planner) cost(kind Kind, sel *graph.Selection) int {
	n := p.costOf(sel, nil, 1)
	if kind == Mutation {
		n = add(n, 10)
	}
	return n
}

// costOf is the cost of a selection. sized are the fields that an enclosing @listSize gives a size to.
func (p *Planner) costOf(sel *graph.Selection, sized []string, size int) int {
	perType := map[graph.TypeID]int{}
	worst := 0
	for _, e := range sel.Entries {
		if e.Denied || e.Name == graph.TypeName {
			continue
		}
		for _, id := range e.On.IDs() {
			f := p.graph.Object(id).Fields()[e.Name]
			if f == nil {
				continue
			}
			perType[id] = add(perType[id], p.fieldCost(e, f, sized, size))
			worst = max(worst, perType[id])
		}
	}
	return worst
}

func (p *Planner) fieldCost(e *graph.Entry, f *graph.Field, sized []string, size int) int {
	own := f.Weight
	if own < 0 {
		own = f.Named.Weight
	}
	if own < 0 {
		own = 0
		if f.Named.Composite() {
			own = 1
		}
	}
	n, below := 1, 1
	var belowSized []string
	switch {
	case f.List != nil && len(f.List.Sized) > 0:
		belowSized, below = f.List.Sized, p.listSize(e, f.List)
	case slices.Contains(sized, f.Name):
		n = size
	case f.Type.Elem != nil:
		n = p.listSize(e, f.List)
	}
	if e.Sub != nil {
		own = add(own, p.costOf(e.Sub, belowSized, below))
	}
	return multiply(own, n)
}

// listSize is how many elements a list has at most.
func (p *Planner) listSize(e *graph.Entry, l *graph.ListSize) int {
	if l == nil {
		return p.opts.ListSize
	}
	n := -1
	for _, name := range l.Slicing {
		if e.Field == nil {
			break
		}
		if a := e.Field.Arguments.ForName(name); a != nil && a.Value != nil && a.Value.Kind == ast.IntValue {
			if v, err := strconv.Atoi(a.Value.Raw); err == nil {
				n = max(n, v)
			}
		}
	}
	switch {
	case n >= 0:
		return n
	case l.Assumed >= 0:
		return l.Assumed
	}
	return p.opts.ListSize
}

func multiply(a, b int) int {
	if a > 0 && b > (1<<40)/a {
		return 1 << 40
	}
	return a * b
}
