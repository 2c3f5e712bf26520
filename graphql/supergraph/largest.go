package supergraph

import (
	"slices"
	"strings"
)

// ComposeLargest composes as many of the subgraphs as it can, and says of the others why they are left out. A
// subgraph that is wrong by itself is left out first. Of those that do not go together the newest goes: previous
// names the ones that were in the last composition, which stay as long as leaving out others helps; among equals the
// later one goes. The result has errors only if nothing is left that composes.
//
// Equal input gives equal output, whatever happened before: of two candidates it is always the same that is taken.
func ComposeLargest(subgraphs []Subgraph, previous []string, opts Options) (r *Result, excluded map[string][]Error) {
	return NewComposer(opts).largest(subgraphs, previous)
}

func (c *Composer) largest(subgraphs []Subgraph, previous []string) (r *Result, excluded map[string][]Error) {
	if r = c.compose(subgraphs); len(r.Errors) == 0 {
		return r, map[string][]Error{}
	}
	l := &largest{composer: c, previous: previous, all: subgraphs, excluded: map[string][]Error{}}
	l.alone()
	r = l.shrink()
	if len(l.excluded) > 0 {
		r = l.widen(r)
	}
	return r, l.excluded
}

type largest struct {
	composer *Composer
	previous []string
	all      []Subgraph
	in       []Subgraph
	excluded map[string][]Error
	wrong    map[string]bool // by itself: no use in trying again
}

// alone leaves out what is wrong by itself, and whatever has the name of an earlier one.
func (l *largest) alone() {
	l.wrong = map[string]bool{}
	seen := map[string]bool{}
	for _, s := range l.all {
		if seen[s.Name] {
			l.excluded[s.Name] = append(l.excluded[s.Name], names([]Subgraph{s, s})...)
			continue
		}
		seen[s.Name] = true
		if _, errs := l.composer.prepare([]Subgraph{s}); len(errs) > 0 {
			l.excluded[s.Name], l.wrong[s.Name] = errs, true
			continue
		}
		l.in = append(l.in, s)
	}
}

// shrink leaves out one subgraph after the other until the rest composes.
func (l *largest) shrink() *Result {
	for {
		r := l.composer.compose(l.in)
		if len(r.Errors) == 0 || len(l.in) == 0 {
			return r
		}
		i := l.culprit(r.Errors)
		name := l.in[i].Name
		l.excluded[name] = append(l.excluded[name], about(r.Errors, name)...)
		l.in = slices.Delete(slices.Clone(l.in), i, i+1)
	}
}

// mostTries bounds how many subgraphs are tried without at each step.
const mostTries = 16

// culprit picks who has to go: of the suspects the first without whom the others compose; without such a one the
// first suspect. So a newcomer that conflicts with two others goes, and not they, whatever its name.
func (l *largest) culprit(errs []Error) int {
	suspects := l.suspects(errs)
	if len(suspects) > 1 {
		for _, i := range suspects[:min(mostTries, len(suspects))] {
			if without := slices.Delete(slices.Clone(l.in), i, i+1); len(l.composer.compose(without).Errors) == 0 {
				return i
			}
		}
	}
	return suspects[0]
}

// suspects are those who may have to go: rather ones that the errors name than others, rather new than known; the
// latest first.
func (l *largest) suspects(errs []Error) []int {
	var best []int
	score := -1
	for i, s := range l.in {
		points := 0
		if named(errs, s.Name) {
			points++
		}
		if !slices.Contains(l.previous, s.Name) {
			points += 2
		}
		switch {
		case points > score:
			best, score = []int{i}, points
		case points == score:
			best = append(best, i)
		}
	}
	slices.Reverse(best)
	return best
}

func named(errs []Error, name string) bool {
	return slices.ContainsFunc(errs, func(e Error) bool { return slices.Contains(e.Subgraphs, name) })
}

// about picks the errors that name a subgraph; all if none does.
func about(errs []Error, name string) []Error {
	var out []Error
	for _, e := range errs {
		if slices.Contains(e.Subgraphs, name) {
			out = append(out, e)
		}
	}
	if out == nil {
		return errs
	}
	return out
}

// widen takes back what was left out before the true reason went as well.
func (l *largest) widen(r *Result) *Result {
	for again := true; again; {
		again = false
		for _, s := range l.all {
			if _, out := l.excluded[s.Name]; !out || l.wrong[s.Name] || l.has(s.Name) {
				continue
			}
			wider := l.composer.compose(l.with(s))
			if len(wider.Errors) > 0 {
				l.excluded[s.Name] = about(wider.Errors, s.Name)
				continue
			}
			r, l.in, again = wider, l.with(s), true
			delete(l.excluded, s.Name)
		}
	}
	return r
}

func (l *largest) has(name string) bool {
	return slices.ContainsFunc(l.in, func(s Subgraph) bool { return s.Name == name })
}

// with returns the chosen subgraphs and one more, in the order in which they were given.
func (l *largest) with(s Subgraph) []Subgraph {
	var out []Subgraph
	seen := map[string]bool{}
	for _, o := range l.all {
		if !seen[o.Name] && (o.Name == s.Name || l.has(o.Name)) {
			out = append(out, o)
			seen[o.Name] = true
		}
	}
	return out
}

// String lists the errors, one a line; "" if there are none.
func (r *Result) String() string {
	lines := make([]string, len(r.Errors))
	for i, e := range r.Errors {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}
