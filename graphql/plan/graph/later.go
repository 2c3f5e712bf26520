package graph

import (
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
)

// Most fields of a large graph are never asked for: clients' operations touch some of its types. So the graph begins as
// its types, which subgraphs know them, and what they can stand for. All that could be wrong with fields is looked for
// at once (reader.verify); what they are and how subgraphs have them is read with the first question about their type.
//
// A type is read in two steps. The first makes its fields; the second reads the selections of its keys, requirements
// and provisions, for which it needs the first step of other types only. Both are done under one lock. Whoever finds
// the type complete needs no lock: nothing of it changes any more.

// Fields are the fields by name, of object and interface types. The map must not be changed.
func (t *Type) Fields() map[string]*Field {
	t.read()
	return t.fields
}

// Keys are those by which subgraph s identifies entities of the type.
func (t *Type) Keys(s int) []*Key {
	in := t.In.At(s)
	if in == nil {
		return nil
	}
	t.read()
	return in.keys
}

func (t *Type) read() {
	if t.later == nil || t.complete.Load() {
		return
	}
	t.later.mu.Lock()
	defer t.later.mu.Unlock()
	t.later.finish(t)
}

// later is the part of the reader that goes on when the graph is in use.
type later struct {
	mu     sync.Mutex
	sets   map[string]ast.SelectionSet // that were parsed, by their text
	shapes shapes
	// lenders are the interfaces that some subgraph knows as objects, in the schema's order.
	lenders []*Type
	// nested says that some field returns the query root.
	nested bool
}

// finish reads what is left to be read of a type.
func (r *reader) finish(t *Type) {
	if t.later == nil || t.complete.Load() {
		return
	}
	r.begin(t)
	if !t.Nameless {
		r.keys(t)
		r.fieldSets(t)
	}
	if t == r.g.roots[ast.Query] && r.nested {
		nestedRoot(t)
	}
	if t.lent {
		r.lend(t)
	}
	if t.Nameless {
		for _, f := range t.fields {
			f.Shape = r.shapes.of(f, len(r.g.Subgraphs))
		}
	}
	t.complete.Store(true)
}

// begin makes the fields of a type, without their selections.
func (r *reader) begin(t *Type) {
	if t.began || t.later == nil {
		return
	}
	t.began = true
	if t.Nameless {
		r.strangerFields(t)
	} else {
		r.fields(t)
	}
	if t.Kind == ast.Object {
		r.borrow(t)
	}
}

// begun are the fields of a type as far as the first step makes them.
func (r *reader) begun(t *Type) map[string]*Field {
	r.begin(t)
	return t.fields
}
