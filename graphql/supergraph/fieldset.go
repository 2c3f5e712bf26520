package supergraph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// parseFieldSet reads a selection set without its outer braces.
func parseFieldSet(text string) (*fieldSet, error) {
	q := strings.TrimSpace(text)
	if !strings.HasPrefix(q, "{") {
		q = "{" + q + "\n}"
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: q}, 100_000)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %s", text, strings.TrimPrefix(err.Error(), "input:"))
	}
	if len(doc.Operations) != 1 || len(doc.Fragments) != 0 || doc.Operations[0].Operation != ast.Query {
		return nil, fmt.Errorf("parse %q: it must be one selection", text)
	}
	sels, err := selections(doc.Operations[0].SelectionSet)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w", text, err)
	}
	return &fieldSet{text: strings.TrimSpace(text), sels: sels}, nil
}

func selections(set ast.SelectionSet) ([]*selection, error) {
	out := make([]*selection, 0, len(set))
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			sub, err := selections(s.SelectionSet)
			if err != nil {
				return nil, err
			}
			sel := &selection{name: s.Name, args: s.Arguments, sub: sub, dirs: len(s.Directives) > 0}
			if s.Alias != s.Name {
				sel.alias = s.Alias
			}
			out = append(out, sel)
		case *ast.InlineFragment:
			sub, err := selections(s.SelectionSet)
			if err != nil {
				return nil, err
			}
			out = append(out, &selection{on: s.TypeCondition, sub: sub, dirs: len(s.Directives) > 0})
		default:
			return nil, fmt.Errorf("fragment spreads are not allowed")
		}
	}
	return out, nil
}

// String prints the selection on one line.
func (f *fieldSet) String() string { return printSelections(f.sels) }

func printSelections(sels []*selection) string {
	parts := make([]string, len(sels))
	for i, s := range sels {
		parts[i] = s.String()
	}
	return strings.Join(parts, " ")
}

func (s *selection) String() string {
	out := s.name
	if s.alias != "" {
		out = s.alias + ": " + s.name
	}
	if s.name == "" {
		out = "..."
		if s.on != "" {
			out += " on " + s.on
		}
	}
	if len(s.args) > 0 {
		args := make([]string, len(s.args))
		for i, a := range s.args {
			args[i] = a.Name + ": " + a.Value.String()
		}
		out += "(" + strings.Join(args, ", ") + ")"
	}
	if len(s.sub) > 0 {
		out += " { " + printSelections(s.sub) + " }"
	}
	return out
}

// visit calls fn for every field that a selection on the type selects in the subgraph, up to the first that it does
// not know; then it returns false. For a field of an interface, fn also gets the field of every implementation.
func (s *subgraph) visit(t *typeDef, sels []*selection, fn func(f *fieldDef)) bool {
	for _, sel := range sels {
		if sel.name == "" {
			on := t
			if sel.on != "" {
				on = s.types[sel.on]
			}
			if on == nil || !s.visit(on, sel.sub, fn) {
				return false
			}
			continue
		}
		f := t.byName[sel.name]
		if f == nil && sel.name == "__typename" {
			continue
		}
		if f == nil {
			return false
		}
		s.visitField(t, f, fn)
		if next := s.types[f.typ.Name()]; next != nil && len(sel.sub) > 0 && !s.visit(next, sel.sub, fn) {
			return false
		}
	}
	return true
}

func (s *subgraph) visitField(t *typeDef, f *fieldDef, fn func(f *fieldDef)) {
	fn(f)
	if t.kind != ast.Interface {
		return
	}
	for _, o := range s.possible(t.name) {
		if g := s.types[o].byName[f.name]; g != nil {
			fn(g)
		}
	}
}

// addKeys reads the applications of @key among directives.
func (l *loader) addKeys(t *typeDef, ds ast.DirectiveList, extension bool) {
	for _, d := range ds.ForNames("key") {
		k := &key{resolvable: true, extension: extension, dir: d}
		if a := d.Arguments.ForName("resolvable"); a != nil && a.Value != nil && a.Value.Raw == "false" {
			k.resolvable = false
		}
		k.text, k.fields = l.fieldSetOf(d, t.name, KeyInvalidFields, KeyInvalidFieldsType)
		if k.fields != nil {
			t.keys = append(t.keys, k)
		}
	}
}

// fieldSetOf reads the fields argument of @key, @requires or @provides; nil after an error.
func (l *loader) fieldSetOf(d *ast.Directive, coordinate string, invalid, invalidType Code) (string, *fieldSet) {
	a := d.Arguments.ForName("fields")
	if a == nil || a.Value == nil {
		return "", nil
	}
	text, ok := fieldsText(a.Value, l.s.federated())
	if !ok {
		l.later(invalidType, d.Position, coordinate, "on %s, for @%s(fields: %s): the argument must be a string",
			coordinate, d.Name, a.Value.String())
		return "", nil
	}
	fs, err := parseFieldSet(text)
	if err != nil {
		l.later(invalid, d.Position, coordinate, "on %s, for @%s(fields: %q): %v", coordinate, d.Name, text, err)
		return "", nil
	}
	return text, fs
}

// fieldsText returns the argument's text. Federation 1 also took names without quotes and lists of them.
func fieldsText(v *ast.Value, strict bool) (string, bool) {
	switch {
	case v.Kind == ast.StringValue || v.Kind == ast.BlockValue:
		return v.Raw, true
	case strict:
		return "", false
	case v.Kind == ast.EnumValue:
		return v.Raw, true
	case v.Kind == ast.ListValue && !slices.ContainsFunc(v.Children, func(c *ast.ChildValue) bool {
		return c.Value.Kind != ast.StringValue && c.Value.Kind != ast.EnumValue
	}):
		parts := make([]string, len(v.Children))
		for i, c := range v.Children {
			parts[i] = c.Value.Raw
		}
		return strings.Join(parts, " "), true
	}
	return "", false
}
