package sdl

// Machines are the types of the join specification and its companions.
func Machines() map[string]string {
	return map[string]string{
		"join__FieldSet":           "scalar join__FieldSet\n\n",
		"join__FieldValue":         "scalar join__FieldValue\n\n",
		"join__DirectiveArguments": "scalar join__DirectiveArguments\n\n",
		"join__ContextArgument": "input join__ContextArgument {\n  name: String!\n  type: String!\n  context: " +
			"String!\n  selection: join__FieldValue!\n}\n\n",
		"link__Import":               "scalar link__Import\n\n",
		"link__Purpose":              "enum link__Purpose {\n  SECURITY\n  EXECUTION\n}\n\n",
		"context__ContextFieldValue": "scalar context__ContextFieldValue\n\n",
		"policy__Policy":             "scalar policy__Policy\n\n",
		"requiresScopes__Scope":      "scalar requiresScopes__Scope\n\n",
	}
}

// Join are the definitions of the join specification's directives, v0.5.
const Join = `directive @join__directive(graphs: [join__Graph!], name: String!, args: join__DirectiveArguments) repeatable on SCHEMA | OBJECT | INTERFACE | FIELD_DEFINITION

directive @join__enumValue(graph: join__Graph!) repeatable on ENUM_VALUE

directive @join__field(graph: join__Graph, requires: join__FieldSet, provides: join__FieldSet, type: String, external: Boolean, override: String, usedOverridden: Boolean, overrideLabel: String, contextArguments: [join__ContextArgument!]) repeatable on FIELD_DEFINITION | INPUT_FIELD_DEFINITION

directive @join__graph(name: String!, url: String!) on ENUM_VALUE

directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE

directive @join__type(graph: join__Graph!, key: join__FieldSet, extension: Boolean! = false, resolvable: Boolean! = true, isInterfaceObject: Boolean! = false) repeatable on OBJECT | INTERFACE | UNION | ENUM | INPUT_OBJECT | SCALAR

directive @join__unionMember(graph: join__Graph!, member: String!) repeatable on UNION

directive @link(url: String, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA

`
