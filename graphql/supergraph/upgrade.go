package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// upgrade turns a schema of Federation 1, or a plain one, into what its author would have written for Federation 2:
// nothing is exclusive, and @external, @requires and @provides stand only where they mean something.
func (l *loader) upgrade(all []*subgraph) {
	s := l.s
	for _, n := range s.order {
		t := s.types[n]
		if t.kind == ast.Interface {
			l.upgradeInterface(t)
		}
		if t.extended && len(t.keys) == 0 {
			s.lonely = append(s.lonely, n)
			l.ownExternals(t, all)
		}
	}
	s.marksFromScratch()
	for _, n := range s.order {
		for _, f := range s.types[n].fields {
			s.inactive(f)
		}
	}
	s.marksFromScratch()
	for _, n := range slices.Clone(s.order) {
		l.upgradeObject(s.types[n])
	}
}

// referenced reports whether a field, a union or an argument names the type.
func (s *subgraph) referenced(name string) bool {
	for _, n := range s.order {
		t := s.types[n]
		if slices.Contains(t.members, name) ||
			slices.ContainsFunc(t.fields, func(f *fieldDef) bool { return f.typ.Name() == name }) {
			return true
		}
	}
	return false
}

// upgradeInterface drops what means nothing on interfaces.
func (l *loader) upgradeInterface(t *typeDef) {
	t.keys, t.dirs = nil, withoutDirective(t.dirs, "key")
	for _, f := range t.fields {
		f.external, f.requires, f.provides = false, nil, nil
		f.dirs = withoutDirective(withoutDirective(withoutDirective(f.dirs, "external"), "requires"), "provides")
	}
}

// ownExternals is for extensions without a key: those fields are not external that are in the first key another
// subgraph has.
func (l *loader) ownExternals(t *typeDef, all []*subgraph) {
	for _, o := range all {
		if o == l.s {
			continue
		}
		if k := o.firstKey(t.name); k != nil {
			l.s.visit(t, k.sels, func(f *fieldDef) { f.external, f.dirs = false, withoutDirective(f.dirs, "external") })
		}
	}
}

// firstKey returns the first key that the schema gives a type, nil if none: what an upgrade made of it does not count.
func (s *subgraph) firstKey(name string) *fieldSet {
	if !s.federated() {
		return s.keyed[name]
	}
	if t := s.types[name]; t != nil && len(t.keys) > 0 {
		return t.keys[0].fields
	}
	return nil
}

// influenced reports whether the subgraph's upgrade is another one beside these subgraphs than alone.
func (s *subgraph) influenced(all []*subgraph) bool {
	return slices.ContainsFunc(s.lonely, func(n string) bool {
		return slices.ContainsFunc(all, func(o *subgraph) bool { return o != s && o.firstKey(n) != nil })
	})
}

// marksFromScratch recomputes how fields are used by selections.
func (s *subgraph) marksFromScratch() {
	for _, n := range s.order {
		for _, f := range s.types[n].fields {
			f.keyField, f.provided, f.required = false, false, false
		}
	}
	for _, n := range s.order {
		t := s.types[n]
		for _, k := range t.keys {
			s.visit(t, k.fields.sels, func(f *fieldDef) { f.keyField = true })
		}
		for _, f := range t.fields {
			if f.requires != nil {
				s.visit(t, f.requires.sels, func(g *fieldDef) { g.required = true })
			}
			if on := s.types[f.typ.Name()]; f.provides != nil && on != nil {
				s.visit(on, f.provides.sels, func(g *fieldDef) { g.provided = true })
			}
		}
	}
}

// inactive takes out of @requires and @provides what is not external and thus changes nothing.
func (s *subgraph) inactive(f *fieldDef) {
	if f.requires != nil {
		f.requires = s.onlyExternal(f.parent, f.requires)
	}
	on := s.types[f.typ.Name()]
	if f.provides != nil && (on == nil || !on.composite()) {
		f.provides, f.dirs = nil, withoutDirective(f.dirs, "provides")
	}
	if f.provides != nil {
		f.provides = s.onlyExternal(on, f.provides)
	}
}

func (s *subgraph) onlyExternal(t *typeDef, fs *fieldSet) *fieldSet {
	sels := s.externalSelections(t, fs.sels, false)
	if len(sels) == 0 {
		return nil
	}
	out := &fieldSet{sels: sels}
	if out.text = fs.text; out.String() != fs.String() {
		out.text = out.String()
	}
	return out
}

func (s *subgraph) externalSelections(t *typeDef, sels []*selection, below bool) []*selection {
	var out []*selection
	for _, sel := range sels {
		c := *sel
		on := t
		if sel.name == "" {
			if sel.on != "" {
				on = s.types[sel.on]
			}
			if on == nil {
				out = append(out, sel) // a rule says what is wrong
				continue
			}
			if c.sub = s.externalSelections(on, sel.sub, below); len(c.sub) > 0 {
				out = append(out, &c)
			}
			continue
		}
		f := t.byName[sel.name]
		if f == nil || len(sel.sub) == 0 {
			if f == nil || below || f.external || s.externalSomewhere(t, sel.name) {
				out = append(out, sel)
			}
			continue
		}
		if on = s.types[f.typ.Name()]; on == nil {
			out = append(out, sel)
			continue
		}
		if c.sub = s.externalSelections(on, sel.sub, below || f.external); len(c.sub) > 0 {
			out = append(out, &c)
		}
	}
	return out
}

// externalSomewhere reports whether an implementation of interface t has the field as external.
func (s *subgraph) externalSomewhere(t *typeDef, field string) bool {
	if t.kind != ast.Interface {
		return false
	}
	return slices.ContainsFunc(s.possible(t.name), func(o string) bool {
		f := s.types[o].byName[field]
		return f != nil && f.external
	})
}

// upgradeObject drops external fields nobody uses and makes the others shareable.
func (l *loader) upgradeObject(t *typeDef) {
	if t.kind != ast.Object {
		return
	}
	before := len(t.fields)
	t.drop(func(f *fieldDef) bool {
		return f.external && !f.keyField && !f.provided && !f.required && !l.s.implements(f)
	})
	switch {
	case before == 0 || len(t.fields) > 0:
	case !l.s.referenced(t.name):
		delete(l.s.types, t.name)
		l.s.order = slices.DeleteFunc(l.s.order, func(n string) bool { return n == t.name })
	default:
		l.later(TypeWithOnlyUnusedExternal, t.pos, t.name,
			"type %s contains only external fields and all of them are unused (by @key, @requires or @provides)", t.name)
	}
	for _, f := range t.fields {
		if f.external {
			f.dirs = withoutDirective(f.dirs, "tag")
		}
		f.shareable = !f.external || f.provided
	}
}

// implements reports whether an interface of the field's type has the field.
func (s *subgraph) implements(f *fieldDef) bool {
	return slices.ContainsFunc(f.parent.interfaces, func(n string) bool {
		i := s.types[n]
		return i != nil && i.byName[f.name] != nil
	})
}
