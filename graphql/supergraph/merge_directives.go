package supergraph

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// directiveSource is the directives of an element in one subgraph.
type directiveSource struct {
	sub  *subgraph
	dirs ast.DirectiveList
}

func typeSources(t *mergedType) []directiveSource {
	var out []directiveSource
	for _, d := range t.in {
		out = append(out, directiveSource{d.sub, d.dirs})
	}
	return out
}

func fieldSources(fs []*fieldDef) []directiveSource {
	out := make([]directiveSource, len(fs))
	for i, f := range fs {
		out[i] = directiveSource{f.parent.sub, f.dirs}
	}
	return out
}

// mergedDirective reports whether applications of a directive are carried into the supergraph.
func (m *merger) mergedDirective(name string) bool {
	if spec := element(name, version{2, 99}); spec != nil {
		return spec.feature != ""
	}
	return name == "deprecated" || name == "specifiedBy" || name == "oneOf" || m.composedAs(name) != nil
}

// mergeDirectives merges the applications on one element: all different ones of repeatable directives, and one of the
// others.
func (m *merger) mergeDirectives(at string, from []directiveSource) ast.DirectiveList {
	var names []string
	for _, s := range from {
		for _, d := range s.dirs {
			if m.mergedDirective(d.Name) && !slices.Contains(names, d.Name) {
				names = append(names, d.Name)
			}
		}
	}
	var out ast.DirectiveList
	for _, n := range names {
		out = append(out, m.mergeApplications(at, n, from)...)
	}
	return out
}

// mergeSchemaDirectives merges what stands at the schemas themselves: tags, and composed directives.
func (m *merger) mergeSchemaDirectives() {
	var from []directiveSource
	for _, s := range m.subs {
		from = append(from, directiveSource{s, s.schemaDirs})
	}
	m.schemaDirs = m.mergeDirectives("schema", from)
}

func (m *merger) mergeApplications(at, name string, from []directiveSource) ast.DirectiveList {
	var all ast.DirectiveList
	for _, s := range from {
		for _, d := range s.dirs.ForNames(name) {
			if !slices.ContainsFunc(all, func(o *ast.Directive) bool { return equalArguments(o, d) }) {
				all = append(all, d)
			}
		}
	}
	m.used[name] = true
	m.applied = append(m.applied, name)
	if len(all) < 2 || m.repeatable(name) {
		return all
	}
	merged := m.combine(name, all)
	m.hint("MERGED_NON_REPEATABLE_DIRECTIVE_ARGUMENTS", at, nil,
		"directive @%s is applied to %q with different arguments", name, at)
	return ast.DirectiveList{merged}
}

func (m *merger) repeatable(name string) bool {
	if spec := element(name, version{2, 99}); spec != nil {
		return spec.repeatable
	}
	c := m.composedAs(name)
	return c != nil && c.definition.IsRepeatable
}

// combine makes one application of many.
func (m *merger) combine(name string, all ast.DirectiveList) *ast.Directive {
	switch name {
	case "requiresScopes":
		return withArgument(name, "scopes", conjunction(all, "scopes"))
	case "policy":
		return withArgument(name, "policies", conjunction(all, "policies"))
	case "cost":
		return maxOf(all, "weight")
	case "listSize":
		return combineListSize(all)
	}
	return all[0]
}

func withArgument(directive, name string, v *ast.Value) *ast.Directive {
	return &ast.Directive{Name: directive, Arguments: ast.ArgumentList{{Name: name, Value: v}}}
}

// mostAlternatives bounds the combinations of alternatives that one element may ask for.
const mostAlternatives = 4096

// conjunction makes one list of alternatives that holds when those of all applications do. Where that would be very
// many alternatives it is one that asks for everything.
func conjunction(all ast.DirectiveList, arg string) *ast.Value {
	product := [][]string{{}}
	for _, d := range all {
		var next [][]string
		alts := argList(d, arg)
		if len(product)*len(alts) > mostAlternatives {
			return listValue([][]string{everything(all, arg)})
		}
		for _, have := range product {
			for _, alt := range alts {
				set := slices.Clone(have)
				for _, c := range alt.Children {
					if !slices.Contains(set, c.Value.Raw) {
						set = append(set, c.Value.Raw)
					}
				}
				next = append(next, set)
			}
		}
		product = simplest(next)
	}
	return listValue(product)
}

// everything is all that any alternative of any application asks for.
func everything(all ast.DirectiveList, arg string) []string {
	var out []string
	for _, d := range all {
		for _, alt := range argList(d, arg) {
			for _, c := range alt.Children {
				if !slices.Contains(out, c.Value.Raw) {
					out = append(out, c.Value.Raw)
				}
			}
		}
	}
	return out
}

// simplest drops alternatives that ask for more than another does.
func simplest(alts [][]string) [][]string {
	var out [][]string
	for i, a := range alts {
		redundant := slices.ContainsFunc(alts, func(b []string) bool { return len(b) < len(a) && containsAll(a, b) })
		for _, b := range alts[:i] {
			redundant = redundant || len(b) == len(a) && containsAll(a, b)
		}
		if !redundant {
			out = append(out, a)
		}
	}
	return out
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func listValue(lists [][]string) *ast.Value {
	v := &ast.Value{Kind: ast.ListValue}
	for _, l := range lists {
		v.Children = append(v.Children, &ast.ChildValue{Value: stringsValue(l)})
	}
	return v
}

func stringsValue(l []string) *ast.Value {
	v := &ast.Value{Kind: ast.ListValue}
	for _, s := range l {
		v.Children = append(v.Children, &ast.ChildValue{Value: &ast.Value{Kind: ast.StringValue, Raw: s}})
	}
	return v
}

func number(d *ast.Directive, arg string) (int, bool) {
	n, err := strconv.Atoi(argText(d, arg))
	return n, err == nil
}

func maxOf(all ast.DirectiveList, arg string) *ast.Directive {
	best := all[0]
	for _, d := range all[1:] {
		a, ok := number(d, arg)
		if b, had := number(best, arg); ok && (!had || a > b) {
			best = d
		}
	}
	return best
}

// combineListSize takes the greatest assumed size, all arguments and fields, and asks for one argument only if all do.
func combineListSize(all ast.DirectiveList) *ast.Directive {
	out := &ast.Directive{Name: "listSize"}
	if _, ok := number(maxOf(all, "assumedSize"), "assumedSize"); ok {
		out.Arguments = append(out.Arguments, maxOf(all, "assumedSize").Arguments.ForName("assumedSize"))
	}
	for _, arg := range []string{"slicingArguments", "sizedFields"} {
		var names []string
		given := false
		for _, d := range all {
			given = given || d.Arguments.ForName(arg) != nil
			for _, v := range argList(d, arg) {
				if !slices.Contains(names, v.Raw) {
					names = append(names, v.Raw)
				}
			}
		}
		if given {
			out.Arguments = append(out.Arguments, &ast.Argument{Name: arg, Value: stringsValue(names)})
		}
	}
	one := !slices.ContainsFunc(all, func(d *ast.Directive) bool {
		return argText(d,
			"requireOneSlicingArgument") == "false"
	})
	if !one {
		out.Arguments = append(out.Arguments,
			&ast.Argument{Name: "requireOneSlicingArgument", Value: &ast.Value{Kind: ast.BooleanValue, Raw: "false"}})
	}
	return out
}

func equalArguments(a, b *ast.Directive) bool {
	if len(a.Arguments) != len(b.Arguments) {
		return false
	}
	for _, x := range a.Arguments {
		y := b.Arguments.ForName(x.Name)
		if y == nil || !equalValues(x.Value, y.Value) {
			return false
		}
	}
	return true
}

// executableDirectives keeps what clients may write in operations: directives that all subgraphs define, where all
// allow them.
func (m *merger) executableDirectives() {
	if len(m.subs) == 0 {
		return
	}
	var names []string
	for n := range m.subs[0].directives {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if d := m.executableDirective(n); d != nil && m.composedAs(n) == nil {
			m.dirs = append(m.dirs, d)
		}
	}
}

func (m *merger) executableDirective(name string) *ast.DirectiveDefinition {
	out := &ast.DirectiveDefinition{Name: strings.TrimPrefix(name, "~"), IsRepeatable: true}
	var from []*fieldDef
	var texts []string
	for i, s := range m.subs {
		d := s.directives[name]
		if d == nil {
			return nil
		}
		var locs []ast.DirectiveLocation
		for _, l := range d.Locations {
			if executable(l) && (i == 0 || slices.Contains(out.Locations, l)) {
				locs = append(locs, l)
			}
		}
		out.Locations = locs
		out.IsRepeatable = out.IsRepeatable && d.IsRepeatable
		texts = append(texts, d.Description)
		from = append(from, &fieldDef{parent: &typeDef{sub: s, name: "@" + name}, name: name, args: d.Arguments})
	}
	if len(out.Locations) == 0 {
		return nil
	}
	slices.Sort(out.Locations)
	out.Description = m.describe("@"+name, texts)
	out.Arguments = m.mergeArguments("@"+name, from)
	return out
}

func executable(l ast.DirectiveLocation) bool {
	switch l {
	case ast.LocationQuery, ast.LocationMutation, ast.LocationSubscription, ast.LocationField,
		ast.LocationFragmentDefinition,
		ast.LocationFragmentSpread, ast.LocationInlineFragment, ast.LocationVariableDefinition:
		return true
	}
	return false
}
