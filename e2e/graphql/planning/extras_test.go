//go:build e2e

package planning

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// extras add to a draft what the rest of it need not know. They have chance of their own, so that a seed's base stays
// as it was.
func (d *draft) extras(seed uint64) {
	was := d.r
	d.r = rand.New(rand.NewPCG(seed, 8))
	defer func() { d.r = was }()
	if d.chance(30) {
		d.maybe()
	}
	if d.chance(40) {
		d.inputs()
	}
	if d.chance(30) {
		d.abstractRoots()
	}
	if d.chance(30) {
		d.nested()
	}
	if d.chance(40) {
		d.provideDeep()
	}
	d.r = rand.New(rand.NewPCG(seed, 9))
	if d.chance(30) {
		d.members()
	}
	if d.chance(30) {
		d.narrower()
	}
	if d.chance(25) {
		d.payload()
	}
	if d.chance(25) {
		d.singleton()
	}
	if d.chance(25) {
		d.lentOnly()
	}
	if d.chance(30) {
		d.told()
	}
}

// members adds a union and an interface of which several subgraphs know other members, in fields that each of them
// resolves.
func (d *draft) members() {
	for i, s := range some(d, d.subs, 2) {
		names := []string{"W0"}
		for n := 1; n < 4; n++ {
			if n == i+1 || d.chance(40) {
				names = append(names, fmt.Sprintf("W%d", n))
			}
		}
		for _, n := range names {
			t := &typ{kind: "type", name: n, fields: []string{"w: Int @shareable", "v: String! @shareable"}}
			t.tail = " implements WI"
			s.types = append(s.types, t)
		}
		s.types = append(s.types, &typ{kind: "union", name: "WU", tail: strings.Join(names, " | ")},
			&typ{kind: "interface", name: "WI", fields: []string{"w: Int"}},
			&typ{kind: "type", name: "WBox", fields: []string{"one: WU @shareable", "many: [WI!] @shareable",
				"own" + s.name + ": Int"}})
		q := s.in("Query", query)
		for _, f := range []string{"mixed: WU", "mixes: [WI]", "wbox: WBox"} {
			q.add(f + " @shareable")
		}
	}
}

// narrower adds an interface whose field is the interface itself, and an implementation's own type there.
func (d *draft) narrower() {
	for _, s := range some(d, d.subs, 1) {
		fields := []string{"id: ID!", "peer: C0", "peers: [C0!]", "c" + s.name + ": Int"}
		s.types = append(s.types,
			&typ{kind: "interface", name: "CI", fields: []string{"peer: CI", "peers: [CI]"}},
			&typ{kind: "type", name: "C0", tail: ` implements CI @key(fields: "id")`, fields: fields})
		for i := 1; i < len(fields)-1; i++ {
			fields[i] += " @shareable"
		}
		s.in("Query", query).add(d.next("ci") + ": " + d.wrap("CI"))
	}
}

// payload adds a type that leads back to the query root.
func (d *draft) payload() {
	s := one(d, d.subs)
	name := d.next("Pay")
	s.types = append(s.types, &typ{kind: "type", name: name, fields: []string{"query: Query", "n: Int"}})
	s.in("Mutation", func() *typ { return &typ{kind: "type", name: "Mutation"} }).add(d.next("pay") + ": " + name)
	s.in("Query", query).add(d.next("pay") + ": " + name)
}

// singleton adds a type whose key is nothing but its name.
func (d *draft) singleton() {
	homes := some(d, d.subs, 2)
	for _, s := range homes {
		s.types = append(s.types, &typ{kind: "type", name: "S0", tail: ` @key(fields: "__typename")`,
			fields: []string{"s" + s.name + ": Int"}})
	}
	one(d, homes).in("Query", query).add(d.next("single") + ": S0!")
}

// lentOnly adds an interface whose fields come from subgraphs that know it as an object, some told of others.
func (d *draft) lentOnly() {
	homes := some(d, d.subs, 2)
	s := homes[0]
	s.types = append(s.types, &typ{kind: "interface", name: "L", tail: ` @key(fields: "id")`,
		fields: []string{"id: ID!", "l: Int"}})
	for n := range 2 {
		s.types = append(s.types, &typ{kind: "type", name: fmt.Sprintf("L%d", n),
			tail: ` implements L @key(fields: "id")`, fields: []string{"id: ID!", "l: Int"}})
	}
	s.in("Query", query).add(d.next("lent") + ": " + d.wrap("L"))
	for _, o := range homes[1:] {
		t := &typ{kind: "type", name: "L", tail: ` @key(fields: "id") @interfaceObject`, fields: []string{"id: ID!",
			"l" + o.name + ": Int"}}
		if d.chance(50) {
			t.add("l: Int @external")
			t.add("told" + o.name + `: Int @requires(fields: "l")`)
		}
		o.types = append(o.types, t)
		o.in("Query", query).add(d.next("lent") + ": " + d.wrap("L"))
	}
}

// told adds a field that is told what an interface's implementations have, by fragments and through lists.
func (d *draft) told() {
	homes := some(d, d.subs, 2)
	owner, asker := homes[0], homes[1]
	kinds := []*typ{
		{kind: "interface", name: "TI", fields: []string{"t: Int"}},
		{kind: "type", name: "T0", tail: " implements TI", fields: []string{"t: Int", "a: String"}},
		{kind: "type", name: "T1", tail: " implements TI", fields: []string{"t: Int", "b: [TI]"}},
	}
	field := d.wrap("TI")
	set := one(d, []string{"{ t }", "{ ... on T0 { a } }", "{ t ... on T1 { b { t } } }",
		"{ ... on T0 { t a } ... on T1 { t } }"})
	owner.types = append(append(owner.types, kinds...), &typ{kind: "type", name: "T", tail: ` @key(fields: "id")`,
		fields: []string{"id: ID!", "parts: " + field}})
	for _, k := range kinds[1:] {
		for i := range k.fields {
			k.fields[i] += " @shareable"
		}
	}
	asker.types = append(append(asker.types, kinds...), &typ{kind: "type", name: "T", tail: ` @key(fields: "id")`, fields: []string{"id: ID!",
		"parts: " + field + " @external", fmt.Sprintf("sum: Int @requires(fields: %q)", "parts "+set)}})
	one(d, homes[:2]).in("Query", query).add(d.next("toldof") + ": " + d.wrap("T"))
}

// maybe adds an entity whose key may be null: then only the subgraph that the object comes from knows it.
func (d *draft) maybe() {
	homes := some(d, d.subs, 2)
	for _, s := range homes {
		t := s.in("N0", func() *typ {
			return &typ{kind: "type", name: "N0", tail: ` @key(fields: "nid")`, fields: []string{"nid: ID"}}
		})
		for range 1 + d.below(2) {
			t.add(d.next("n") + ": " + strings.TrimSuffix(d.leaf(), "!"))
		}
	}
	one(d, homes).in("Query", query).add("maybes: " + d.wrap("N0"))
	s := one(d, homes)
	s.in("Query", query).add("maybe: N0")
	if t := s.has(d.entities[0].name); t != nil {
		t.add("maybe: " + d.wrap("N0"))
	}
}

// inputs adds a field that several subgraphs resolve, whose argument has other fields and enum values in each.
func (d *draft) inputs() {
	homes := some(d, d.subs, 2)
	for i, s := range homes {
		in := &typ{
			kind:   "input",
			name:   "Filter",
			fields: []string{"a: Int", "level: Level", "deep: Filter", "levels: [[Level!]]"},
		}
		level := "HIGH LOW"
		if i > 0 && d.chance(50) {
			in.add("only" + s.name + ": Int")
		} else {
			level += " ONLY_" + strings.ToUpper(s.name)
		}
		s.types = append(s.types, in, &typ{kind: "enum", name: "Level", fields: []string{level}})
		s.in("Query", query).add("found(by: Filter, levels: [Level!]): [[Int!]] @shareable")
	}
	for _, e := range d.entities {
		if s := e.homes[0]; s.has("Filter") != nil && s.has(e.name) != nil {
			s.has(e.name).add(d.next("f") + "(by: [Filter!]): Int")
		}
	}
}

// abstractRoots adds root fields of interfaces and unions.
func (d *draft) abstractRoots() {
	for _, s := range d.subs {
		for _, name := range []string{"I0", "U0", "M"} {
			if s.has(name) != nil && d.chance(60) {
				s.in("Query", query).add(d.next("root") + ": " + d.wrap(name))
			}
		}
	}
}

// nested adds a value type in a value type: the parent's key is the only way to the parts that other subgraphs know.
func (d *draft) nested() {
	e := d.entities[0]
	for i, s := range e.homes {
		t := s.has(e.name)
		if t == nil || strings.Contains(t.tail, "resolvable") {
			continue
		}
		t.add("box: Box @shareable")
		t.add("boxes: [[Box!]] @shareable")
		box := &typ{kind: "type", name: "Box", fields: []string{"lid: Lid! @shareable", "w: Int @shareable"}}
		lid := &typ{kind: "type", name: "Lid", fields: []string{"h: Int @shareable"}}
		if i < 3 && d.chance(70) {
			box.add(fmt.Sprintf("w%s: String", s.name))
		}
		if d.chance(70) {
			lid.add(fmt.Sprintf("h%s: Int", s.name))
		}
		s.types = append(s.types, box, lid)
	}
}

// provideDeep adds a field that brings along what is two levels below, through lists and an interface.
func (d *draft) provideDeep() {
	homes := some(d, d.subs, 2)
	owner, lender := homes[0], homes[1]
	if d.chance(50) {
		owner, lender = lender, owner
	}
	owner.types = append(
		owner.types,
		&typ{
			kind:   "type",
			name:   "D0",
			tail:   ` @key(fields: "id")`,
			fields: []string{"id: ID!", "kids: [D1!]! @shareable", "pet: Pet @shareable"},
		},
		&typ{
			kind:   "type",
			name:   "D1",
			tail:   ` implements Pet @key(fields: "id")`,
			fields: []string{"id: ID!", "title: String @shareable", "own: Int"},
		},
		&typ{kind: "interface", name: "Pet", fields: []string{"title: String"}},
	)
	lender.types = append(
		lender.types,
		&typ{kind: "type", name: "D0", tail: ` @key(fields: "id")`, fields: []string{"id: ID!", "mine: Int"}},
		&typ{
			kind:   "type",
			name:   "D1",
			tail:   ` implements Pet @key(fields: "id")`,
			fields: []string{"id: ID!", "title: String @external", "more: String"},
		},
		&typ{kind: "interface", name: "Pet", fields: []string{"title: String"}},
	)
	q := lender.in("Query", query)
	whole := lender.has("D0")
	for _, set := range some(d, []string{"kids { title }", "kids { id }", "pet { ... on D1 { title } }",
		"kids { title } pet { __typename }"}, 1) {
		if strings.Contains(set, "__typename") {
			set = "kids { title } pet { ... on D1 { id title } }"
		}
		if strings.Contains(set, "kids") {
			whole.add("kids: [D1!]! @external")
		}
		if strings.Contains(set, "pet") {
			whole.add("pet: Pet @external")
		}
		q.add(fmt.Sprintf("%s: %s @provides(fields: %q)", d.next("deep"), d.wrap("D0"), set))
	}
	owner.in("Query", query).add("whole: " + d.wrap("D0"))
}
