package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// mark reads @requires, @provides and @key selections and notes on every field how it is used.
func (l *loader) mark() {
	for _, n := range l.s.order {
		t := l.s.types[n]
		for _, k := range t.keys {
			l.s.visit(t, k.fields.sels, func(f *fieldDef) {
				f.keyField = true
				if k.extension || t.dirs.ForName("extends") != nil {
					f.external = false // named to say what the key is; not a field of somebody else's
				}
			})
		}
		for _, f := range t.fields {
			l.markField(t, f)
		}
	}
	l.markContexts()
}

func (l *loader) markField(t *typeDef, f *fieldDef) {
	if d := f.dirs.ForName("requires"); d != nil {
		if _, f.requires = l.fieldSetOf(d, f.coordinate(), RequiresInvalidFields,
			RequiresInvalidFieldsType); f.requires != nil {
			l.s.visit(t, f.requires.sels, func(g *fieldDef) { g.required = true })
		}
	}
	if d := f.dirs.ForName("provides"); d != nil {
		_, f.provides = l.fieldSetOf(d, f.coordinate(), ProvidesInvalidFields, ProvidesInvalidFieldsType)
		if on := l.s.types[f.typ.Name()]; f.provides != nil && on != nil {
			l.s.visit(on, f.provides.sels, func(g *fieldDef) { g.provided = true })
		}
	}
	for _, a := range f.args {
		if d := a.Directives.ForName("fromContext"); d != nil {
			l.contextual(f, a, d)
		}
	}
}

// withoutDirective returns the list without the directives of that name.
func withoutDirective(ds ast.DirectiveList, name string) ast.DirectiveList {
	return slices.DeleteFunc(slices.Clone(ds), func(d *ast.Directive) bool { return d.Name == name })
}

// drop takes fields out of a type.
func (t *typeDef) drop(gone func(*fieldDef) bool) {
	t.fields = slices.DeleteFunc(t.fields, func(f *fieldDef) bool {
		if !gone(f) {
			return false
		}
		delete(t.byName, f.name)
		return true
	})
}
