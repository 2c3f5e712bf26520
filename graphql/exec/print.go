package exec

import (
	"math"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// printing is the number that errors found while printing count under: behind those of all requests.
const printing = math.MaxInt

// printer writes the client's answer from a tree in one pass.
type printer struct {
	t    *tree
	out  []byte
	buf  *buffer // where out is
	errs *errorList
	vars func(name string) []byte
	// base is the response path of the object that printing began with; nil for the root.
	base *clientPath
	path []step
	// max bounds len(out). When it is reached, nothing more is printed and data is null.
	max  int
	over bool
	// nulled collects the hashes of the positions where there is null instead of what was found; nil if nobody wants to
	// know.
	nulled map[uint64]struct{}
	// gone tells of a position, by its hash, whether an earlier payload has null there instead of what was found: it stays
	// null. Nil if there is no such position.
	gone func(h uint64) bool
	// streaming says that lists may be delivered in parts; held is what was not printed of them.
	streaming bool
	held      []held

	scratch clientPath
}

// step is a field, or the index of a list if field is nil.
type step struct {
	field *plan.Field
	index int
}

// data writes object n with shape o, or null.
func (p *printer) data(n uint32, o *plan.Object) (null bool) {
	mark := len(p.out)
	if !p.object(n, o) || p.over {
		p.held = p.held[:0]
		p.out = append(p.out[:mark], "null"...)
		return true
	}
	return false
}

// object writes object n. It returns false if a null has to propagate to it; what it has written is then the caller's
// to remove.
func (p *printer) object(n uint32, o *plan.Object) bool {
	id, known := o.StaticID, true
	if o.Static == "" {
		id, known = p.t.typeOf(n)
		if known && !o.Possible.Has(id) || !known && !p.mayBeUntyped(n, o) {
			p.wrongType(n)
			return false
		}
	}
	p.out = append(p.out, '{')
	first, hint := true, uint32(0)
	for i := range o.Fields {
		f := &o.Fields[i]
		if f.On != nil && known && !f.On.Has(id) {
			continue
		}
		if !first {
			p.out = append(p.out, ',')
		}
		first = false
		p.out = append(p.out, f.JSON...)
		switch f.Shape {
		case plan.TypeName:
			p.typeName(o, id)
			continue
		case plan.Local:
			p.out = f.Local.Append(p.out, p.vars)
			continue
		}
		c := p.t.field(n, f.Source, hint)
		if c != 0 {
			hint = c
		}
		p.path = append(p.path, step{field: f})
		ok := p.value(c, f, f.Wrap)
		p.path = p.path[:len(p.path)-1]
		if !ok {
			return false
		}
	}
	p.out = append(p.out, '}')
	return !p.over
}

// mayBeUntyped reports whether object n, whose type is not known, can be printed nevertheless: it has no
// `__typename`, and nothing depends on it.
func (p *printer) mayBeUntyped(n uint32, o *plan.Object) bool {
	if p.t.field(n, "__typename", 0) != 0 {
		return false
	}
	for i := range o.Fields {
		if f := &o.Fields[i]; f.Shape == plan.TypeName || f.On != nil && !f.On.Contains(o.Possible) {
			return false
		}
	}
	return true
}

func (p *printer) typeName(o *plan.Object, id graph.TypeID) {
	name := o.Static
	if name == "" {
		name = p.t.types.Name(id)
	}
	p.out = append(p.out, '"')
	p.out = append(p.out, name...)
	p.out = append(p.out, '"')
}

// value writes value n of field f, whose remaining type is wrap. It returns false if it is null where null is not
// allowed.
func (p *printer) value(n uint32, f *plan.Field, wrap []plan.Wrap) bool {
	w := wrap[0]
	if (w.List || f.Shape == plan.Composite) && p.gone != nil && p.gone(p.clientPath().last()) {
		if !w.NonNull {
			p.out = append(p.out, "null"...)
		}
		return !w.NonNull
	}
	if p.t.nodes[n].kind <= kindNull || f.Denied {
		if !w.NonNull {
			p.out = append(p.out, "null"...)
			return true
		}
		if !f.Denied {
			p.nullError(n, f)
		}
		return false
	}
	mark, held := len(p.out), len(p.held)
	ok := false
	switch {
	case w.List:
		ok = p.list(n, f, wrap[1:])
	case f.Shape == plan.Composite:
		if p.t.nodes[n].kind == kindObject {
			ok = p.object(n, f.Object)
		} else {
			p.mismatch(n, f, "an object")
		}
	default:
		ok = p.leaf(n, f)
	}
	if ok {
		return true
	}
	p.out, p.held = p.out[:mark], p.held[:held]
	if w.NonNull {
		return false
	}
	p.out = append(p.out, "null"...)
	if p.nulled != nil {
		p.nulled[p.clientPath().last()] = struct{}{}
	}
	return true
}

func (p *printer) list(n uint32, f *plan.Field, wrap []plan.Wrap) bool {
	if p.t.nodes[n].kind != kindList {
		p.mismatch(n, f, "a list")
		return false
	}
	p.out = append(p.out, '[')
	p.path = append(p.path, step{})
	at := len(p.path) - 1
	i, first := 0, -1
	if p.streaming && f.Stream != nil && len(wrap)+1 == len(f.Wrap) {
		first = initial(f.Stream, p.vars)
	}
	for c := p.t.nodes[n].from; c != 0; c = p.t.nodes[c].next {
		if i == first {
			p.path[at].index = i
			p.hold(c, f, wrap, i)
			break
		}
		if i > 0 {
			p.out = append(p.out, ',')
		}
		p.path[at].index = i
		if !p.value(c, f, wrap) || p.over {
			p.path = p.path[:at]
			return false
		}
		i++
	}
	p.path = p.path[:at]
	p.out = append(p.out, ']')
	return true
}

// clientPath is the response path of the value being printed.
func (p *printer) clientPath() *clientPath {
	c := &p.scratch
	c.reset()
	if p.base != nil {
		c.set(p.base)
	}
	for _, s := range p.path {
		if s.field != nil {
			c.key(s.field.Key)
		} else {
			c.index(s.index)
		}
	}
	return c
}

// nullError reports a null where the schema allows none, unless an error of a subgraph has explained it: one at this
// position or below, or, if the value is absent, the failure of a request for something around it.
func (p *printer) nullError(n uint32, f *plan.Field) {
	path := p.clientPath()
	if _, ok := p.errs.told[path.last()]; ok {
		return
	}
	if n == 0 && p.failedAbove(path) {
		return
	}
	p.errs.simple(printing, "", CodeNull, "Cannot return null for non-nullable field "+f.Type+"."+f.Name+".", 0, path)
}

func (p *printer) failedAbove(path *clientPath) bool {
	for _, h := range path.hashes {
		if _, ok := p.errs.failed[h]; ok {
			return true
		}
	}
	return false
}

func (p *printer) mismatch(n uint32, f *plan.Field, want string) {
	p.errs.simple(printing, "", CodeInvalidValue,
		"Field "+f.Type+"."+f.Name+" should be "+want+", but its subgraph returned "+p.t.nodes[n].kind.String()+".", 0,
		p.clientPath())
}

// wrongType reports an object that says no type, or one that may not stand here. The type is not named: it may be
// inaccessible.
func (p *printer) wrongType(n uint32) {
	path := p.clientPath()
	if p.t.field(n, "__typename", 0) == 0 && p.failedAbove(path) {
		return
	}
	where := "The response"
	for i := len(p.path) - 1; i >= 0; i-- {
		if f := p.path[i].field; f != nil {
			where = "Field " + f.Type + "." + f.Name
			break
		}
	}
	p.errs.simple(printing, "", CodeInvalidValue, where+" has an object without a type that is possible here.", 0, path)
}
