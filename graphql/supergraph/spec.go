package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Identities of the features that composition understands, as @link names them.
const (
	specs      = "https://specs.apollo.dev/"
	federation = specs + "federation"
)

// Locations of directives, grouped as the specifications use them.
const (
	onSchema     = "SCHEMA"
	onObject     = "OBJECT"
	onInterface  = "INTERFACE"
	onUnion      = "UNION"
	onField      = "FIELD_DEFINITION"
	onArgument   = "ARGUMENT_DEFINITION"
	onScalar     = "SCALAR"
	onEnum       = "ENUM"
	onEnumValue  = "ENUM_VALUE"
	onInput      = "INPUT_OBJECT"
	onInputField = "INPUT_FIELD_DEFINITION"
)

// directiveSpec is a directive that composition understands.
type directiveSpec struct {
	name       string
	since      version // of the federation specification
	repeatable bool
	on         []string
	args       []argumentSpec
	// feature is the specification that has the directive in the supergraph; "" if it does not get there by name.
	feature string
}

type argumentSpec struct {
	name, typ string
	since     version
	// any says that the value's kind is checked by a rule of its own.
	any bool
}

// element returns what the given version of the federation specification says of a directive, by its canonical name;
// nil if it has none.
func element(name string, v version) *directiveSpec {
	for i, d := range directiveSpecs {
		if d.name == name && !v.less(d.since) {
			return &directiveSpecs[i]
		}
	}
	return nil
}

func known(name string) bool { return element(name, version{2, 99}) != nil }

//nolint:gochecknoglobals // a table of constants
var directiveSpecs = []directiveSpec{
	{
		name:       "key",
		since:      version{2, 0},
		repeatable: true,
		on:         []string{onObject, onInterface},
		args:       []argumentSpec{{name: "fields", typ: "FieldSet!", any: true}, {name: "resolvable", typ: "Boolean"}},
	},
	{
		name:  "requires",
		since: version{2, 0},
		on:    []string{onField},
		args:  []argumentSpec{{name: "fields", typ: "FieldSet!", any: true}},
	},
	{
		name:  "provides",
		since: version{2, 0},
		on:    []string{onField},
		args:  []argumentSpec{{name: "fields", typ: "FieldSet!", any: true}},
	},
	{
		name:  "external",
		since: version{2, 0},
		on:    []string{onObject, onField},
		args:  []argumentSpec{{name: "reason", typ: "String"}},
	},
	{name: "extends", since: version{2, 0}, on: []string{onObject, onInterface}},
	{name: "shareable", since: version{2, 0}, repeatable: true, on: []string{onObject, onField}},
	{
		name:  "override",
		since: version{2, 0},
		on:    []string{onField},
		args:  []argumentSpec{{name: "from", typ: "String!"}, {name: "label", typ: "String", since: version{2, 7}}},
	},
	{
		name:       "tag",
		since:      version{2, 0},
		repeatable: true,
		feature:    "tag/v0.3",
		args:       []argumentSpec{{name: "name", typ: "String!"}},
		on: []string{onField, onObject, onInterface, onUnion, onArgument, onScalar, onEnum, onEnumValue, onInput,
			onInputField, onSchema},
	},
	{
		name: "inaccessible", since: version{2, 0}, feature: "inaccessible/v0.2",
		on: []string{onField, onObject, onInterface, onUnion, onArgument, onScalar, onEnum, onEnumValue, onInput,
			onInputField},
	},
	{
		name:       "composeDirective",
		since:      version{2, 1},
		repeatable: true,
		on:         []string{onSchema},
		args:       []argumentSpec{{name: "name", typ: "String"}},
	},
	{name: "interfaceObject", since: version{2, 3}, on: []string{onObject}},
	{
		name:    "authenticated",
		since:   version{2, 5},
		feature: "authenticated/v0.1",
		on:      []string{onField, onObject, onInterface, onScalar, onEnum},
	},
	{
		name:    "requiresScopes",
		since:   version{2, 5},
		feature: "requiresScopes/v0.1",
		on:      []string{onField, onObject, onInterface, onScalar, onEnum},
		args:    []argumentSpec{{name: "scopes", typ: "[[requiresScopes__Scope!]!]!"}},
	},
	{
		name:    "policy",
		since:   version{2, 6},
		feature: "policy/v0.1",
		on:      []string{onField, onObject, onInterface, onScalar, onEnum},
		args:    []argumentSpec{{name: "policies", typ: "[[policy__Policy!]!]!"}},
	},
	{
		name:       "context",
		since:      version{2, 8},
		repeatable: true,
		on:         []string{onInterface, onObject, onUnion},
		args:       []argumentSpec{{name: "name", typ: "String!"}},
	},
	{
		name:  "fromContext",
		since: version{2, 8},
		on:    []string{onArgument},
		args:  []argumentSpec{{name: "field", typ: "ContextFieldValue", any: true}},
	},
	{
		name:    "cost",
		since:   version{2, 9},
		feature: "cost/v0.1",
		on:      []string{onArgument, onEnum, onField, onInputField, onObject, onScalar},
		args:    []argumentSpec{{name: "weight", typ: "Int!"}},
	},
	{name: "listSize", since: version{2, 9}, feature: "cost/v0.1", on: []string{onField}, args: []argumentSpec{
		{name: "assumedSize", typ: "Int"}, {name: "slicingArguments", typ: "[String!]"},
		{name: "sizedFields", typ: "[String!]"}, {name: "requireOneSlicingArgument", typ: "Boolean"},
	}},
	{
		name:       "cacheTag",
		since:      version{2, 12},
		repeatable: true,
		on:         []string{onObject, onField},
		args:       []argumentSpec{{name: "format", typ: "String!"}},
	},
}

// federation1 are the directives that a schema without @link may use without defining them.
func federation1(name string) bool {
	return slices.Contains([]string{"key", "requires", "provides", "external", "extends", "tag"}, name)
}

// machineType reports whether a type is federation's own in every schema.
func machineType(name string) bool {
	switch name {
	case "_Any", "_Entity", "_Service", "_FieldSet":
		return true
	}
	return strings.HasPrefix(name, "federation__") || strings.HasPrefix(name, "link__")
}

// machineField reports whether a field of Query serves federation, or the earlier stitching, only.
func machineField(name string) bool {
	return name == "_service" || name == "_entities" || name == "_sdl"
}

// builtinDirective reports whether GraphQL itself defines a directive.
func builtinDirective(name string) bool {
	switch name {
	case "skip", "include", "deprecated", "specifiedBy", "oneOf", "defer", "stream":
		return true
	}
	return false
}

func builtinScalar(name string) bool {
	switch name {
	case "Int", "Float", "String", "Boolean", "ID":
		return true
	}
	return false
}

func defaultRoot(op ast.Operation) string {
	switch op {
	case ast.Mutation:
		return "Mutation"
	case ast.Subscription:
		return "Subscription"
	}
	return "Query"
}
