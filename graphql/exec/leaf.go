package exec

import (
	"math"
	"strconv"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// leaf writes scalar or enum n of field f, which is not null. It returns false, with an error, if it has the wrong
// type.
func (p *printer) leaf(n uint32, f *plan.Field) bool {
	v := &p.t.nodes[n]
	if v.kind < kindObject && len(p.out)+int(v.to-v.from) > p.max {
		p.over = true
		return false
	}
	switch f.Shape {
	case plan.Scalar:
		p.out = p.t.appendJSON(p.out, n)
		p.over = len(p.out) > p.max
		return !p.over
	case plan.String:
		if v.kind == kindString {
			return p.copy(n)
		}
		p.mismatch(n, f, "a string")
	case plan.ID:
		return p.id(n, f)
	case plan.Int:
		return p.int(n, f)
	case plan.Float:
		if v.kind == kindNumber {
			return p.copy(n)
		}
		p.mismatch(n, f, "a number")
	case plan.Boolean:
		if v.kind == kindTrue || v.kind == kindFalse {
			return p.copy(n)
		}
		p.mismatch(n, f, "a boolean")
	case plan.Enum:
		return p.enum(n, f)
	}
	return false
}

func (p *printer) copy(n uint32) bool {
	text := p.t.text(n)
	if cap(p.out)-len(p.out) < len(text)+aroundLeaf {
		p.grow(len(text) + aroundLeaf)
	}
	p.out = append(p.out, text...)
	return true
}

// aroundLeaf is about what is written from one leaf to the next.
const aroundLeaf = 64

// grow moves what is written to a larger buffer, for at least n more bytes. What append would leave behind is used
// again so.
func (p *printer) grow(n int) {
	p.buf.b = p.out
	p.buf.grow(n)
	p.out = p.buf.b
}

// id writes a string as it is, and an integer as a string (GraphQL specification, ID: result coercion).
func (p *printer) id(n uint32, f *plan.Field) bool {
	v := &p.t.nodes[n]
	switch {
	case v.kind == kindString:
		return p.copy(n)
	case v.kind == kindNumber && v.flags&flagFraction == 0:
		p.out = append(p.out, '"')
		p.copy(n)
		p.out = append(p.out, '"')
		return true
	}
	p.mismatch(n, f, "an ID")
	return false
}

// int writes a 32-bit integer. A number with a fraction part of zero is one (GraphQL specification, Int: result
// coercion).
func (p *printer) int(n uint32, f *plan.Field) bool {
	v := &p.t.nodes[n]
	if v.kind != kindNumber {
		p.mismatch(n, f, "a 32-bit integer")
		return false
	}
	if v.flags&flagFraction == 0 && v.to-v.from < 10 { // at most nine digits
		return p.copy(n)
	}
	x, err := strconv.ParseFloat(string(p.t.text(n)), 64)
	if err != nil || x != math.Trunc(x) || x < math.MinInt32 || x > math.MaxInt32 {
		p.errs.simple(printing, "", CodeInvalidValue,
			"Field "+f.Type+"."+f.Name+" should be a 32-bit integer, but its subgraph returned another number.", 0,
			p.clientPath())
		return false
	}
	p.out = strconv.AppendInt(p.out, int64(x), 10)
	return true
}

// enum writes an accessible value of the enum. Another one is not repeated in the error: it may be inaccessible.
func (p *printer) enum(n uint32, f *plan.Field) bool {
	v := &p.t.nodes[n]
	if v.kind != kindString {
		p.mismatch(n, f, "an enum value")
		return false
	}
	text := p.t.text(n)
	name := text[1 : len(text)-1]
	if _, ok := f.Values[string(name)]; !ok {
		if v.flags&flagEscaped == 0 || !p.unquotedEnum(name, f) {
			p.errs.simple(printing, "", CodeInvalidValue,
				"Field "+f.Type+"."+f.Name+" has a value that is not in enum "+f.NamedType+".", 0, p.clientPath())
			return false
		}
		return true
	}
	return p.copy(n)
}

// unquotedEnum writes an enum value that came with escapes.
func (p *printer) unquotedEnum(name []byte, f *plan.Field) bool {
	s := unquote(name)
	if _, ok := f.Values[s]; !ok {
		return false
	}
	p.out = appendQuoted(p.out, s)
	return true
}

// appendJSON appends any value without white space between its tokens.
func (t *tree) appendJSON(dst []byte, n uint32) []byte {
	v := &t.nodes[n]
	switch v.kind {
	case kindAbsent:
		return append(dst, "null"...)
	case kindList:
		dst = append(dst, '[')
		for c := v.from; c != 0; c = t.nodes[c].next {
			if c != v.from {
				dst = append(dst, ',')
			}
			dst = t.appendJSON(dst, c)
		}
		return append(dst, ']')
	case kindObject:
		dst = append(dst, '{')
		for c := v.from; c != 0; c = t.nodes[c].next {
			if c != v.from {
				dst = append(dst, ',')
			}
			dst = t.appendMember(dst, c)
		}
		return append(dst, '}')
	}
	return append(dst, t.text(n)...)
}

// appendMember appends key, colon and value.
func (t *tree) appendMember(dst []byte, n uint32) []byte {
	dst = append(dst, '"')
	dst = append(dst, t.keyText(n)...)
	dst = append(dst, '"', ':')
	return t.appendJSON(dst, n)
}
