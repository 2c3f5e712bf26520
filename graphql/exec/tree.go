package exec

import (
	"bytes"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// kind is the kind of a JSON value.
type kind uint8

const (
	kindAbsent kind = iota
	kindNull
	kindTrue
	kindFalse
	kindNumber
	kindString
	kindObject
	kindList
)

func (k kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a boolean", "a number", "a string", "an object", "a list"}[k]
}

// The flags of a node.
const (
	flagEscapedKey uint8 = 1 << iota // the key has a backslash: compare it after unquoting
	flagEscaped                      // so has the string
	flagFraction                     // the number has a fraction or an exponent
)

// node is a JSON value. Indices are into tree.nodes, offsets into the body tree.docs[doc]; there are no pointers, so
// that the garbage collector does not look inside a slab. Node 0 stands for "absent", and its fields are zero.
type node struct {
	kind  kind
	flags uint8
	doc   uint16
	// of objects and lists the first and the last child, or 0; of others where the text begins and ends, quotes included
	from, to    uint32
	key, keyLen uint32 // the key's text, without quotes, if the parent is an object
	next        uint32 // the next child of the parent, or 0
}

// tree is the merged answer of one operation. It is not safe for concurrent use.
type tree struct {
	nodes []node
	docs  [][]byte
	root  uint32
	types *graph.TypeIndex
	// max bounds len(nodes). full says that something was left out because of it.
	max  int
	full bool
	// index finds the fields of objects so large that a search from the front would cost too much.
	index map[uint32]map[string]uint32

	lastName []byte // __typename (with quotes) that lastID belongs to
	lastID   graph.TypeID
}

// maxLinear is how many fields are searched one by one.
const maxLinear = 96

// reset empties the tree and gives it an empty object as root.
func (t *tree) reset(types *graph.TypeIndex, max int) {
	t.nodes = append(t.nodes[:0], node{}, node{kind: kindObject})
	t.root = 1
	clear(t.docs)
	t.docs = t.docs[:0]
	t.types, t.max, t.full = types, max, false
	t.index = nil
	t.lastName = nil
}

// text returns the value as it stands in its body; of objects, lists and absent ones nothing.
func (t *tree) text(n uint32) []byte {
	v := &t.nodes[n]
	if v.kind >= kindObject || v.kind == kindAbsent {
		return nil
	}
	return t.docs[v.doc][v.from:v.to]
}

// keyText returns the key, without quotes and as it stands in its body.
func (t *tree) keyText(n uint32) []byte {
	v := &t.nodes[n]
	if v.keyLen == 0 {
		return nil
	}
	return t.docs[v.doc][v.key : v.key+v.keyLen]
}

// hasKey reports whether n's key is name.
func (t *tree) hasKey(n uint32, name string) bool {
	v := &t.nodes[n]
	if v.flags&flagEscapedKey != 0 {
		return unquote(t.keyText(n)) == name
	}
	return int(v.keyLen) == len(name) && string(t.docs[v.doc][v.key:v.key+v.keyLen]) == name
}

// field returns the child of object n under name, or 0. The search begins after hint, a child found before, or 0:
// fields are mostly asked for in the order in which they came.
func (t *tree) field(n uint32, name string, hint uint32) uint32 {
	if t.nodes[n].kind != kindObject {
		return 0
	}
	if hint != 0 {
		if c := t.nodes[hint].next; c != 0 && t.hasKey(c, name) {
			return c
		}
	}
	steps := 0
	for c := t.nodes[n].from; c != 0; c = t.nodes[c].next {
		if t.hasKey(c, name) {
			return c
		}
		if steps++; steps > maxLinear {
			return t.indexed(n)[name]
		}
	}
	return 0
}

// indexed returns the fields of object n by name; of equal names the first counts.
func (t *tree) indexed(n uint32) map[string]uint32 {
	if m, ok := t.index[n]; ok {
		return m
	}
	m := make(map[string]uint32, 2*maxLinear)
	for c := t.nodes[n].from; c != 0; c = t.nodes[c].next {
		name := string(t.keyText(c))
		if t.nodes[c].flags&flagEscapedKey != 0 {
			name = unquote(t.keyText(c))
		}
		if _, ok := m[name]; !ok {
			m[name] = c
		}
	}
	if t.index == nil {
		t.index = map[uint32]map[string]uint32{}
	}
	t.index[n] = m
	return m
}

// element returns the i-th element of list n, or 0.
func (t *tree) element(n uint32, i int) uint32 {
	if t.nodes[n].kind != kindList || i < 0 {
		return 0
	}
	c := t.nodes[n].from
	for ; c != 0 && i > 0; i-- {
		c = t.nodes[c].next
	}
	return c
}

// typeOf returns the run-time type of object n by its `__typename`.
func (t *tree) typeOf(n uint32) (graph.TypeID, bool) {
	c := t.field(n, "__typename", 0)
	if t.nodes[c].kind != kindString {
		return 0, false
	}
	name := t.text(c)
	if bytes.Equal(name, t.lastName) {
		return t.lastID, true
	}
	id, ok := t.types.Lookup(name[1 : len(name)-1])
	if ok {
		t.lastName, t.lastID = name, id
	}
	return id, ok
}

// merge adds the fields of object from to object n. With move, from is used up; otherwise it stays as it is.
func (t *tree) merge(n, from uint32, move bool) {
	if t.index != nil {
		delete(t.index, n)
	}
	before := t.nodes[n].to // fields of from are looked for up to here only
	for c := t.nodes[from].from; c != 0; {
		following := t.nodes[c].next
		if old := t.sameField(n, c, before); old != 0 {
			t.mergeValue(old, c, move)
		} else {
			if !move {
				c = t.copy(c)
			}
			if c != 0 {
				t.appendChild(n, c)
			}
		}
		c = following
	}
	if t.index != nil {
		delete(t.index, n)
	}
}

// sameField returns the field of n that has the key of c, looking no further than the child until.
func (t *tree) sameField(n, c, until uint32) uint32 {
	if until == 0 {
		return 0
	}
	v := &t.nodes[c]
	if v.flags&flagEscapedKey != 0 {
		return t.field(n, unquote(t.keyText(c)), 0)
	}
	key := t.keyText(c)
	steps := 0
	for o := t.nodes[n].from; o != 0; o = t.nodes[o].next {
		w := &t.nodes[o]
		if w.keyLen == v.keyLen && bytes.Equal(t.docs[w.doc][w.key:w.key+w.keyLen], key) {
			return o
		}
		if o == until {
			return 0
		}
		if steps++; steps > maxLinear {
			return t.indexed(n)[string(key)]
		}
	}
	return 0
}

// mergeValue merges value from into value n, both of one field: objects field by field, lists element by element. Of
// two other values the later counts, but null replaces nothing, and neither does a `__typename` that names no object
// type.
func (t *tree) mergeValue(n, from uint32, move bool) {
	a, b := t.nodes[n].kind, t.nodes[from].kind
	switch {
	case a == kindObject && b == kindObject:
		t.merge(n, from, move)
	case a == kindList && b == kindList:
		x, y := t.nodes[n].from, t.nodes[from].from
		for x != 0 && y != 0 {
			following := t.nodes[y].next
			t.mergeValue(x, y, move)
			x, y = t.nodes[x].next, following
		}
	case b == kindNull && a != kindAbsent, t.weakerTypeName(n, from):
	default:
		if !move {
			from = t.copy(from)
		}
		if from == 0 {
			return
		}
		next := t.nodes[n].next
		t.nodes[n] = t.nodes[from]
		t.nodes[n].next = next
	}
}

// weakerTypeName reports whether from is a `__typename` that is no object type, as an interface object has it, while
// n's is one.
func (t *tree) weakerTypeName(n, from uint32) bool {
	if t.nodes[from].kind != kindString || t.nodes[n].kind != kindString || string(t.keyText(from)) != "__typename" {
		return false
	}
	name, old := t.text(from), t.text(n)
	if _, known := t.types.Lookup(name[1 : len(name)-1]); known {
		return false
	}
	_, known := t.types.Lookup(old[1 : len(old)-1])
	return known
}

// copy copies a value with everything below it. It returns a node that has no parent, or 0 if the tree is full.
func (t *tree) copy(n uint32) uint32 {
	if len(t.nodes) >= t.max {
		t.full = true
		return 0
	}
	to := uint32(len(t.nodes))
	v := t.nodes[n]
	v.next = 0
	if v.kind < kindObject {
		t.nodes = append(t.nodes, v)
		return to
	}
	children := v.from
	v.from, v.to = 0, 0
	t.nodes = append(t.nodes, v)
	for c := children; c != 0; c = t.nodes[c].next {
		if below := t.copy(c); below != 0 {
			t.appendChild(to, below)
		}
	}
	return to
}

func (t *tree) appendChild(n, c uint32) {
	t.nodes[c].next = 0
	p := &t.nodes[n]
	if p.to == 0 {
		p.from = c
	} else {
		t.nodes[p.to].next = c
	}
	p.to = c
}
