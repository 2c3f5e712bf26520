package subgraph

import "strings"

// Schema is the answer to an introspection query (https://spec.graphql.org/draft/#sec-Schema-Introspection).
type Schema struct {
	Description      string      `json:"description"`
	QueryType        *Named      `json:"queryType"`
	MutationType     *Named      `json:"mutationType"`
	SubscriptionType *Named      `json:"subscriptionType"`
	Types            []Type      `json:"types"`
	Directives       []Directive `json:"directives"`
}

// Named is a reference to a type by its name.
type Named struct {
	Name string `json:"name"`
}

// Type is a named type.
type Type struct {
	Kind           string       `json:"kind"`
	Name           string       `json:"name"`
	Description    string       `json:"description"`
	SpecifiedByURL string       `json:"specifiedByURL"`
	OneOf          bool         `json:"isOneOf"`
	Fields         []Field      `json:"fields"`
	InputFields    []InputValue `json:"inputFields"`
	Interfaces     []Named      `json:"interfaces"`
	EnumValues     []EnumValue  `json:"enumValues"`
	PossibleTypes  []Named      `json:"possibleTypes"`
}

// TypeRef is a type with its lists and non-nulls.
type TypeRef struct {
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	OfType *TypeRef `json:"ofType"`
}

// Deprecation is what fields, arguments and values have in common.
type Deprecation struct {
	Deprecated bool    `json:"isDeprecated"`
	Reason     *string `json:"deprecationReason"`
}

// Field of an object or interface.
type Field struct {
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Args        []InputValue `json:"args"`
	Type        TypeRef      `json:"type"`
	Deprecation
}

// InputValue is an argument or a field of an input object. DefaultValue is GraphQL text.
type InputValue struct {
	Name         string  `json:"name"`
	Description  string  `json:"description"`
	Type         TypeRef `json:"type"`
	DefaultValue *string `json:"defaultValue"`
	Deprecation
}

// EnumValue is one value of an enum.
type EnumValue struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Deprecation
}

// Directive is a directive's definition.
type Directive struct {
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Locations   []string     `json:"locations"`
	Args        []InputValue `json:"args"`
	Repeatable  bool         `json:"isRepeatable"`
}

// refDepth is how many lists and non-nulls around a type are asked for.
const refDepth = 12

func ref() string {
	return strings.Repeat("kind name ofType{", refDepth) + "kind name" + strings.Repeat("}", refDepth)
}

// fullIntrospection asks for all that the specification of September 2025 has.
func fullIntrospection() string {
	const dep = " isDeprecated deprecationReason"
	input := "{name description defaultValue type{" + ref() + "}" + dep + "}"
	args := "args(includeDeprecated:true)" + input
	return "query CatalystSchema{__schema{description queryType{name}mutationType{name}subscriptionType{name}" +
		"types{kind name description specifiedByURL isOneOf fields(includeDeprecated:true){name description " + args +
		"type{" + ref() + "}" + dep + "}" +
		"inputFields(includeDeprecated:true)" + input +
		"interfaces{name}enumValues(includeDeprecated:true){name description" + dep + "}possibleTypes{name}}" +
		"directives{name description isRepeatable locations " + args + "}}}"
}

// oldIntrospection asks for what the first edition of the specification has.
func oldIntrospection() string {
	const dep = " isDeprecated deprecationReason"
	input := "{name description defaultValue type{" + ref() + "}}"
	return "query CatalystSchema{__schema{queryType{name}mutationType{name}subscriptionType{name}" +
		"types{kind name description fields(includeDeprecated:true){name description args" + input + "type{" + ref() +
		"}" + dep + "}" +
		"inputFields" + input + "interfaces{name}enumValues(includeDeprecated:true){name description" + dep +
		"}possibleTypes{name}}" +
		"directives{name description locations args" + input + "}}}"
}
