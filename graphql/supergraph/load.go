package supergraph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/catalyst-router/catalyst/graphql/blockstring"
)

// loader turns one SDL into a subgraph and gathers what is wrong with it.
type loader struct {
	s    *subgraph
	doc  *ast.SchemaDocument
	errs []Error
	// selections is what is wrong with the federation directives' selections: it stands behind what is wrong with the
	// GraphQL.
	selections []Error
}

// load parses a schema and resolves its names. The subgraph has no types if the SDL cannot be parsed.
func load(index int, in Subgraph, limits Limits) *loader {
	l := &loader{
		s: &subgraph{
			index:      index,
			name:       in.Name,
			url:        in.URL,
			size:       len(in.SDL),
			types:      map[string]*typeDef{},
			directives: map[string]*ast.DirectiveDefinition{},
			roots:      map[ast.Operation]string{},
			renamed:    map[string]string{},
			contexts:   map[string]bool{},
		},
	}
	problem, holds := limits.tooLarge(in.SDL)
	if problem != "" {
		l.fail(SchemaTooLarge, nil, "", "%s", problem)
		return l
	}
	l.s.holds = holds
	doc, err := parser.ParseSchemaWithLimit(&ast.Source{Name: in.Name, Input: blockstring.Settle(in.SDL)}, maxTokens)
	if err != nil {
		l.syntax(err)
		return l
	}
	l.doc = doc
	for _, sd := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		l.s.schemaDirs = append(l.s.schemaDirs, sd.Directives...)
		if sd.Description != "" {
			l.s.described = sd.Description
		}
	}
	l.link(l.s.schemaDirs)
	l.canonical(l.s.schemaDirs)
	l.rootNames()
	l.directives()
	for _, d := range doc.Definitions {
		l.add(d, false)
	}
	for _, d := range doc.Extensions {
		l.add(d, true)
	}
	l.rootTypes()
	l.markPlain()
	l.operatorKeys(in.Keys)
	for _, n := range l.s.order {
		l.marks(l.s.types[n])
	}
	l.mark()
	if !l.s.federated() {
		l.s.keyed = map[string]*fieldSet{}
		for n, t := range l.s.types {
			if len(t.keys) > 0 {
				l.s.keyed[n] = t.keys[0].fields
			}
		}
	}
	return l
}

// maxTokens bounds what one SDL may make us parse; 2 MB of SDL have about 500,000.
const maxTokens = 10_000_000

func (l *loader) syntax(err error) {
	e := Error{Code: InvalidGraphQL, Message: err.Error(), Subgraphs: []string{l.s.name}}
	var g *gqlerror.Error
	if errors.As(err, &g) {
		e.Message = g.Message
		for _, at := range g.Locations {
			e.Locations = append(e.Locations, Location{l.s.name, at.Line, at.Column})
		}
	}
	l.errs = append(l.errs, e)
}

// fail records an error of this subgraph.
func (l *loader) fail(code Code, at *ast.Position, coordinate, format string, args ...any) {
	l.errs = append(l.errs, l.s.failure(code, at, coordinate, format, args...))
}

// later records an error of this subgraph that only counts if the schema is right GraphQL.
func (l *loader) later(code Code, at *ast.Position, coordinate, format string, args ...any) {
	l.selections = append(l.selections, l.s.failure(code, at, coordinate, format, args...))
}

func (s *subgraph) failure(code Code, at *ast.Position, coordinate, format string, args ...any) Error {
	e := Error{
		Code:       code,
		Message:    "[" + s.name + "] " + fmt.Sprintf(format, args...),
		Subgraphs:  []string{s.name},
		Coordinate: coordinate,
	}
	if at != nil {
		e.Locations = []Location{{s.name, at.Line, at.Column}}
	}
	return e
}

// canonical gives directives their canonical names. A directive of the schema's own that happens to be called like
// one of federation's gets a ~ before it.
func (l *loader) canonical(ds ast.DirectiveList) {
	for _, d := range ds {
		if n, ok := l.s.links.canonical[d.Name]; ok {
			d.Name = n
		} else if known(d.Name) {
			d.Name = "~" + d.Name
		}
	}
}

// rootNames finds the root types, which may have names of their own.
func (l *loader) rootNames() {
	given := map[ast.Operation]string{}
	for _, sd := range slices.Concat(l.doc.Schema, l.doc.SchemaExtension) {
		for _, ot := range sd.OperationTypes {
			def := defaultRoot(ot.Operation)
			if l.doc.Definitions.ForName(ot.Type) == nil && l.doc.Extensions.ForName(ot.Type) == nil {
				l.fail(InvalidGraphQL, ot.Position, "", "cannot set schema root %s to unknown type %s", ot.Operation, ot.Type)
				continue
			}
			if before := given[ot.Operation]; before != "" && before != ot.Type {
				l.fail(InvalidGraphQL, ot.Position, "", "there can be only one %s type in the schema", ot.Operation)
			}
			for op, other := range given {
				if op != ot.Operation && other == ot.Type {
					l.fail(InvalidGraphQL, ot.Position, "", "type %s is the root of both %s and %s: root types must be different",
						ot.Type, op, ot.Operation)
				}
			}
			given[ot.Operation] = ot.Type
			l.s.roots[ot.Operation] = def
			if ot.Type != def {
				l.s.renamed[ot.Type] = def
			}
		}
	}
	if len(l.doc.Schema) > 0 {
		return
	}
	for _, op := range []ast.Operation{ast.Query, ast.Mutation, ast.Subscription} {
		l.s.defaultRootType(op, l.doc)
	}
}

func (s *subgraph) defaultRootType(op ast.Operation, doc *ast.SchemaDocument) {
	name := defaultRoot(op)
	if s.roots[op] == "" && (doc.Definitions.ForName(name) != nil || doc.Extensions.ForName(name) != nil) {
		s.roots[op] = name
	}
}

// directives keeps the definitions of the schema's own directives.
func (l *loader) directives() {
	for _, d := range l.doc.Directives {
		name := d.Name
		if c, ok := l.s.links.canonical[name]; ok {
			if c != "link" {
				l.definition(d, c)
			}
			continue
		}
		if builtinDirective(name) || l.s.links.machinery(name) {
			continue
		}
		if known(name) {
			name = "~" + name
		}
		if l.s.directives[name] != nil {
			l.fail(InvalidGraphQL, d.Position, "@"+d.Name, "there can be only one directive named @%s", d.Name)
			continue
		}
		l.s.directives[name] = d
		for _, a := range d.Arguments {
			l.canonical(a.Directives)
			l.rename(a.Type)
		}
	}
}

// add takes a definition or an extension into the subgraph.
func (l *loader) add(d *ast.Definition, extension bool) {
	if l.s.links.machinery(d.Name) || builtinScalar(d.Name) && d.Kind == ast.Scalar {
		_, name, _ := strings.Cut(d.Name, "__")
		if want := machineKind(name); want != "" && want != d.Kind {
			l.fail(TypeDefinitionInvalid, d.Position, d.Name, "invalid definition for type %s: its kind is %s, not %s", d.Name,
				lower(want), lower(d.Kind))
		}
		return
	}
	name := d.Name
	if builtinScalar(name) {
		l.fail(InvalidGraphQL, d.Position, name, "type %s is a scalar of GraphQL's own: rename it", name)
		return
	}
	if n, ok := l.s.renamed[name]; ok {
		name = n
	} else if l.s.clashes(name) {
		l.fail(rootClash(name), d.Position, name, "there is a type %s that is not the root type: rename it", name)
		return
	}
	t := l.s.types[name]
	if t == nil {
		t = &typeDef{sub: l.s, name: name, kind: d.Kind, pos: d.Position, byName: make(map[string]*fieldDef, len(d.Fields))}
		l.s.types[name] = t
		l.s.order = append(l.s.order, name)
	}
	switch {
	case t.kind != d.Kind:
		l.fail(InvalidGraphQL, d.Position, name, "cannot extend %s %s as %s", strings.ToLower(string(t.kind)), name,
			strings.ToLower(string(d.Kind)))
		return
	case !extension && t.pos != nil && t.once:
		l.fail(InvalidGraphQL, d.Position, name, "there can be only one type named %q", d.Name)
		return
	}
	t.once = t.once || !extension
	l.extend(t, d, extension)
}

// clashes reports whether a type has the default name of a root type that has another name.
func (s *subgraph) clashes(name string) bool {
	for _, def := range s.renamed {
		if def == name {
			return true
		}
	}
	return false
}

func rootClash(name string) Code {
	switch name {
	case "Mutation":
		return RootMutationUsed
	case "Subscription":
		return RootSubscriptionUsed
	}
	return RootQueryUsed
}

func (l *loader) extend(t *typeDef, d *ast.Definition, extension bool) {
	l.canonical(d.Directives)
	marked := d.Directives.ForName("extends") != nil
	t.extended = t.extended || extension || marked
	t.defined = t.defined || !extension && (!marked || l.s.federated())
	if t.description == "" {
		t.description = d.Description
	}
	l.addKeys(t, d.Directives, extension)
	if len(d.Directives.ForNames("shareable")) > 1 {
		l.later(InvalidShareableUsage, d.Position, t.name,
			"invalid duplicate application of @shareable on the same type declaration of %q", t.name)
	}
	t.dirs = append(t.dirs, d.Directives...)
	t.interfaces = l.union(t.interfaces, d.Interfaces, d, "implements")
	t.members = l.union(t.members, l.renameAll(d.Types), d, "member")
	for _, v := range d.EnumValues {
		v.Directives = withoutNull(v.Directives)
		if slices.ContainsFunc(t.values, func(o *ast.EnumValueDefinition) bool { return o.Name == v.Name }) {
			continue // as Apollo's composer has it: one of the two is enough
		}
		l.canonical(v.Directives)
		t.values = append(t.values, v)
	}
	for _, f := range d.Fields {
		l.addField(t, f, d)
	}
}

// union appends names that are new, and complains of the others.
func (l *loader) union(have, more []string, d *ast.Definition, what string) []string {
	for _, n := range more {
		if slices.Contains(have, n) {
			l.fail(InvalidGraphQL, d.Position, d.Name, "%s: %s %s is named twice", d.Name, what, n)
			continue
		}
		have = append(have, n)
	}
	return have
}

func (l *loader) addField(t *typeDef, f *ast.FieldDefinition, d *ast.Definition) {
	if t.name == "Query" && machineField(f.Name) {
		return
	}
	if t.byName[f.Name] != nil {
		l.fail(InvalidGraphQL, f.Position, t.name+"."+f.Name, "field %s.%s can only be defined once", t.name, f.Name)
		return
	}
	f.Directives = withoutNull(f.Directives)
	l.canonical(f.Directives)
	l.rename(f.Type)
	for _, a := range f.Arguments {
		l.canonical(a.Directives)
		l.rename(a.Type)
	}
	fd := &fieldDef{
		parent: t, name: f.Name, description: f.Description, typ: f.Type, args: f.Arguments, defaultValue: f.DefaultValue,
		dirs: f.Directives, pos: f.Position,
	}
	fd.shareable = f.Directives.ForName("shareable") != nil || d.Directives.ForName("shareable") != nil
	fd.external = f.Directives.ForName("external") != nil || l.s.federated() && d.Directives.ForName("external") != nil
	if o := f.Directives.ForName("override"); o != nil {
		fd.overrideFrom, fd.overrideLabel = argText(o, "from"), argText(o, "label")
	}
	t.fields = append(t.fields, fd)
	t.byName[f.Name] = fd
}

// withoutNull leaves out @deprecated(reason: null), which deprecates nothing.
func withoutNull(ds ast.DirectiveList) ast.DirectiveList {
	return slices.DeleteFunc(ds, func(d *ast.Directive) bool {
		a := d.Arguments.ForName("reason")
		return d.Name == "deprecated" && a != nil && a.Value != nil && a.Value.Kind == ast.NullValue
	})
}

// rename replaces a root type's own name by the default one.
func (l *loader) rename(t *ast.Type) {
	for t.Elem != nil {
		t = t.Elem
	}
	if n, ok := l.s.renamed[t.NamedType]; ok {
		t.NamedType = n
	}
}

func (l *loader) renameAll(names []string) []string {
	out := slices.Clone(names)
	for i, n := range out {
		if r, ok := l.s.renamed[n]; ok {
			out[i] = r
		}
	}
	return out
}

// rootTypes drops root types that only had machinery, and gives every subgraph a query root to come in by.
func (l *loader) rootTypes() {
	for _, own := range slices.Sorted(maps.Keys(l.s.renamed)) {
		def := l.s.renamed[own]
		if l.s.types[def] == nil {
			l.fail(InvalidGraphQL, nil, "", "cannot set schema root %s to unknown type %s", def, own)
		}
	}
	if q := l.s.types["Query"]; q == nil {
		l.s.types["Query"] = &typeDef{
			sub:     l.s,
			name:    "Query",
			kind:    ast.Object,
			byName:  map[string]*fieldDef{},
			defined: true,
		}
		l.s.order = append(l.s.order, "Query")
	}
	l.s.roots[ast.Query] = "Query"
	for _, op := range slices.Sorted(maps.Keys(l.s.roots)) {
		name := l.s.roots[op]
		t := l.s.types[name]
		if t == nil {
			delete(l.s.roots, op)
		} else if t.kind != ast.Object {
			l.fail(InvalidGraphQL, t.pos, name, "the %s root type must be an object type", op)
		}
	}
}

// markPlain decides whether the schema knows of federation.
func (l *loader) markPlain() {
	if l.s.federated() || l.doc.Definitions.ForName("_Any") != nil || l.doc.Definitions.ForName("_Service") != nil {
		return
	}
	for _, n := range l.s.order {
		t := l.s.types[n]
		if len(t.keys) > 0 || t.extended && !t.root() || t.dirs.ForName("external") != nil {
			return
		}
		for _, f := range t.fields {
			if f.external || f.dirs.ForName("requires") != nil || f.dirs.ForName("provides") != nil {
				return
			}
		}
	}
	l.s.plain = true
}

// operatorKeys adds the keys that the operator declares for a plain schema.
func (l *loader) operatorKeys(keys map[string][]string) {
	names := make([]string, 0, len(keys))
	for n := range keys {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		t := l.s.types[n]
		if t == nil {
			l.fail(KeyInvalidFields, nil, n, "a key is declared for type %s, which the schema does not have", n)
			continue
		}
		for _, text := range keys[n] {
			d := &ast.Directive{
				Name:      "key",
				Position:  t.pos,
				Arguments: ast.ArgumentList{{Name: "fields", Value: &ast.Value{Kind: ast.StringValue, Raw: text}}},
			}
			l.addKeys(t, ast.DirectiveList{d}, false)
			t.dirs = append(t.dirs, d)
		}
	}
}

// marks reads the type's own marks.
func (l *loader) marks(t *typeDef) {
	t.interfaceObject = t.kind == ast.Object && t.dirs.ForName("interfaceObject") != nil
	for _, d := range t.dirs.ForNames("context") {
		name := argText(d, "name")
		t.conditions = append(t.conditions, name)
		l.s.contexts[name] = true
	}
}
