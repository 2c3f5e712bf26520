package graph

import (
	"sync/atomic"

	"github.com/vektah/gqlparser/v2/ast"
)

// Graph is a supergraph. It is safe for concurrent use, and does not change: what it says of fields and keys it reads
// when it is asked first (see later.go), and always in the same way.
type Graph struct {
	// Subgraphs in the order of the join__Graph enum. A subgraph's number is its index.
	Subgraphs []Subgraph
	// Schema is what clients see: no join machinery and nothing inaccessible.
	Schema *ast.Schema
	// Types numbers the object types.
	Types *TypeIndex
	// Labels are the distinct labels of progressive overrides, sorted.
	Labels []string

	types   map[string]*Type
	objects []*Type // by TypeID
	roots   map[ast.Operation]*Type
	hidden  TypeSet
}

// Subgraph is a service behind the supergraph.
type Subgraph struct {
	// Enum is the name in the join__Graph enum; Name and URL are the service's.
	Enum, Name, URL string
}

// Type is a type of the supergraph, inaccessible ones included.
type Type struct {
	Name string
	Kind ast.DefinitionKind
	// ID is the number of an object type; it has no meaning for other kinds.
	ID TypeID
	// Possible are the object types a value may have at run time: the type itself, the implementations, or the members.
	Possible TypeSet
	// In says what each subgraph knows of the type; nothing where it knows nothing.
	In PerSubgraph[TypeIn]
	// Values are the accessible values of an enum.
	Values map[string]struct{}
	// Interfaces are the interfaces the type implements in the supergraph.
	Interfaces []string
	// Auth is what a caller needs to see values of this type; nil if nothing.
	Auth *Auth
	// Contexts are the names of the contexts that values of this type set.
	Contexts []string
	// Nameless says that the type stands for the objects of an interface that no type of the supergraph implements:
	// subgraphs that know the interface as an object have some. Its name is the interface's, which is not a name to tell
	// clients.
	Nameless bool
	// Inaccessible says that clients do not know the type.
	Inaccessible bool
	// Weight is the type's @cost, or -1.
	Weight int

	def      *ast.Definition   // in the supergraph; nil for a type that is not there
	fields   map[string]*Field // by name; guarded by later.mu while it is not complete
	began    bool              // the fields were read without their selections; guarded by later.mu
	lent     bool              // some of the fields are there through an interface object
	complete atomic.Bool
	later    *reader // reads the fields and keys; nil for a type without them
}

// Abstract reports whether the type is an interface or a union.
func (t *Type) Abstract() bool { return t.Kind == ast.Interface || t.Kind == ast.Union }

// Composite reports whether values of the type have fields.
func (t *Type) Composite() bool { return t.Kind == ast.Object || t.Abstract() }

// TypeIn is a type as one subgraph knows it.
type TypeIn struct {
	// InterfaceObject says that the supergraph's interface is an object type here.
	InterfaceObject bool
	// Extension says that the subgraph declared the type as an extension (Federation 1).
	Extension bool
	// Possible are the object types that a value declared with this type may have when it comes from this subgraph. For an
	// interface object these are all implementations of the supergraph.
	Possible TypeSet

	keys []*Key
}

// Key identifies entities of a type in one subgraph.
type Key struct {
	// Fields is the key's selection, on the type.
	Fields *Selection
	// Resolvable says that the subgraph resolves entities by this key.
	Resolvable bool
	// Text is the selection as the supergraph spells it.
	Text string
	// Root says that it is no key of the schema: the type is the query root, whose fields every subgraph resolves of
	// nothing, below other fields too.
	Root bool
}

// Field is a field of an object or interface type.
type Field struct {
	Parent *Type
	Name   string
	// Type in the supergraph, and its innermost type.
	Type  *ast.Type
	Named *Type
	// Def is the supergraph's definition.
	Def *ast.FieldDefinition
	// In says how each subgraph has the field; nothing where it does not.
	In PerSubgraph[FieldIn]
	// Auth is what a caller needs to see the field; nil if nothing.
	Auth *Auth
	// Weight is the field's @cost, or -1; List its @listSize, or nil.
	Weight int
	List   *ListSize
	// Shape has, by subgraph number, what has to be equal for two fields to be fetched under one response key: list and
	// non-null wrappers, and the named type of leaves.
	Shape []string
}

// FieldIn is a field as one subgraph has it.
type FieldIn struct {
	// Type in the subgraph, and its innermost type.
	Type  *ast.Type
	Named *Type
	// Requires is what the subgraph needs to be told of the entity to resolve the field; nil if nothing. RequiresText is
	// its text.
	Requires     *Selection
	RequiresText string
	// Provides is what the subgraph can resolve below this field although it could not elsewhere; nil if nothing.
	Provides *Selection
	// External says that the subgraph names the field but does not resolve it (except where it is provided).
	External bool
	// KeyField says that the field is part of a key of the type in the subgraph.
	KeyField bool
	// Label of a progressive override, or "". The field is the subgraph's if the label is on and LabelOn, or off and not
	// LabelOn.
	Label   string
	LabelOn bool
	// Via is the interface through which the subgraph has the field (it knows the interface as an object), or nil.
	Via *Type
	// Contexts are arguments filled from enclosing objects.
	Contexts []ContextArgument
}

// ContextArgument is an argument of a subgraph's field that clients do not see.
type ContextArgument struct {
	Name, Context string
	// Type in GraphQL notation.
	Type string
	// Selection by type that sets the context.
	Selection map[string]*Selection
}

// ListSize is @listSize.
type ListSize struct {
	Assumed   int // -1 if not given
	Slicing   []string
	Sized     []string
	NeedsOne  bool
	Inherited bool
}

// Type returns the type of the given name, or nil.
func (g *Graph) Type(name string) *Type { return g.types[name] }

// Object returns the object type of the given number.
func (g *Graph) Object(id TypeID) *Type { return g.objects[id] }

// Hidden are the object types that clients must not see.
func (g *Graph) Hidden() TypeSet { return g.hidden }

// Root returns the root type of an operation kind, or nil.
func (g *Graph) Root(op ast.Operation) *Type { return g.roots[op] }

// Known reports whether subgraph s knows the type.
func (t *Type) Known(s int) *TypeIn {
	return t.In.At(s)
}

// FieldIn returns how subgraph s has the named field of t, or nil.
func (t *Type) FieldIn(name string, s int) *FieldIn {
	f := t.Fields()[name]
	if f == nil || s < 0 {
		return nil
	}
	return f.In.At(s)
}
