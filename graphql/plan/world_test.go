package plan_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// world is one set of data, behind the monolith and behind every subgraph: each object type has a few objects, and
// the value of a field is a function of the object, the field's name and its arguments.
type world struct {
	t       rapid.TB
	g       *graph.Graph
	schemas []*ast.Schema
	keyed   map[string]bool // "Type.field" of fields in keys: distinct
	single  map[string]bool // types of which there is one object: their key is their name
	calls   int             // requests so far
	// a deferred part was null, because something in it must not be: what it belongs to was delivered before
	nulled bool
	log    []string
}

// thing is an object of the world.
type thing struct {
	typ string
	n   int
}

const population = 3

const federation = `
scalar _Any
scalar federation__FieldSet
scalar federation__Scope
scalar federation__Policy
scalar federation__ContextFieldValue
scalar link__Import
directive @link(url: String!, as: String, import: [link__Import]) repeatable on SCHEMA
directive @key(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @requires(fields: federation__FieldSet!) on FIELD_DEFINITION
directive @provides(fields: federation__FieldSet!) on FIELD_DEFINITION
directive @external on OBJECT | FIELD_DEFINITION
directive @extends on OBJECT | INTERFACE
directive @shareable repeatable on OBJECT | FIELD_DEFINITION
directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION
directive @override(from: String!, label: String) on FIELD_DEFINITION
directive @interfaceObject on OBJECT
directive @tag(name: String!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @requiresScopes(scopes: [[federation__Scope!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @policy(policies: [[federation__Policy!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @context(name: String!) repeatable on INTERFACE | OBJECT | UNION
directive @fromContext(field: federation__ContextFieldValue) on ARGUMENT_DEFINITION
directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
`

func newWorld(t rapid.TB, ar *txtar.Archive, g *graph.Graph) *world {
	t.Helper()
	w := &world{t: t, g: g, keyed: map[string]bool{}, single: map[string]bool{}}
	for _, s := range g.Subgraphs {
		sdl, ok := section(ar, s.Name+".graphql")
		if !ok {
			t.Fatalf("no schema for subgraph %s", s.Name)
		}
		w.schemas = append(w.schemas, subgraphSchema(t, s.Name, string(sdl)))
	}
	for id := range g.Types.Len() {
		typ := g.Object(graph.TypeID(id))
		for s := range typ.In.All() {
			w.keys(typ, typ.Keys(s))
		}
		for _, i := range typ.Interfaces {
			for s := range g.Type(i).In.All() {
				w.keys(typ, g.Type(i).Keys(s))
			}
		}
	}
	return w
}

// fresh is the same world for another test.
func (w *world) fresh(t rapid.TB) *world {
	return &world{t: t, g: w.g, schemas: w.schemas, keyed: w.keyed, single: w.single}
}

func (w *world) keys(t *graph.Type, keys []*graph.Key) {
	for _, k := range keys {
		if !slices.ContainsFunc(k.Fields.Entries, func(e *graph.Entry) bool { return e.Name != graph.TypeName }) {
			w.single[t.Name] = true
		}
		w.markKey(t.ID, k.Fields)
	}
}

func (w *world) markKey(id graph.TypeID, sel *graph.Selection) {
	for _, e := range sel.Entries {
		if !e.On.Has(id) {
			continue
		}
		w.keyed[w.g.Object(id).Name+"."+e.Name] = true
		if e.Sub != nil {
			for _, below := range e.Sub.Types.IDs() {
				w.markKey(below, e.Sub)
			}
		}
	}
}

func subgraphSchema(t rapid.TB, name, sdl string) *ast.Schema {
	t.Helper()
	doc, err := parser.ParseSchema(&ast.Source{Name: name, Input: sdl})
	if err != nil {
		t.Fatal(err)
	}
	var entities []string
	query := "type"
	for _, d := range append(slices.Clone(doc.Definitions), doc.Extensions...) {
		if d.Kind == ast.Object && d.Directives.ForName("key") != nil && !slices.Contains(entities, d.Name) {
			entities = append(entities, d.Name)
		}
		if d.Name == "Query" {
			query = "extend type"
		}
	}
	extra := federation + query + " Query { _service: String }\n"
	if entities != nil {
		extra += "union _Entity = " + strings.Join(entities, " | ") +
			"\nextend type Query { _entities(representations: [_Any!]!): [_Entity]! }\n"
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: name, Input: sdl}, &ast.Source{Name: "federation", Input: extra})
	if err != nil {
		t.Fatalf("schema of %s: %v", name, err)
	}
	return schema
}

func hash(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return h.Sum64() * 0x9E3779B97F4A7C15 >> 7
}

// value is the value of a field: nil, a leaf, a thing or a list of them.
func (w *world) value(o thing, name, args string) any {
	t := w.g.Type(o.typ)
	f := t.Fields()[name]
	return w.build(o, f, f.Type, w.keyed[o.typ+"."+name], hash(o.typ, " ", o.n, " ", name, args))
}

func (w *world) build(o thing, f *graph.Field, t *ast.Type, key bool, h uint64) any {
	// one object has null in its keys: it is the only one, so they are distinct
	if !t.NonNull && (!key && h%10 == 0 || key && o.n == 1) {
		return nil
	}
	if t.Elem != nil {
		out := []any{}
		for i := range h / 16 % 3 {
			out = append(out, w.build(o, f, t.Elem, key, hash(h, i)))
		}
		return out
	}
	if f.Named.Composite() {
		types := w.possible(f)
		if len(types) == 0 {
			return nil
		}
		typ := w.g.Object(types[h/64%uint64(len(types))]).Name
		if w.single[typ] {
			return thing{typ, 0}
		}
		if key { // keys are distinct
			return thing{typ, o.n}
		}
		return thing{typ, int(h / 1024 % population)}
	}
	return w.leaf(o, f, key, h)
}

// possible are the types that every subgraph with a field can return in it.
func (w *world) possible(f *graph.Field) []graph.TypeID {
	out := f.Named.Possible
	for s, in := range f.In.All() {
		if in == nil || in.External {
			continue
		}
		if k := in.Named.Known(s); k != nil {
			out = out.And(k.Possible)
		}
	}
	return out.IDs()
}

func (w *world) leaf(o thing, f *graph.Field, key bool, h uint64) any {
	if f.Named.Kind == ast.Enum {
		var names []string
		for _, v := range w.g.Schema.Types[f.Named.Name].EnumValues {
			names = append(names, v.Name)
		}
		return names[h/16%uint64(len(names))]
	}
	switch f.Named.Name {
	case "Int":
		if key {
			return float64(o.n*7 + 3)
		}
		return float64(h / 16 % 1000)
	case "Float":
		return float64(h/16%1000) / 4
	case "Boolean":
		return h/16%2 == 0
	}
	if key {
		return fmt.Sprintf("%s-%s-%d", o.typ, f.Name, o.n)
	}
	return fmt.Sprintf("%s%d", f.Name, h/16%1000)
}

// args renders a field's arguments with their defaults, in canonical form.
func args(f *ast.Field, vars map[string]any) string {
	m := f.ArgumentMap(vars)
	if len(m) == 0 {
		return ""
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// request is what a subgraph answers; it complains about anything that it could not answer in earnest.
func (w *world) request(s int, query string, vars map[string]any) map[string]any {
	w.t.Helper()
	w.calls++
	w.log = append(w.log, w.g.Subgraphs[s].Name+": "+query)
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		w.t.Fatalf("subgraph %s cannot parse %s: %v", w.g.Subgraphs[s].Name, query, err)
	}
	if errs := validator.ValidateWithRules(w.schemas[s], doc, nil); errs != nil {
		w.t.Fatalf("subgraph %s refuses %s: %v", w.g.Subgraphs[s].Name, query, errs)
	}
	op := doc.Operations[0]
	x := &subgraph{w: w, s: s, schema: w.schemas[s], vars: vars, query: query}
	root := w.g.Root(op.Operation)
	return x.object(thing{root.Name, 0}, root.Name, op.SelectionSet, nil, nil).(map[string]any)
}

type subgraph struct {
	w      *world
	s      int
	schema *ast.Schema
	vars   map[string]any
	query  string
}

// object answers a selection. prov is what is provided here, rep the representation the object was entered by.
func (x *subgraph) object(o thing, as string, set ast.SelectionSet, prov *graph.Selection, rep map[string]any) any {
	out := map[string]any{}
	for _, f := range collect(x.schema, as, set, x.vars) {
		key, first := f[0].Alias, f[0]
		switch first.Name {
		case "__typename":
			out[key] = as
			continue
		case "_entities":
			var list []any
			for _, r := range first.ArgumentMap(x.vars)["representations"].([]any) {
				list = append(list, x.entity(r.(map[string]any), merged(f)))
			}
			out[key] = list
			continue
		}
		def := x.w.g.Type(o.typ).Fields()[first.Name]
		if def == nil || def.In.At(x.s) == nil {
			x.w.t.Fatalf("subgraph %s was asked for %s.%s in %s", x.w.g.Subgraphs[x.s].Name, o.typ, first.Name, x.query)
		}
		in := def.In.At(x.s)
		var provided *graph.Entry
		if prov != nil {
			provided = prov.Find(x.w.g.Type(o.typ).ID, first.Name)
		}
		if in.External && provided == nil {
			x.w.t.Fatalf("subgraph %s was asked for external %s.%s in %s", x.w.g.Subgraphs[x.s].Name, o.typ, first.Name, x.query)
		}
		if in.Requires != nil && provided == nil && !covers(prov, in.Requires, x.w.g.Type(o.typ)) {
			x.told(o, in.Requires, rep)
		}
		below := in.Provides
		if provided != nil && provided.Sub != nil {
			below = provided.Sub
		}
		c := *first
		c.Definition = x.schema.Types[as].Fields.ForName(first.Name) // an interface's field may lack the arguments
		out[key] = x.complete(x.w.value(o, first.Name, args(&c, x.vars)), merged(f), below)
	}
	return out
}

// covers reports whether a provision has all that is required of objects of a type.
func covers(prov, required *graph.Selection, t *graph.Type) bool {
	if prov == nil {
		return false
	}
	for _, e := range required.Entries {
		if e.Name == graph.TypeName || !e.On.Has(t.ID) {
			continue
		}
		p := prov.Find(t.ID, e.Name)
		if p == nil || e.Sub != nil && !slices.Equal(names(p.Sub), names(e.Sub)) {
			return false
		}
	}
	return true
}

func names(s *graph.Selection) []string {
	var out []string
	if s != nil {
		for _, e := range s.Entries {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return out
}

// told checks that a representation has what a field requires.
func (x *subgraph) told(o thing, sel *graph.Selection, rep map[string]any) {
	if rep == nil {
		x.w.t.Fatalf("subgraph %s was not told %s of %s in %s", x.w.g.Subgraphs[x.s].Name, sel, o.typ, x.query)
	}
	for _, e := range sel.Entries {
		if !e.On.Has(x.w.g.Type(o.typ).ID) {
			continue
		}
		got, ok := rep[e.Name]
		if ok && e.Name == "__typename" {
			if got != o.typ {
				x.w.t.Fatalf("subgraph %s was told of a %v, not of a %s, in %s", x.w.g.Subgraphs[x.s].Name, got, o.typ, x.query)
			}
			continue
		}
		if !ok {
			x.w.t.Fatalf("subgraph %s was told %v of a %s, without %s in %s", x.w.g.Subgraphs[x.s].Name, rep, o.typ, e.Name,
				x.query)
		}
		a := ""
		if def := x.w.g.Schema.Types[o.typ].Fields.ForName(e.Name); def != nil {
			c := *e.Field
			c.Definition = def
			a = args(&c, nil)
		}
		x.same(o, e, got, x.w.value(o, e.Name, a))
	}
}

func (x *subgraph) same(o thing, e *graph.Entry, got, want any) {
	switch want := want.(type) {
	case []any:
		l, ok := got.([]any)
		if !ok || len(l) != len(want) {
			x.w.t.Fatalf("subgraph %s was told %v for %s.%s, want %v", x.w.g.Subgraphs[x.s].Name, got, o.typ, e.Name, want)
		}
		for i := range l {
			x.same(o, e, l[i], want[i])
		}
	case thing:
		m, ok := got.(map[string]any)
		if !ok {
			x.w.t.Fatalf("subgraph %s was told %v for %s.%s, want %v", x.w.g.Subgraphs[x.s].Name, got, o.typ, e.Name, want)
		}
		if n, ok := m["__typename"]; ok && n != want.typ {
			x.w.t.Fatalf("subgraph %s was told a %v for %s.%s, want %v", x.w.g.Subgraphs[x.s].Name, n, o.typ, e.Name, want)
		}
		x.told(want, e.Sub, m)
	default:
		if got != want {
			x.w.t.Fatalf("subgraph %s was told %v for %s.%s of %v, want %v, in %s", x.w.g.Subgraphs[x.s].Name, got, o.typ,
				e.Name, o, want, x.query)
		}
	}
}

func (x *subgraph) complete(v any, set ast.SelectionSet, prov *graph.Selection) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, x.complete(e, set, prov))
		}
		return out
	case thing:
		return x.object(v, x.name(v), set, prov, nil)
	}
	return v
}

// name is what the subgraph calls the type of an object.
func (x *subgraph) name(o thing) string {
	t := x.w.g.Type(o.typ)
	if t.In.At(x.s) != nil {
		return o.typ
	}
	for _, n := range t.Interfaces {
		if in := x.w.g.Type(n).In.At(x.s); in != nil && in.InterfaceObject {
			return n
		}
	}
	x.w.t.Fatalf("subgraph %s does not know type %s in %s", x.w.g.Subgraphs[x.s].Name, o.typ, x.query)
	return ""
}

func (x *subgraph) entity(rep map[string]any, set ast.SelectionSet) any {
	name, _ := rep["__typename"].(string)
	t := x.w.g.Type(name)
	if t == nil || t.In.At(x.s) == nil {
		x.w.t.Fatalf("subgraph %s does not know representation %v in %s", x.w.g.Subgraphs[x.s].Name, rep, x.query)
	}
	enough := slices.ContainsFunc(t.Keys(x.s), func(k *graph.Key) bool {
		return k.Resolvable && !slices.ContainsFunc(k.Fields.Entries, func(e *graph.Entry) bool {
			_, ok := rep[e.Name]
			return !ok && e.Name != graph.TypeName
		})
	})
	if !enough {
		x.w.t.Fatalf("subgraph %s got a representation without a key: %v in %s", x.w.g.Subgraphs[x.s].Name, rep, x.query)
	}
	for _, id := range t.Possible.IDs() {
		for n := range population {
			o := thing{x.w.g.Object(id).Name, n}
			if x.matches(o, rep) {
				return x.object(o, x.name(o), set, nil, rep)
			}
		}
	}
	x.w.t.Fatalf("subgraph %s finds nobody for %v in %s", x.w.g.Subgraphs[x.s].Name, rep, x.query)
	return nil
}

func (x *subgraph) matches(o thing, rep map[string]any) bool {
	for name, v := range rep {
		f := x.w.g.Type(o.typ).Fields()[name]
		if name == "__typename" || f != nil && !x.w.keyed[o.typ+"."+name] {
			continue
		}
		if f == nil {
			return false
		}
		switch have := x.w.value(o, name, "").(type) {
		case thing:
			m, ok := v.(map[string]any)
			if !ok || !x.matches(have, m) {
				return false
			}
		case []any:
			l, ok := v.([]any)
			if !ok || len(l) != len(have) {
				return false
			}
		default:
			if have != v {
				return false
			}
		}
	}
	return true
}

// collect gathers the fields of a selection for an object type, by response key.
func collect(schema *ast.Schema, typ string, set ast.SelectionSet, vars map[string]any) [][]*ast.Field {
	var out [][]*ast.Field
	var do func(ast.SelectionSet)
	do = func(set ast.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				if !on(s.Directives, vars) {
					continue
				}
				i := slices.IndexFunc(out, func(f []*ast.Field) bool { return f[0].Alias == s.Alias })
				if i < 0 {
					out = append(out, nil)
					i = len(out) - 1
				}
				out[i] = append(out[i], s)
			case *ast.InlineFragment:
				if on(s.Directives, vars) && applies(schema, typ, s.TypeCondition) {
					do(s.SelectionSet)
				}
			case *ast.FragmentSpread:
				if on(s.Directives, vars) && applies(schema, typ, s.Definition.TypeCondition) {
					do(s.Definition.SelectionSet)
				}
			}
		}
	}
	do(set)
	return out
}

func applies(schema *ast.Schema, typ, cond string) bool {
	if cond == "" || cond == typ {
		return true
	}
	return slices.ContainsFunc(schema.PossibleTypes[cond], func(d *ast.Definition) bool { return d.Name == typ })
}

func on(ds ast.DirectiveList, vars map[string]any) bool {
	for _, d := range ds {
		v, _ := d.ArgumentMap(vars)["if"].(bool)
		if d.Name == "skip" && v || d.Name == "include" && !v {
			return false
		}
	}
	return true
}

func merged(fs []*ast.Field) ast.SelectionSet {
	var out ast.SelectionSet
	for _, f := range fs {
		out = append(out, f.SelectionSet...)
	}
	return out
}

// answer is the monolith's answer to an operation.
func (w *world) answer(op *plan.Operation, vars map[string]any) any {
	root := w.g.Root(op.Definition.Operation)
	v, _ := w.solve(thing{root.Name, 0}, op.Definition.SelectionSet, vars, nil)
	return v
}

func (w *world) solve(o thing, set ast.SelectionSet, vars map[string]any, above []thing) (map[string]any, bool) {
	out := map[string]any{}
	above = append(slices.Clone(above), o)
	for _, f := range collect(w.g.Schema, o.typ, set, vars) {
		first := f[0]
		if first.Name == "__typename" {
			if w.g.Type(o.typ).Kind == ast.Interface { // nobody knows what it is
				return nil, false
			}
			out[first.Alias] = o.typ
			continue
		}
		def := w.g.Schema.Types[o.typ].Fields.ForName(first.Name)
		c := *first
		c.Definition = def
		v, ok := w.finish(w.value(o, first.Name, w.filled(&c, vars, above)), def.Type, merged(f), vars, above)
		if !ok {
			return nil, false
		}
		out[first.Alias] = v
	}
	return out, true
}

func (w *world) finish(v any, t *ast.Type, set ast.SelectionSet, vars map[string]any, above []thing) (any, bool) {
	switch x := v.(type) {
	case []any:
		out := []any{}
		for _, e := range x {
			r, ok := w.finish(e, t.Elem, set, vars, above)
			if !ok {
				return nil, !t.NonNull
			}
			out = append(out, r)
		}
		return out, true
	case thing:
		if w.g.Schema.Types[x.typ] == nil { // inaccessible
			return nil, !t.NonNull
		}
		r, ok := w.solve(x, set, vars, above)
		if !ok {
			return nil, !t.NonNull
		}
		return r, true
	case nil:
		return nil, !t.NonNull
	}
	return v, true
}

// filled renders a field's arguments, those that enclosing objects fill included. The last of above is the object
// itself.
func (w *world) filled(f *ast.Field, vars map[string]any, above []thing) string {
	var contexts []graph.ContextArgument
	for _, in := range w.g.Type(above[len(above)-1].typ).Fields()[f.Name].In.All() {
		if in != nil && in.Contexts != nil {
			contexts = in.Contexts
		}
	}
	if contexts == nil {
		return args(f, vars)
	}
	m := f.ArgumentMap(vars)
	for _, c := range contexts {
		for i := len(above) - 2; i >= 0; i-- {
			if v, ok := w.lent(above[i], c); ok {
				m[c.Name] = v
				break
			}
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// lent is the value that an object sets a context to.
func (w *world) lent(o thing, c graph.ContextArgument) (any, bool) {
	t := w.g.Type(o.typ)
	for _, name := range append([]string{o.typ}, slices.Sorted(maps.Keys(c.Selection))...) {
		if sel := c.Selection[name]; sel != nil && w.g.Type(name).Possible.Has(t.ID) {
			return w.leafOf(o, sel), true
		}
	}
	return nil, false
}

func (w *world) leafOf(o thing, sel *graph.Selection) any {
	for _, e := range sel.Entries {
		if !e.On.Has(w.g.Type(o.typ).ID) {
			continue
		}
		v := w.value(o, e.Name, "")
		if below, ok := v.(thing); ok {
			return w.leafOf(below, e.Sub)
		}
		return v
	}
	return nil
}

func pretty(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
