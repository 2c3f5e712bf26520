package graph

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph/literal"
)

// Selection is a selection set with fragments resolved: a list of entries, each for a set of run-time types. For one
// type no two entries have the same response key.
type Selection struct {
	Entries []*Entry
	// Types are the object types the selection was made for.
	Types TypeSet
	// Deferred are the numbers of the deferred fragments that stand directly in it.
	Deferred []int
}

// Entry is one field of a selection.
type Entry struct {
	// Key is the response key; Name the field's name.
	Key, Name string
	// Args are the arguments as GraphQL text with parentheses, or "". Vars are the variables in them, sorted.
	Args string
	Vars []string
	// On are the run-time types of the parent that the entry is for.
	On TypeSet
	// Sub is the selection on the field's value; nil for leaves.
	Sub *Selection
	// Defer is the number of the deferred fragment the entry belongs to, or 0.
	Defer int
	// Client says that the client asked for it, under Key.
	Client bool
	// Denied says that the caller may not see the field.
	Denied bool
	// Field is the syntax it came from.
	Field *ast.Field
}

// TypeName is the meta field.
const TypeName = "__typename"

// ErrTooLarge says that an operation has more fields, fragments resolved, than the limit allows.
var ErrTooLarge = errors.New("operation is too large")

// Normaliser turns selection sets into Selections.
type Normaliser struct {
	Graph *Graph
	// Fragments of the document.
	Fragments ast.FragmentDefinitionList
	// Bool gives the value of a boolean variable in @skip, @include and @defer; nil means there are none.
	Bool func(name string) bool
	// Denied reports whether the caller may not see a field of an object type; nil means that everything may be seen.
	Denied func(t *Type, f *Field) bool
	// Defer, if not nil, is told of each deferred fragment and returns its number (from 1). parent is the number of the
	// enclosing one, or 0.
	Defer func(label string, parent int) int
	// Client says that the selection is a client's. Hidden are then the types that clients must not see.
	Client bool
	Hidden TypeSet
	// Limit is the greatest number of entries made. Zero means 100 000.
	Limit int

	parents map[int]int // of deferred fragments
	// fields has the fields of a type while the graph is being read; nil means Type.Fields.
	fields func(*Type) map[string]*Field

	made  int
	steps int
}

// part is a selection set with the deferred fragment it was found in.
type part struct {
	set      ast.SelectionSet
	fragment int
}

type pending struct {
	*Entry
	subs []part
}

// Normalise resolves a selection set on values of one of the given types.
func (n *Normaliser) Normalise(set ast.SelectionSet, types TypeSet) (*Selection, error) {
	if n.Limit == 0 {
		n.Limit = 100_000
	}
	return n.normalise([]part{{set: set}}, types)
}

func (n *Normaliser) normalise(parts []part, types TypeSet) (*Selection, error) {
	c := collector{n: n}
	if len(parts) == 1 {
		c.list = make([]*pending, 0, len(parts[0].set))
	}
	for _, p := range parts {
		if err := c.collect(p.set, types, p.fragment); err != nil {
			return nil, err
		}
	}
	sel := &Selection{Types: types, Entries: make([]*Entry, 0, len(c.list)), Deferred: c.deferred}
	for _, p := range c.list {
		e := p.Entry
		if p.subs != nil && !e.Denied {
			var err error
			if e.Sub, err = n.normalise(p.subs, n.below(e)); err != nil {
				return nil, err
			}
		}
		sel.Entries = append(sel.Entries, e)
	}
	return sel, nil
}

func (n *Normaliser) of(t *Type) map[string]*Field {
	if n.fields != nil {
		return n.fields(t)
	}
	return t.Fields()
}

// below returns the types that the values of an entry may have.
func (n *Normaliser) below(e *Entry) TypeSet {
	var out TypeSet
	for _, id := range e.On.IDs() {
		if f := n.of(n.Graph.objects[id])[e.Name]; f != nil && f.Named != nil {
			if out == nil {
				out = f.Named.Possible
			} else if !out.Contains(f.Named.Possible) {
				out = out.Or(f.Named.Possible)
			}
		}
	}
	if n.Hidden != nil {
		out = out.Minus(n.Hidden)
	}
	return out
}

type collector struct {
	n        *Normaliser
	list     []*pending
	byKey    map[string][]*pending
	seen     []visit
	deferred []int
}

type visit struct {
	name     string
	on       TypeSet
	fragment int
}

func (c *collector) collect(set ast.SelectionSet, on TypeSet, deferred int) error {
	n := c.n
	if n.steps += len(set); n.steps > 20*n.Limit {
		return ErrTooLarge
	}
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if !n.Included(s.Directives) {
				continue
			}
			if err := c.field(s, on, deferred); err != nil {
				return err
			}
		case *ast.InlineFragment:
			if !n.Included(s.Directives) {
				continue
			}
			if err := c.collect(s.SelectionSet, n.narrow(on, s.TypeCondition), c.deferral(s.Directives, deferred)); err != nil {
				return err
			}
		case *ast.FragmentSpread:
			if !n.Included(s.Directives) {
				continue
			}
			def := n.Fragments.ForName(s.Name)
			if def == nil {
				continue
			}
			d := c.deferral(s.Directives, deferred)
			at := n.narrow(on, def.TypeCondition)
			v := visit{s.Name, at, d}
			if slices.ContainsFunc(c.seen, func(o visit) bool {
				return o.name == v.name && o.fragment == v.fragment &&
					o.on.Contains(v.on)
			}) {
				continue
			}
			c.seen = append(c.seen, v)
			if err := c.collect(def.SelectionSet, at, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Normaliser) narrow(on TypeSet, cond string) TypeSet {
	if cond == "" {
		return on
	}
	t := n.Graph.types[cond]
	if t == nil {
		return nil
	}
	if t.Possible.Contains(on) {
		return on
	}
	return on.And(t.Possible)
}

func (c *collector) field(f *ast.Field, on TypeSet, deferred int) error {
	if on.Empty() {
		return nil
	}
	n := c.n
	key := f.Alias
	if key == "" {
		key = f.Name
	}
	var allowed, denied TypeSet = on, nil
	if n.Denied != nil && f.Name != TypeName {
		var ids []TypeID
		for _, id := range on.IDs() {
			t := n.Graph.objects[id]
			if fd := n.of(t)[f.Name]; fd != nil && n.Denied(t, fd) {
				ids = append(ids, id)
			}
		}
		if ids != nil {
			denied = SetOf(ids...)
			allowed = on.Minus(denied)
		}
	}
	if err := c.add(key, f, denied, deferred, true); err != nil {
		return err
	}
	return c.add(key, f, allowed, deferred, false)
}

func (c *collector) add(key string, f *ast.Field, on TypeSet, deferred int, denied bool) error {
	if on.Empty() {
		return nil
	}
	var sub *part
	if len(f.SelectionSet) > 0 {
		sub = &part{f.SelectionSet, deferred}
	}
	if c.byKey == nil {
		c.byKey = map[string][]*pending{}
	}
	for _, e := range c.byKey[key] {
		both := e.On.And(on)
		if both.Empty() {
			continue
		}
		if sub == nil && e.Defer == deferred {
			on = on.Minus(both)
			continue
		}
		if !both.Equal(e.On) {
			rest := &pending{Entry: new(Entry), subs: slices.Clone(e.subs)}
			*rest.Entry = *e.Entry
			rest.On = e.On.Minus(both)
			if err := c.insert(rest, slices.Index(c.list, e)+1); err != nil {
				return err
			}
			e.On = both
		}
		e.Defer = c.n.enclosing(e.Defer, deferred) // wanted at two times: what encloses both fetches it
		if sub != nil && !slices.ContainsFunc(e.subs,
			func(p part) bool { return p.fragment == sub.fragment && &p.set[0] == &sub.set[0] }) {
			e.subs = append(e.subs, *sub)
		}
		on = on.Minus(both)
	}
	if on.Empty() {
		return nil
	}
	n := c.n
	both := new(struct { // one piece of memory
		pending
		entry Entry
		sub   [1]part
	})
	e := &both.pending
	e.Entry = &both.entry
	*e.Entry = Entry{Key: key, Name: f.Name, On: on, Defer: deferred, Denied: denied, Field: f, Client: n.Client}
	e.Args, e.Vars = literal.Arguments(f.Arguments)
	if sub != nil {
		both.sub[0] = *sub
		e.subs = both.sub[:1:1]
	}
	return c.insert(e, len(c.list))
}

func (c *collector) insert(e *pending, at int) error {
	if c.n.made++; c.n.made > c.n.Limit {
		return ErrTooLarge
	}
	c.list = slices.Insert(c.list, at, e)
	c.byKey[e.Key] = append(c.byKey[e.Key], e)
	return nil
}

// enclosing is the innermost deferred fragment that holds two others, or 0. Fragments have greater numbers than those
// that enclose them.
func (n *Normaliser) enclosing(a, b int) int {
	for a != b {
		if a < b {
			a, b = b, a
		}
		a = n.parents[a]
	}
	return a
}

// Included reports whether @skip and @include let a selection in.
func (n *Normaliser) Included(ds ast.DirectiveList) bool {
	for _, d := range ds {
		if d.Name != "skip" && d.Name != "include" {
			continue
		}
		if v := n.condition(d); v == (d.Name == "skip") {
			return false
		}
	}
	return true
}

// Holds reports whether a directive's argument "if" is true, or missing.
func (n *Normaliser) Holds(d *ast.Directive) bool { return n.condition(d) }

func (n *Normaliser) condition(d *ast.Directive) bool {
	arg := d.Arguments.ForName("if")
	if arg == nil || arg.Value == nil {
		return true
	}
	if arg.Value.Kind == ast.Variable {
		return n.Bool != nil && n.Bool(arg.Value.Raw)
	}
	return arg.Value.Raw == "true"
}

func (c *collector) deferral(ds ast.DirectiveList, parent int) int {
	n := c.n
	if n.Defer == nil {
		return parent
	}
	d := ds.ForName("defer")
	if d == nil || !n.condition(d) {
		return parent
	}
	label := ""
	if a := d.Arguments.ForName("label"); a != nil && a.Value != nil {
		label = a.Value.Raw
	}
	number := n.Defer(label, parent)
	if number == parent {
		return parent
	}
	if n.parents == nil {
		n.parents = map[int]int{}
	}
	n.parents[number] = parent
	c.deferred = append(c.deferred, number)
	return number
}

// Leaves counts the leaf entries.
func (s *Selection) Leaves() int {
	if s == nil {
		return 0
	}
	n := 0
	for _, e := range s.Entries {
		if e.Sub == nil {
			n++
		} else {
			n += e.Sub.Leaves()
		}
	}
	return n
}

// Find returns the entry for the named field on type t, or nil.
func (s *Selection) Find(t TypeID, name string) *Entry {
	if s == nil {
		return nil
	}
	for _, e := range s.Entries {
		if e.Name == name && e.On.Has(t) {
			return e
		}
	}
	return nil
}

// String prints the selection, types as numbers; for tests and debugging.
func (s *Selection) String() string {
	var b strings.Builder
	s.print(&b)
	return b.String()
}

func (s *Selection) print(b *strings.Builder) {
	b.WriteByte('{')
	for i, e := range s.Entries {
		if i > 0 {
			b.WriteByte(' ')
		}
		if !e.On.Equal(s.Types) {
			for j, id := range e.On.IDs() {
				if j > 0 {
					b.WriteByte('|')
				}
				b.WriteString(strconv.Itoa(int(id)))
			}
			b.WriteByte('/')
		}
		if e.Key != e.Name {
			b.WriteString(e.Key + ":")
		}
		b.WriteString(e.Name + e.Args)
		if e.Sub != nil {
			e.Sub.print(b)
		}
	}
	b.WriteByte('}')
}
