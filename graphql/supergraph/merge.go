package supergraph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// merger makes one schema of many.
type merger struct {
	subs  []*subgraph
	opts  Options
	types map[string]*mergedType
	order []string                   // sorted
	dirs  []*ast.DirectiveDefinition // of operations, sorted
	errs  []Error
	hints []Hint

	past       *past                // what the last composition has made
	made       map[string]*madeType // by this one
	asked      bool                 // about other types, since the merge of a type began
	applied    []string             // directives that were found since then
	documenter *documenter          // of this composition
	spread     authSources
	composed   []*composedDirective
	used       map[string]bool // features whose directives appear
	schemaDirs ast.DirectiveList
}

// mergedType is a type of the supergraph.
type mergedType struct {
	name        string
	kind        ast.DefinitionKind
	description string
	in          []*typeDef // of the subgraphs that have it, in their order
	fields      []*mergedField
	byName      map[string]*mergedField // nil where there are few
	interfaces  []string
	members     []string
	values      []*mergedValue
	dirs        ast.DirectiveList
	made        *madeType // by an earlier composition; nil if it is this one's
}

// field is the type's field of a name, or nil.
func (t *mergedType) field(name string) *mergedField {
	if t.byName != nil {
		return t.byName[name]
	}
	for _, f := range t.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// fewFields is how many fields of a type are found without an index.
const fewFields = 12

// put appends a field.
func (t *mergedType) put(f *mergedField) {
	t.fields = append(t.fields, f)
	switch {
	case t.byName != nil:
		t.byName[f.name] = f
	case len(t.fields) > fewFields:
		t.index()
	}
}

func (t *mergedType) index() {
	t.byName = make(map[string]*mergedField, len(t.fields))
	for _, f := range t.fields {
		t.byName[f.name] = f
	}
}

type mergedField struct {
	parent       *mergedType
	name         string
	description  string
	typ          *ast.Type
	args         ast.ArgumentDefinitionList
	defaultValue *ast.Value
	dirs         ast.DirectiveList
	in           []*fieldDef // of the subgraphs that have it, in their order
	// bare says that no subgraph has the field on the type itself: interface objects supply it.
	bare bool
}

func (f *mergedField) coordinate() string { return f.parent.name + "." + f.name }

type mergedValue struct {
	name, description string
	dirs              ast.DirectiveList
	in                []bool
}

// merge merges loaded subgraphs and validates the result.
func merge(subs []*subgraph, opts Options, past *past) *merger {
	m := &merger{
		subs: subs, opts: opts, past: past, types: make(map[string]*mergedType, len(past.types)),
		made: make(map[string]*madeType, len(past.types)), used: map[string]bool{},
	}
	m.collect()
	m.bases()
	if len(m.errs) > 0 {
		return m
	}
	m.plainRoots()
	m.relations()
	m.composeDirectives()
	m.mergeSchemaDirectives()
	m.overrides()
	m.importNames()
	m.spread = m.spreadAuth()
	m.renew()
	for _, n := range m.order {
		m.mergeOrTake(m.types[n])
	}
	m.interfaceObjectFields()
	m.executableDirectives()
	m.mergeEnums()
	m.validate()
	return m
}

// collect finds the types and checks that each is of one kind.
func (m *merger) collect() {
	m.gather()
	for _, n := range m.order {
		if t := m.types[n]; t.made == nil {
			m.kind(t)
		}
	}
}

// kind settles the kind of a type. A type that is an interface object somewhere is an interface.
func (m *merger) kind(t *mergedType) {
	object := false
	kinds := map[ast.DefinitionKind][]*subgraph{}
	for _, d := range t.in {
		switch {
		case d.interfaceObject:
			object = true
		default:
			kinds[d.kind] = append(kinds[d.kind], d.sub)
			t.kind = d.kind
		}
	}
	switch {
	case len(kinds) > 1 || object && len(kinds) == 1 && t.kind != ast.Interface:
		m.fail(TypeKindMismatch, t.name, m.having(t), "type %q has mismatched kind: it is defined as %s", t.name,
			m.kindsOf(t))
	case object && len(kinds) == 0:
		m.fail(InterfaceObjectUsageError, t.name, m.having(t),
			"type %q is declared with @interfaceObject in all the subgraphs in which it is defined (it is defined in %s "+
				"but should be defined as an interface in at least one subgraph)", t.name, m.nameList(m.having(t)))
		t.kind = ast.Interface
	case object:
		t.kind = ast.Interface
	}
}

func (m *merger) kindsOf(t *mergedType) string {
	var parts []string
	for _, d := range t.in {
		what := lower(d.kind)
		if d.interfaceObject {
			what = "interface object"
		}
		parts = append(parts, fmt.Sprintf("%s in subgraph %q", what, d.sub.name))
	}
	return strings.Join(parts, " and ")
}

// bases checks that what Federation 1 subgraphs extend is defined somewhere.
func (m *merger) bases() {
	for _, n := range m.order {
		t := m.types[n]
		if t.made != nil || n == "Query" || n == "Mutation" || n == "Subscription" {
			continue
		}
		if slices.ContainsFunc(t.in, func(d *typeDef) bool { return d.defined }) {
			continue
		}
		m.fail(ExtensionWithNoBase, n, m.having(t),
			"type %q is an extension type, but there is no type definition for it in any subgraph", n)
	}
}

// relations merges what implements and belongs to what.
func (m *merger) relations() {
	for _, n := range m.order {
		t := m.types[n]
		if t.made != nil {
			continue
		}
		for _, d := range t.in {
			for _, i := range d.interfaces {
				if !slices.Contains(t.interfaces, i) {
					t.interfaces = append(t.interfaces, i)
				}
			}
			for _, u := range d.members {
				if slices.Contains(t.members, u) {
					continue
				}
				t.members = append(t.members, u)
				if o := d.sub.types[u]; o != nil && o.interfaceObject {
					m.errs = append(m.errs, d.sub.failure(InvalidGraphQL, d.pos, n,
						"cannot add %s as member of union type %s: it is an interface in the supergraph", u, n))
				}
			}
		}
	}
}

func (m *merger) mergeType(t *mergedType) {
	m.describeType(t)
	sources := typeSources(t)
	if t.kind == ast.Interface {
		sources = append(sources, m.spread[t.name]...)
	}
	t.dirs = m.mergeDirectives(t.name, sources)
	switch t.kind {
	case ast.Object, ast.Interface:
		m.mergeFields(t)
	case ast.InputObject:
		m.mergeInput(t)
	}
}

func (m *merger) describeType(t *mergedType) {
	var texts []string
	for _, d := range t.in {
		texts = append(texts, d.description)
	}
	t.description = m.describe(t.name, texts)
}

// describe picks the description that most subgraphs have; the first of those.
func (m *merger) describe(coordinate string, texts []string) string {
	if i := slices.IndexFunc(texts, func(s string) bool { return s != "" }); i < 0 {
		return ""
	} else if !slices.ContainsFunc(texts[i+1:], func(s string) bool { return s != "" && s != texts[i] }) {
		return texts[i]
	}
	best, most := "", 0
	counts := map[string]int{}
	for _, d := range texts {
		if d != "" {
			counts[d]++
		}
	}
	for _, d := range texts {
		if d != "" && counts[d] > most {
			best, most = d, counts[d]
		}
	}
	m.hint("INCONSISTENT_DESCRIPTION", coordinate, nil, "%s has different descriptions: the most frequent is used",
		coordinate)
	return best
}

// fail records an error of several subgraphs.
func (m *merger) fail(code Code, coordinate string, subs []*subgraph, format string, args ...any) {
	e := Error{Code: code, Message: fmt.Sprintf(format, args...), Coordinate: coordinate}
	for _, s := range subs {
		e.Subgraphs = append(e.Subgraphs, s.name)
		if p := s.position(coordinate); p != nil {
			e.Locations = append(e.Locations, Location{s.name, p.Line, p.Column})
		}
	}
	m.errs = append(m.errs, e)
}

func (m *merger) hint(code, coordinate string, subs []*subgraph, format string, args ...any) {
	h := Hint{Code: code, Message: fmt.Sprintf(format, args...), Coordinate: coordinate}
	for _, s := range subs {
		h.Subgraphs = append(h.Subgraphs, s.name)
	}
	m.hints = append(m.hints, h)
}

// position finds a type, field, argument or enum value by its coordinate; nil if the subgraph does not have it.
func (s *subgraph) position(coordinate string) *ast.Position {
	typ, rest, _ := strings.Cut(coordinate, ".")
	t := s.types[typ]
	if t == nil {
		return nil
	}
	field, arg, _ := strings.Cut(rest, "(")
	f := t.byName[field]
	if f == nil {
		for _, v := range t.values {
			if v.Name == field {
				return v.Position
			}
		}
		return t.pos
	}
	if a := f.args.ForName(strings.TrimSuffix(arg, ":)")); a != nil {
		return a.Position
	}
	return f.pos
}

// having returns the subgraphs that define the type.
func (m *merger) having(t *mergedType) []*subgraph {
	var out []*subgraph
	for _, d := range t.in {
		out = append(out, d.sub)
	}
	return out
}

func (m *merger) nameList(subs []*subgraph) string {
	parts := make([]string, len(subs))
	for i, s := range subs {
		parts[i] = fmt.Sprintf("%q", s.name)
	}
	word := "subgraph "
	if len(parts) > 1 {
		word = "subgraphs "
		parts = append(parts[:len(parts)-2], parts[len(parts)-2]+" and "+parts[len(parts)-1])
	}
	return word + strings.Join(parts, ", ")
}

func subsOf(fs []*fieldDef) []*subgraph {
	out := make([]*subgraph, len(fs))
	for i, f := range fs {
		out[i] = f.parent.sub
	}
	return out
}
