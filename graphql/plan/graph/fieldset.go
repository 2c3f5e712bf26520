package graph

import (
	"fmt"
	"slices"
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
	return g.fieldSet(s, set, types)
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
	return r.g.fieldSet(s, set, types)
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

func (g *Graph) fieldSet(s string, set ast.SelectionSet, types TypeSet) (*Selection, error) {
	n := Normaliser{Graph: g, Limit: 10_000}
	sel, err := n.Normalise(set, types)
	if err != nil {
		return nil, fmt.Errorf("read selection %q: %w", s, err)
	}
	if err := g.check(sel); err != nil {
		return nil, fmt.Errorf("read selection %q: %w", s, err)
	}
	return sel, nil
}

// check reports fields that do not exist, and leaves with and composites without a selection.
func (g *Graph) check(sel *Selection) error {
	for _, e := range sel.Entries {
		if e.Name == TypeName {
			continue
		}
		for _, id := range e.On.IDs() {
			t := g.objects[id]
			f := t.Fields[e.Name]
			if f == nil {
				return fmt.Errorf("no field %s.%s", t.Name, e.Name)
			}
			if f.Named.Composite() != (e.Sub != nil) {
				return fmt.Errorf("field %s.%s has a wrong selection", t.Name, e.Name)
			}
		}
		if e.Sub != nil {
			if err := g.check(e.Sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys reads the keys of all types. A key that cannot be read (a corrupt supergraph) is left out: others may do.
func (r *reader) keys() error {
	for _, d := range r.defs {
		t := r.g.types[d.Name]
		if d.Kind != ast.Object && d.Kind != ast.Interface {
			continue
		}
		for _, dir := range d.Directives.ForNames(r.names.join("type")) {
			s, _ := r.graph(dir)
			if text(dir, "key") == "" {
				continue
			}
			sel, err := r.selection(text(dir, "key"), t.Possible)
			if err != nil {
				continue
			}
			t.In.At(s).Keys = append(t.In.At(s).Keys, &Key{
				Fields:     sel,
				Resolvable: flag(dir, "resolvable", true),
				Text:       text(dir, "key"),
			})
			for _, e := range sel.Entries {
				if in := t.FieldIn(e.Name, s); in != nil {
					in.KeyField = true
					if t.In.At(s).Extension { // Federation 1 marks the keys of extensions external, and resolves them nevertheless
						in.External = false
					}
				} else if f := t.Fields[e.Name]; f != nil && f.In.At(s) == nil && t.Kind == ast.Object &&
					d.Directives.ForName(r.names.join("owner")) != nil {
					f.In.set(s, &FieldIn{Type: f.Type, Named: f.Named, KeyField: true}) // v0.1 leaves them out
				}
			}
		}
	}
	r.nestedRoot()
	return nil
}

// nestedRoot gives the query root an empty key in every subgraph, if some field returns it: `type Pay { query: Query
// }`.
func (r *reader) nestedRoot() {
	root := r.g.roots[ast.Query]
	returned := func(t *Type) bool {
		for _, f := range t.Fields {
			if f.Named == root {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(r.g.objects, returned) {
		return
	}
	for _, in := range root.In.All() {
		if in != nil {
			in.Keys = append(in.Keys, &Key{Fields: &Selection{Types: root.Possible}, Resolvable: true, Root: true})
		}
	}
}

// fieldSets reads requirements, provisions and context arguments, and works out the shapes of fields.
func (r *reader) fieldSets() error {
	shapes := shapes{}
	for _, d := range r.defs {
		t := r.g.types[d.Name]
		for _, fd := range d.Fields {
			f := t.Fields[fd.Name]
			if f == nil {
				continue
			}
			for _, dir := range fd.Directives.ForNames(r.names.join("field")) {
				if s, ok := r.graph(dir); ok {
					r.fieldSet(f, s, dir)
				}
			}
			f.Shape = shapes.of(f, len(r.g.Subgraphs))
		}
	}
	if r.lends {
		r.lend()
	}
	for _, t := range r.nameless {
		for _, f := range t.Fields {
			f.Shape = shapes.of(f, len(r.g.Subgraphs))
		}
	}
	return nil
}

// lend gives objects what was just read of the fields that they have through interface objects.
func (r *reader) lend() {
	for _, t := range r.g.objects {
		for _, f := range t.Fields {
			for s, in := range f.In.All() {
				if in == nil || in.Via == nil {
					continue
				}
				via, src := in.Via, in.Via.Fields[f.Name].In.At(s)
				if src == nil { // its requirement cannot be read
					f.In.set(s, nil)
					continue
				}
				*in = *src
				in.Via = via
			}
		}
	}
}

func (r *reader) fieldSet(f *Field, s int, dir *ast.Directive) {
	in := f.In.At(s)
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
