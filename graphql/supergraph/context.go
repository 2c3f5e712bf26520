package supergraph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// contextual reads @fromContext(field: "$name { selection }").
func (l *loader) contextual(f *fieldDef, a *ast.ArgumentDefinition, d *ast.Directive) {
	text := strings.TrimSpace(argText(d, "field"))
	name, sel, ok := splitContext(text)
	if !ok {
		l.later(NoContextInSelection, d.Position, f.coordinate()+"("+a.Name+":)",
			"@fromContext argument does not reference a context: %q", text)
		return
	}
	c := contextArg{arg: a, context: name, selection: sel}
	if set, err := parseFieldSet(sel); err != nil {
		c.unread = err
	} else {
		c.sels = set.sels
	}
	f.contextual = append(f.contextual, c)
}

// splitContext takes "$ctx { a }" apart.
func splitContext(text string) (name, selection string, ok bool) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return "", "", false
	}
	i := strings.IndexFunc(rest, func(r rune) bool { return !isNameRune(r) })
	if i <= 0 || rest[0] >= '0' && rest[0] <= '9' || strings.TrimSpace(rest[i:]) == "" {
		return "", "", false
	}
	return rest[:i], rest[i:], true
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// contextSetters are the types that set each context, in the order of the schema.
func (s *subgraph) contextSetters() map[string][]*typeDef {
	out := map[string][]*typeDef{}
	for _, n := range s.order {
		t := s.types[n]
		for _, name := range t.conditions {
			out[name] = append(out[name], t)
		}
	}
	return out
}

// markContexts notes on every field that a context's selection uses it.
func (l *loader) markContexts() {
	if len(l.s.contexts) == 0 {
		return
	}
	setters := l.s.contextSetters()
	for _, n := range l.s.order {
		for _, f := range l.s.types[n].fields {
			for _, c := range f.contextual {
				for _, t := range setters[c.context] {
					l.s.visit(t, c.sels, func(g *fieldDef) { g.inContext = true })
				}
			}
		}
	}
}

// contextRules: contexts have plain names and are set somewhere; their arguments stand on objects with a key, and are
// given one value.
func (l *loader) contextRules() {
	for _, n := range l.s.order {
		t := l.s.types[n]
		for _, d := range t.dirs.ForNames("context") {
			switch name := argText(d, "name"); {
			case strings.Contains(name, "_"):
				l.fail(ContextNameInvalid, d.Position, t.name, "context name %q may not contain an underscore", name)
			case strings.IndexFunc(name, func(r rune) bool { return !isNameRune(r) }) >= 0, name == "",
				name[0] >= '0' && name[0] <= '9':
				l.fail(ContextNameInvalid, d.Position, t.name,
					"context name %q is invalid: it should have only alphanumeric characters and begin with a letter", name)
			}
		}
	}
	setters := l.s.contextSetters()
	for _, n := range l.s.order {
		t := l.s.types[n]
		contextual := false
		for _, f := range t.fields {
			for _, c := range f.contextual {
				contextual = true
				l.contextRule(t, f, c, setters[c.context])
			}
		}
		if contextual && t.kind == ast.Object && !slices.ContainsFunc(t.keys, func(k *key) bool { return k.resolvable }) {
			l.fail(ContextNoResolvableKey, t.pos, t.name,
				"object %q has no resolvable key but has a field with a contextual argument", t.name)
		}
	}
}

func (l *loader) contextRule(t *typeDef, f *fieldDef, c contextArg, setters []*typeDef) {
	at, coordinate := c.arg.Position, f.coordinate()+"("+c.arg.Name+":)"
	if t.kind != ast.Object {
		l.fail(ContextNotSet, at, coordinate,
			"@fromContext argument cannot be used on a field that exists on an abstract type: %q", coordinate)
		return
	}
	for _, name := range t.interfaces {
		if i := l.s.types[name]; i != nil && i.byName[f.name] != nil {
			l.fail(ContextNotSet, at, coordinate,
				"@fromContext argument cannot be used on a field implementing an interface field: %q", name+"."+f.name)
		}
	}
	if c.arg.DefaultValue != nil {
		l.fail(ContextNotSet, at, coordinate, "@fromContext arguments may not have a default value: %q", coordinate)
	}
	if len(setters) == 0 {
		l.fail(ContextNotSet, at, coordinate, "context %q is used at %q but is never set", c.context, coordinate)
		return
	}
	wrong := func(format string, args ...any) {
		l.fail(ContextInvalidSelection, at, coordinate, "context %q is used in %q but the selection is invalid: %s",
			c.context, coordinate, fmt.Sprintf(format, args...))
	}
	if c.unread != nil {
		wrong("%v", c.unread)
		return
	}
	for _, sel := range c.sels {
		if on := l.s.types[sel.on]; on != nil &&
			!slices.ContainsFunc(setters, func(t *typeDef) bool { return l.s.meet(t, on) }) {
			wrong("type condition %q is never used", sel.on)
			return
		}
	}
	for _, setter := range setters {
		types, err := l.s.contextTypes(setter, c.sels)
		if err != nil {
			wrong("%v", err)
			return
		}
		for _, typ := range types {
			if !l.s.subtype(typ, c.arg.Type) {
				wrong("the type of the selection %q does not match the expected type %q", typ, c.arg.Type)
				return
			}
		}
	}
}

// contextTypes returns the types of the values that a context's selection yields on a type that sets it: one field,
// or one for each of several fragments with conditions of their own.
func (s *subgraph) contextTypes(t *typeDef, sels []*selection) ([]*ast.Type, error) {
	if len(sels) == 1 && sels[0].name != "" {
		typ, err := s.contextType(t, sels)
		return []*ast.Type{typ}, err
	}
	var out []*ast.Type
	seen := map[string]bool{}
	for _, sel := range sels {
		on := s.types[sel.on]
		switch {
		case sel.name != "":
			return nil, errors.New("it must yield one value: one field, or fragments with a type condition each")
		case sel.dirs:
			return nil, errors.New("directives are not allowed")
		case on == nil:
			return nil, fmt.Errorf("its fragments want a type condition each, and %q is none", sel.on)
		case seen[sel.on]:
			return nil, fmt.Errorf("it has several fragments on %q", sel.on)
		}
		seen[sel.on] = true
		if !s.meet(t, on) {
			continue
		}
		typ, err := s.contextType(on, sel.sub)
		if err != nil {
			return nil, err
		}
		out = append(out, typ)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no fragment applies to %q, which sets the context", t.name)
	}
	return out, nil
}

// meet reports whether some object may be of both types.
func (s *subgraph) meet(a, b *typeDef) bool {
	return slices.ContainsFunc(s.possible(a.name), func(n string) bool { return slices.Contains(s.possible(b.name), n) })
}

// contextType is the type of the one value that a selection yields: lists on the way to it are lists around it, and
// what may be null on the way may be null.
func (s *subgraph) contextType(t *typeDef, sels []*selection) (*ast.Type, error) {
	if len(sels) != 1 || sels[0].name == "" {
		return nil, errors.New("it must yield one value")
	}
	sel := sels[0]
	f := t.byName[sel.name]
	switch {
	case sel.dirs:
		return nil, errors.New("directives are not allowed")
	case sel.alias != "":
		return nil, errors.New("aliases are not allowed")
	case f == nil:
		return nil, fmt.Errorf("there is no field %q on type %q", sel.name, t.name)
	}
	if problem := s.argumentsProblem(f, sel); problem != "" {
		return nil, errors.New(problem)
	}
	next := s.types[f.typ.Name()]
	if next == nil || !next.composite() {
		if len(sel.sub) > 0 {
			return nil, fmt.Errorf("field %q has no fields", f.coordinate())
		}
		return f.typ, nil
	}
	if len(sel.sub) == 0 {
		return nil, fmt.Errorf("field %q has to have a selection of fields", f.coordinate())
	}
	inner, err := s.contextType(next, sel.sub)
	if err != nil {
		return nil, err
	}
	return around(f.typ, inner), nil
}

// around puts the lists of a field's type, and its nulls, around the type of what is selected below it.
func around(outer, inner *ast.Type) *ast.Type {
	if outer.Elem != nil {
		return &ast.Type{Elem: around(outer.Elem, inner), NonNull: outer.NonNull}
	}
	typ := *inner
	typ.NonNull = inner.NonNull && outer.NonNull
	return &typ
}
