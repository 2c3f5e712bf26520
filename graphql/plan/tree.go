package plan

import "github.com/catalyst-router/catalyst/graphql/plan/graph"

// Plan is one operation, compiled for one supergraph and for one set of facts about the request: the values of the
// boolean variables used by @skip, @include and @defer, the override labels that are on, and what the caller may see.
// All of these are already applied: no node and no subgraph operation depends on a condition any more. A Plan is
// immutable and may be executed concurrently.
//
// # The merged tree
//
// Execution fills one tree of JSON values. The root fetches merge their `data` into its root object; an entity fetch
// merges each returned entity into the object its representation was made of. Merging is deep: objects field by
// field, lists index by index (two fetches of one list have the same length), anything else by taking the later
// value. The keys of the merged tree are the response keys of the subgraph operations ("sources"). They are chosen so
// that one key of one object always means the same field with the same arguments, whichever subgraph it came from.
// They are mostly the client's response keys, but not always (conflicting merges, keys fetched for representations);
// Response says which source is printed under which name.
//
// Nobody but Response decides what the client sees: sources it does not mention are not printed.
type Plan struct {
	// Root is what to fetch; nil if the answer needs no subgraph (introspection, __typename, everything skipped).
	// It is a *Subscription if and only if Kind is Subscription.
	Root Node
	// Kind of the operation, and its name ("" if anonymous).
	Kind Kind
	Name string
	// Response is the shape of `data`, in the client's order. With @defer it is the shape of the first payload.
	Response *Object
	// RootType is the name of the operation's root type, for a `__typename` at the root.
	RootType string
	// Types numbers the object types; every TypeSet in the plan is over it.
	Types *graph.TypeIndex
	// Variables are those the operation declares, in its order. Requests refer to them by index.
	Variables []Variable
	// Fetches counts the requests to subgraphs that a full execution makes (deferred ones included).
	Fetches int
	// Rounds is the length of the longest chain of requests that wait for each other (deferred ones included).
	Rounds int
	// Cost is the static cost of the operation by @cost and @listSize (the cost directive specification); lists of unknown
	// size count with the planner's default.
	Cost int
	// Denied are the parts the caller is not authorised for. They are not fetched; Response prints null for them
	// (Field.Denied), and each one is reported once in `errors`.
	Denied []Denial
	// Introspects says that the operation uses __schema or __type (not: __typename).
	Introspects bool
	// ClientKeys translates sources that the planner invented back to the client's response key, for the paths of
	// subgraph errors. An invented source that the client never asked for (a key, a requirement) is not in it, and the
	// error's path ends before it.
	ClientKeys map[string]string
	// MaxAge is the operation's cache hint in seconds, or -1 if the schema gives none.
	MaxAge int
}

// Kind is an operation type.
type Kind uint8

// The operation types.
const (
	Query Kind = iota + 1
	Mutation
	Subscribe
)

// String is the keyword of GraphQL.
func (k Kind) String() string {
	switch k {
	case Query:
		return "query"
	case Mutation:
		return "mutation"
	case Subscribe:
		return "subscription"
	}
	return "unknown"
}

// Variable is a variable the client's operation declares.
type Variable struct {
	Name string
	// Type in GraphQL notation, for example `[ID!]!`.
	Type string
}

// Denial is a field that the caller may not see.
type Denial struct {
	// Path of client response keys from the root; "@" stands for every index of a list.
	Path []string
	// Coordinate is the field, "Type.field".
	Coordinate string
	// Reason names what is missing, for example `@requiresScopes`. It never holds the caller's data.
	Reason string
}

// Node is one of *Fetch, *EntityFetch, *Sequence, *Parallel, *Subscription, *Defer.
type Node interface{ node() }

// Sequence runs its nodes one after the other. Each may read what the former merged. A failed node does not stop the
// next one: what the next one misses (null or absent positions) it does not ask for.
type Sequence struct{ Nodes []Node }

// Parallel runs its nodes at the same time. None reads what another one writes.
type Parallel struct{ Nodes []Node }

// Fetch asks a subgraph for root fields. Its `data` is merged into the root of the tree.
type Fetch struct{ Request }

// EntityFetch asks a subgraph for entities, by `_entities`, in one request for one or several groups.
//
// A group without any representation (no object found at its paths, or all of them lack a key) is sent with an empty
// list. If all groups are empty there is no request.
type EntityFetch struct {
	Request
	Groups []EntityGroup
	// Root says that it asks for root fields below the root (`type Pay { query: Query }`). The request has no
	// representations, and its `data` is merged into every object at the paths of the one group. If there is none, there
	// is no request.
	Root bool
}

// EntityGroup is one `_entities` field of the request.
type EntityGroup struct {
	// Key is the response key in `data`: "_entities", or an alias if the request has several groups.
	Key string
	// Variable is the index in Request.Variables of the list of representations; -1 if EntityFetch.Root. Element i of
	// `data[Key]` answers representation i. Equal representations may be sent once.
	Variable int
	// Paths lead to the objects to make representations of, and to merge the answers into. There is more than one if the
	// same selection is wanted at several places of the tree.
	Paths []Path
	// Reps are tried in order; the first whose On has the object's run-time type gives its representation. If none has,
	// the object is not asked for.
	Reps []Rep
	// Contexts are values of enclosing objects that the subgraph wants as arguments (@fromContext). If there are any,
	// objects whose values differ must not share a group: the executor sends the group once for each distinct tuple.
	Contexts []Context
}

// Path leads from the root of the merged tree to zero or more objects. At each step lists (of any depth) are entered
// element by element; null and absent values end it.
type Path []Step

// Step is one field of a path.
type Step struct {
	// On restricts the step to objects of these run-time types; nil means any.
	On graph.TypeSet
	// Source is the key in the object.
	Source string
	// ClientKey is the response key the client knows the field by, for error paths; "" if it did not ask for it.
	ClientKey string
	// Lists is the number of list levels of the field's type.
	Lists int
	// Stream, if not nil, says that the list is delivered in parts, and that what is fetched for the elements after the
	// first ones is needed with the later part only. Paths of entity groups have it.
	Stream *Stream
}

// Rep tells how to make the representation of an object.
type Rep struct {
	// On are the run-time types it is for; nil means any. When On is nil the object needs no `__typename`.
	On graph.TypeSet
	// TypeName is the value of `__typename` in the representation. If it is "", the object's own `__typename` is used.
	// It differs from the object's own where the subgraph knows an interface only as an object (@interfaceObject).
	TypeName string
	// Fields in the order to be printed.
	Fields []RepField
}

// RepField is a field of a representation, or of an object inside it. If it is null it is sent as null, in a key as
// well: of `@key(fields: "id region")` either may be null. If it is absent (what should fetch it failed) there is no
// representation.
type RepField struct {
	// Name of the field in the representation, and the same as a JSON key with colon: `"name":`.
	Name string
	JSON []byte
	// Source is the key in the merged tree.
	Source string
	// On restricts the field to objects of these run-time types (fragments in a requirement); nil means any.
	On graph.TypeSet
	// Fields of an object or of each object of a list; nil for leaves, whose JSON is copied as it is.
	Fields []RepField
}

// Context is an argument that is taken from an enclosing object.
type Context struct {
	// Variable is the index in Request.Variables.
	Variable int
	// Up is how many steps of the group's path (Paths have the same tail) lie between the entity and the enclosing
	// object; 1 is the parent object.
	Up int
	// On are the run-time types of the enclosing object that it is for; nil means any.
	On graph.TypeSet
	// From leads from that object to the value.
	From Path
	// NonNull says that the subgraph refuses null.
	NonNull bool
}

// Subscription is an event stream. For every event Primary's data makes a new tree, Then is run on it, and Response
// is printed.
type Subscription struct {
	Primary *Fetch
	// Then is nil if the event has everything.
	Then Node
}

// Defer runs Primary; then Plan.Response is printed, and each block is run and delivered on its own. It stands for
// @stream, too: then what Plan.Response leaves out of lists is delivered after it.
type Defer struct {
	Primary Node // nil if there is nothing to fetch
	Blocks  []Block
}

// Block is a deferred fragment.
type Block struct {
	// ID is the index in Defer.Blocks. Parent is the block that has to be delivered first, or -1.
	ID, Parent int
	// Label is the client's, or "".
	Label string
	// Path leads to the objects the fragment stands on: each one is a payload with its own response path.
	Path Path
	// On are the run-time types the fragment applies to; nil means any.
	On graph.TypeSet
	// Response is what the payload's `data` holds, relative to such an object.
	Response *Object
	// Node fetches what is not yet there; nil if all of it is. It starts when Primary (and Parent's Node) is done.
	Node Node
}

// Request is an operation for one subgraph.
//
// The HTTP body is Head, then for each variable that has a value its JSON (`"name":`) and the value, separated by
// commas, then Tail. A client variable without a value is left out.
type Request struct {
	// ID is unique in the plan, dense from 0.
	ID int
	// Subgraph is the index in Graph.Subgraphs, and Service its name.
	Subgraph int
	Service  string
	Kind     Kind
	// OperationName in the subgraph's operation; "" if there is none.
	OperationName string
	// Query is the operation's text without insignificant white space. Hash is its FNV-1a 64 hash, for sharing equal
	// requests in flight.
	Query string
	Hash  uint64
	// Head is `{"query":"…","operationName":"…","variables":{` and Tail `}}`. Without variables Head is the whole body
	// and Tail is nil.
	Head, Tail []byte
	Variables  []RequestVariable
	// Reads lists the IDs of the requests whose data this one needs.
	Reads []int
	// Roots are the sources of the root fields it fetches (Fetch only): those become null and are blamed if it fails as
	// a whole.
	Roots []string
}

// RequestVariable is a variable of a subgraph's operation.
type RequestVariable struct {
	Name string
	// JSON is the name as a JSON key with colon.
	JSON []byte
	// Client is the index in Plan.Variables, or -1 if it is filled with representations or a context value.
	Client int
}

// Object is how to print an object of the merged tree.
type Object struct {
	// Fields in the client's order. For one run-time type no two have the same Key.
	Fields []Field
	// Possible are the object types that may stand here. A value whose `__typename` is outside it is printed as null (it
	// is inaccessible, or the subgraph lies). A value without `__typename` is of an unknown one of them (its subgraph
	// knows an interface as an object, and nobody needs to know): only fields with On nil are printed.
	Possible graph.TypeSet
	// Static is the type's name if only one is possible: then objects here carry no `__typename`, and must not need one.
	Static string
	// StaticID is the number of Static; it has no meaning if Static is "".
	StaticID graph.TypeID
}

// Field is how to print one field of an object.
type Field struct {
	// Key is the client's response key, and JSON the same as a JSON key with colon: `"key":`.
	Key  string
	JSON []byte
	// Source is the key in the merged tree; "" for TypeName and Local.
	Source string
	// On restricts the field to objects of these run-time types; nil means any.
	On graph.TypeSet
	// Shape says what kind of value stands below the lists of Wrap.
	Shape Shape
	// Wrap is the chain of lists and non-nulls, outermost first: `[Int!]!` is {List NonNull}{NonNull}.
	Wrap []Wrap
	// Object is the inner shape if Shape is Composite.
	Object *Object
	// Values are the enum's accessible values, if Shape is Enum. Any other value is printed as null.
	Values map[string]struct{}
	// Type and Name are the field's coordinate for error messages and usage reports: parent type and field name.
	Type, Name string
	// NamedType is the field's innermost type.
	NamedType string
	// Stream, if not nil, says that the first payload has the first elements of the list only, and that the others
	// follow. Only fields of Plan.Response have it, and Plan.Root is then a *Defer.
	Stream *Stream
	// Denied means that the value is always null because the caller may not see it (a non-null field then takes its
	// parent with it, without an error of its own: Plan.Denied has it).
	Denied bool
	// Local answers the field without the tree, if Shape is Local.
	Local *Introspection
}

// Stream is a list that is delivered in parts (@stream).
type Stream struct {
	// Label is the client's, or "".
	Label string
	// Initial is how many elements come first, if Variable is ""; otherwise the client's variable of that name says so.
	Initial  int
	Variable string
}

// Wrap is one level of a field's type, outermost first. The last one is the named type itself, with List false.
type Wrap struct{ List, NonNull bool }

// Shape is the kind of a field's innermost value.
type Shape uint8

// The shapes. Built-in scalars are told apart so that the executor can refuse wrong values; Scalar is any custom
// scalar.
const (
	Scalar Shape = iota + 1
	Int
	Float
	String
	Boolean
	ID
	Enum
	Composite
	// TypeName prints the object's run-time type name (Object.Static if there is one).
	TypeName
	// Local is answered by Field.Local.
	Local
)

func (*Sequence) node()     {}
func (*Parallel) node()     {}
func (*Fetch) node()        {}
func (*EntityFetch) node()  {}
func (*Subscription) node() {}
func (*Defer) node()        {}
