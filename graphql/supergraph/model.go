package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/supergraph/measure"
)

// subgraph is one loaded schema. Directives of known features stand under their canonical names ("key", "tag"),
// whatever the schema calls them, and root types under their default names.
type subgraph struct {
	index     int
	name, url string
	enum      string // in join__Graph
	size      int    // of its SDL, in bytes
	version   version
	plain     bool // knows nothing of federation
	links     *links

	types      map[string]*typeDef
	order      []string // type names as they appear
	directives map[string]*ast.DirectiveDefinition
	roots      map[ast.Operation]string // the default names of those that exist
	schemaDirs ast.DirectiveList
	holds      measure.Size      // of its text
	contexts   map[string]bool   // names that @context sets
	renamed    map[string]string // root type's own name → default name
	described  string

	// keyed are the first keys of the types of a schema that is not of Federation 2, before it was upgraded.
	keyed map[string]*fieldSet
	// lonely are the types whose upgrade depends on the keys of other subgraphs.
	lonely []string
	// spent says that a merge has changed the subgraph: it is of no use to another.
	spent bool
}

// federated reports whether the schema is of Federation 2.
func (s *subgraph) federated() bool { return s.version != (version{}) }

// typeDef is a type with all its extensions.
type typeDef struct {
	sub         *subgraph
	name        string
	kind        ast.DefinitionKind
	description string
	dirs        ast.DirectiveList
	fields      []*fieldDef // of objects, interfaces and input objects
	byName      map[string]*fieldDef
	interfaces  []string
	members     []string
	values      []*ast.EnumValueDefinition
	pos         *ast.Position

	once              bool // there is a definition
	defined, extended bool // it is a definition, an extension (@extends makes one of the other in Federation 1), or both
	keys              []*key
	interfaceObject   bool
	has               traits
	conditions        []string // contexts the type sets
}

func (t *typeDef) composite() bool {
	return t.kind == ast.Object || t.kind == ast.Interface || t.kind == ast.Union
}

func (t *typeDef) root() bool {
	return t.name == "Query" || t.name == "Mutation" || t.name == "Subscription"
}

// key is an application of @key.
type key struct {
	text       string
	fields     *fieldSet
	resolvable bool
	extension  bool // declared by "extend"
	dir        *ast.Directive
	wrong      bool // a rule found fault with it
}

// fieldDef is a field of an object, interface or input object.
type fieldDef struct {
	parent       *typeDef
	name         string
	description  string
	typ          *ast.Type
	args         ast.ArgumentDefinitionList
	defaultValue *ast.Value // of an input field
	dirs         ast.DirectiveList
	pos          *ast.Position

	external      bool // @external, and not only for show on an extended type's key
	shareable     bool
	keyField      bool // selected by a key
	provided      bool // selected by a @provides
	required      bool // selected by a @requires
	requires      *fieldSet
	provides      *fieldSet
	overrideFrom  string // "" if no override
	overrideLabel string
	overridden    bool // completely, by another subgraph
	contextual    []contextArg
	inContext     bool // a context's selection uses it
}

// unresolved reports whether the subgraph names the field and never resolves it.
func (f *fieldDef) unresolved() bool { return f.external && !f.provided }

// contextArg is an argument that @fromContext fills.
type contextArg struct {
	arg       *ast.ArgumentDefinition
	context   string
	selection string
	sels      []*selection // of it
	unread    error        // why there are none
}

// coordinate is how the field is named to people.
func (f *fieldDef) coordinate() string { return f.parent.name + "." + f.name }

// fieldSet is a parsed selection: the argument of @key, @requires and @provides.
type fieldSet struct {
	text string
	sels []*selection
}

// selection is one field, or an inline fragment (then name is "").
type selection struct {
	name string
	on   string // type condition of a fragment; "" if none
	args ast.ArgumentList
	sub  []*selection
	dirs bool
	// alias as written, if it differs from the name.
	alias string
}

// possible returns the object types that a composite type can stand for in the subgraph, sorted by name.
func (s *subgraph) possible(name string) []string {
	t := s.types[name]
	if t == nil {
		return nil
	}
	switch t.kind {
	case ast.Object:
		return []string{name}
	case ast.Union:
		out := slices.Clone(t.members)
		slices.Sort(out)
		return out
	case ast.Interface:
		var out []string
		for _, n := range s.order {
			if o := s.types[n]; o.kind == ast.Object && slices.Contains(o.interfaces, name) {
				out = append(out, n)
			}
		}
		slices.Sort(out)
		return out
	}
	return nil
}
