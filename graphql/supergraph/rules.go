package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// rules holds a schema that is right GraphQL against the rules of federation. Each is in a file of its own.
func (l *loader) rules() {
	for _, n := range l.s.order {
		t := l.s.types[n]
		for _, k := range t.keys {
			l.keyRule(t, k)
		}
		l.interfaceKeyRule(t)
		l.interfaceObjectRule(t)
		for _, f := range t.fields {
			if t.kind == ast.InputObject {
				continue
			}
			l.requiresRule(t, f)
			l.providesRule(t, f)
			l.externalRule(t, f)
			l.shareableRule(t, f)
			l.costRule(t, f)
			l.listSizeRule(f)
		}
		l.authRule(t)
	}
	l.contextRules()
}

// keyRule: a key selects fields of scalar, enum or object type, without arguments, aliases or directives.
func (l *loader) keyRule(t *typeDef, k *key) {
	if t.kind == ast.Interface && l.s.federated() && l.s.version.less(version{2, 3}) {
		l.fail(KeyUnsupportedOnInterface, k.dir.Position, t.name,
			"cannot use @key on interface %q: @key is not yet supported on interfaces in federation %s", t.name, l.s.version)
		return
	}
	v := &setRule{
		l: l, directive: "key", where: "type " + t.name, coordinate: t.name, text: k.text, at: k.dir.Position,
		invalid: KeyInvalidFields, directives: KeyDirectiveInFieldsArg,
		field: func(v *setRule, f *fieldDef, sel *selection) bool {
			if len(f.args) > 0 {
				if !v.arguments(f, sel) {
					return false
				}
				return v.fail(KeyFieldsHasArgs, "field %s cannot be included because it has arguments", f.coordinate())
			}
			kind := l.s.kindOf(f.typ.Name())
			if kind == ast.Interface || kind == ast.Union {
				return v.fail(KeyFieldsSelectInvalidType, "field %s is of an %s type, which is not allowed in a key",
					f.coordinate(), lower(kind))
			}
			return true
		},
	}
	k.wrong = !v.set(t, k.fields.sels, false)
}

// lower is a kind in prose.
func lower(k ast.DefinitionKind) string {
	return strings.ToLower(strings.ReplaceAll(string(k), "_", " "))
}

// requiresRule: @requires selects external fields of the field's own type; arguments may be given.
func (l *loader) requiresRule(t *typeDef, f *fieldDef) {
	d := f.dirs.ForName("requires")
	if d == nil {
		return
	}
	if t.kind == ast.Interface {
		l.fail(RequiresUnsupportedOnInterface, d.Position, f.coordinate(),
			"cannot use @requires on field %q of an interface", f.coordinate())
	}
	if f.requires == nil {
		return
	}
	v := &setRule{
		l:          l,
		directive:  "requires",
		where:      "field " + f.coordinate(),
		coordinate: f.coordinate(),
		text:       f.requires.text,
		at:         d.Position,
		invalid:    RequiresInvalidFields, directives: RequiresDirectiveInFieldsArg, external: RequiresFieldsMissingExternal,
		field: func(v *setRule, g *fieldDef, sel *selection) bool { return v.arguments(g, sel) },
	}
	v.set(t, f.requires.sels, false)
}

// providesRule: @provides selects external fields of the type of the field, without arguments.
func (l *loader) providesRule(t *typeDef, f *fieldDef) {
	d := f.dirs.ForName("provides")
	if d == nil {
		return
	}
	if t.kind == ast.Interface {
		l.fail(ProvidesUnsupportedOnInterface, d.Position, f.coordinate(),
			"cannot use @provides on field %q of an interface", f.coordinate())
	}
	on := l.s.types[f.typ.Name()]
	if on == nil || !on.composite() {
		l.fail(ProvidesOnNonObjectField, d.Position, f.coordinate(),
			"invalid @provides directive on field %q: it has type %q, which has no fields", f.coordinate(), f.typ.String())
		return
	}
	if f.provides == nil {
		return
	}
	v := &setRule{
		l:          l,
		directive:  "provides",
		where:      "field " + f.coordinate(),
		coordinate: f.coordinate(),
		text:       f.provides.text,
		at:         d.Position,
		invalid:    ProvidesInvalidFields, directives: ProvidesDirectiveInFieldsArg, external: ProvidesFieldsMissingExternal,
		field: func(v *setRule, g *fieldDef, sel *selection) bool {
			if len(g.args) > 0 {
				if !v.arguments(g, sel) {
					return false
				}
				return v.fail(ProvidesFieldsHasArgs, "field %s cannot be included because it has arguments", g.coordinate())
			}
			return true
		},
	}
	v.set(on, f.provides.sels, false)
}

// externalRule: an external field serves a selection or an interface, and stands on an object.
func (l *loader) externalRule(t *typeDef, f *fieldDef) {
	if f.dirs.ForName("external") != nil && t.kind == ast.Interface {
		l.fail(ExternalOnInterface, f.pos, f.coordinate(),
			"interface type field %q is marked @external: interface fields are not resolved, so they cannot be", f.coordinate())
	}
	if f.external && !f.keyField && !f.required && !f.provided && !f.inContext && !l.s.implements(f) {
		l.fail(ExternalUnused, f.pos, f.coordinate(),
			"field %q is marked @external but is not used in any federation directive (@key, @provides, @requires) or to "+
				"satisfy an interface; the field declaration has no use and should be removed (or the field should not "+
				"be @external)", f.coordinate())
	}
}

// shareableRule: @shareable stands once, on objects and their fields.
func (l *loader) shareableRule(t *typeDef, f *fieldDef) {
	ds := f.dirs.ForNames("shareable")
	switch {
	case len(ds) == 0:
	case t.kind == ast.Interface:
		l.fail(InvalidShareableUsage, f.pos, f.coordinate(),
			"invalid use of @shareable on field %q: only object type fields can be marked with @shareable", f.coordinate())
	case len(ds) > 1:
		l.fail(InvalidShareableUsage, f.pos, f.coordinate(), "invalid duplicate application of @shareable on field %q",
			f.coordinate())
	}
}

// interfaceKeyRule: the implementations of an interface with a key have that key as well.
func (l *loader) interfaceKeyRule(t *typeDef) {
	if t.kind != ast.Interface {
		return
	}
	for _, k := range t.keys {
		if k.wrong {
			continue
		}
		for _, n := range l.s.possible(t.name) {
			o := l.s.types[n]
			i := slices.IndexFunc(o.keys, func(ok *key) bool { return sameSelections(ok.fields.sels, k.fields.sels) })
			if i < 0 {
				l.fail(InterfaceKeyNotOnImplementation, o.pos, o.name,
					"key @key(fields: %q) on interface type %q is missing on implementation type %q", k.text, t.name, n)
			} else if k.resolvable && !o.keys[i].resolvable &&
				!slices.ContainsFunc(o.keys, func(ok *key) bool {
					return ok.resolvable &&
						sameSelections(ok.fields.sels, k.fields.sels)
				}) {
				l.fail(InterfaceKeyNotOnImplementation, o.pos, o.name,
					"key @key(fields: %q) on interface type %q should be resolvable on implementation type %q", k.text, t.name, n)
			}
		}
	}
}

// sameSelections compares selections without regard to order.
func sameSelections(a, b []*selection) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x *selection) bool {
		return !slices.ContainsFunc(b, func(y *selection) bool {
			return x.name == y.name && x.on == y.on && sameSelections(x.sub, y.sub)
		})
	})
}

// interfaceObjectRule: an interface object is an entity.
func (l *loader) interfaceObjectRule(t *typeDef) {
	if d := t.dirs.ForName("interfaceObject"); d != nil && len(t.dirs.ForNames("key")) == 0 {
		l.fail(InterfaceObjectUsageError, d.Position, t.name,
			"the @interfaceObject directive can only be applied to entity types but type %q has no @key in this subgraph",
			t.name)
	}
}

// authRule: authorisation stands on what is resolved, never on interfaces.
func (l *loader) authRule(t *typeDef) {
	if t.kind != ast.Interface && !t.interfaceObject {
		return
	}
	for _, name := range []string{"authenticated", "requiresScopes", "policy"} {
		if d := t.dirs.ForName(name); d != nil {
			l.fail(AuthRequirementsAppliedOnInterface, d.Position, t.name,
				"invalid use of @%s on interface %q: it cannot be applied on interfaces, interface fields and interface objects",
				name, t.name)
		}
		for _, f := range t.fields {
			if d := f.dirs.ForName(name); d != nil && t.kind == ast.Interface {
				l.fail(AuthRequirementsAppliedOnInterface, d.Position, f.coordinate(),
					"invalid use of @%s on field %q: it cannot be applied on interfaces, interface fields and interface objects",
					name, f.coordinate())
			}
		}
	}
}
