package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// checkDirectives checks the applications on one element.
func (l *loader) checkDirectives(ds ast.DirectiveList, at, coordinate string) {
	if len(ds) == 0 {
		return
	}
	for _, d := range ds {
		l.checkDirective(d, at, coordinate)
	}
	l.checkOnce(ds, coordinate)
}

func (l *loader) checkOnce(ds ast.DirectiveList, coordinate string) {
	for i, d := range ds {
		if l.repeatable(d.Name) || ds[:i].ForName(d.Name) == nil {
			continue
		}
		l.fail(InvalidGraphQL, d.Position, coordinate, "the directive @%s can only be used once at this location",
			l.s.spelled(d.Name))
	}
}

func (l *loader) repeatable(name string) bool {
	if spec := l.spec(name); spec != nil {
		if def := l.doc.Directives.ForName(l.s.spelled(name)); def != nil && l.s.federated() {
			return def.IsRepeatable
		}
		return spec.repeatable && (name != "shareable" || !l.s.federated() || !l.s.version.less(version{2, 2}))
	}
	if def := l.s.directives[name]; def != nil {
		return def.IsRepeatable
	}
	return name == "link" || !builtinDirective(name)
}

// spec returns the specification of a directive that the schema may use; nil if it is not one of federation's.
func (l *loader) spec(name string) *directiveSpec {
	for _, c := range l.s.links.canonical {
		if c == name {
			return element(name, version{2, 99})
		}
	}
	return nil
}

// spelled is how the schema spells a directive, without @.
func (s *subgraph) spelled(canonical string) string {
	for local, c := range s.links.canonical {
		if c == canonical {
			return local
		}
	}
	return strings.TrimPrefix(canonical, "~")
}

func (l *loader) checkDirective(d *ast.Directive, at, coordinate string) {
	if d.Name == "link" || d.Name == "core" {
		return
	}
	if spec := l.spec(d.Name); spec != nil {
		l.checkSpec(d, spec, at, coordinate)
		return
	}
	def := l.s.directives[d.Name]
	if def == nil {
		def = builtinDefinition(d.Name)
	}
	if def == nil {
		l.unknownDirective(d, coordinate)
		return
	}
	if !slices.Contains(def.Locations, ast.DirectiveLocation(at)) {
		l.fail(InvalidGraphQL, d.Position, coordinate, "directive @%s may not be used on %s",
			strings.TrimPrefix(d.Name, "~"), at)
	}
	l.checkArguments(d, def.Arguments, coordinate)
}

func (l *loader) unknownDirective(d *ast.Directive, coordinate string) {
	name := strings.TrimPrefix(d.Name, "~")
	switch {
	case !known(name):
		l.fail(InvalidGraphQL, d.Position, coordinate, "unknown directive @%s", name)
	case l.s.federated():
		l.fail(InvalidGraphQL, d.Position, coordinate,
			"unknown directive @%s: if federation's is meant, use @federation__%s, or add @%s to the import argument of "+
				"the @link to the federation specification", name, name, name)
	default:
		l.fail(InvalidGraphQL, d.Position, coordinate,
			"unknown directive @%s: if federation's is meant, note that this is a Federation 1 schema, as it has no @link "+
				"to the federation specification v2", name)
	}
}

func (l *loader) checkSpec(d *ast.Directive, spec *directiveSpec, at, coordinate string) {
	allowed := slices.Contains(spec.on, at)
	if !allowed && d.Name != "extends" {
		l.fail(InvalidGraphQL, d.Position, coordinate, "directive @%s may not be used on %s", l.s.spelled(d.Name), at)
		return
	}
	args := make(ast.ArgumentDefinitionList, 0, len(spec.args))
	for _, a := range spec.args {
		if l.s.federated() && l.s.version.less(a.since) {
			continue
		}
		def := &ast.ArgumentDefinition{Name: a.name, Type: typeOf(a.typ)}
		if a.any {
			def.Type.NamedType = anyValue
		}
		args = append(args, def)
	}
	l.checkArguments(d, args, coordinate)
}

// anyValue is the type of an argument whose value is checked by a rule of its own.
const anyValue = "_Any"

// typeOf reads a type of the table of directives.
func typeOf(s string) *ast.Type {
	if inner, ok := strings.CutSuffix(s, "!"); ok {
		t := typeOf(inner)
		t.NonNull = true
		return t
	}
	if strings.HasPrefix(s, "[") {
		return ast.ListType(typeOf(s[1:len(s)-1]), nil)
	}
	return ast.NamedType(s, nil)
}

func (l *loader) checkArguments(d *ast.Directive, defs ast.ArgumentDefinitionList, coordinate string) {
	name := l.s.spelled(d.Name)
	for _, a := range d.Arguments {
		def := defs.ForName(a.Name)
		if def == nil {
			l.fail(InvalidGraphQL, d.Position, coordinate, "unknown argument %q on directive @%s", a.Name, name)
			continue
		}
		if a.Value != nil && def.Type.NamedType != anyValue && !l.s.coerces(a.Value, def.Type) {
			l.fail(InvalidGraphQL, d.Position, coordinate,
				"invalid value for @%s(%s:) of type %s in application of @%s to %q", name, a.Name, def.Type.String(), name,
				coordinate)
		}
	}
	for _, def := range defs {
		if def.Type.NonNull && def.DefaultValue == nil && d.Arguments.ForName(def.Name) == nil {
			l.fail(InvalidGraphQL, d.Position, coordinate,
				"directive @%s argument %q of type %q is required, but it was not provided", name, def.Name, def.Type.String())
		}
	}
}

// builtinDefinition returns the definition of a directive that GraphQL defines for schemas; nil if there is none.
func builtinDefinition(name string) *ast.DirectiveDefinition {
	text := map[string]string{
		"deprecated":  `directive @deprecated(reason: String = "") on FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE`,
		"specifiedBy": `directive @specifiedBy(url: String!) on SCALAR`,
		"oneOf":       `directive @oneOf on INPUT_OBJECT`,
	}[name]
	if text == "" {
		return nil
	}
	doc, err := parser.ParseSchema(&ast.Source{Input: text})
	if err != nil {
		return nil
	}
	return doc.Directives[0]
}

func (l *loader) checkDirectiveDefinitions() {
	names := make([]string, 0, len(l.s.directives))
	for n := range l.s.directives {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		d := l.s.directives[n]
		l.checkName(d.Name, d.Position, "@"+d.Name)
		for _, a := range d.Arguments {
			c := "@" + d.Name + "(" + a.Name + ":)"
			l.checkInput(a.Type, a.DefaultValue, a.Position, c)
			l.checkDirectives(a.Directives, onArgument, c)
			if from := a.Directives.ForName("fromContext"); from != nil {
				l.later(ContextNotSet, from.Position, c, "@fromContext argument cannot be used on a directive definition: %q", c)
			}
		}
	}
}
