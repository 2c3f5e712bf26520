package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// composedDirective is a directive of the schemas' own that @composeDirective carries into the supergraph.
type composedDirective struct {
	name       string // as it stands in the supergraph
	feature    *feature
	definition *ast.DirectiveDefinition
	sub        *subgraph
}

// original is the directive's name in its specification, with @.
func (c *composedDirective) original() string {
	for _, i := range c.feature.imports {
		if i.as == "@"+c.name {
			return i.name
		}
	}
	return "@" + c.name
}

func (m *merger) composedAs(name string) *composedDirective {
	for _, c := range m.composed {
		if c.name == name {
			return c
		}
	}
	return nil
}

// composeDirectives gathers what @composeDirective names.
func (m *merger) composeDirectives() {
	for _, s := range m.subs {
		for _, d := range s.schemaDirs.ForNames("composeDirective") {
			m.compose(s, d)
		}
	}
	for _, c := range m.composed {
		for _, s := range m.subs {
			m.composedApplications(c, s)
		}
	}
}

// composedApplications checks that what a subgraph applies is right by the definition that the supergraph has, which
// may be another's.
func (m *merger) composedApplications(c *composedDirective, s *subgraph) {
	if s == c.sub || s.directives[c.name] == nil {
		return
	}
	check := func(ds ast.DirectiveList, at ast.DirectiveLocation, coordinate string) {
		for _, d := range ds.ForNames(c.name) {
			if !slices.Contains(c.definition.Locations, at) {
				m.errs = append(m.errs, s.failure(DirectiveCompositionError, d.Position, coordinate,
					"directive \"@%s\" may not be used on %s: subgraph %q defines it otherwise", c.name, at, c.sub.name))
			}
			for _, a := range d.Arguments {
				if c.definition.Arguments.ForName(a.Name) == nil {
					m.errs = append(m.errs, s.failure(DirectiveCompositionError, d.Position, coordinate,
						"unknown argument %q on directive \"@%s\": subgraph %q defines it otherwise", a.Name, c.name, c.sub.name))
				}
			}
		}
	}
	check(s.schemaDirs, ast.LocationSchema, "")
	for _, n := range s.order {
		t := s.types[n]
		check(t.dirs, ast.DirectiveLocation(locationOf(t.kind)), t.name)
		for _, v := range t.values {
			check(v.Directives, ast.LocationEnumValue, t.name+"."+v.Name)
		}
		field := ast.LocationFieldDefinition
		if t.kind == ast.InputObject {
			field = ast.LocationInputFieldDefinition
		}
		for _, f := range t.fields {
			check(f.dirs, field, f.coordinate())
			for _, a := range f.args {
				check(a.Directives, ast.LocationArgumentDefinition, f.coordinate()+"("+a.Name+":)")
			}
		}
	}
}

// locationOf is the directive location of a kind of types.
func locationOf(k ast.DefinitionKind) string {
	if k == ast.InputObject {
		return onInput
	}
	return string(k)
}

func (m *merger) compose(s *subgraph, d *ast.Directive) {
	arg := argText(d, "name")
	name, ok := strings.CutPrefix(arg, "@")
	fail := func(format string, args ...any) {
		m.errs = append(m.errs, s.failure(DirectiveCompositionError, d.Position, "", format, args...))
	}
	if !ok || name == "" {
		fail("argument to @composeDirective %q must have a leading \"@\"", arg)
		return
	}
	def := s.directives[name]
	f := s.links.featureOf(name)
	switch {
	case s.links.canonical[name] != "" || builtinDirective(name):
		if s.links.canonical[name] == "tag" || s.links.canonical[name] == "inaccessible" {
			m.hint("DIRECTIVE_COMPOSITION_INFO", "@"+name, []*subgraph{s},
				"directive %q should not be explicitly manually composed since it is a federation directive composed by default",
				"@"+name)
			return
		}
		if s.links.canonical[name] == "" {
			fail("directive %q in subgraph %q cannot be composed because it is not a member of a core feature", "@"+name,
				s.name)
			return
		}
		fail("composing federation directive %q in subgraph %q is not supported", "@"+name, s.name)
	case def == nil:
		fail("could not find matching directive definition for argument to @composeDirective %q in subgraph %q", "@"+name,
			s.name)
	case f == nil:
		fail("directive %q in subgraph %q cannot be composed because it is not a member of a core feature", "@"+name, s.name)
	default:
		m.takeComposed(&composedDirective{name: name, feature: f, definition: def, sub: s}, fail)
	}
}

func (m *merger) takeComposed(c *composedDirective, fail func(string, ...any)) {
	for _, o := range m.composed {
		switch {
		case o.feature.identity == c.feature.identity && o.feature.version.major != c.feature.version.major:
			fail("core feature %q requested to be merged has major version mismatch across subgraphs", c.feature.identity)
			return
		case o.feature.identity == c.feature.identity && o.name != c.name && o.original() == c.original():
			fail("directive %q of core feature %q is composed as %q in subgraph %q and as %q in subgraph %q: it has one name",
				o.original(), c.feature.identity, "@"+o.name, o.sub.name, "@"+c.name, c.sub.name)
			return
		case o.name == c.name && o.feature.identity != c.feature.identity:
			fail("directive %q in subgraph %q does not have the same core feature identity as in subgraph %q", "@"+c.name,
				c.sub.name, o.sub.name)
			return
		}
	}
	for i, o := range m.composed {
		if o.name == c.name {
			if !c.feature.version.less(o.feature.version) {
				m.composed[i] = c
			}
			return
		}
	}
	m.composed = append(m.composed, c)
}

// featureOf finds the linked feature that a directive belongs to; nil if none.
func (l *links) featureOf(name string) *feature {
	for _, f := range l.features {
		if f.identity == federation {
			continue
		}
		for _, i := range f.imports {
			if i.as == "@"+name {
				return f
			}
		}
		if name == f.as || strings.HasPrefix(name, f.as+"__") {
			return f
		}
	}
	return nil
}
