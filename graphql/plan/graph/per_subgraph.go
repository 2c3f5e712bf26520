package graph

import (
	"cmp"
	"iter"
	"slices"
)

// PerSubgraph holds something for those subgraphs that have it, by number. Most types and fields are in few of many
// subgraphs.
type PerSubgraph[T any] struct{ list []numbered[T] }

type numbered[T any] struct {
	sub int
	of  *T
}

// At is what subgraph s has; nil for nothing.
func (p *PerSubgraph[T]) At(s int) *T {
	if len(p.list) <= 8 {
		for i := range p.list {
			if p.list[i].sub == s {
				return p.list[i].of
			}
		}
		return nil
	}
	if i, ok := p.find(s); ok {
		return p.list[i].of
	}
	return nil
}

func (p *PerSubgraph[T]) find(s int) (int, bool) {
	return slices.BinarySearchFunc(p.list, s, func(n numbered[T], s int) int { return cmp.Compare(n.sub, s) })
}

// All yields what there is, by subgraph number.
func (p *PerSubgraph[T]) All() iter.Seq2[int, *T] {
	return func(yield func(int, *T) bool) {
		for i := range p.list {
			if p.list[i].of != nil && !yield(p.list[i].sub, p.list[i].of) {
				return
			}
		}
	}
}

// Any reports whether something of a subgraph fulfils a condition.
func (p *PerSubgraph[T]) Any(is func(*T) bool) bool {
	return slices.ContainsFunc(p.list, func(n numbered[T]) bool { return n.of != nil && is(n.of) })
}

// set gives subgraph s something, or takes it away with nil.
func (p *PerSubgraph[T]) set(s int, of *T) {
	i, ok := p.find(s)
	switch {
	case ok:
		p.list[i].of = of // nil stays in the list: somebody may be looking through it
	case of != nil:
		p.list = slices.Insert(p.list, i, numbered[T]{s, of})
	}
}
