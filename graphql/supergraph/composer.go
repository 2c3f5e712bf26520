package supergraph

import (
	"maps"
	"slices"
)

// Composer composes the subgraphs of one graph again and again. It keeps what it has made of each subgraph, so that a
// composition after a change reads and checks only what changed; the result is that of Compose and ComposeLargest.
// What it keeps is bounded by the subgraphs of the last composition. It is not for concurrent use.
type Composer struct {
	opts Options
	kept map[string]*kept // by name
	past *past
}

// kept is a subgraph without faults, ready to be merged.
type kept struct {
	of Subgraph
	s  *subgraph
}

// NewComposer returns a composer that has seen nothing yet.
func NewComposer(opts Options) *Composer {
	opts.Limits = opts.Limits.withDefaults()
	return &Composer{opts: opts, kept: map[string]*kept{}, past: new(past)}
}

// Compose is like the function of that name.
func (c *Composer) Compose(subgraphs []Subgraph) *Result {
	r := c.compose(subgraphs)
	c.forget(subgraphs)
	return r
}

// ComposeLargest is like the function of that name.
func (c *Composer) ComposeLargest(subgraphs []Subgraph, previous []string) (r *Result, excluded map[string][]Error) {
	r, excluded = c.largest(subgraphs, previous)
	c.forget(subgraphs)
	return r, excluded
}

// known returns what is kept of a subgraph; nil if that is nothing, or was used up by a merge.
func (c *Composer) known(in Subgraph) *subgraph {
	k := c.kept[in.Name]
	if k == nil || k.s.spent || k.of.SDL != in.SDL || k.of.URL != in.URL ||
		!maps.EqualFunc(k.of.Keys, in.Keys, slices.Equal) {
		return nil
	}
	return k.s
}

func (c *Composer) keep(in Subgraph, s *subgraph) {
	keys := make(map[string][]string, len(in.Keys))
	for n, k := range in.Keys {
		keys[n] = slices.Clone(k)
	}
	in.Keys = keys
	c.kept[in.Name] = &kept{in, s}
}

// forget drops what is kept of subgraphs that are not among those given.
func (c *Composer) forget(but []Subgraph) {
	stay := make(map[string]bool, len(but))
	for _, s := range but {
		stay[s.Name] = true
	}
	maps.DeleteFunc(c.kept, func(n string, k *kept) bool { return !stay[n] || k.s.spent })
}
