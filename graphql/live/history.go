package live

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

const (
	historySize = 64 // compositions kept
	whySize     = 8  // reasons named of one composition
)

// Entry is one composition in the history.
type Entry struct {
	At   time.Time
	Took time.Duration
	// Why says which subgraphs came, left or changed.
	Why string
	// Subgraphs are those in the graph.
	Subgraphs []string
	// Excluded are those left out, with the reasons.
	Excluded map[string][]supergraph.Error
	// Hints are the composer's.
	Hints []supergraph.Hint
	// Changes of what clients see, compared with the graph before.
	Changes []Change
	// Error is why nothing was published; "" if it was.
	Error string
}

// ExcludedNames returns the names of those left out, sorted.
func (e *Entry) ExcludedNames() []string { return slices.Sorted(maps.Keys(e.Excluded)) }

// History returns the last compositions, newest first.
func (r *Registry) History() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := slices.Clone(r.history)
	slices.Reverse(h)
	return h
}

func appendBounded(h []Entry, e Entry) []Entry {
	if len(h) >= historySize {
		h = slices.Delete(h, 0, len(h)-historySize+1)
	}
	return append(h, e)
}

func (e *Entry) report(o *outcome) {
	e.Excluded = map[string][]supergraph.Error{}
	for _, c := range o.in.candidates {
		t := o.taken[c.src.Name]
		if t.schema != "" {
			e.Subgraphs = append(e.Subgraphs, c.src.Name)
		}
		if len(t.errors) > 0 {
			e.Excluded[c.src.Name] = t.errors
		}
	}
	e.Hints = o.result.Hints
}

// failure is why there is no graph although subgraphs are left.
func (o *outcome) failure() error {
	if o.result.SDL != "" || len(o.sources()) == 0 {
		return nil
	}
	var errs []error
	for _, e := range o.result.Errors {
		errs = append(errs, errors.New(e.Message))
	}
	return errors.Join(errs...)
}

// graph is what to publish; nil if no subgraph is left.
func (o *outcome) graph(why string) *Graph {
	sources := o.sources()
	if len(sources) == 0 {
		return nil
	}
	read, _ := o.result.Read.(*graph.Graph)
	return &Graph{SDL: o.result.SDL, read: read, Sources: sources, Why: why}
}

// equal tells whether another graph serves the same in the same way.
func (g *Graph) equal(o *Graph) bool {
	if g == nil || o == nil {
		return g == o
	}
	return g.SDL == o.SDL && slices.EqualFunc(g.Sources, o.Sources,
		func(a, b Source) bool { return a.Name == b.Name && a.URL == b.URL && a.Host == b.Host })
}

func describe(why []string) string {
	if more := len(why) - whySize; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(why[:whySize], ", "), more)
	}
	return strings.Join(why, ", ")
}
