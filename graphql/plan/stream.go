package plan

import (
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// stream says how a field's list is delivered in parts; nil if as a whole. Lists that deferred fragments stand in are
// not: the fragments would come before what they stand on. Nor are lists inside deferred fragments.
func (s *shaper) stream(e *graph.Entry, t *ast.Type) *Stream {
	if s.norm.Defer == nil || s.block != 0 || t.Elem == nil || e.Field == nil || defers(e.Sub) {
		return nil
	}
	d := e.Field.Directives.ForName("stream")
	if d == nil || !s.norm.Holds(d) {
		return nil
	}
	out := &Stream{}
	if a := d.Arguments.ForName("label"); a != nil && a.Value != nil && a.Value.Kind != ast.NullValue {
		out.Label = a.Value.Raw
	}
	if a := d.Arguments.ForName("initialCount"); a != nil && a.Value != nil {
		if a.Value.Kind == ast.Variable {
			out.Variable = a.Value.Raw
		} else {
			out.Initial, _ = strconv.Atoi(a.Value.Raw)
		}
	}
	s.streams = true
	return out
}

// needWhole finds the lists of which some request has to be told all elements: nothing about them can come later.
func (e *emitter) needWhole() {
	if len(e.streamed) == 0 {
		return
	}
	e.entire = map[*slot]bool{}
	for _, r := range e.requests {
		for _, gr := range r.groups {
			if gr.givens != nil { // it may be told what is anywhere
				clear(e.streamed)
				return
			}
			if gr.entity {
				e.reps(gr)
			}
		}
	}
}

// defers reports whether a deferred fragment stands in a selection.
func defers(sel *graph.Selection) bool {
	return sel != nil && (len(sel.Deferred) > 0 ||
		slices.ContainsFunc(sel.Entries, func(e *graph.Entry) bool { return defers(e.Sub) }))
}

// incremental applies the rules of the specification's draft for @defer and @stream: labels are distinct literals,
// and only lists are streamed.
func incremental(doc *ast.QueryDocument) (errs gqlerror.List) {
	labels := map[string]bool{}
	streams := false
	fail := func(d *ast.Directive, format string, args ...any) {
		errs = append(errs, coded(gqlerror.ErrorPosf(d.Position, format, args...), CodeValidate))
	}
	visit := func(s ast.Selection) {
		for _, d := range directives(s) {
			if d.Name != "defer" && d.Name != "stream" {
				continue
			}
			if a := d.Arguments.ForName("label"); a != nil && a.Value != nil && a.Value.Kind != ast.NullValue {
				switch {
				case a.Value.Kind == ast.Variable:
					fail(d, "Argument \"@%s(label:)\" must be a static string.", d.Name)
				case labels[a.Value.Raw]:
					fail(d, "Value for arguments \"defer(label:)\" and \"stream(label:)\" must be unique across all Defer/Stream "+
						"directive usages.")
				}
				labels[a.Value.Raw] = true
			}
			streams = streams || d.Name == "stream"
			f, ok := s.(*ast.Field)
			if !ok || d.Name != "stream" {
				continue
			}
			if f.Definition != nil && f.Definition.Type.Elem == nil {
				fail(d, "Directive \"@stream\" cannot be used on non-list field %q.", f.Name)
			}
			if a := d.Arguments.ForName("initialCount"); a != nil && a.Value != nil && a.Value.Kind == ast.IntValue {
				if n, err := strconv.Atoi(a.Value.Raw); err != nil || n < 0 {
					fail(d, "Argument \"@stream(initialCount:)\" must not be negative.")
				}
			}
		}
	}
	for _, o := range doc.Operations {
		each(o.SelectionSet, visit)
	}
	for _, f := range doc.Fragments {
		each(f.SelectionSet, visit)
	}
	if !streams {
		return errs
	}
	for _, o := range doc.Operations {
		m := streamMerge{doc: doc, fail: fail}
		m.set([]ast.SelectionSet{o.SelectionSet})
	}
	return errs
}

// streamMerge finds fields that are merged, of which not all have the same @stream (SameStreamDirective of the
// specification's draft).
type streamMerge struct {
	doc   *ast.QueryDocument
	fail  func(d *ast.Directive, format string, args ...any)
	steps int
}

// mostMerged bounds the work on operations that spread fragments over and over; their size is limited elsewhere.
const mostMerged = 100_000

func (m *streamMerge) set(sets []ast.SelectionSet) {
	fields := map[string][]*ast.Field{}
	var order []string
	seen := map[string]bool{}
	var gather func(ast.SelectionSet)
	gather = func(set ast.SelectionSet) {
		for _, s := range set {
			if m.steps++; m.steps > mostMerged {
				return
			}
			switch s := s.(type) {
			case *ast.Field:
				key := s.Alias
				if fields[key] == nil {
					order = append(order, key)
				}
				fields[key] = append(fields[key], s)
			case *ast.InlineFragment:
				gather(s.SelectionSet)
			case *ast.FragmentSpread:
				if def := m.doc.Fragments.ForName(s.Name); def != nil && !seen[s.Name] {
					seen[s.Name] = true
					gather(def.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		gather(set)
	}
	for _, key := range order {
		var below []ast.SelectionSet
		for _, f := range fields[key] {
			m.compare(fields[key][0], f)
			if len(f.SelectionSet) > 0 {
				below = append(below, f.SelectionSet)
			}
		}
		if below != nil && m.steps <= mostMerged {
			m.set(below)
		}
	}
}

func (m *streamMerge) compare(a, b *ast.Field) {
	x, y := a.Directives.ForName("stream"), b.Directives.ForName("stream")
	if a == b || x == nil && y == nil {
		return
	}
	if x == nil || y == nil || !sameArguments(x, y) {
		at := y
		if at == nil {
			at = x
		}
		m.fail(at, "Fields %q conflict because they have differing stream directives. Use different aliases on the "+
			"fields to fetch both if this was intentional.", a.Alias)
	}
}

// sameArguments compares the arguments of two directives, in whatever order; a label names its own application.
func sameArguments(x, y *ast.Directive) bool {
	text := func(d *ast.Directive, name string) string {
		if a := d.Arguments.ForName(name); a != nil {
			return a.Value.String()
		}
		return ""
	}
	for _, name := range []string{"label", "if", "initialCount"} {
		if text(x, name) != text(y, name) {
			return false
		}
	}
	return true
}

// each calls visit for each selection of a set, spread fragments not followed.
func each(set ast.SelectionSet, visit func(ast.Selection)) {
	for _, s := range set {
		visit(s)
		switch s := s.(type) {
		case *ast.Field:
			each(s.SelectionSet, visit)
		case *ast.InlineFragment:
			each(s.SelectionSet, visit)
		}
	}
}
