package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/plan/graph/literal"
)

// Introspection answers a `__schema` or `__type` field from the API schema.
type Introspection struct {
	json     []byte // the answer, if it depends on no variable and is not large
	tooLarge bool   // for largestIntrospection

	schema *ast.Schema
	frags  ast.FragmentDefinitionList
	fields []*ast.Field // those of one response key
	norm   *graph.Normaliser
}

// Append appends the field's value as JSON to dst. The function returns the JSON of a client variable, or nil if it
// has no value.
func (i *Introspection) Append(dst []byte, variable func(name string) []byte) []byte {
	if i.json != nil {
		return append(dst, i.json...)
	}
	dst, _ = i.answer(dst, variable)
	return dst
}

// answer appends the answer. One that is too long ends early, with nulls for what is left.
func (i *Introspection) answer(dst []byte, variable func(string) []byte) (out []byte, complete bool) {
	in := introspector{
		schema:    i.schema,
		frags:     i.frags,
		included:  i.norm.Included,
		variable:  variable,
		most:      len(dst) + largestIntrospection,
		collected: map[spot][]*keyed{},
	}
	var sets []ast.SelectionSet
	for _, f := range i.fields {
		sets = append(sets, f.SelectionSet)
	}
	f := i.fields[0]
	if f.Name == "__schema" {
		dst = in.object(dst, "__Schema", sets, in.theSchema)
		return dst, !in.full
	}
	name, _ := in.text(f, "name")
	dst = in.namedType(dst, i.schema.Types[name], sets)
	return dst, !in.full
}

// introspection makes the answer of a root field of an operation.
func (e *emitter) introspection(en *graph.Entry) *Introspection {
	i := &Introspection{schema: e.g.Schema, frags: e.op.Document.Fragments, norm: e.norm}
	var depends bool
	i.fields = e.sameKey(e.op.Definition.SelectionSet, en.Key, nil)
	for _, f := range i.fields {
		depends = depends || usesVariables(f.Arguments)
		walk(e.op.Document, f.SelectionSet, func(s ast.Selection) {
			if f, ok := s.(*ast.Field); ok {
				depends = depends || usesVariables(f.Arguments)
			}
		})
	}
	if !depends {
		var complete bool
		i.json, complete = i.answer([]byte{}, func(string) []byte { return nil })
		i.tooLarge = !complete
	}
	return i
}

func usesVariables(args ast.ArgumentList) bool {
	_, vars := literal.Arguments(args)
	return len(vars) > 0
}

// sameKey gathers the fields of one response key.
func (e *emitter) sameKey(set ast.SelectionSet, key string, out []*ast.Field) []*ast.Field {
	for _, s := range set {
		if !e.norm.Included(directives(s)) {
			continue
		}
		switch s := s.(type) {
		case *ast.Field:
			if responseKey(s) == key {
				out = append(out, s)
			}
		case *ast.InlineFragment:
			out = e.sameKey(s.SelectionSet, key, out)
		case *ast.FragmentSpread:
			if def := e.op.Document.Fragments.ForName(s.Name); def != nil {
				out = e.sameKey(def.SelectionSet, key, out)
			}
		}
	}
	return out
}

func responseKey(f *ast.Field) string {
	if f.Alias != "" {
		return f.Alias
	}
	return f.Name
}

// introspector evaluates selections on the introspection types.
type introspector struct {
	schema   *ast.Schema
	frags    ast.FragmentDefinitionList
	included func(ast.DirectiveList) bool
	variable func(string) []byte
	most     int // length of the output
	full     bool

	collected map[spot][]*keyed
}

// spot is where an object of introspection stands: what is selected there, and its type.
type spot struct {
	sets *ast.SelectionSet // the first of them
	typ  string
}

// resolve appends the value of a field; sets are what is selected below it.
type resolve func(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte

type keyed struct {
	key  string
	f    *ast.Field
	sets []ast.SelectionSet
}

// gather visits the fields that are selected of a type.
func (in *introspector) gather(sets []ast.SelectionSet, typ string, visit func(*ast.Field)) {
	for _, set := range sets {
		for _, s := range set {
			if !in.included(directives(s)) {
				continue
			}
			switch s := s.(type) {
			case *ast.Field:
				visit(s)
			case *ast.InlineFragment:
				if s.TypeCondition == "" || s.TypeCondition == typ {
					in.gather([]ast.SelectionSet{s.SelectionSet}, typ, visit)
				}
			case *ast.FragmentSpread:
				if def := in.frags.ForName(s.Name); def != nil && def.TypeCondition == typ {
					in.gather([]ast.SelectionSet{def.SelectionSet}, typ, visit)
				}
			}
		}
	}
}

// collect gathers the selections of a type by response key. Objects of one type and place have the same.
func (in *introspector) collect(sets []ast.SelectionSet, typ string) []*keyed {
	at := spot{&sets[0], typ}
	if out, ok := in.collected[at]; ok {
		return out
	}
	var out []*keyed
	byKey := map[string]*keyed{}
	in.gather(sets, typ, func(f *ast.Field) {
		k := byKey[responseKey(f)]
		if k == nil {
			k = &keyed{key: responseKey(f), f: f}
			byKey[k.key] = k
			out = append(out, k)
		}
		k.sets = append(k.sets, f.SelectionSet)
	})
	in.collected[at] = out
	return out
}

func (in *introspector) object(dst []byte, typ string, sets []ast.SelectionSet, r resolve) []byte {
	if in.full = in.full || len(dst) > in.most; in.full {
		return null(dst)
	}
	dst = append(dst, '{')
	for i, k := range in.collect(sets, typ) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(literal.AppendString(dst, k.key), ':')
		if k.f.Name == graph.TypeName {
			dst = literal.AppendString(dst, typ)
			continue
		}
		dst = r(dst, k.f, k.sets)
	}
	return append(dst, '}')
}

// list appends n elements.
func list(dst []byte, n int, each func(dst []byte, i int) []byte) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = each(dst, i)
	}
	return append(dst, ']')
}

func null(dst []byte) []byte { return append(dst, "null"...) }

func optional(dst []byte, s string) []byte {
	if s == "" {
		return null(dst)
	}
	return literal.AppendString(dst, s)
}

// text is a string argument.
func (in *introspector) text(f *ast.Field, name string) (string, bool) {
	a := f.Arguments.ForName(name)
	switch {
	case a == nil || a.Value == nil || a.Value.Kind == ast.NullValue:
		return "", false
	case a.Value.Kind != ast.Variable:
		return a.Value.Raw, true
	}
	v := in.variable(a.Value.Raw)
	if s, err := strconv.Unquote(string(v)); err == nil {
		return s, true
	}
	return string(v), len(v) > 0 && string(v) != "null"
}

// deprecated reports whether the field is asked for deprecated elements, too.
func (in *introspector) deprecated(f *ast.Field) bool {
	s, _ := in.text(f, "includeDeprecated")
	return s == "true"
}

func (in *introspector) theSchema(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte {
	s := in.schema
	switch f.Name {
	case "description":
		return optional(dst, s.Description)
	case "types":
		names := make([]string, 0, len(s.Types))
		for n := range s.Types {
			names = append(names, n)
		}
		slices.Sort(names)
		return list(dst, len(names), func(dst []byte, i int) []byte { return in.namedType(dst, s.Types[names[i]], sets) })
	case "queryType":
		return in.namedType(dst, s.Query, sets)
	case "mutationType":
		return in.namedType(dst, s.Mutation, sets)
	case "subscriptionType":
		return in.namedType(dst, s.Subscription, sets)
	case "directives":
		names := make([]string, 0, len(s.Directives))
		for n := range s.Directives {
			names = append(names, n)
		}
		slices.Sort(names)
		return list(dst, len(names), func(dst []byte,
			i int) []byte {
			return in.directive(dst, s.Directives[names[i]], sets)
		})
	}
	return null(dst)
}

func (in *introspector) directive(dst []byte, d *ast.DirectiveDefinition, sets []ast.SelectionSet) []byte {
	return in.object(dst, "__Directive", sets, func(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte {
		switch f.Name {
		case "name":
			return literal.AppendString(dst, d.Name)
		case "description":
			return optional(dst, d.Description)
		case "isRepeatable":
			return strconv.AppendBool(dst, d.IsRepeatable)
		case "locations":
			return list(dst, len(d.Locations), func(dst []byte,
				i int) []byte {
				return literal.AppendString(dst, string(d.Locations[i]))
			})
		case "args":
			return in.arguments(dst, d.Arguments, in.deprecated(f), sets)
		}
		return null(dst)
	})
}

// namedType appends a named type, or null.
func (in *introspector) namedType(dst []byte, d *ast.Definition, sets []ast.SelectionSet) []byte {
	if d == nil {
		return null(dst)
	}
	return in.object(dst, "__Type", sets, func(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte {
		return in.typeField(dst, d, f, sets)
	})
}

func (in *introspector) typeField(dst []byte, d *ast.Definition, f *ast.Field, sets []ast.SelectionSet) []byte {
	switch f.Name {
	case "kind":
		return literal.AppendString(dst, string(d.Kind))
	case "name":
		return literal.AppendString(dst, d.Name)
	case "description":
		return optional(dst, d.Description)
	case "specifiedByURL":
		return optional(dst, directiveText(d.Directives, "specifiedBy", "url"))
	case "isOneOf":
		if d.Kind != ast.InputObject {
			return null(dst)
		}
		return strconv.AppendBool(dst, d.Directives.ForName("oneOf") != nil)
	case "fields":
		if d.Kind != ast.Object && d.Kind != ast.Interface {
			return null(dst)
		}
		fs := slices.DeleteFunc(slices.Clone(d.Fields), func(fd *ast.FieldDefinition) bool {
			return strings.HasPrefix(fd.Name, "__") || isDeprecated(fd.Directives) && !in.deprecated(f)
		})
		return list(dst, len(fs), func(dst []byte, i int) []byte { return in.field(dst, fs[i], sets) })
	case "inputFields":
		if d.Kind != ast.InputObject {
			return null(dst)
		}
		var args ast.ArgumentDefinitionList
		for _, fd := range d.Fields {
			args = append(args, &ast.ArgumentDefinition{
				Name: fd.Name, Description: fd.Description, Type: fd.Type, DefaultValue: fd.DefaultValue, Directives: fd.Directives,
			})
		}
		return in.arguments(dst, args, in.deprecated(f), sets)
	case "interfaces":
		if d.Kind != ast.Object && d.Kind != ast.Interface {
			return null(dst)
		}
		return list(dst, len(d.Interfaces), func(dst []byte,
			i int) []byte {
			return in.namedType(dst, in.schema.Types[d.Interfaces[i]], sets)
		})
	case "possibleTypes":
		return in.possibleTypes(dst, d, sets)
	case "enumValues":
		if d.Kind != ast.Enum {
			return null(dst)
		}
		vs := slices.DeleteFunc(slices.Clone(d.EnumValues),
			func(v *ast.EnumValueDefinition) bool { return isDeprecated(v.Directives) && !in.deprecated(f) })
		return list(dst, len(vs), func(dst []byte, i int) []byte {
			return in.enumValue(dst, vs[i], sets)
		})
	}
	return null(dst)
}

func (in *introspector) possibleTypes(dst []byte, d *ast.Definition, sets []ast.SelectionSet) []byte {
	if d.Kind != ast.Interface && d.Kind != ast.Union {
		return null(dst)
	}
	var names []string
	for _, p := range in.schema.PossibleTypes[d.Name] {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return list(dst, len(names), func(dst []byte,
		i int) []byte {
		return in.namedType(dst, in.schema.Types[names[i]], sets)
	})
}

func (in *introspector) enumValue(dst []byte, v *ast.EnumValueDefinition, sets []ast.SelectionSet) []byte {
	return in.object(dst, "__EnumValue", sets, func(dst []byte, f *ast.Field, _ []ast.SelectionSet) []byte {
		return in.element(dst, f.Name, v.Name, v.Description, v.Directives)
	})
}

// element answers what all elements that can be deprecated have.
func (*introspector) element(dst []byte, field, name, description string, ds ast.DirectiveList) []byte {
	switch field {
	case "name":
		return literal.AppendString(dst, name)
	case "description":
		return optional(dst, description)
	case "isDeprecated":
		return strconv.AppendBool(dst, isDeprecated(ds))
	case "deprecationReason":
		return optional(dst, deprecation(ds))
	}
	return null(dst)
}

func (in *introspector) field(dst []byte, fd *ast.FieldDefinition, sets []ast.SelectionSet) []byte {
	return in.object(dst, "__Field", sets, func(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte {
		switch f.Name {
		case "args":
			return in.arguments(dst, fd.Arguments, in.deprecated(f), sets)
		case "type":
			return in.typeRef(dst, fd.Type, sets)
		}
		return in.element(dst, f.Name, fd.Name, fd.Description, fd.Directives)
	})
}

func (in *introspector) arguments(dst []byte, args ast.ArgumentDefinitionList, deprecated bool,
	sets []ast.SelectionSet) []byte {
	args = slices.DeleteFunc(slices.Clone(args),
		func(a *ast.ArgumentDefinition) bool { return isDeprecated(a.Directives) && !deprecated })
	return list(dst, len(args), func(dst []byte, i int) []byte {
		a := args[i]
		return in.object(dst, "__InputValue", sets, func(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte {
			switch f.Name {
			case "type":
				return in.typeRef(dst, a.Type, sets)
			case "defaultValue":
				if a.DefaultValue == nil {
					return null(dst)
				}
				return literal.AppendString(dst, a.DefaultValue.String())
			}
			return in.element(dst, f.Name, a.Name, a.Description, a.Directives)
		})
	})
}

// typeRef appends a type with its lists and non-nulls.
func (in *introspector) typeRef(dst []byte, t *ast.Type, sets []ast.SelectionSet) []byte {
	kind, inner := "", (*ast.Type)(nil)
	switch {
	case t.NonNull:
		c := *t
		c.NonNull = false
		kind, inner = "NON_NULL", &c
	case t.Elem != nil:
		kind, inner = "LIST", t.Elem
	default:
		return in.namedType(dst, in.schema.Types[t.NamedType], sets)
	}
	return in.object(dst, "__Type", sets, func(dst []byte, f *ast.Field, sets []ast.SelectionSet) []byte {
		switch f.Name {
		case "kind":
			return literal.AppendString(dst, kind)
		case "ofType":
			return in.typeRef(dst, inner, sets)
		}
		return null(dst)
	})
}

func isDeprecated(ds ast.DirectiveList) bool { return ds.ForName("deprecated") != nil }

func deprecation(ds ast.DirectiveList) string {
	if !isDeprecated(ds) {
		return ""
	}
	if s := directiveText(ds, "deprecated", "reason"); s != "" {
		return s
	}
	return "No longer supported"
}

func directiveText(ds ast.DirectiveList, name, arg string) string {
	if d := ds.ForName(name); d != nil {
		if a := d.Arguments.ForName(arg); a != nil && a.Value != nil {
			return a.Value.Raw
		}
	}
	return ""
}
