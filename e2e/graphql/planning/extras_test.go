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
