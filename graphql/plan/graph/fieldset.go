package graph

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// FieldSet reads the selection of a key, requirement or provision on values of the given types.
func (g *Graph) FieldSet(s string, types TypeSet) (*Selection, error) {
	set, err := parseFieldSet(s)
	if err != nil {
		return nil, err
	}
	return g.fieldSet(s, set, types, (*Type).Fields)
}

// selection reads a selection; most texts are there many times, and are parsed once.
func (r *reader) selection(s string, types TypeSet) (*Selection, error) {
	set, ok := r.sets[s]
	if !ok {
		var err error
		if set, err = parseFieldSet(s); err != nil {
			return nil, err
		}
		r.sets[s] = set
	}
	return r.g.fieldSet(s, set, types, r.begun)
}

func parseFieldSet(s string) (ast.SelectionSet, error) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "{") {
		s = "{" + s + "}"
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: s})
	if err != nil {
		return nil, fmt.Errorf("parse selection %q: %w", s, err)
	}
	if len(doc.Operations) != 1 || len(doc.Fragments) != 0 {
		return nil, fmt.Errorf("parse selection %q: not a selection", s)
	}
	return doc.Operations[0].SelectionSet, nil
}

func (g *Graph) fieldSet(s string, set ast.SelectionSet, types TypeSet,
	fields func(*Type) map[string]*Field) (*Selection, error) {
	n := Normaliser{Graph: g, Limit: 10_000, fields: fields}
	sel, err := n.Normalise(set, types)
	if err != nil {
		return nil, fmt.Errorf("read selection %q: %w", s, err)
	}
	if err := g.check(sel, fields); err != nil {
		return nil, fmt.Errorf("read selection %q: %w", s, err)
	}
	return sel, nil
}

// check reports fields that do not exist, and leaves with and composites without a selection.
func (g *Graph) check(sel *Selection, fields func(*Type) map[string]*Field) error {
	for _, e := range sel.Entries {
		if e.Name == TypeName {
			continue
		}
		for _, id := range e.On.IDs() {
			t := g.objects[id]
			f := fields(t)[e.Name]
			if f == nil {
				return fmt.Errorf("no field %s.%s", t.Name, e.Name)
			}
			if f.Named.Composite() != (e.Sub != nil) {
				return fmt.Errorf("field %s.%s has a wrong selection", t.Name, e.Name)
			}
		}
		if e.Sub != nil {
			if err := g.check(e.Sub, fields); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys reads the keys of a type. A key that cannot be read (a corrupt supergraph) is left out: others may do.
func (r *reader) keys(t *Type) {
	owned := t.def.Directives.ForName(r.joinOwner) != nil
	for _, dir := range t.def.Directives {
		if dir.Name != r.joinType || text(dir, "key") == "" {
			continue
		}
		s, _ := r.graph(dir)
		sel, err := r.selection(text(dir, "key"), t.Possible)
		if err != nil {
			continue
		}
		known := t.In.At(s)
		known.keys = append(known.keys, &Key{
			Fields:     sel,
			Resolvable: flag(dir, "resolvable", true),
			Text:       text(dir, "key"),
		})
		for _, e := range sel.Entries {
			f := t.fields[e.Name]
			if f == nil {
				continue
			}
			if in := f.In.At(s); in != nil {
				in.KeyField = true
				if known.Extension { // Federation 1 marks the keys of extensions external, and resolves them nevertheless
					in.External = false
				}
			} else if t.Kind == ast.Object && owned {
				f.In.set(s, &FieldIn{Type: f.Type, Named: f.Named, KeyField: true}) // v0.1 leaves them out
			}
		}
	}
}

// nestedRoot gives the query root an empty key in every subgraph, if some field returns it: `type Pay { query: Query
// }`.
func nestedRoot(root *Type) {
	for _, in := range root.In.All() {
		in.keys = append(in.keys, &Key{Fields: &Selection{Types: root.Possible}, Resolvable: true, Root: true})
	}
}

// fieldSets reads requirements, provisions and context arguments of a type's fields, and works out their shapes.
func (r *reader) fieldSets(t *Type) {
	for _, fd := range t.def.Fields {
		f := t.fields[fd.Name]
		for _, dir := range fd.Directives {
			if dir.Name != r.joinField {
				continue
			}
			if s, ok := r.graph(dir); ok {
				r.fieldSet(f, s, dir)
			}
		}
		f.Shape = r.shapes.of(f, len(r.g.Subgraphs))
	}
}

// lend gives an object what there is to know of the fields that it has through interface objects.
func (r *reader) lend(t *Type) {
	for _, f := range t.fields {
		for s, in := range f.In.All() {
			if in.Via == nil {
				continue
			}
			via := in.Via
			r.finish(via)
			src := via.fields[f.Name].In.At(s)
			if src == nil { // its requirement cannot be read
				f.In.set(s, nil)
				continue
			}
			*in = *src
			in.Via = via
		}
	}
}

func (r *reader) fieldSet(f *Field, s int, dir *ast.Directive) {
	in := f.In.At(s)
	if in == nil { // an earlier word about the subgraph could not be read
		return
	}
	broken := func(error) { f.In.set(s, nil) }
	if q := text(dir, "requires"); q != "" {
		sel, err := r.selection(q, f.Parent.Possible)
		if err != nil {
			broken(err)
			return
		}
		in.Requires, in.RequiresText = sel, q
	}
	if q := text(dir, "provides"); q != "" {
		// A provision that cannot be read costs a fetch, not the field.
		if sel, err := r.selection(q, in.Named.Possible); err == nil {
			in.Provides = sel
		}
	}
	a := dir.Arguments.ForName("contextArguments")
	if a == nil || a.Value == nil {
		return
	}
	for _, c := range a.Value.Children {
		ca := ContextArgument{Selection: map[string]*Selection{}}
		var q string
		for _, x := range c.Value.Children {
			switch x.Name {
			case "name":
				ca.Name = x.Value.Raw
			case "context":
				ca.Context = x.Value.Raw
			case "type":
				ca.Type = x.Value.Raw
			case "selection":
				q = x.Value.Raw
			}
		}
		for name, t := range r.g.types {
			for _, ctx := range t.Contexts {
				if ctx == ca.Context {
					if sel, err := r.selection(q, t.Possible); err == nil {
						ca.Selection[name] = sel
					}
				}
			}
		}
		in.Contexts = append(in.Contexts, ca)
	}
}

// shapes are the values of Field.Shape by their text. There are few, and one has as many elements as there are
// subgraphs.
type shapes map[string][]string

func (all shapes) of(f *Field, subgraphs int) []string {
	key := make([]byte, 0, 64)
	for s, in := range f.In.All() {
		key = append(strconv.AppendInt(key, int64(s), 10), ' ')
		key = append(appendShape(key, in.Type, in.Named), ' ')
	}
	if known, ok := all[string(key)]; ok {
		return known
	}
	list := make([]string, subgraphs)
	for s, in := range f.In.All() {
		list[s] = string(appendShape(nil, in.Type, in.Named))
	}
	all[string(key)] = list
	return list
}

// appendShape appends a type as GraphQL writes it, with {} for one that has fields.
func appendShape(to []byte, t *ast.Type, named *Type) []byte {
	switch {
	case t.Elem != nil:
		to = append(appendShape(append(to, '['), t.Elem, named), ']')
	case named.Composite():
		to = append(to, "{}"...)
	default:
		to = append(to, t.NamedType...)
	}
	if t.NonNull {
		to = append(to, '!')
	}
	return to
}
