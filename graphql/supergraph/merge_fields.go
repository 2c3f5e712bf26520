package supergraph

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// mergeFields merges the fields of an object or interface type: all that any subgraph has.
func (m *merger) mergeFields(t *mergedType) {
	t.gatherFields()
	for _, f := range t.fields {
		m.mergeField(f)
	}
	if slices.ContainsFunc(t.fields, func(f *mergedField) bool { return f.typ == nil }) {
		t.fields = slices.DeleteFunc(t.fields, func(f *mergedField) bool { return f.typ == nil })
		t.index()
	}
}

// gatherFields finds the fields that any subgraph has.
func (t *mergedType) gatherFields() {
	first := t.in[0].fields
	all, in := make([]mergedField, len(first)), make([]*fieldDef, len(first))
	t.fields = make([]*mergedField, len(first))
	for i, fd := range first {
		in[i] = fd
		all[i] = mergedField{parent: t, name: fd.name, in: in[i : i+1 : i+1]}
		t.fields[i] = &all[i]
	}
	if len(first) > fewFields {
		t.index()
	}
	for _, d := range t.in[1:] {
		for _, fd := range d.fields {
			f := t.field(fd.name)
			if f == nil {
				f = &mergedField{parent: t, name: fd.name}
				t.put(f)
			}
			f.in = append(f.in, fd)
		}
	}
}

// sources splits the subgraphs' versions of a field into those that resolve it and those that only name it.
func (f *mergedField) sources() (own, external []*fieldDef) {
	for _, d := range f.in {
		if d.external {
			external = append(external, d)
		} else {
			own = append(own, d)
		}
	}
	return own, external
}

func (m *merger) mergeField(f *mergedField) {
	own, external := f.sources()
	if len(own) == 0 {
		m.onlyExternal(f, external)
		return
	}
	if f.parent.kind == ast.Object {
		m.sharing(f)
	}
	if f.parent.name == "Subscription" {
		m.sharedSubscription(f, own)
	}
	spread := m.spread[f.coordinate()]
	if d := own[0]; len(own) == 1 && len(d.args) == 0 && len(d.dirs) == 0 && spread == nil { // most are
		f.description, f.typ = d.description, d.typ
		m.externals(f, external, true)
		return
	}
	at := f.coordinate()
	texts := make([]string, len(own))
	types := make([]*ast.Type, len(own))
	for i, d := range own {
		texts[i], types[i] = d.description, d.typ
	}
	f.description = m.describe(at, texts)
	f.typ = m.mergeTypes(FieldTypeMismatch, "field", at, subsOf(own), types, false)
	f.args = m.mergeArguments(at, own)
	f.dirs = m.mergeDirectives(at, append(fieldSources(own), spread...))
	m.externals(f, external, !slices.ContainsFunc(types, func(t *ast.Type) bool { return !sameType(t, types[0]) }))
}

// onlyExternal is for fields that nobody resolves. An interface object elsewhere may.
func (m *merger) onlyExternal(f *mergedField, external []*fieldDef) {
	if objects := m.viaInterfaceObject(f.parent, f.name); len(objects) > 0 {
		o := objects[0]
		f.typ, f.args, f.description = o.typ, o.args, o.description
		f.dirs = m.mergeDirectives(f.coordinate(), m.spread[f.coordinate()])
		return
	}
	m.fail(ExternalMissingOnBase, f.coordinate(), subsOf(external),
		"field %q is marked @external on all the subgraphs in which it is listed (%s)", f.coordinate(),
		m.nameList(subsOf(external)))
}

// viaInterfaceObject returns the fields of that name that interface objects add to implementations of their interface.
func (m *merger) viaInterfaceObject(t *mergedType, name string) []*fieldDef {
	var out []*fieldDef
	if t.kind != ast.Object {
		return nil
	}
	for _, i := range t.interfaces {
		it := m.types[i]
		if it == nil {
			continue
		}
		for _, d := range it.in {
			if d.interfaceObject && d.byName[name] != nil && !d.byName[name].external && d.sub.types[t.name] == nil {
				out = append(out, d.byName[name])
			}
		}
	}
	return out
}

// sharing checks that what several subgraphs resolve is shareable in all of them.
func (m *merger) sharing(f *mergedField) {
	if len(f.in) == 1 && len(f.parent.interfaces) == 0 {
		return
	}
	var resolving []*fieldDef
	var not []*fieldDef
	take := func(d *fieldDef) {
		resolving = append(resolving, d)
		if !d.shareable && !d.keyField && !d.external {
			not = append(not, d)
		}
	}
	for _, d := range f.in {
		if !d.unresolved() && !d.overridden {
			take(d)
		}
	}
	for _, d := range m.viaInterfaceObject(f.parent, f.name) {
		if !d.overridden {
			take(d)
		}
	}
	if len(resolving) < 2 || len(not) == 0 || m.migrating(resolving) {
		return
	}
	where := "all of them"
	if len(not) < len(resolving) {
		where = m.nameList(subsOf(not))
	}
	m.fail(InvalidFieldSharing, f.coordinate(), subsOf(resolving),
		"non-shareable field %q is resolved from multiple subgraphs: it is resolved from %s and defined as "+
			"non-shareable in %s", f.coordinate(), m.nameList(subsOf(resolving)), where)
}

// sharedSubscription refuses @shareable on subscriptions: an event comes from one place.
func (m *merger) sharedSubscription(f *mergedField, own []*fieldDef) {
	for _, d := range own {
		if d.dirs.ForName("shareable") != nil {
			m.fail(InvalidFieldSharing, f.coordinate(), subsOf([]*fieldDef{d}),
				"fields on the root level subscription object cannot be marked as shareable, but %q is in subgraph %q",
				f.coordinate(), d.parent.sub.name)
		}
	}
}

// migrating reports whether a progressive override explains why two subgraphs resolve the field.
func (m *merger) migrating(fs []*fieldDef) bool {
	if len(fs) != 2 {
		return false
	}
	a, b := fs[0], fs[1]
	return a.overrideLabel != "" && a.overrideFrom == b.parent.sub.name ||
		b.overrideLabel != "" && b.overrideFrom == a.parent.sub.name
}

// externals checks that those who name a field know it as it is.
func (m *merger) externals(f *mergedField, external []*fieldDef, equal bool) {
	for _, d := range external {
		subs := subsOf(append([]*fieldDef{d}, first(f.sources())...))
		if f.typ != nil && d.typ.String() != f.typ.String() && (equal || !m.subtype(d.typ, f.typ)) {
			m.fail(ExternalTypeMismatch, f.coordinate(), subs,
				"type of field %q is incompatible across subgraphs (where marked @external): it has type %q, but type %q in "+
					"subgraph %q", f.coordinate(), f.typ.String(), d.typ.String(), d.parent.sub.name)
		}
		for _, a := range f.args {
			m.externalArgument(f, d, a, subs)
		}
		for _, dir := range d.dirs {
			if m.mergedDirective(dir.Name) {
				m.fail(MergedDirectiveApplicationOnExternal, f.coordinate(), []*subgraph{d.parent.sub},
					"[%s] cannot apply merged directive @%s to external field %q", d.parent.sub.name, dir.Name, f.coordinate())
			}
		}
	}
}

func first(own, _ []*fieldDef) []*fieldDef { return own }

func (m *merger) externalArgument(f *mergedField, d *fieldDef, a *ast.ArgumentDefinition, subs []*subgraph) {
	at := fmt.Sprintf("%s(%s:)", f.coordinate(), a.Name)
	have := d.args.ForName(a.Name)
	switch {
	case have == nil:
		m.fail(ExternalArgumentMissing, at, subs,
			"field %q is missing argument %q in subgraph %q, where it is marked @external", f.coordinate(), at,
			d.parent.sub.name)
	case have.Type.String() != a.Type.String() && !m.subtype(a.Type, have.Type):
		m.fail(ExternalArgumentTypeMismatch, at, subs,
			"type of argument %q is incompatible across subgraphs (where %q is marked @external): it has type %q, but type "+
				"%q in subgraph %q", at, f.coordinate(), a.Type.String(), have.Type.String(), d.parent.sub.name)
	case !equalValues(have.DefaultValue, a.DefaultValue):
		m.fail(ExternalArgumentDefaultMismatch, at, subs,
			"argument %q has incompatible defaults across subgraphs (where %q is marked @external)", at, f.coordinate())
	}
}

// mergeArguments keeps the arguments that all have. One that is required somewhere must be everywhere.
func (m *merger) mergeArguments(prefix string, from []*fieldDef) ast.ArgumentDefinitionList {
	var names []string
	for _, d := range from {
		for _, a := range d.args {
			if !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	}
	var out ast.ArgumentDefinitionList
	for _, n := range names {
		if a := m.mergeArgument(fmt.Sprintf("%s(%s:)", prefix, n), n, from); a != nil {
			out = append(out, a)
		}
	}
	return out
}

func (m *merger) mergeArgument(at, name string, from []*fieldDef) *ast.ArgumentDefinition {
	var subs, without, contextual []*subgraph
	var args []*ast.ArgumentDefinition
	for _, d := range from {
		a := d.args.ForName(name)
		switch {
		case a == nil:
			without = append(without, d.parent.sub)
		case slices.ContainsFunc(d.contextual, func(c contextArg) bool { return c.arg == a }):
			contextual = append(contextual, d.parent.sub)
		default:
			args, subs = append(args, a), append(subs, d.parent.sub)
		}
	}
	if len(contextual) > 0 {
		m.contextualElsewhere(at, contextual, subs, args)
		return nil
	}
	required := func(a *ast.ArgumentDefinition) bool { return a.Type.NonNull && a.DefaultValue == nil }
	if len(without) > 0 {
		if slices.ContainsFunc(args, required) {
			m.fail(RequiredArgumentMissingInSomeSubgraph, at, append(slices.Clone(subs), without...),
				"argument %q is required in some subgraphs but does not appear in all subgraphs: it is in %s but not in %s", at,
				m.nameList(subs), m.nameList(without))
		} else {
			m.hint("INCONSISTENT_ARGUMENT_PRESENCE", at, without,
				"optional argument %q is left out of the supergraph: it is not in %s", at, m.nameList(without))
		}
		return nil
	}
	return m.mergeInputs(FieldArgumentTypeMismatch, FieldArgumentDefaultMismatch, "argument", at, name, subs, args)
}

// contextualElsewhere checks an argument that @fromContext fills in some subgraphs: clients never see it.
func (m *merger) contextualElsewhere(at string, contextual, plain []*subgraph, args []*ast.ArgumentDefinition) {
	for i, a := range args {
		if a.Type.NonNull && a.DefaultValue == nil {
			m.fail(ContextualArgumentNotContextualInAllSubgraphs, at, append(slices.Clone(contextual), plain[i]),
				"argument %q is contextual in %s but required in subgraph %q: it must be contextual in all of them, or "+
					"nullable, or have a default", at, m.nameList(contextual), plain[i].name)
			return
		}
	}
	if len(args) > 0 {
		m.hint("CONTEXTUAL_ARGUMENT_NOT_CONTEXTUAL_IN_ALL_SUBGRAPHS", at, plain,
			"argument %q is left out of the supergraph, since it is contextual in %s", at, m.nameList(contextual))
	}
}

// mergeInputs merges an argument or input field; nil after an error.
func (m *merger) mergeInputs(typeCode, defaultCode Code, what, at, name string, subs []*subgraph,
	args []*ast.ArgumentDefinition) *ast.ArgumentDefinition {
	types := make([]*ast.Type, len(args))
	texts := make([]string, len(args))
	sources := make([]directiveSource, len(args))
	for i, a := range args {
		types[i], texts[i], sources[i] = a.Type, a.Description, directiveSource{subs[i], a.Directives}
	}
	typ := m.mergeTypes(typeCode, what, at, subs, types, true)
	if typ == nil {
		return nil
	}
	return &ast.ArgumentDefinition{
		Name:         name,
		Description:  m.describe(at, texts),
		Type:         typ,
		DefaultValue: m.mergeDefaults(defaultCode, what, at, subs, args),
		Directives:   m.mergeDirectives(at, sources),
	}
}

// mergeDefaults keeps the default that all have; two different ones are an error.
func (m *merger) mergeDefaults(code Code, what, at string, subs []*subgraph,
	args []*ast.ArgumentDefinition) *ast.Value {
	var def *ast.Value
	missing := false
	for _, a := range args {
		switch {
		case a.DefaultValue == nil:
			missing = true
		case def == nil:
			def = a.DefaultValue
		case !equalValues(def, a.DefaultValue):
			m.fail(code, at, subs, "%s %q has incompatible default values across subgraphs: %s and %s", what, at,
				def.String(), a.DefaultValue.String())
			return nil
		}
	}
	if missing && def != nil {
		m.hint("INCONSISTENT_DEFAULT_VALUE_PRESENCE", at, subs,
			"%s %q has a default value in only some subgraphs: none is used", what, at)
		return nil
	}
	return def
}

// mergeInput keeps the fields that all subgraphs with the input type have.
func (m *merger) mergeInput(t *mergedType) {
	having := m.having(t)
	var names []string
	for _, d := range t.in {
		for _, f := range d.fields {
			if !slices.Contains(names, f.name) {
				names = append(names, f.name)
			}
		}
	}
	failed := len(m.errs)
	for _, n := range names {
		if f := m.mergeInputField(t, n, having); f != nil {
			t.put(f)
		}
	}
	if len(t.fields) == 0 && len(m.errs) == failed {
		m.fail(EmptyMergedInputType, t.name, having,
			"none of the fields of input object type %q are consistently defined in all the subgraphs defining that type",
			t.name)
	}
}

func (m *merger) mergeInputField(t *mergedType, name string, having []*subgraph) *mergedField {
	f := &mergedField{parent: t, name: name}
	var subs, without []*subgraph
	var args []*ast.ArgumentDefinition
	required := false
	for _, s := range having {
		d := s.types[t.name].byName[name]
		if d == nil {
			without = append(without, s)
			continue
		}
		f.in = append(f.in, d)
		required = required || d.typ.NonNull && d.defaultValue == nil
		subs = append(subs, s)
		args = append(args, &ast.ArgumentDefinition{
			Name:         name,
			Description:  d.description,
			Type:         d.typ,
			DefaultValue: d.defaultValue,
			Directives:   d.dirs,
		})
	}
	at := f.coordinate()
	if len(without) > 0 {
		if required {
			m.fail(RequiredInputFieldMissingInSomeSubgraph, at, having,
				"input object field %q is required in some subgraphs but does not appear in all subgraphs: it is in %s "+
					"but not in %s", at, m.nameList(subs), m.nameList(without))
		} else {
			m.hint("INCONSISTENT_INPUT_OBJECT_FIELD", at, without,
				"input object field %q is left out of the supergraph: it is not in %s", at, m.nameList(without))
		}
		return nil
	}
	a := m.mergeInputs(FieldTypeMismatch, InputFieldDefaultMismatch, "input field", at, name, subs, args)
	if a == nil {
		return nil
	}
	f.description, f.typ, f.defaultValue, f.dirs = a.Description, a.Type, a.DefaultValue, a.Directives
	return f
}

// interfaceObjectFields gives implementations the fields that interface objects add.
func (m *merger) interfaceObjectFields() {
	for _, n := range m.order {
		t := m.types[n]
		if t.kind != ast.Object {
			continue
		}
		for _, i := range t.interfaces {
			it := m.types[i]
			if it == nil || it.kind != ast.Interface ||
				!slices.ContainsFunc(it.in, func(d *typeDef) bool { return d.interfaceObject }) {
				continue
			}
			for _, f := range it.fields {
				if t.field(f.name) == nil && len(m.viaInterfaceObject(t, f.name)) > 0 {
					m.sharing(&mergedField{parent: t, name: f.name})
					c := &mergedField{
						parent:      t,
						name:        f.name,
						description: f.description,
						typ:         f.typ,
						args:        f.args,
						dirs:        m.bareDirectives(t, f),
						bare:        true,
					}
					t.put(c)
				}
			}
		}
	}
}

// bareDirectives are those of a field that an object has through an interface object only: the interface's, but what
// other implementations ask for is not its own.
func (m *merger) bareDirectives(t *mergedType, f *mergedField) ast.DirectiveList {
	var out ast.DirectiveList
	for _, d := range f.dirs {
		if !slices.Contains(authDirectives, d.Name) {
			out = append(out, d)
		}
	}
	at := t.name + "." + f.name
	return append(out, m.mergeDirectives(at, m.spread[at])...)
}

// plainRoots lets a later plain schema's root field replace an earlier one's. Beside federated schemas, plain ones
// share their root fields as Federation 1 does.
func (m *merger) plainRoots() {
	if m.opts.RootConflict == LastWins && slices.ContainsFunc(m.subs, func(s *subgraph) bool { return !s.plain }) {
		return
	}
	for _, n := range []string{"Query", "Mutation", "Subscription"} {
		t := m.types[n]
		if t == nil {
			continue
		}
		last := map[string]*typeDef{}
		for _, d := range t.in {
			if !d.sub.plain {
				continue
			}
			for _, f := range d.fields {
				if m.opts.RootConflict == Reject {
					f.shareable = false // in every composition with these options
				} else if before := last[f.name]; before != nil {
					before.sub.spent = true
					before.drop(func(g *fieldDef) bool { return g.name == f.name })
					m.hint("ROOT_FIELD_REPLACED", n+"."+f.name, []*subgraph{before.sub, d.sub},
						"%s.%s of subgraph %q is replaced by that of the later subgraph %q", n, f.name, before.sub.name, d.sub.name)
				}
				last[f.name] = d
			}
		}
	}
}
