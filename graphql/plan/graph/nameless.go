package graph

import "github.com/vektah/gqlparser/v2/ast"

// strangers makes a type for the objects of each interface that no object type implements.
//
// For example `interface Node { id: ID! }` in one subgraph and `type Node @interfaceObject @key(fields: "id") { id:
// ID! field: Int }` in another: the second one answers with objects whose types nobody knows, and clients may ask for
// their fields.
func (r *reader) strangers() {
	implemented := map[string]bool{}
	for _, d := range r.defs {
		if d.Kind == ast.Object {
			for _, i := range d.Interfaces {
				implemented[i] = true
			}
		}
	}
	r.nameless = map[string]*Type{}
	for _, d := range r.defs {
		if d.Kind != ast.Interface || implemented[d.Name] {
			continue
		}
		i := r.g.types[d.Name]
		r.nameless[d.Name] = &Type{
			Name:         d.Name,
			Kind:         ast.Object,
			Weight:       i.Weight,
			Nameless:     true,
			later:        r,
			Inaccessible: i.Inaccessible,
			Interfaces:   append([]string{d.Name}, d.Interfaces...), Auth: i.Auth,
		}
	}
}

// strangerFields gives a nameless type the fields of its interface. No subgraph has them yet: see borrow.
func (r *reader) strangerFields(t *Type) {
	fields := r.begun(r.g.types[t.Name])
	t.fields = make(map[string]*Field, len(fields))
	for name, f := range fields {
		own := *f
		own.Parent, own.In = t, PerSubgraph[FieldIn]{}
		t.fields[name] = &own
	}
}

// strangersPossible lets the interfaces of nameless types stand for them.
func (r *reader) strangersPossible() error {
	for _, t := range r.g.objects {
		if !t.Nameless {
			continue
		}
		for _, n := range t.Interfaces {
			if i := r.g.types[n]; i != nil {
				i.Possible = i.Possible.Or(t.Possible)
			}
		}
	}
	for _, d := range r.defs { // as r.possible does for those whose types are known
		if r.nameless[d.Name] == nil {
			continue
		}
		i := r.g.types[d.Name]
		for _, in := range i.In.All() {
			if in != nil && in.InterfaceObject {
				in.Possible = i.Possible
			}
		}
	}
	return nil
}
