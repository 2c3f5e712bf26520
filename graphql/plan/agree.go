package plan

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// Several subgraphs may resolve a field of a union or an interface, and know other members of it:
//
//	# a                                      # b
//	union Media = Book | Song                union Media = Book | Movie
//	type Query { media: Media @shareable }   type Query { media: Media @shareable }
//
// Which one is asked is the planner's affair, so that nothing may be fetched that only some of them can return: for a
// Song, `{ media { ... on Song { title } } }` answers null for the title, whether a is asked or b (decision 0051).

// alternatives are the types that each of the options may return in a slot's field; nil if that makes no difference.
func (b *pricer) alternatives(sl *slot, class graph.TypeSet, opts []option) []graph.TypeSet {
	if sl.child == nil || len(opts) < 2 || !b.abstract(sl) {
		return nil
	}
	var out []graph.TypeSet
	for i, o := range opts {
		types := b.returns(sl, class, o.sub)
		if types.Empty() || slices.ContainsFunc(opts[:i], func(p option) bool { return p.sub == o.sub }) {
			continue
		}
		out = append(out, types)
	}
	return differing(out)
}

// differing is a list of sets of types, or nil if all of them are equal.
func differing(sets []graph.TypeSet) []graph.TypeSet {
	if slices.ContainsFunc(sets, func(t graph.TypeSet) bool { return !t.Equal(sets[0]) }) {
		return sets
	}
	return nil
}

// agreed reports whether an entry of a selection may be fetched: every alternative has some of its types, or the client
// asks for it of whatever object is there.
func agreed(e *graph.Entry, sel *graph.Selection, alternatives []graph.TypeSet) bool {
	if e.Name == graph.TypeName ||
		!slices.ContainsFunc(alternatives, func(t graph.TypeSet) bool { return !t.Overlaps(e.On) }) {
		return true
	}
	return slices.ContainsFunc(sel.Entries, func(o *graph.Entry) bool {
		return o.Key == e.Key && o.Name == e.Name && o.Field != nil && o.Field.ObjectDefinition != nil &&
			o.Field.ObjectDefinition.Kind == ast.Interface
	})
}

// resolvers are the alternatives of a field as far as its definition tells, wherever its object comes from.
func (b *pricer) resolvers(f *graph.Field) []graph.TypeSet {
	if !f.Named.Abstract() {
		return nil
	}
	var out []graph.TypeSet
	for s, in := range f.In.All() {
		if !b.usable(in) || in.External {
			continue
		}
		if types, _ := possibleIn(in.Named, s); !types.Empty() {
			out = append(out, types)
		}
	}
	return differing(out)
}
