package ads

import (
	"iter"
	"maps"

	"github.com/catalyst-router/catalyst/xds"
)

// queue holds the names of the resources of one type that may have to be sent. Those that other resources name, as a
// route names its clusters, are apart from the rest, because they go first. A nil queue is empty, and nothing can be
// added to it.
type queue struct{ named, naming map[string]bool }

func newQueue() *queue { return &queue{map[string]bool{}, map[string]bool{}} }

func (q *queue) part(name string) map[string]bool {
	if xds.IsNamed(name) {
		return q.named
	}
	return q.naming
}

func (q *queue) add(name string) { q.part(name)[name] = true }

func (q *queue) has(name string) bool { return q != nil && q.part(name)[name] }

func (q *queue) remove(name string) {
	if q != nil {
		delete(q.part(name), name)
	}
}

func (q *queue) empty() bool { return q.size() == 0 }

func (q *queue) size() int {
	if q == nil {
		return 0
	}
	return len(q.named) + len(q.naming)
}

// of ranges over those that others name, or over the rest. They may be removed meanwhile.
func (q *queue) of(named bool) iter.Seq[string] {
	switch {
	case q == nil:
		return func(func(string) bool) {}
	case named:
		return maps.Keys(q.named)
	}
	return maps.Keys(q.naming)
}

// all ranges over everything.
func (q *queue) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, part := range []bool{true, false} {
			for name := range q.of(part) {
				if !yield(name) {
					return
				}
			}
		}
	}
}
