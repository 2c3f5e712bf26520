package exec

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// The dumb twin does what the executor does, with maps: it merges decoded answers and completes values as §6.4 of the
// GraphQL specification says. Random plans over random answers, right and wrong ones, must give the same data and the
// same errors.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), noise: rapid.SampledFrom([]int{0, 30, 8}).Draw(t, "noise")}
		c := g.twinCase()
		tw := &twin{}
		want := tw.run(c)
		s := &subgraphs{
			answers: map[string]string{"a": c.root},
			handle:  map[string]func(*http.Request, string) (*http.Response, error){},
		}
		for i := range c.entities {
			s.handle[c.entities[i].service()] = c.entities[i].handle
		}
		e, _ := New(Config{Transport: s, MaxErrors: 10000, Subgraphs: c.subgraphs()})
		defer e.Close()
		res := e.Execute(t.Context(), &Request{Plan: c.plan()})
		got := decode(t, string(res.Body)).(map[string]any)
		if !reflect.DeepEqual(got["data"], want) {
			w, _ := json.Marshal(want)
			t.Fatalf("root %s\nentities %v\n got %s\nwant %s", c.root, c.entities, res.Body, w)
		}
		paths := []string{}
		list, _ := got["errors"].([]any)
		for _, e := range list {
			b, _ := json.Marshal(e.(map[string]any)["path"])
			paths = append(paths, string(b))
		}
		slices.Sort(paths)
		slices.Sort(tw.errors)
		if !slices.Equal(paths, tw.errors) {
			t.Fatalf("root %s\nentities %v\n got %s\nwant errors at %v\n         not %v", c.root, c.entities, res.Body,
				tw.errors, paths)
		}
	})
}

// twinCase is a fetch of root fields followed by fetches of entities, one after the other.
type twinCase struct {
	shape    *plan.Object
	root     string
	entities []*twinEntities
}

// twinEntities is a fetch of entities with a key from 0 to 4; answers has the entity of each, or is nil if the
// subgraph is broken.
type twinEntities struct {
	id      int
	path    plan.Path
	answers []string
}

func (e *twinEntities) String() string  { return fmt.Sprint(e.path, e.answers) }
func (e *twinEntities) service() string { return "s" + strconv.Itoa(e.id) }

// handle answers a request in the order of its representations.
func (e *twinEntities) handle(_ *http.Request, body string) (*http.Response, error) {
	if e.answers == nil {
		return reply(200, "application/json", `{"data":`), nil
	}
	var req struct {
		Variables struct{ Representations []struct{ Key int } }
	}
	if err := json.Unmarshal([]byte(body), &req); err != nil {
		return nil, err
	}
	var out []string
	for _, r := range req.Variables.Representations {
		out = append(out, e.answers[r.Key])
	}
	return reply(200, "application/json", `{"data":{"_entities":[`+strings.Join(out, ",")+`]}}`), nil
}

func (c *twinCase) subgraphs() map[string]Subgraph {
	out := map[string]Subgraph{"a": {URL: "http://a/"}}
	for _, e := range c.entities {
		out[e.service()] = Subgraph{URL: "http://" + e.service() + "/"}
	}
	return out
}

func (c *twinCase) plan() *plan.Plan {
	var roots []string
	for _, f := range c.shape.Fields {
		roots = append(roots, f.Source)
	}
	nodes := []plan.Node{fetch(0, "a", "{x}", roots...)}
	for _, e := range c.entities {
		nodes = append(nodes, entityFetch(e.id, e.service(), "E",
			[]plan.Rep{{TypeName: "E", Fields: []plan.RepField{repField("Key:key")}}}, e.path))
	}
	return query(seq(nodes...), c.shape)
}

// generator makes cases. One in noise values is wrong in some way; 0 means none.
type generator struct {
	*rand.Rand
	noise int
	n     int // sources used
}

func (g *generator) twinCase() *twinCase {
	c := &twinCase{shape: g.object(3)}
	c.root = `{"data":` + g.fields(c.shape) + `}`
	for id := 1; id <= g.IntN(4); id++ {
		e := &twinEntities{id: id}
		target := c.shape
		for {
			var below []*plan.Field
			for i := range target.Fields {
				if target.Fields[i].Shape == plan.Composite {
					below = append(below, &target.Fields[i])
				}
			}
			if len(below) == 0 || len(e.path) > 0 && g.IntN(2) == 0 {
				break
			}
			f := below[g.IntN(len(below))]
			e.path = append(e.path, plan.Step{Source: f.Source, ClientKey: f.Key})
			target = f.Object
		}
		if len(e.path) == 0 {
			break
		}
		extra := g.object(1)
		target.Fields = append(target.Fields, extra.Fields...)
		if g.noise == 0 || g.IntN(g.noise) != 0 {
			for range 5 {
				e.answers = append(e.answers, g.entity(extra))
			}
		}
		c.entities = append(c.entities, e)
	}
	return c
}

// object is a shape with fields that no other object has.
func (g *generator) object(depth int) *plan.Object {
	var fields []plan.Field
	for range 1 + g.IntN(3) {
		g.n++
		key := fmt.Sprintf("k%d:s%d", g.n, g.n)
		typ := []string{"Int", "Float", "String", "Boolean", "ID", "JSON", "Enum", "Book", "Book"}[g.IntN(9)]
		below := (*plan.Object)(nil)
		if typ == "Book" {
			if depth == 0 {
				continue
			}
			below = g.object(depth - 1)
		}
		named := typ
		for range g.IntN(3) {
			typ = g.maybeNonNull(typ)
			typ = "[" + typ + "]"
		}
		f := field(key, g.maybeNonNull(typ), below)
		if named == "Enum" {
			f.Shape, f.Values = plan.Enum, map[string]struct{}{"A": {}, "B": {}}
		}
		fields = append(fields, f)
	}
	if len(fields) == 0 {
		g.n++
		fields = append(fields, field(fmt.Sprintf("k%d:s%d", g.n, g.n), "Int", nil))
	}
	if g.IntN(3) == 0 {
		o := abstract("Item", set("Book", "Film"), fields...)
		o.Fields = append(o.Fields, typeName("t"+strconv.Itoa(g.n)))
		if g.IntN(2) == 0 {
			o.Fields[0].On = set("Film")
		}
		return o
	}
	return object("Book", fields...)
}

func (g *generator) maybeNonNull(typ string) string {
	if g.IntN(3) == 0 {
		return typ + "!"
	}
	return typ
}

// fields is an object of the shape, with a key.
func (g *generator) fields(o *plan.Object) string {
	var members []string
	for i := range o.Fields {
		if f := &o.Fields[i]; f.Source != "" && !g.wrong() {
			members = append(members, strconv.Quote(f.Source)+":"+g.value(f, f.Wrap))
		}
	}
	switch {
	case g.wrong():
	case g.wrong():
		members = append(members, `"key":null`)
	default:
		members = append(members, `"key":`+strconv.Itoa(g.IntN(5)))
	}
	if o.Static == "" && !g.wrong() {
		names := []string{`"Book"`, `"Film"`}
		if g.wrong() {
			names = []string{`"User"`, `"Nobody"`, `null`, `1`}
		}
		members = append(members, `"__typename":`+names[g.IntN(len(names))])
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

func (g *generator) wrong() bool { return g.noise > 0 && g.IntN(g.noise) == 0 }

// entity is what a fetch of entities returns: the fields, without key and type.
func (g *generator) entity(o *plan.Object) string {
	if g.wrong() {
		return "null"
	}
	var members []string
	for i := range o.Fields {
		if f := &o.Fields[i]; f.Source != "" && !g.wrong() {
			members = append(members, strconv.Quote(f.Source)+":"+g.value(f, f.Wrap))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g *generator) value(f *plan.Field, wrap []plan.Wrap) string {
	if g.wrong() {
		return []string{"null", "null", "1", `"x"`, "true", "[]", "{}", "1.5", "1e2", "2147483648", `[null]`}[g.IntN(11)]
	}
	if wrap[0].List {
		var out []string
		for range g.IntN(4) {
			out = append(out, g.value(f, wrap[1:]))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	switch f.Shape {
	case plan.Composite:
		return g.fields(f.Object)
	case plan.Int:
		return strconv.Itoa(int(int32(g.Uint32())))
	case plan.Float:
		return []string{"1.5", "-2", "3e10"}[g.IntN(3)]
	case plan.Boolean:
		return []string{"true", "false"}[g.IntN(2)]
	case plan.Enum:
		return []string{`"A"`, `"B"`}[g.IntN(2)]
	case plan.ID:
		return []string{`"i"`, "7"}[g.IntN(2)]
	case plan.String:
		return []string{`"s"`, `"\u00e4\""`}[g.IntN(2)]
	}
	return []string{`{"x":[1,{}]}`, "[null]", "7", `"c"`}[g.IntN(4)]
}

// twin is the dumb one.
type twin struct {
	errors []string
	failed [][]any // paths below which what is absent is explained
}

func (w *twin) run(c *twinCase) any {
	root := decode(panicker{}, c.root).(map[string]any)["data"]
	for _, e := range c.entities {
		w.fetch(root, e)
	}
	out, ok := w.object(root.(map[string]any), c.shape, nil)
	if !ok {
		return nil
	}
	return out
}

type panicker struct{}

func (panicker) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// fetch merges entities into the objects at the path that have a key.
func (w *twin) fetch(root any, e *twinEntities) {
	var objects []map[string]any
	var paths [][]any
	visit(root, e.path, nil, func(o map[string]any, path []any) {
		if _, ok := o["key"]; ok {
			objects = append(objects, o)
			paths = append(paths, path)
		}
	})
	if len(objects) > 0 && e.answers == nil {
		common := paths[0]
		for _, p := range paths {
			n := 0
			for n < len(common) && n < len(p) && common[n] == p[n] {
				n++
			}
			common = common[:n]
		}
		w.failed = append(w.failed, common)
		w.report(common)
		return
	}
	for _, o := range objects {
		k := int64(0) // of a null as well: see twinCase.answer
		if n, ok := o["key"].(json.Number); ok {
			k, _ = n.Int64()
		}
		if m, ok := decode(panicker{}, e.answers[k]).(map[string]any); ok {
			maps.Copy(o, m)
		}
	}
}

// visit finds the objects at a path.
func visit(v any, path plan.Path, at []any, f func(map[string]any, []any)) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			visit(e, path, append(slices.Clone(at), i), f)
		}
	case map[string]any:
		if len(path) == 0 {
			f(v, at)
		} else {
			visit(v[path[0].Source], path[1:], append(slices.Clone(at), path[0].ClientKey), f)
		}
	}
}

func (w *twin) report(path []any) {
	b, _ := json.Marshal(path)
	w.errors = append(w.errors, string(b))
}

func (w *twin) explained(path []any) bool {
	for _, f := range w.failed {
		if len(f) <= len(path) && reflect.DeepEqual(append([]any{}, f...), append([]any{}, path[:len(f)]...)) {
			return true
		}
	}
	return false
}

func (w *twin) object(o map[string]any, shape *plan.Object, path []any) (map[string]any, bool) {
	name := shape.Static
	if name == "" {
		var ok bool
		if name, ok = o["__typename"].(string); !ok || name != "Book" && name != "Film" {
			if _, there := o["__typename"]; there || !w.explained(path) {
				w.report(path)
			}
			return nil, false
		}
	}
	id, _ := testTypes.ID(name)
	out := map[string]any{}
	for i := range shape.Fields {
		f := &shape.Fields[i]
		if f.On != nil && !f.On.Has(id) {
			continue
		}
		if f.Shape == plan.TypeName {
			out[f.Key] = name
			continue
		}
		v, there := o[f.Source]
		got, ok := w.complete(v, there, f, f.Wrap, append(slices.Clone(path), f.Key))
		if !ok {
			return nil, false
		}
		out[f.Key] = got
	}
	return out, true
}

// complete is CompleteValue: false means that a null has to propagate.
func (w *twin) complete(v any, there bool, f *plan.Field, wrap []plan.Wrap, path []any) (any, bool) {
	if v == nil {
		if wrap[0].NonNull && (there || !w.explained(path)) {
			w.report(path)
		}
		return nil, !wrap[0].NonNull
	}
	out, ok := w.some(v, f, wrap, path)
	if !ok {
		return nil, !wrap[0].NonNull
	}
	return out, true
}

// some completes a value that is not null.
func (w *twin) some(v any, f *plan.Field, wrap []plan.Wrap, path []any) (any, bool) {
	if wrap[0].List {
		list, ok := v.([]any)
		if !ok {
			w.report(path)
			return nil, false
		}
		out := []any{}
		for i, e := range list {
			got, ok := w.complete(e, true, f, wrap[1:], append(slices.Clone(path), i))
			if !ok {
				return nil, false
			}
			out = append(out, got)
		}
		return out, true
	}
	if f.Shape == plan.Composite {
		o, ok := v.(map[string]any)
		if !ok {
			w.report(path)
			return nil, false
		}
		return notNil(w.object(o, f.Object, path))
	}
	out, ok := coerce(v, f)
	if !ok {
		w.report(path)
	}
	return out, ok
}

func notNil(o map[string]any, ok bool) (any, bool) {
	if !ok {
		return nil, false
	}
	return o, true
}

// coerce is result coercion of leaves.
func coerce(v any, f *plan.Field) (any, bool) {
	n, isNumber := v.(json.Number)
	s, isString := v.(string)
	switch f.Shape {
	case plan.Int:
		x, err := n.Float64()
		if !isNumber || err != nil || x != math.Trunc(x) || math.Abs(x) > 1<<31 || x == 1<<31 {
			return nil, false
		}
		return json.Number(strconv.Itoa(int(x))), true
	case plan.Float:
		return v, isNumber
	case plan.String:
		return v, isString
	case plan.Boolean:
		_, ok := v.(bool)
		return v, ok
	case plan.ID:
		if isNumber && !strings.ContainsAny(string(n), ".e") {
			return string(n), true
		}
		return v, isString
	case plan.Enum:
		_, ok := f.Values[s]
		return v, isString && ok
	}
	return v, true
}
