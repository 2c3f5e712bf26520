package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// check holds a schema against the rules of GraphQL itself.
func (l *loader) check() {
	for _, n := range l.s.order {
		t := l.s.types[n]
		l.checkName(t.name, t.pos, t.name)
		l.checkType(t)
	}
	l.checkDirectiveDefinitions()
	for _, d := range l.s.schemaDirs {
		l.checkDirective(d, onSchema, "schema")
	}
	l.checkOnce(l.s.schemaDirs, "schema")
}

func (l *loader) checkName(name string, at *ast.Position, coordinate string) {
	if strings.HasPrefix(name, "__") {
		l.fail(InvalidGraphQL, at, coordinate,
			"name %q must not begin with \"__\", which is reserved by GraphQL introspection", name)
	}
}

func (l *loader) checkType(t *typeDef) {
	l.checkDirectives(t.dirs, location(t.kind), t.name)
	switch t.kind {
	case ast.Object, ast.Interface, ast.InputObject:
		l.checkFields(t)
	case ast.Union:
		l.checkUnion(t)
	case ast.Enum:
		l.checkEnum(t)
	}
	if t.kind == ast.Object || t.kind == ast.Interface {
		l.checkInterfaces(t)
	}
}

func location(k ast.DefinitionKind) string { return string(k) }

func (l *loader) checkFields(t *typeDef) {
	if len(t.fields) == 0 && t.name != "Query" {
		l.fail(InvalidGraphQL, t.pos, t.name, "type %s must define one or more fields", t.name)
	}
	for _, f := range t.fields {
		l.checkName(f.name, f.pos, f.coordinate())
		at := onField
		if t.kind == ast.InputObject {
			at = onInputField
			l.checkInput(f.typ, f.defaultValue, f.pos, f.coordinate())
			l.checkDeprecated("input field", f.typ, f.defaultValue, f.dirs, f.pos, f.coordinate())
		} else {
			l.checkOutput(f)
		}
		l.checkDirectives(f.dirs, at, f.coordinate())
		for _, a := range f.args {
			c := f.coordinate() + "(" + a.Name + ":)"
			l.checkName(a.Name, a.Position, c)
			l.checkInput(a.Type, a.DefaultValue, a.Position, c)
			l.checkDeprecated("argument", a.Type, a.DefaultValue, a.Directives, a.Position, c)
			l.checkDirectives(a.Directives, onArgument, c)
		}
	}
	if t.kind == ast.InputObject {
		l.checkCircle(t)
	}
}

// kindOf returns the kind of a named type; "" if the schema has none of that name.
func (s *subgraph) kindOf(name string) ast.DefinitionKind {
	if t := s.types[name]; t != nil {
		return t.kind
	}
	if builtinScalar(name) || s.links.machinery(name) {
		return ast.Scalar
	}
	return ""
}

func (l *loader) checkOutput(f *fieldDef) {
	switch l.s.kindOf(f.typ.Name()) {
	case "":
		l.fail(InvalidGraphQL, f.pos, f.coordinate(), "unknown type %s", f.typ.Name())
	case ast.InputObject:
		l.fail(InvalidGraphQL, f.pos, f.coordinate(), "the type of %q must be an output type but is the input object %q",
			f.coordinate(), f.typ.String())
	}
}

// checkDeprecated: what has to be given cannot be deprecated (GraphQL §3.13.3).
func (l *loader) checkDeprecated(what string, t *ast.Type, def *ast.Value, dirs ast.DirectiveList, at *ast.Position,
	coordinate string) {
	if t.NonNull && def == nil && dirs.ForName("deprecated") != nil {
		l.fail(InvalidGraphQL, at, coordinate, "required %s %s cannot be deprecated", what, coordinate)
	}
}

func (l *loader) checkInput(t *ast.Type, def *ast.Value, at *ast.Position, coordinate string) {
	switch l.s.kindOf(t.Name()) {
	case "":
		l.fail(InvalidGraphQL, at, coordinate, "unknown type %s", t.Name())
	case ast.Object, ast.Interface, ast.Union:
		l.fail(InvalidGraphQL, at, coordinate, "the type of %q must be an input type but is %q", coordinate, t.String())
	default:
		if def == nil {
			return
		}
		if !l.s.coerces(def, t) {
			l.fail(InvalidGraphQL, at, coordinate, "invalid default value %s for %s of type %s", def.String(), coordinate,
				t.String())
			return
		}
		l.s.unquote(def, t)
	}
}

// coerces reports whether a constant is a value of the type.
func (s *subgraph) coerces(v *ast.Value, t *ast.Type) bool {
	if v.Kind == ast.NullValue {
		return !t.NonNull
	}
	if t.Elem != nil {
		if v.Kind != ast.ListValue {
			return s.coerces(v, t.Elem)
		}
		return !slices.ContainsFunc(v.Children, func(c *ast.ChildValue) bool { return !s.coerces(c.Value, t.Elem) })
	}
	if d := s.types[t.NamedType]; d != nil {
		return s.coercesNamed(v, d)
	}
	return coercesScalar(v, t.NamedType)
}

// unquote makes names of the strings that stand in a constant for enum values, as some servers print them.
func (s *subgraph) unquote(v *ast.Value, t *ast.Type) {
	d := s.types[t.Name()]
	if d == nil {
		return
	}
	switch {
	case d.kind == ast.Enum && v.Kind == ast.StringValue:
		v.Kind = ast.EnumValue
	case v.Kind == ast.ListValue:
		for _, c := range v.Children {
			s.unquote(c.Value, t)
		}
	case v.Kind == ast.ObjectValue && d.kind == ast.InputObject:
		for _, c := range v.Children {
			s.unquote(c.Value, d.byName[c.Name].typ)
		}
	}
}

func (s *subgraph) coercesNamed(v *ast.Value, d *typeDef) bool {
	switch d.kind {
	case ast.Enum:
		if v.Kind != ast.EnumValue && v.Kind != ast.StringValue {
			return false
		}
		return slices.ContainsFunc(d.values, func(e *ast.EnumValueDefinition) bool { return e.Name == v.Raw })
	case ast.InputObject:
		return v.Kind == ast.ObjectValue && s.coercesObject(v, d)
	}
	return true
}

func (s *subgraph) coercesObject(v *ast.Value, d *typeDef) bool {
	for _, c := range v.Children {
		f := d.byName[c.Name]
		if f == nil || !s.coerces(c.Value, f.typ) {
			return false
		}
	}
	// a field that is required may be missing, as in Apollo's composer: whoever leaves the argument out learns it from
	// the subgraph
	return true
}

func coercesScalar(v *ast.Value, name string) bool {
	text := v.Kind == ast.StringValue || v.Kind == ast.BlockValue
	switch name {
	case "Int":
		return v.Kind == ast.IntValue
	case "Float":
		return v.Kind == ast.IntValue || v.Kind == ast.FloatValue
	case "String":
		return text
	case "Boolean":
		return v.Kind == ast.BooleanValue
	case "ID":
		return text || v.Kind == ast.IntValue
	}
	return true
}

func (l *loader) checkUnion(t *typeDef) {
	if len(t.members) == 0 {
		l.fail(InvalidGraphQL, t.pos, t.name, "union type %s must define one or more member types", t.name)
	}
	for _, n := range t.members {
		switch l.s.kindOf(n) {
		case ast.Object:
		case "":
			l.fail(InvalidGraphQL, t.pos, t.name, "unknown type %s", n)
		default:
			l.fail(InvalidGraphQL, t.pos, t.name, "cannot add type %s, which is no object type, as member of union type %s",
				n, t.name)
		}
	}
}

func (l *loader) checkEnum(t *typeDef) {
	if len(t.values) == 0 {
		l.fail(InvalidGraphQL, t.pos, t.name, "enum type %s must define one or more values", t.name)
	}
	for _, v := range t.values {
		at := t.name + "." + v.Name
		l.checkName(v.Name, v.Position, at)
		if v.Name == "true" || v.Name == "false" || v.Name == "null" {
			l.fail(InvalidGraphQL, v.Position, at, "enum type %s cannot include the value %s", t.name, v.Name)
		}
		l.checkDirectives(v.Directives, onEnumValue, at)
	}
}

// checkCircle finds input objects that need themselves.
func (l *loader) checkCircle(t *typeDef) {
	seen := map[string]bool{}
	var needs func(d *typeDef) bool
	needs = func(d *typeDef) bool {
		for _, f := range d.fields {
			next := l.s.types[f.typ.Name()]
			if f.typ.Elem != nil || !f.typ.NonNull || next == nil || next.kind != ast.InputObject {
				continue
			}
			if next == t {
				return true
			}
			if !seen[next.name] {
				seen[next.name] = true
				if needs(next) {
					return true
				}
			}
		}
		return false
	}
	if needs(t) {
		l.fail(InvalidGraphQL, t.pos, t.name, "input object %q references itself through a series of non-null fields", t.name)
	}
}
