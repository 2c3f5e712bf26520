package graph

import "testing"

// TestUnreadableRequirement reads a supergraph with a requirement that names an unknown field, on an interface
// object: the field is not to be had there, of the interface and of what implements it, and all else is.
func TestUnreadableRequirement(t *testing.T) {
	g, err := Read(`
schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "https://specs.apollo.dev/join/v0.5", for: EXECUTION) { query: Query }
directive @join__field(graph: join__Graph, requires: join__FieldSet, external: Boolean) repeatable on FIELD_DEFINITION
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE
directive @join__type(graph: join__Graph!, key: join__FieldSet, isInterfaceObject: Boolean! = false) repeatable on OBJECT | INTERFACE
directive @link(url: String, for: link__Purpose) repeatable on SCHEMA
scalar join__FieldSet
enum link__Purpose { EXECUTION }
enum join__Graph { A @join__graph(name: "a", url: "http://a.example") B @join__graph(name: "b", url: "http://b.example") }
type Query @join__type(graph: A) @join__type(graph: B) { things: [Thing] @join__field(graph: A) }
interface Thing @join__type(graph: A, key: "id") @join__type(graph: B, key: "id", isInterfaceObject: true) {
  id: ID!
  good: Int @join__field(graph: B)
  bad: Int @join__field(graph: B, requires: "nothing")
}
type Pen implements Thing @join__implements(graph: A, interface: "Thing") @join__type(graph: A, key: "id") {
  id: ID!
  good: Int @join__field
  bad: Int @join__field
}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Thing", "Pen"} {
		if g.Type(name).FieldIn("good", 1) == nil {
			t.Errorf("%s.good is not in b", name)
		}
		if g.Type(name).FieldIn("bad", 1) != nil {
			t.Errorf("%s.bad is in b, although it cannot be told what it requires", name)
		}
	}
}
