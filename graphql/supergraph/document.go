package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/catalyst-router/catalyst/graphql/supergraph/sdl"
)

// supergraph makes the document of the join specification v0.5, and its text. Reading the text gives the document,
// but for positions. The document is nil if the parser does not take what stands before the types: then the text
// tells why.
//
// Types, values and directives of the document are the subgraphs' own where they are the same: neither may be
// changed.
func (m *merger) supergraph() (string, *ast.SchemaDocument) {
	d := newDocumenter(m)
	m.documenter = d
	again := m.past.holds(m)
	p := &printer{m: m, d: d}
	p.schema()
	p.directiveDefinitions()
	head := p.b.String()
	machines := sdl.Machines()
	machines["join__Graph"] = m.graphs()
	names := p.names()
	var fixed strings.Builder
	fixed.WriteString(head)
	for _, n := range names {
		if m.types[n] == nil {
			fixed.WriteString(machines[n])
		}
	}
	doc, err := parser.ParseSchema(&ast.Source{Name: source, Input: fixed.String()})
	if err != nil {
		doc = nil
	}
	definitions := make(ast.DefinitionList, 0, len(names))
	p.b.Grow(m.size())
	written := make([]written, 0, len(m.order))
	for _, n := range names {
		if t := m.types[n]; t != nil {
			w := p.write(t, again)
			definitions = append(definitions, w.definition)
			written = append(written, w)
			continue
		}
		p.b.WriteString(machines[n])
		if doc != nil {
			definitions = append(definitions, doc.Definitions.ForName(n))
		}
	}
	if doc != nil {
		doc.Definitions = definitions
	}
	text := p.b.String()
	m.keep(written, text)
	return strings.TrimSuffix(text, "\n"), doc
}

// written is a type of the document, and where its text is.
type written struct {
	typ        *mergedType
	definition *ast.Definition
	from, to   int
}

// write writes a type: as it was written before, where it is what it was and stands for the same.
func (p *printer) write(t *mergedType, again bool) written {
	w := written{typ: t, from: p.b.Len()}
	if again && t.made != nil {
		w.definition = t.made.definition
		p.b.WriteString(t.made.text)
	} else {
		w.definition = p.d.definition(t)
		p.b.Definition(w.definition)
	}
	w.to = p.b.Len()
	return w
}

// source names the supergraph in what the parser says of it.
const source = "supergraph.graphql"

// size guesses the length of the text.
func (m *merger) size() int {
	n := 0
	for _, s := range m.subs {
		n += s.size
	}
	return 2 * n
}

// documenter turns merged types into definitions.
type documenter struct {
	m     *merger
	at    *ast.Position
	names map[string]string // directives' names in the supergraph, by the canonical ones
	joins []joins           // by subgraph
	bare  ast.DirectiveList // @join__field
}

// joins are the applications that say no more than a subgraph's name.
type joins struct {
	graph                 *ast.Argument
	typ, field, enumValue *ast.Directive
}

func newDocumenter(m *merger) *documenter {
	d := &documenter{
		m:     m,
		at:    &ast.Position{Src: &ast.Source{Name: source}},
		names: map[string]string{},
		joins: make([]joins, len(m.subs)),
	}
	d.bare = ast.DirectiveList{d.apply("join__field")}
	for i, s := range m.subs {
		g := &ast.Argument{Name: "graph", Value: &ast.Value{Kind: ast.EnumValue, Raw: s.enum}}
		d.joins[i] = joins{
			graph:     g,
			typ:       d.apply("join__type", g),
			field:     d.apply("join__field", g),
			enumValue: d.apply("join__enumValue", g),
		}
	}
	return d
}

func (d *documenter) apply(name string, args ...*ast.Argument) *ast.Directive {
	return &ast.Directive{Name: name, Arguments: args, Position: d.at}
}

func textArgument(name, text string) *ast.Argument {
	return &ast.Argument{Name: name, Value: &ast.Value{Kind: ast.StringValue, Raw: text}}
}

func trueArgument(name string) *ast.Argument {
	return &ast.Argument{Name: name, Value: &ast.Value{Kind: ast.BooleanValue, Raw: "true"}}
}

func (d *documenter) definition(t *mergedType) *ast.Definition {
	out := &ast.Definition{
		Kind:        t.kind,
		Description: t.description,
		Name:        t.name,
		Interfaces:  t.interfaces,
		Position:    d.at,
	}
	out.Directives = d.directives(d.typeJoins(t), t.dirs)
	switch t.kind {
	case ast.Union:
		out.Types = t.members
	case ast.Enum:
		out.EnumValues = make(ast.EnumValueList, len(t.values))
		for i, v := range t.values {
			out.EnumValues[i] = d.value(v)
		}
	case ast.Object, ast.Interface, ast.InputObject:
		out.Fields = make(ast.FieldList, len(t.fields))
		for i, f := range t.fields {
			out.Fields[i] = &ast.FieldDefinition{
				Description:  f.description,
				Name:         f.name,
				Arguments:    d.arguments(f.args),
				DefaultValue: sdl.Plain(f.defaultValue),
				Type:         f.typ,
				Directives:   d.directives(d.fieldJoins(f), f.dirs), Position: d.at,
			}
		}
	}
	return out
}

// directives appends applications of the subgraphs', under their names in the supergraph.
func (d *documenter) directives(to, dirs ast.DirectiveList) ast.DirectiveList {
	if len(dirs) == 0 {
		return to
	}
	to = slices.Clip(to)
	for _, dir := range dirs {
		to = append(to, d.directive(dir))
	}
	return to
}

// local is the name of a directive in the supergraph.
func (d *documenter) local(canonical string) string {
	name, ok := d.names[canonical]
	if !ok {
		name = d.m.local(canonical)
		d.names[canonical] = name
	}
	return name
}

func (d *documenter) directive(dir *ast.Directive) *ast.Directive {
	name := d.local(dir.Name)
	changed := name != dir.Name
	args := make(ast.ArgumentList, len(dir.Arguments))
	for i, a := range dir.Arguments {
		args[i] = a
		if v := sdl.Plain(a.Value); v != a.Value {
			args[i] = &ast.Argument{Name: a.Name, Value: v, Position: a.Position}
			changed = true
		}
	}
	if !changed {
		return dir
	}
	return &ast.Directive{Name: name, Arguments: args, Position: dir.Position}
}

func (d *documenter) arguments(args ast.ArgumentDefinitionList) ast.ArgumentDefinitionList {
	changed := false
	out := make(ast.ArgumentDefinitionList, len(args))
	for i, a := range args {
		out[i] = a
		if v := sdl.Plain(a.DefaultValue); len(a.Directives) > 0 || v != a.DefaultValue {
			out[i] = &ast.ArgumentDefinition{
				Description:  a.Description,
				Name:         a.Name,
				DefaultValue: v,
				Type:         a.Type,
				Directives:   d.directives(nil, a.Directives),
				Position:     a.Position,
			}
			changed = true
		}
	}
	if !changed {
		return args
	}
	return out
}

// typeJoins says which subgraph has the type, with which keys, interfaces and members.
func (d *documenter) typeJoins(t *mergedType) ast.DirectiveList {
	var types, relations, contexts ast.DirectiveList
	for _, td := range t.in {
		j := &d.joins[td.sub.index]
		for _, i := range td.interfaces {
			relations = append(relations, d.apply("join__implements", j.graph, textArgument("interface", i)))
		}
		for _, u := range td.members {
			relations = append(relations, d.apply("join__unionMember", j.graph, textArgument("member", u)))
		}
		for _, k := range td.keys {
			types = append(types, d.keyJoin(td, k, j))
		}
		switch {
		case len(td.keys) > 0:
		case td.interfaceObject:
			types = append(types, d.apply("join__type", j.graph, trueArgument("isInterfaceObject")))
		default:
			types = append(types, j.typ)
		}
		for _, c := range td.conditions {
			contexts = append(contexts, d.apply(d.local("context"), textArgument("name", contextID(td.sub, c))))
		}
		contexts = append(contexts, d.cacheTags(td.sub, td.dirs)...)
	}
	if t.kind == ast.Union {
		return slices.Concat(types, relations, contexts)
	}
	return slices.Concat(relations, types, contexts)
}

func (d *documenter) keyJoin(td *typeDef, k *key, j *joins) *ast.Directive {
	args := ast.ArgumentList{j.graph, textArgument("key", k.text)}
	if k.extension && td.sub.federated() {
		args = append(args, trueArgument("extension"))
	}
	if !k.resolvable {
		args = append(args, &ast.Argument{Name: "resolvable", Value: &ast.Value{Kind: ast.BooleanValue, Raw: "false"}})
	}
	if td.interfaceObject {
		args = append(args, trueArgument("isInterfaceObject"))
	}
	return d.apply("join__type", args...)
}

// contextID is the name of a subgraph's context in the supergraph.
func contextID(s *subgraph, name string) string { return strings.ToLower(s.enum) + "__" + name }

func (d *documenter) value(v *mergedValue) *ast.EnumValueDefinition {
	var joined ast.DirectiveList
	for i, in := range v.in {
		if in {
			joined = append(joined, d.joins[i].enumValue)
		}
	}
	return &ast.EnumValueDefinition{
		Description: v.description,
		Name:        v.name,
		Directives:  d.directives(joined, v.dirs),
		Position:    d.at,
	}
}

// fieldJoins says which subgraphs have the field and how. Nothing said means: all that have the type, as it stands.
func (d *documenter) fieldJoins(f *mergedField) ast.DirectiveList {
	if f.bare {
		return d.bare
	}
	if !f.needsJoins() {
		var tags ast.DirectiveList
		for _, fd := range f.in {
			tags = append(tags, d.cacheTags(fd.parent.sub, fd.dirs)...)
		}
		return tags
	}
	differ := slices.ContainsFunc(f.in, func(fd *fieldDef) bool { return !sameType(fd.typ, f.typ) })
	out := make(ast.DirectiveList, 0, len(f.in))
	for _, fd := range f.in {
		if fd.overridden && !fd.used() {
			continue
		}
		out = append(out, d.fieldJoin(fd, differ))
	}
	for _, fd := range f.in {
		out = append(out, d.cacheTags(fd.parent.sub, fd.dirs)...)
	}
	if len(out) == 0 {
		return d.bare
	}
	return out
}

// cacheTags carries the applications of @cacheTag of one subgraph into the supergraph, in the form that Apollo's
// router reads.
func (d *documenter) cacheTags(s *subgraph, dirs ast.DirectiveList) ast.DirectiveList {
	var out ast.DirectiveList
	for _, dir := range dirs.ForNames("cacheTag") {
		graphs := &ast.Value{
			Kind:     ast.ListValue,
			Children: ast.ChildValueList{{Value: &ast.Value{Kind: ast.EnumValue, Raw: s.enum}}},
		}
		args := &ast.Value{Kind: ast.ObjectValue}
		for _, a := range dir.Arguments {
			args.Children = append(args.Children, &ast.ChildValue{Name: a.Name, Value: sdl.Plain(a.Value)})
		}
		out = append(out, d.apply("join__directive", &ast.Argument{Name: "graphs", Value: graphs},
			textArgument("name", "federation__cacheTag"),
			&ast.Argument{Name: "args", Value: args}))
	}
	return out
}

// cacheTags reports whether the subgraph uses @cacheTag.
func (s *subgraph) cacheTags() bool {
	for _, t := range s.types {
		if t.has.cacheTag {
			return true
		}
	}
	return false
}

func (f *mergedField) needsJoins() bool {
	if len(f.in) != len(f.parent.in) {
		return true
	}
	for i, t := range f.parent.in {
		d := f.in[i]
		if d.parent.sub != t.sub || d.external || d.requires != nil || d.provides != nil || d.overridden ||
			d.overrideLabel != "" || d.overrideFrom != "" ||
			len(d.contextual) > 0 || !sameType(d.typ, f.typ) {
			return true
		}
	}
	return false
}

// sameType reports whether two types are written in the same way.
func sameType(a, b *ast.Type) bool {
	for a != b {
		if a.NamedType != b.NamedType || a.NonNull != b.NonNull || (a.Elem == nil) != (b.Elem == nil) {
			return false
		}
		if a.Elem == nil {
			return true
		}
		a, b = a.Elem, b.Elem
	}
	return true
}

func (d *documenter) fieldJoin(f *fieldDef, differ bool) *ast.Directive {
	j := &d.joins[f.parent.sub.index]
	args := ast.ArgumentList{j.graph}
	if f.requires != nil {
		args = append(args, textArgument("requires", f.requires.text))
	}
	if f.provides != nil {
		args = append(args, textArgument("provides", f.provides.text))
	}
	if differ {
		args = append(args, textArgument("type", f.typ.String()))
	}
	if f.external {
		args = append(args, trueArgument("external"))
	}
	if f.overrideFrom != "" {
		args = append(args, textArgument("override", f.overrideFrom))
	}
	if f.overridden {
		args = append(args, trueArgument("usedOverridden"))
	}
	if f.overrideLabel != "" {
		args = append(args, textArgument("overrideLabel", f.overrideLabel))
	}
	if len(f.contextual) > 0 {
		args = append(args, &ast.Argument{Name: "contextArguments", Value: contextArguments(f)})
	}
	if len(args) == 1 {
		return j.field
	}
	return d.apply("join__field", args...)
}

func contextArguments(f *fieldDef) *ast.Value {
	list := &ast.Value{Kind: ast.ListValue}
	for _, c := range f.contextual {
		o := &ast.Value{Kind: ast.ObjectValue}
		for _, a := range []*ast.Argument{
			textArgument("context", contextID(f.parent.sub, c.context)), textArgument("name", c.arg.Name),
			textArgument("type", c.arg.Type.String()), textArgument("selection", c.selection),
		} {
			o.Children = append(o.Children, &ast.ChildValue{Name: a.Name, Value: a.Value})
		}
		list.Children = append(list.Children, &ast.ChildValue{Value: o})
	}
	return list
}
