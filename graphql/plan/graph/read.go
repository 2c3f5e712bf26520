package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/catalyst-router/catalyst/graphql/blockstring"
)

// Read reads a supergraph schema. It understands the join specification v0.1 to v0.5 and, beside it, the features
// inaccessible, authenticated, requiresScopes, policy, cost and context, whatever names @link gives them. A feature
// that the schema links for: SECURITY or for: EXECUTION and that is none of these is an error
// (feature.Unsupported), as the link specification asks; other features do not matter to execution.
//
// The error says which part of the schema could not be understood. Elements that only break one field (a requirement
// naming an unknown field) make that field unresolvable in that subgraph, not the graph.
func Read(sdl string) (*Graph, error) {
	doc, err := parser.ParseSchema(&ast.Source{Name: "supergraph.graphql", Input: blockstring.Settle(sdl)})
	if err != nil {
		return nil, fmt.Errorf("parse supergraph: %w", err)
	}
	return ReadDocument(doc)
}

// ReadDocument reads a supergraph schema that was parsed already, or composed and never printed. The graph goes on
// using parts of the document, which must not be changed any more.
func ReadDocument(doc *ast.SchemaDocument) (*Graph, error) { return new(Reader).ReadDocument(doc) }

// Reader reads one supergraph after the other. Of types whose definitions are those of the last one (a
// supergraph.Composer gives the same again where nothing changed) it makes what clients see only once. The zero value
// is ready; it is not for concurrent use.
type Reader struct {
	shown     map[*ast.Definition]*ast.Definition // what clients see of the last graph's definitions
	invisible map[string]bool                     // the last graph's types that clients do not see
}

// ReadDocument is like the function of that name.
func (rd *Reader) ReadDocument(doc *ast.SchemaDocument) (*Graph, error) {
	n, err := features(doc)
	if err != nil {
		return nil, err
	}
	r := &reader{
		before: rd, shown: make(map[*ast.Definition]*ast.Definition, len(rd.shown)), invisible: map[string]bool{},
		doc: doc, g: &Graph{types: map[string]*Type{}, roots: map[ast.Operation]*Type{}}, sub: map[string]int{}, names: n,
		later: later{sets: map[string]ast.SelectionSet{}, shapes: shapes{}}, derives: n.joinedBy == "v0.5",
		joinType: n.join("type"), joinField: n.join("field"), joinOwner: n.join("owner"),
	}
	for _, step := range []func() error{r.subgraphs, r.definitions, r.objects, r.verify, r.possible, r.strangersPossible,
		r.interfaceObjects, r.protect, r.api} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	rd.shown, rd.invisible = r.shown, r.invisible
	r.before, r.shown = nil, nil
	return r.g, nil
}

type reader struct {
	doc   *ast.SchemaDocument
	g     *Graph
	sub   map[string]int // subgraph number by enum value
	defs  []*ast.Definition
	names names
	later

	joinType, joinField, joinOwner string // names of directives
	// nameless are the types of the objects of interfaces that nothing implements, by the interface: see Type.Nameless.
	nameless map[string]*Type
	// before has what may be taken of the last graph, shown and invisible what the next one may take. They are nil once
	// the graph is read.
	before    *Reader
	shown     map[*ast.Definition]*ast.Definition
	invisible map[string]bool
	// unknown says that a definition names a type that is not there.
	unknown bool
	// derives says that the composer writes at interfaces what their implementations ask for.
	derives bool
}

// subgraphs reads the join__Graph enum.
func (r *reader) subgraphs() error {
	def := r.doc.Definitions.ForName(r.names.join("Graph"))
	if def == nil {
		return fmt.Errorf("read supergraph: no enum %s: the schema is not a supergraph of the join specification",
			r.names.join("Graph"))
	}
	for _, v := range def.EnumValues {
		s := Subgraph{Enum: v.Name, Name: v.Name}
		if d := v.Directives.ForName(r.names.join("graph")); d != nil {
			s.Name, s.URL = text(d, "name"), text(d, "url")
		}
		r.sub[v.Name] = len(r.g.Subgraphs)
		r.g.Subgraphs = append(r.g.Subgraphs, s)
	}
	if len(r.g.Subgraphs) == 0 {
		return fmt.Errorf("read supergraph: %s has no subgraph", def.Name)
	}
	return nil
}

// definitions gathers the types that are not machinery.
func (r *reader) definitions() error {
	for _, d := range r.doc.Definitions {
		if r.machine(d) || d.BuiltIn {
			continue
		}
		if r.g.types[d.Name] != nil {
			return fmt.Errorf("read supergraph: type %s is defined twice", d.Name)
		}
		r.defs = append(r.defs, d)
		r.g.types[d.Name] = &Type{
			Name: d.Name, Kind: d.Kind, Interfaces: d.Interfaces,
			Auth: r.auth(d.Directives), Inaccessible: r.inaccessible(d.Directives), Weight: r.weight(d.Directives),
			def: d,
		}
		if d.Kind == ast.Object || d.Kind == ast.Interface {
			r.g.types[d.Name].later = r
		}
	}
	for _, d := range r.doc.Extensions {
		if def := r.doc.Definitions.ForName(d.Name); def != nil && !r.machine(def) {
			def.Fields = append(def.Fields, d.Fields...)
			def.Interfaces = append(def.Interfaces, d.Interfaces...)
			def.Types = append(def.Types, d.Types...)
			def.EnumValues = append(def.EnumValues, d.EnumValues...)
			def.Directives = append(def.Directives, d.Directives...)
		}
	}
	for _, name := range []string{"Int", "Float", "String", "Boolean", "ID"} {
		if r.g.types[name] == nil {
			r.g.types[name] = &Type{Name: name, Kind: ast.Scalar, Weight: -1}
		}
	}
	return nil
}

// machine reports whether a definition is the supergraph's own. What a subgraph is said to have is part of the
// schema, even if its name begins with that of a feature.
func (r *reader) machine(d *ast.Definition) bool {
	return r.names.machinery(d.Name) && (strings.HasPrefix(d.Name, "__") ||
		d.Directives.ForName(r.joinType) == nil)
}

// objects numbers the object types, finds the roots, and records which subgraph knows which type.
func (r *reader) objects() error {
	var names []string
	for _, d := range r.defs {
		if d.Kind == ast.Object {
			names = append(names, d.Name)
		}
	}
	r.strangers()
	for n := range r.nameless {
		names = append(names, n)
	}
	slices.Sort(names)
	r.g.Types = NewTypeIndex(names)
	r.g.objects = make([]*Type, len(names))
	for i, n := range names {
		t := r.nameless[n]
		if t == nil {
			t = r.g.types[n]
		}
		t.ID, t.Possible, r.g.objects[i] = TypeID(i), SetOf(TypeID(i)), t
		if t.Inaccessible {
			r.g.hidden = r.g.hidden.Or(t.Possible)
		}
	}
	roots := map[ast.Operation]string{ast.Query: "Query", ast.Mutation: "Mutation", ast.Subscription: "Subscription"}
	for _, sd := range append(slices.Clone(r.doc.Schema), r.doc.SchemaExtension...) {
		for _, ot := range sd.OperationTypes {
			roots[ot.Operation] = ot.Type
		}
	}
	for op, name := range roots {
		if t := r.g.types[name]; t != nil && t.Kind == ast.Object {
			r.g.roots[op] = t
		}
	}
	if r.g.roots[ast.Query] == nil {
		return fmt.Errorf("read supergraph: no query root type")
	}
	for _, d := range r.defs {
		t := r.g.types[d.Name]
		found := false
		for _, dir := range d.Directives {
			if dir.Name != r.joinType {
				continue
			}
			s, ok := r.graph(dir)
			if !ok {
				return fmt.Errorf("read supergraph: type %s is in an unknown subgraph %q", d.Name, text(dir, "graph"))
			}
			found = true
			in := t.In.At(s)
			if in == nil {
				in = &TypeIn{}
				t.In.set(s, in)
			}
			in.Extension = in.Extension || flag(dir, "extension", false)
			in.InterfaceObject = in.InterfaceObject || flag(dir, "isInterfaceObject", false)
		}
		for _, dir := range d.Directives.ForNames(r.joinOwner) {
			if s, ok := r.graph(dir); ok && t.In.At(s) == nil {
				t.In.set(s, &TypeIn{})
				found = true
			}
		}
		if !found { // v0.1 says nothing about value types: everybody has them
			for s := range r.g.Subgraphs {
				t.In.set(s, &TypeIn{})
			}
		}
		for _, dir := range d.Directives.ForNames(r.names.context) {
			t.Contexts = append(t.Contexts, text(dir, "name"))
		}
	}
	return nil
}

// verify looks for what could be wrong with fields, reads the values of enums, and finds the labels of progressive
// overrides.
func (r *reader) verify() error {
	root := r.g.roots[ast.Query].Name
	for _, d := range r.defs {
		t := r.g.types[d.Name]
		if d.Kind == ast.Enum {
			t.Values = make(map[string]struct{}, len(d.EnumValues))
			for _, v := range d.EnumValues {
				if !r.inaccessible(v.Directives) {
					t.Values[v.Name] = struct{}{}
				}
			}
		}
		if d.Kind != ast.Object && d.Kind != ast.Interface {
			continue
		}
		for _, fd := range d.Fields {
			if err := r.verifyField(d, fd); err != nil {
				return err
			}
			// an interface's field is one of objects
			r.nested = r.nested || fd.Type.Name() == root && (d.Kind == ast.Object || r.nameless[d.Name] != nil)
		}
	}
	slices.Sort(r.g.Labels)
	return nil
}

func (r *reader) verifyField(d *ast.Definition, fd *ast.FieldDefinition) error {
	if r.g.types[fd.Type.Name()] == nil {
		return fmt.Errorf("read supergraph: field %s.%s has an unknown type %s", d.Name, fd.Name, fd.Type.Name())
	}
	for _, dir := range fd.Directives {
		if dir.Name != r.joinField {
			continue
		}
		if _, ok := r.graph(dir); !ok {
			if dir.Arguments.ForName("graph") != nil {
				return fmt.Errorf("read supergraph: field %s.%s is in an unknown subgraph %q", d.Name, fd.Name,
					text(dir, "graph"))
			}
			continue
		}
		if l := text(dir, "overrideLabel"); l != "" && !slices.Contains(r.g.Labels, l) {
			r.g.Labels = append(r.g.Labels, l)
		}
		if s := text(dir, "type"); s != "" {
			typ, err := parseType(s)
			if err != nil {
				return fmt.Errorf("read supergraph: field %s.%s: %w", d.Name, fd.Name, err)
			}
			if r.g.types[typ.Name()] == nil {
				return fmt.Errorf("read supergraph: field %s.%s has an unknown type %s", d.Name, fd.Name, typ.Name())
			}
		}
	}
	return nil
}

// fields makes the fields of an object or interface, without their selections. They have been verified.
func (r *reader) fields(t *Type) {
	owner := -1
	if dir := t.def.Directives.ForName(r.joinOwner); dir != nil {
		owner, _ = r.graph(dir)
	}
	t.fields = make(map[string]*Field, len(t.def.Fields))
	all := make([]Field, len(t.def.Fields))
	for i, fd := range t.def.Fields {
		f := &all[i]
		*f = Field{
			Parent: t, Name: fd.Name, Type: fd.Type, Named: r.g.types[fd.Type.Name()], Def: fd,
			Auth: r.auth(fd.Directives), Weight: r.weight(fd.Directives), List: r.listSize(fd.Directives),
		}
		r.owners(f, owner)
		t.fields[f.Name] = f
	}
}

// owners reads which subgraphs have a field.
func (r *reader) owners(f *Field, owner int) {
	named, dirs := 0, 0
	for _, dir := range f.Def.Directives {
		if dir.Name != r.joinField {
			continue
		}
		dirs++
		s, ok := r.graph(dir)
		if !ok {
			continue
		}
		named++
		in := &FieldIn{
			Type: f.Type, Named: f.Named, External: flag(dir, "external", false) || flag(dir, "usedOverridden", false),
			Label: text(dir, "overrideLabel"), LabelOn: dir.Arguments.ForName("override") != nil,
		}
		if s := text(dir, "type"); s != "" {
			if typ, err := parseType(s); err == nil {
				in.Type, in.Named = typ, r.g.types[typ.Name()]
			}
		}
		f.In.set(s, in)
	}
	if named > 0 || dirs > 0 && owner < 0 {
		return
	}
	// no word about subgraphs: it is everywhere its type is (in v0.1: where the type is owned)
	for s, in := range f.Parent.In.All() {
		if in != nil && (owner < 0 || s == owner) {
			f.In.set(s, &FieldIn{Type: f.Type, Named: f.Named})
		}
	}
}

// possible works out which object types can stand for a type, overall and in each subgraph.
func (r *reader) possible() error {
	for _, d := range r.defs {
		t := r.g.types[d.Name]
		switch d.Kind {
		case ast.Object:
			for _, in := range t.In.All() {
				if in != nil {
					in.Possible = t.Possible
				}
			}
			r.implements(t, d)
		case ast.Union:
			r.members(t, d)
		}
	}
	// A value of an interface object comes without its run-time type.
	for _, d := range r.defs {
		t := r.g.types[d.Name]
		if d.Kind != ast.Interface {
			continue
		}
		for _, in := range t.In.All() {
			if in != nil && in.InterfaceObject {
				in.Possible = t.Possible
			}
		}
	}
	return nil
}

func (r *reader) implements(t *Type, d *ast.Definition) {
	for _, name := range d.Interfaces {
		if i := r.g.types[name]; i != nil {
			i.Possible = i.Possible.Or(t.Possible)
		}
	}
	dirs := d.Directives.ForNames(r.names.join("implements"))
	for _, dir := range dirs {
		i := r.g.types[text(dir, "interface")]
		if s, ok := r.graph(dir); ok && i != nil && i.In.At(s) != nil && t.In.At(s) != nil {
			i.In.At(s).Possible = i.In.At(s).Possible.Or(t.Possible)
		}
	}
	if len(dirs) > 0 {
		return
	}
	for _, name := range d.Interfaces { // v0.1, or a supergraph that leaves it out
		if i := r.g.types[name]; i != nil {
			for s, in := range i.In.All() {
				if in != nil && t.In.At(s) != nil {
					in.Possible = in.Possible.Or(t.Possible)
				}
			}
		}
	}
}

func (r *reader) members(u *Type, d *ast.Definition) {
	for _, name := range d.Types {
		if t := r.g.types[name]; t != nil {
			u.Possible = u.Possible.Or(t.Possible)
		}
	}
	dirs := d.Directives.ForNames(r.names.join("unionMember"))
	for _, dir := range dirs {
		t := r.g.types[text(dir, "member")]
		if s, ok := r.graph(dir); ok && t != nil && u.In.At(s) != nil {
			u.In.At(s).Possible = u.In.At(s).Possible.Or(t.Possible)
		}
	}
	if len(dirs) > 0 {
		return
	}
	for _, name := range d.Types {
		if t := r.g.types[name]; t != nil {
			for s, in := range u.In.All() {
				if in != nil && t.In.At(s) != nil {
					in.Possible = in.Possible.Or(t.Possible)
				}
			}
		}
	}
}

// interfaceObjects finds the interfaces that some subgraph knows as objects.
func (r *reader) interfaceObjects() error {
	for _, d := range r.defs {
		i := r.g.types[d.Name]
		if d.Kind == ast.Interface && i.In.Any(func(in *TypeIn) bool { return in.InterfaceObject }) {
			r.lenders = append(r.lenders, i)
		}
	}
	return nil
}

// borrow gives an object the fields that subgraphs add to its interfaces as objects.
func (r *reader) borrow(t *Type) {
	for _, i := range r.lenders {
		if !i.Possible.Has(t.ID) {
			continue
		}
		fields := r.begun(i)
		for s, in := range i.In.All() {
			if !in.InterfaceObject {
				continue
			}
			for name, f := range fields {
				have := t.fields[name]
				if have == nil || f.In.At(s) == nil || have.In.At(s) != nil {
					continue
				}
				via := *f.In.At(s)
				via.Via = i
				have.In.set(s, &via)
				t.lent = true
			}
		}
	}
}

func (r *reader) graph(d *ast.Directive) (int, bool) {
	s, ok := r.sub[text(d, "graph")]
	return s, ok
}

// text returns a string or enum argument, or "".
func text(d *ast.Directive, name string) string {
	if a := d.Arguments.ForName(name); a != nil && a.Value != nil && a.Value.Kind != ast.NullValue {
		return a.Value.Raw
	}
	return ""
}

func flag(d *ast.Directive, name string, def bool) bool {
	if a := d.Arguments.ForName(name); a != nil && a.Value != nil {
		return a.Value.Raw == "true"
	}
	return def
}

// parseType reads a type in GraphQL notation.
func parseType(s string) (*ast.Type, error) {
	doc, err := parser.ParseSchema(&ast.Source{Input: "type T { f: " + s + " }"})
	if err != nil || len(doc.Definitions) != 1 || len(doc.Definitions[0].Fields) != 1 {
		return nil, fmt.Errorf("parse type %q", s)
	}
	return doc.Definitions[0].Fields[0].Type, nil
}

// api makes the schema that clients see.
func (r *reader) api() error {
	prelude := validator.PreludeDocument()
	if prelude.Directives.ForName("stream") == nil {
		d, err := parser.ParseSchema(&ast.Source{Name: "stream.graphql", Input: streamDirective, BuiltIn: true})
		if err != nil {
			return fmt.Errorf("make API schema: %w", gqlerror.WrapIfUnwrapped(err))
		}
		prelude.Directives = append(slices.Clip(prelude.Directives), d.Directives...)
	}
	described(prelude)
	doc := &ast.SchemaDocument{Schema: stripSchema(r.doc.Schema), Directives: r.directives(prelude.Directives)}
	used := r.usedOfFeatures()
	for _, d := range r.defs {
		if r.g.types[d.Name].Inaccessible {
			r.invisible[d.Name] = true
		}
	}
	same := maps.Equal(r.invisible, r.before.invisible)
	for _, d := range r.defs {
		if !r.g.types[d.Name].Inaccessible && (used[d.Name] || !r.names.ofFeature(d.Name)) {
			if d := r.show(d, same); d != nil {
				doc.Definitions = append(doc.Definitions, d)
			}
		}
	}
	for _, sd := range doc.Schema {
		sd.OperationTypes = slices.DeleteFunc(sd.OperationTypes,
			func(o *ast.OperationTypeDefinition) bool { return doc.Definitions.ForName(o.Type) == nil })
	}
	prelude.Merge(doc)
	schema, err := validator.ValidateSchemaDocument(prelude)
	if err != nil {
		return fmt.Errorf("make API schema: %w", gqlerror.WrapIfUnwrapped(err))
	}
	r.g.Schema = schema
	return nil
}

// described mends descriptions of built-in scalars that the parser's library has otherwise than the reference
// implementation.
func described(prelude *ast.SchemaDocument) {
	prelude.Definitions = slices.Clone(prelude.Definitions)
	for i, d := range prelude.Definitions {
		c := *d
		switch d.Name {
		case "String":
			c.Description = "The `String` scalar type represents textual data, represented as UTF-8 character sequences. " +
				"The String type is most often used by GraphQL to represent free-form human-readable text."
		case "Float":
			c.Description = "The `Float` scalar type represents signed double-precision fractional values as specified by " +
				"[IEEE 754](https://en.wikipedia.org/wiki/IEEE_floating_point)."
		case "ID":
			c.Description = "The `ID` scalar type represents a unique identifier, often used to refetch an object or as " +
				"key for a cache. " +
				"The ID type appears in a JSON response as a String; however, it is not intended to be human-readable. " +
				"When expected as an input type, any string (such as `\"4\"`) or integer (such as `4`) input value will be " +
				"accepted as an ID."
		default:
			continue
		}
		prelude.Definitions[i] = &c
	}
}

// usedOfFeatures are the types of other people's features that the schema itself uses. Those that only the features'
// directives use are not for clients.
func (r *reader) usedOfFeatures() map[string]bool {
	used := map[string]bool{}
	var use func(d *ast.Definition)
	name := func(n string) {
		if r.names.ofFeature(n) && !used[n] {
			used[n] = true
			if d := r.doc.Definitions.ForName(n); d != nil {
				use(d)
			}
		}
	}
	use = func(d *ast.Definition) {
		for _, n := range slices.Concat(d.Interfaces, d.Types) {
			name(n)
		}
		for _, f := range d.Fields {
			name(f.Type.Name())
			for _, a := range f.Arguments {
				name(a.Type.Name())
			}
		}
	}
	if len(r.names.foreign) == 0 {
		return used
	}
	for _, d := range r.defs {
		if !r.names.ofFeature(d.Name) {
			use(d)
		}
	}
	return used
}

// streamDirective is what the specification's draft adds beside @defer, which the parser knows.
const streamDirective = `"Directs the executor to deliver a list in parts when the ` + "`if`" +
	` argument is true or undefined."
directive @stream(
	"Streamed when true or undefined."
	if: Boolean! = true
	"Unique name"
	label: String
	"How many elements come first"
	initialCount: Int! = 0
) on FIELD
`

func stripSchema(in ast.SchemaDefinitionList) ast.SchemaDefinitionList {
	var out ast.SchemaDefinitionList
	for _, sd := range in {
		c := *sd
		c.Directives = nil
		c.OperationTypes = slices.Clone(sd.OperationTypes)
		out = append(out, &c)
	}
	return out
}

// directives keeps the directives that clients may use in operations, and @specifiedBy and the like are in the prelude.
func (r *reader) directives(prelude ast.DirectiveDefinitionList) ast.DirectiveDefinitionList {
	var out ast.DirectiveDefinitionList
	for _, d := range r.doc.Directives {
		if r.names.machineryDirective(d.Name) || prelude.ForName(d.Name) != nil {
			continue
		}
		c := *d
		c.Locations = slices.DeleteFunc(slices.Clone(d.Locations),
			func(l ast.DirectiveLocation) bool { return !executable[l] })
		c.Arguments = r.arguments(d.Arguments)
		if len(c.Locations) > 0 {
			out = append(out, &c)
		}
	}
	return out
}

//nolint:gochecknoglobals // a set of constants
var executable = map[ast.DirectiveLocation]bool{
	ast.LocationQuery: true, ast.LocationMutation: true, ast.LocationSubscription: true, ast.LocationField: true,
	ast.LocationFragmentDefinition: true, ast.LocationFragmentSpread: true, ast.LocationInlineFragment: true,
	ast.LocationVariableDefinition: true,
}

// show is accessible; of the last graph, if the definition was in it and the same types were invisible.
func (r *reader) show(d *ast.Definition, same bool) *ast.Definition {
	if of := r.before.shown[d]; of != nil && same {
		r.shown[d] = of
		return of
	}
	r.unknown = false
	of := r.accessible(d)
	if of != nil && !r.unknown && r.g.types[d.Name] != r.g.roots[ast.Query] { // that becomes the schema's own
		r.shown[d] = of
	}
	return of
}

// accessible copies a definition without machinery and without what clients must not see; nil if nothing is left.
func (r *reader) accessible(d *ast.Definition) *ast.Definition {
	c := *d
	c.Directives = r.plain(d.Directives)
	c.Interfaces = slices.DeleteFunc(slices.Clone(d.Interfaces), r.hidden)
	c.Types, c.TypePositions = nil, nil
	for _, t := range d.Types {
		if !r.hidden(t) {
			c.Types = append(c.Types, t)
		}
	}
	c.Fields, c.EnumValues = nil, nil
	for _, f := range d.Fields {
		if r.inaccessible(f.Directives) || r.hidden(f.Type.Name()) {
			continue
		}
		cf := *f
		cf.Directives, cf.Arguments = r.plain(f.Directives), r.arguments(f.Arguments)
		c.Fields = append(c.Fields, &cf)
	}
	for _, v := range d.EnumValues {
		if !r.inaccessible(v.Directives) {
			cv := *v
			cv.Directives = r.plain(v.Directives)
			c.EnumValues = append(c.EnumValues, &cv)
		}
	}
	if len(d.Fields) > 0 && len(c.Fields) == 0 || len(d.EnumValues) > 0 && len(c.EnumValues) == 0 ||
		len(d.Types) > 0 && len(c.Types) == 0 {
		return nil
	}
	return &c
}

func (r *reader) arguments(in ast.ArgumentDefinitionList) ast.ArgumentDefinitionList {
	var out ast.ArgumentDefinitionList
	for _, a := range in {
		if r.inaccessible(a.Directives) || r.hidden(a.Type.Name()) {
			continue
		}
		c := *a
		c.Directives = r.plain(a.Directives)
		out = append(out, &c)
	}
	return out
}

func (r *reader) hidden(name string) bool {
	t := r.g.types[name]
	r.unknown = r.unknown || t == nil
	return t == nil || t.Inaccessible
}

// plain keeps only the directives that introspection shows.
func (r *reader) plain(ds ast.DirectiveList) ast.DirectiveList {
	var out ast.DirectiveList
	for _, d := range ds {
		switch d.Name {
		case "deprecated", "specifiedBy", "oneOf":
			out = append(out, d)
		}
	}
	return out
}

func (r *reader) inaccessible(ds ast.DirectiveList) bool {
	return ds.ForName(r.names.inaccessible) != nil
}

func (r *reader) weight(ds ast.DirectiveList) int {
	d := ds.ForName(r.names.cost)
	if d == nil {
		return -1
	}
	return number(d, "weight", -1)
}

func (r *reader) listSize(ds ast.DirectiveList) *ListSize {
	d := ds.ForName(r.names.listSize)
	if d == nil {
		return nil
	}
	return &ListSize{
		Assumed: number(d, "assumedSize", -1), Slicing: texts(d.Arguments.ForName("slicingArguments")),
		Sized: texts(d.Arguments.ForName("sizedFields")), NeedsOne: flag(d, "requireOneSlicingArgument", true),
	}
}

func texts(a *ast.Argument) []string {
	if a == nil || a.Value == nil {
		return nil
	}
	var out []string
	for _, c := range a.Value.Children {
		out = append(out, c.Value.Raw)
	}
	return out
}

func number(d *ast.Directive, name string, def int) int {
	a := d.Arguments.ForName(name)
	if a == nil || a.Value == nil {
		return def
	}
	var n int
	if _, err := fmt.Sscan(strings.TrimSpace(a.Value.Raw), &n); err != nil {
		return def
	}
	return n
}
