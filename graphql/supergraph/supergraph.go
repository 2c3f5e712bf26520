package supergraph

import (
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Subgraph is a service and its schema.
type Subgraph struct {
	// Name must be unique. It appears in errors and in the supergraph.
	Name string
	// URL is where the service answers; it is copied into the supergraph.
	URL string
	// SDL is the schema, with or without the federation machinery that a fetched one shows (_service, _entities, _Any).
	SDL string
	// Keys are keys that the operator declares for types of a plain schema: type name → field sets ("id", "sku { id }").
	// The service must answer _entities for them.
	Keys map[string][]string
}

// Conflict says what happens when plain schemas resolve the same root field.
type Conflict int

// Conflict policies.
const (
	LastWins Conflict = iota // the later subgraph's replaces the earlier's, with a hint
	Reject                   // it is an error, INVALID_FIELD_SHARING
)

// Options adjust composition. The zero value is the behaviour described in the package comment.
type Options struct {
	// RootConflict is for root fields that several plain schemas resolve. Federated schemas always say @shareable.
	RootConflict Conflict
	// MaxPaths bounds the work of the satisfiability check: how many states are visited. Zero means 1,000,000.
	MaxPaths int
	// Accept, if not nil, is asked of what was composed whether it can be served; an error is one of the composition.
	// ComposeLargest then leaves the culprit out.
	Accept func(*Result) error
	// Limits of the schemas' size.
	Limits Limits
}

// Location is a place in a subgraph's SDL. Line and Column count from 1.
type Location struct {
	Subgraph     string
	Line, Column int
}

func (l Location) String() string { return fmt.Sprintf("%s:%d:%d", l.Subgraph, l.Line, l.Column) }

// Error is one reason why subgraphs do not compose.
type Error struct {
	// Code is one of the specification's composition error codes.
	Code    Code
	Message string
	// Subgraphs that take part, in the order of composition.
	Subgraphs []string
	// Coordinate of the schema element, such as "Book.title" or "Query.books(first:)"; "" if it is about no single one.
	Coordinate string
	// Locations in the subgraphs' SDL; nil if unknown.
	Locations []Location
}

func (e Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if len(e.Locations) == 0 {
		return s
	}
	at := make([]string, len(e.Locations))
	for i, l := range e.Locations {
		at[i] = l.String()
	}
	return s + " (" + strings.Join(at, ", ") + ")"
}

// Hint is something an operator may want to know of a composition that succeeded.
type Hint struct {
	Code, Message string
	Subgraphs     []string
	Coordinate    string
}

// Result of a composition.
type Result struct {
	// SDL is the supergraph in the notation of the join specification v0.5; "" if there are errors.
	SDL string
	// Document is what the parser makes of SDL, but for positions: readers need not parse it again. It may be shared and
	// must not be changed. It is nil if there are errors, or if SDL has to be parsed to learn what the parser does not
	// like of it.
	Document *ast.SchemaDocument
	Errors   []Error
	Hints    []Hint
	// Read is what Options.Accept leaves here for whoever takes the result.
	Read any
}
