//go:build e2e

package planning

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// draft is a set of subgraphs while it is made up.
type draft struct {
	r        *rand.Rand
	subs     []*sub
	entities []*entity
	values   []string // value types: all of their fields are shareable
	n        int      // fields so far, for names
}

// sub is a subgraph of a draft.
type sub struct {
	name  string
	types []*typ
}

// typ is a type in one subgraph.
type typ struct {
	kind, name, tail string // "type Name tail {"
	fields           []string
}

// entity is a type with keys.
type entity struct {
	name  string
	keys  []string // in the order of preference
	homes []*sub
	iface string
	// owned are the fields that exactly one subgraph resolves.
	owned []owned
}

type owned struct {
	name, args, typ string
	target          string // innermost type of objects, "" for leaves
	home            *sub
}

// generate makes up subgraphs. Not every set composes.
func generate(seed uint64) []supergraph.Subgraph {
	d := &draft{r: rand.New(rand.NewPCG(seed, 5))}
	for i := range 2 + d.below(3) {
		d.subs = append(d.subs, &sub{name: string(rune('a' + i))})
	}
	for i := range 1 + d.below(2) {
		d.values = append(d.values, fmt.Sprintf("V%d", i))
	}
	for i := range 2 + d.below(4) {
		d.entities = append(d.entities, d.entity(i))
	}
	if d.chance(60) {
		d.interfaces()
	}
	if d.chance(35) {
		d.interfaceObject()
	}
	if d.chance(50) {
		d.union()
	}
	for _, e := range d.entities {
		d.fields(e)
	}
	for _, e := range d.entities {
		d.special(e)
	}
	d.roots()
	if d.chance(30) {
		d.ghost()
	}
	d.extras(seed)
	out := make([]supergraph.Subgraph, 0, len(d.subs))
	for _, s := range d.subs {
		out = append(out, supergraph.Subgraph{Name: s.name, SDL: s.print()})
	}
	return out
}

func (d *draft) below(n int) int         { return d.r.IntN(n) }
func (d *draft) chance(percent int) bool { return d.r.IntN(100) < percent }
func (d *draft) next(prefix string) string {
	d.n++
	return fmt.Sprintf("%s%d", prefix, d.n)
}

func one[T any](d *draft, from []T) T { return from[d.r.IntN(len(from))] }

// some draws at least n elements, in their order.
func some[T any](d *draft, from []T, n int) []T {
	n += d.r.IntN(len(from) - n + 1)
	picked := d.r.Perm(len(from))[:n]
	slices.Sort(picked)
	out := make([]T, 0, n)
	for _, i := range picked {
		out = append(out, from[i])
	}
	return out
}

// in returns the type in a subgraph, or adds it.
func (s *sub) in(name string, make func() *typ) *typ {
	for _, t := range s.types {
		if t.name == name {
			return t
		}
	}
	t := make()
	s.types = append(s.types, t)
	return t
}

func (s *sub) has(name string) *typ {
	for _, t := range s.types {
		if t.name == name {
			return t
		}
	}
	return nil
}

// add adds a field unless it is there.
func (t *typ) add(field string) bool {
	if t.field(field[:strings.IndexAny(field, ":(")]) != "" {
		return false
	}
	t.fields = append(t.fields, field)
	return true
}

// mark appends a directive to a field.
func (t *typ) mark(field, directive string) {
	for i, f := range t.fields {
		if strings.HasPrefix(f, field+":") && !strings.Contains(f, directive) {
			t.fields[i] += directive
		}
	}
}

// keyFields are the definitions of the fields that keys are made of.
var keyFields = map[string][]string{
	"id":              {"id: ID!"},
	"code":            {"code: String!"},
	"num":             {"num: Int!"},
	"id code":         {"id: ID!", "code: String!"},
	"num part { id }": {"num: Int!", "part: P!"},
	"part { id }":     {"part: P!"},
}

func (d *draft) entity(i int) *entity {
	e := &entity{name: fmt.Sprintf("E%d", i)}
	sets := [][]string{{"id"}, {"id"}, {"id"}, {"id", "code"}, {"id", "code"}, {"id", "num", "code"}, {"id", "id code"},
		{"id", "part { id }"}, {"id code"}, {"id", "num part { id }"}}
	e.keys = one(d, sets)
	e.homes = some(d, d.subs, 1)
	for i, s := range e.homes {
		keys := e.keys
		if len(e.homes) > 1 {
			keys = some(d, e.keys, 1)
		}
		if i == 0 && d.chance(70) {
			keys = e.keys
		}
		e.declare(s, keys)
	}
	return e
}

// declare puts the entity with keys into a subgraph.
func (e *entity) declare(s *sub, keys []string) *typ {
	return s.in(e.name, func() *typ {
		t := &typ{kind: "type", name: e.name}
		for _, k := range keys {
			t.tail += fmt.Sprintf(" @key(fields: %q)", k)
			for _, f := range keyFields[k] {
				t.add(f)
				if strings.HasPrefix(f, "part") {
					s.in("P", func() *typ { return &typ{kind: "type", name: "P", fields: []string{"id: ID! @shareable"}} })
				}
			}
		}
		return t
	})
}

// stub is the entity where it is only pointed to.
func (d *draft) stub(e *entity, s *sub) {
	if s.has(e.name) != nil {
		return
	}
	k := one(d, e.keys)
	t := e.declare(s, []string{k})
	if d.chance(50) {
		t.tail = fmt.Sprintf(" @key(fields: %q, resolvable: false)", k)
	}
}

func (d *draft) value(s *sub, name string) {
	s.in(name, func() *typ {
		return &typ{
			kind:   "type",
			name:   name,
			fields: []string{"x: Int @shareable", "y: String! @shareable", "z: Color @shareable"},
		}
	})
}

// interfaces makes an interface that some entities have in the subgraphs where they are at home. It has other fields
// in each; who does not have them there, has them elsewhere.
func (d *draft) interfaces() {
	members := some(d, d.entities, 1)
	shared := d.next("i")
	for _, s := range d.subs {
		var here, away []*typ
		for _, e := range members {
			if slices.Contains(e.homes, s) {
				here = append(here, s.has(e.name))
			} else {
				away = append(away, e.homes[0].has(e.name))
			}
		}
		if len(here) == 0 || d.chance(25) {
			continue
		}
		own := d.next("i") + ": " + one(d, []string{"Int", "Int", "String", d.values[0], "[" + d.values[0] + "!]",
			d.entities[0].name})
		i := &typ{kind: "interface", name: "I0", fields: []string{own}}
		if d.chance(50) {
			i.add(shared + ": String")
		}
		s.types = append(s.types, i)
		d.mention(s, own)
		for _, t := range here {
			t.tail = " implements I0" + t.tail
			t.add(own)
		}
		for _, e := range members {
			if !slices.Contains(e.homes, s) {
				d.mention(e.homes[0], own)
			}
		}
		for _, t := range away {
			t.add(own)
		}
	}
	for _, e := range members {
		for _, s := range e.homes {
			s.has(e.name).add(shared + ": String @shareable")
		}
	}
}

// mention makes sure that a subgraph has the type of a field.
func (d *draft) mention(s *sub, field string) {
	_, typ, _ := strings.Cut(field, ": ")
	switch name := strings.Trim(typ, "[]!"); name {
	case d.values[0]:
		d.value(s, name)
	case d.entities[0].name:
		d.stub(d.entities[0], s)
	}
}

// interfaceObject makes an interface with a key whose fields come from another subgraph too.
func (d *draft) interfaceObject() {
	home := one(d, d.subs)
	i := home.in("M", func() *typ {
		return &typ{kind: "interface", name: "M", tail: ` @key(fields: "id")`, fields: []string{"id: ID!", "m: String"}}
	})
	_ = i
	for n := range 2 {
		e := &entity{name: fmt.Sprintf("M%d", n), keys: []string{"id"}, homes: []*sub{home}, iface: "M"}
		t := e.declare(home, e.keys)
		t.tail = " implements M" + t.tail
		t.add("m: String")
		if d.chance(50) {
			if s := one(d, d.subs); s != home {
				e.declare(s, e.keys)
				e.homes = append(e.homes, s)
			}
		}
		d.entities = append(d.entities, e)
	}
	for _, s := range d.subs {
		if s == home || s.has("M0") != nil || s.has("M1") != nil || d.chance(30) {
			continue
		}
		t := &typ{kind: "type", name: "M", tail: ` @key(fields: "id") @interfaceObject`, fields: []string{"id: ID!"}}
		s.types = append(s.types, t)
		for range 1 + d.below(2) {
			t.add(fmt.Sprintf("%s: %s", d.next("o"), d.leaf()))
		}
	}
}

func (d *draft) union() {
	members := some(d, d.entities, 1)
	for _, s := range d.subs {
		var here []string
		for _, e := range members {
			if slices.Contains(e.homes, s) {
				here = append(here, e.name)
			}
		}
		if d.chance(40) {
			d.value(s, d.values[0])
			here = append(here, d.values[0])
		}
		if len(here) > 0 && d.chance(70) {
			s.types = append(s.types, &typ{kind: "union", name: "U0", tail: strings.Join(here, " | ")})
		}
	}
}

func (d *draft) leaf() string {
	t := one(d, []string{"Int", "String", "String", "Float", "Boolean", "Color", "Shade", "[String!]", "[Int]!"})
	if !strings.HasSuffix(t, "!") && d.chance(25) {
		t += "!"
	}
	return t
}

func (d *draft) arguments() string {
	if d.chance(80) {
		return ""
	}
	return one(d, []string{"(n: Int)", "(n: Int = 3)", "(c: Color!)", "(in: In)", "(ids: [ID!], c: Color = RED)"})
}

// wrap makes a list of a type, or not, and allows null, or not.
func (d *draft) wrap(t string) string {
	return fmt.Sprintf(one(d, []string{"%s", "%s", "%s", "%s!", "[%s]", "[%s!]!", "[%s!]", "[[%s]]"}), t)
}

// target is a type that a field in the subgraph may point to.
func (d *draft) target(s *sub) string {
	switch {
	case d.chance(20):
		v := one(d, d.values)
		d.value(s, v)
		return v
	case d.chance(20) && s.has("I0") != nil:
		return "I0"
	case d.chance(20) && s.has("U0") != nil:
		return "U0"
	case d.chance(40) && s.has("M") != nil:
		return "M"
	}
	e := one(d, d.entities)
	if e.iface != "" && !slices.Contains(e.homes, s) {
		e = d.entities[0]
	}
	d.stub(e, s)
	return e.name
}

// fields adds fields to an entity: most have one home, some have more.
func (d *draft) fields(e *entity) {
	for range 2 + d.below(5) {
		s := one(d, e.homes)
		t := s.has(e.name)
		switch {
		case d.chance(35):
			o := owned{d.next("r"), d.arguments(), "", d.target(s), s}
			o.typ = d.wrap(o.target)
			t.add(o.name + o.args + ": " + o.typ)
			e.owned = append(e.owned, o)
		case d.chance(20) && len(e.homes) > 1:
			d.shared(e, d.next("s"))
		case d.chance(12):
			t.add(d.next("bad") + ": " + d.leaf())
		default:
			o := owned{d.next("f"), d.arguments(), d.leaf(), "", s}
			if d.chance(20) {
				o.name = one(d, []string{"name", "size"}) // other entities have it too, perhaps of another type
			}
			if !t.add(o.name + o.args + ": " + o.typ) {
				continue
			}
			if !slices.ContainsFunc(e.owned, func(x owned) bool { return x.name == o.name }) {
				e.owned = append(e.owned, o)
			} else {
				t.drop(o.name)
			}
		}
	}
}

// shared is a field that several subgraphs resolve, some of them never with null.
func (d *draft) shared(e *entity, name string) {
	args, leaf := d.arguments(), strings.TrimSuffix(d.leaf(), "!")
	for _, s := range some(d, e.homes, 2) {
		s.has(e.name).add(name + args + ": " + leaf + one(d, []string{"", "", "!"}) + " @shareable")
	}
}

// special adds the fields that depend on other subgraphs.
func (d *draft) special(e *entity) {
	for _, s := range e.homes {
		t := s.has(e.name)
		var away []owned
		for _, o := range e.owned {
			if o.home != s && t.field(o.name) == "" && d.selectable(o, s) != "-" {
				away = append(away, o)
			}
		}
		if len(away) > 0 && d.chance(60) {
			d.require(e, s, some(d, away, 1))
		}
		if len(away) > 0 && d.chance(15) {
			if o := one(d, away); o.target == "" && t.field(o.name) == "" {
				t.add(fmt.Sprintf("%s%s: %s @override(from: %q)", o.name, o.args, o.typ, o.home.name))
			}
		}
	}
	if s := one(d, d.subs); e.iface == "" && d.chance(40) {
		d.provide(e, s)
	}
}

// require adds a field that has to be told others.
func (d *draft) require(e *entity, s *sub, of []owned) {
	t := s.has(e.name)
	var sel []string
	for _, o := range of[:min(len(of), 3)] {
		args := ""
		switch o.args {
		case "(n: Int)", "(n: Int = 3)":
			args = one(d, []string{"", "(n: 2)"})
		case "(c: Color!)":
			args = "(c: BLUE)"
		}
		t.add(o.name + o.args + ": " + o.typ + " @external")
		sel = append(sel, strings.TrimSpace(o.name+args+" "+d.selectable(o, s)))
	}
	q := owned{d.next("q"), d.arguments(), d.leaf(), "", s}
	t.add(fmt.Sprintf("%s%s: %s @requires(fields: %q)", q.name, q.args, q.typ, strings.Join(sel, " ")))
	e.owned = append(e.owned, q) // others may require it in turn
}

// selectable is the selection of a field by which it may be required in a subgraph: "" for leaves, "-" for none.
func (d *draft) selectable(o owned, s *sub) string {
	keys := func(t *typ) string {
		_, k, _ := strings.Cut(t.tail, `(fields: "`)
		k, _, _ = strings.Cut(k, `"`)
		return k
	}
	switch {
	case o.target == "":
		return ""
	case s.has(o.target) == nil:
		return "-"
	case strings.HasPrefix(o.target, "V"):
		return "{ x y }"
	case strings.HasPrefix(o.target, "E"):
		return "{ " + keys(s.has(o.target)) + " }"
	case o.target == "U0" || o.target == "I0":
		here, there := s.members(o.target), o.home.members(o.target)
		var parts []string
		for _, t := range here {
			if strings.HasPrefix(t.name, "E") && slices.ContainsFunc(there, func(x *typ) bool { return x.name == t.name }) {
				parts = append(parts, "... on "+t.name+" { "+keys(t)+" }")
			}
		}
		if parts != nil {
			return "{ " + strings.Join(parts, " ") + " }"
		}
	}
	return "-"
}

// members are the types of an interface or union in a subgraph.
func (s *sub) members(name string) []*typ {
	var out []*typ
	for _, t := range s.types {
		if strings.Contains(t.tail, "implements "+name) ||
			s.has(name).kind == "union" && slices.Contains(strings.Split(s.has(name).tail, " | "), t.name) {
			out = append(out, t)
		}
	}
	return out
}

// field is the definition of a field, or "".
func (t *typ) field(name string) string {
	for _, f := range t.fields {
		if f[:strings.IndexAny(f, ":(")] == name {
			return f
		}
	}
	return ""
}

func (t *typ) drop(name string) {
	t.fields = slices.DeleteFunc(t.fields, func(f string) bool { return f[:strings.IndexAny(f, ":(")] == name })
}

// ghost adds a type of which some subgraphs do not know every object.
func (d *draft) ghost() {
	e := &entity{name: "G0", keys: []string{"id"}, homes: some(d, d.subs, 2)}
	for _, s := range e.homes {
		t := e.declare(s, e.keys)
		for range 1 + d.below(2) {
			t.add(d.next("g") + ": " + d.leaf())
		}
	}
	one(d, e.homes).in("Query", query).add("ghosts: " + d.wrap("G0"))
	if s := d.entities[0].homes[0]; slices.Contains(e.homes, s) {
		s.has(d.entities[0].name).add("ghost: " + d.wrap("G0"))
	}
}

// provide adds a field, on some other entity of the subgraph, that brings a field of another home along.
func (d *draft) provide(e *entity, s *sub) {
	if t := s.has(e.name); t == nil {
		e.declare(s, e.keys[:1])
	} else if strings.Contains(t.tail, "resolvable") {
		return
	}
	t := s.has(e.name)
	for _, o := range e.owned {
		if o.home == s || o.target != "" || o.args != "" || t.field(o.name) != "" {
			continue
		}
		t.add(o.name + ": " + o.typ + " @external")
		o.home.has(e.name).mark(o.name, " @shareable") // or else composition refuses
		field := fmt.Sprintf("%s: %s @provides(fields: %q)", d.next("p"), d.wrap(e.name), o.name)
		if u := s.has("U0"); u != nil && d.chance(60) && slices.Contains(s.members("U0"), t) {
			field = fmt.Sprintf("%s: %s @provides(fields: %q)", d.next("p"), d.wrap("U0"), "... on "+e.name+" { "+o.name+" }")
		}
		var owners []*typ
		for _, x := range d.entities {
			if slices.Contains(x.homes, s) {
				owners = append(owners, s.has(x.name))
			}
		}
		if len(owners) == 0 || d.chance(50) {
			s.in("Query", query).add(field)
		} else {
			one(d, owners).add(field)
		}
		return
	}
}

func query() *typ { return &typ{kind: "type", name: "Query"} }

func (d *draft) roots() {
	for i, s := range d.subs {
		if i > 0 && d.chance(20) {
			continue
		}
		q := s.in("Query", query)
		for range 1 + d.below(3) {
			q.add(d.next("root") + d.arguments() + ": " + d.wrap(d.target(s)))
		}
	}
	if d.chance(25) {
		if e := d.entities[0]; len(e.homes) > 1 {
			for _, s := range e.homes {
				s.in("Query", query).add("both: " + e.name + " @shareable")
			}
		}
	}
	for _, s := range d.subs {
		if d.chance(30) {
			s.in("Mutation", func() *typ { return &typ{kind: "type", name: "Mutation"} }).add(d.next("do") + d.arguments() +
				": " + d.wrap(d.target(s)))
		}
	}
}

const head = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3",
  import: ["@key", "@shareable", "@external", "@requires", "@provides", "@override", "@interfaceObject", "@inaccessible", "@tag"])
`

func (s *sub) print() string {
	var b strings.Builder
	b.WriteString(head)
	body := ""
	for _, t := range s.types {
		switch {
		case t.kind == "union":
			body += fmt.Sprintf("union %s = %s\n", t.name, t.tail)
		case t.kind == "enum":
			body += fmt.Sprintf("enum %s { %s }\n", t.name, t.fields[0])
		case len(t.fields) > 0:
			body += fmt.Sprintf("%s %s%s {\n  %s\n}\n", t.kind, t.name, t.tail, strings.Join(t.fields, "\n  "))
		}
	}
	if strings.Contains(body, "Color") {
		body += "enum Color { RED GREEN BLUE }\n"
	}
	if strings.Contains(body, "Shade") {
		body += "enum Shade { DARK LIGHT HIDDEN @inaccessible }\n"
	}
	if strings.Contains(body, ": In)") {
		body += "input In { a: Int = 1, b: [String!] }\n"
	}
	b.WriteString(body)
	return b.String()
}
