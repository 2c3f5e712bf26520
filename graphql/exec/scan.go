package exec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a body.
const maxDepth = 1000

var (
	errTruncated     = errors.New("the JSON ends in the middle")
	errTooManyValues = errors.New("too many values")
	errTooManyBodies = errors.New("too many answers in one operation")
	errTooDeep       = fmt.Errorf("nested deeper than %d levels", maxDepth)
	errNotUTF8       = errors.New("not UTF-8")
)

// scanner turns the text of one body into nodes of a tree.
type scanner struct {
	t    *tree
	b    []byte
	doc  uint16
	high uint64 // has the top bit of some byte set if a string is not ASCII
	open []uint32
}

// scan adds a body to the tree and returns its value, which has no parent yet. The body must not change while the
// tree is used. If it is not exactly one JSON value, or the tree would have more than t.max nodes, the tree stays as
// it was.
func (t *tree) scan(b []byte) (uint32, error) {
	if len(t.docs) > math.MaxUint16 {
		return 0, errTooManyBodies
	}
	if len(b) > math.MaxUint32 {
		return 0, errTooManyValues
	}
	mark := len(t.nodes)
	var open [32]uint32
	s := scanner{t: t, b: b, doc: uint16(len(t.docs)), open: open[:0]}
	t.docs = append(t.docs, b)
	end, err := s.value(s.space(0))
	if err == nil && s.space(end) != len(b) {
		err = fmt.Errorf("unexpected %q after the JSON, at byte %d", b[s.space(end)], s.space(end))
	}
	if err == nil && s.high&0x8080808080808080 != 0 && !utf8.Valid(b) {
		err = errNotUTF8
	}
	if err != nil {
		t.nodes = t.nodes[:mark]
		t.docs[len(t.docs)-1] = nil
		t.docs = t.docs[:len(t.docs)-1]
		return 0, err
	}
	return uint32(mark), nil
}

// value scans the value that begins at i, with all it contains, and returns the offset behind it.
func (s *scanner) value(i int) (int, error) {
	var v node // key and keyLen are set where the parent is an object
	for {
		if len(s.t.nodes) >= s.t.max {
			return 0, errTooManyValues
		}
		var err error
		n := uint32(len(s.t.nodes))
		if i, err = s.start(i, &v); err != nil {
			return 0, err
		}
		s.t.nodes = append(s.t.nodes, v)
		if len(s.open) > 0 {
			s.t.link(s.open[len(s.open)-1], n)
		}
		if v.kind >= kindObject {
			if len(s.open) >= maxDepth {
				return 0, errTooDeep
			}
			s.open = append(s.open, n)
		}
		if i, err = s.advance(i, &v, v.kind >= kindObject); err != nil {
			return 0, err
		}
		if len(s.open) == 0 {
			return i, nil
		}
	}
}

// advance moves from behind a value, or from behind the opening bracket, to where the next value begins: it closes
// what ends there and reads the next key. It returns with s.open empty behind the last bracket.
func (s *scanner) advance(i int, v *node, opened bool) (int, error) {
	for len(s.open) > 0 {
		parent := s.open[len(s.open)-1]
		p := &s.t.nodes[parent]
		i = s.space(i)
		if i >= len(s.b) {
			return 0, errTruncated
		}
		closing := byte(']')
		if p.kind == kindObject {
			closing = '}'
		}
		switch c := s.b[i]; {
		case c == closing:
			s.open = s.open[:len(s.open)-1]
			opened = false
			i++
			continue
		case opened:
		case c == ',':
			i = s.space(i + 1)
		default:
			return 0, s.unexpected(i)
		}
		if p.kind == kindList {
			v.flags, v.key, v.keyLen = 0, 0, 0
			return i, nil
		}
		return s.keyed(i, v)
	}
	return i, nil
}

// keyed reads a key and its colon into v, and returns where the value begins.
func (s *scanner) keyed(i int, v *node) (int, error) {
	if i >= len(s.b) {
		return 0, errTruncated
	}
	if s.b[i] != '"' {
		return 0, s.unexpected(i)
	}
	end, escaped, err := s.quoted(i + 1)
	if err != nil {
		return 0, err
	}
	v.key, v.keyLen, v.flags = uint32(i+1), uint32(end-i-1), 0
	if escaped {
		v.flags = flagEscapedKey
	}
	i = s.space(end + 1)
	if i >= len(s.b) {
		return 0, errTruncated
	}
	if s.b[i] != ':' {
		return 0, s.unexpected(i)
	}
	return s.space(i + 1), nil
}

// start reads the scalar or the opening bracket at i into v and returns the offset behind it.
func (s *scanner) start(i int, v *node) (int, error) {
	if i >= len(s.b) {
		return 0, errTruncated
	}
	v.doc, v.from, v.to, v.next = s.doc, uint32(i), 0, 0
	end := i + 1
	switch c := s.b[i]; c {
	case '"':
		q, escaped, err := s.quoted(i + 1)
		if err != nil {
			return 0, err
		}
		if escaped {
			v.flags |= flagEscaped
		}
		v.kind, end = kindString, q+1
	case '{':
		v.kind, v.from = kindObject, 0
		return end, nil
	case '[':
		v.kind, v.from = kindList, 0
		return end, nil
	case 't':
		v.kind, end = kindTrue, i+4
		return s.literal(i, end, "true", v)
	case 'f':
		v.kind, end = kindFalse, i+5
		return s.literal(i, end, "false", v)
	case 'n':
		v.kind, end = kindNull, i+4
		return s.literal(i, end, "null", v)
	default:
		return s.number(i, v)
	}
	v.to = uint32(end)
	return end, nil
}

func (s *scanner) literal(i, end int, want string, v *node) (int, error) {
	v.to = uint32(end)
	if end <= len(s.b) && string(s.b[i:end]) == want {
		return end, nil
	}
	if end > len(s.b) && strings.HasPrefix(want, string(s.b[i:])) {
		return 0, errTruncated
	}
	return 0, s.unexpected(i)
}

// number scans a number as RFC 8259 §6 has it.
func (s *scanner) number(i int, v *node) (int, error) {
	v.kind = kindNumber
	j := i
	if s.b[j] == '-' {
		j++
	}
	digits := s.digits(j)
	if digits == j || s.b[j] == '0' && digits > j+1 {
		return 0, s.unexpected(i)
	}
	j = digits
	if j < len(s.b) && s.b[j] == '.' {
		v.flags |= flagFraction
		if digits = s.digits(j + 1); digits == j+1 {
			return 0, s.unexpected(j)
		}
		j = digits
	}
	if j < len(s.b) && (s.b[j] == 'e' || s.b[j] == 'E') {
		v.flags |= flagFraction
		k := j + 1
		if k < len(s.b) && (s.b[k] == '+' || s.b[k] == '-') {
			k++
		}
		if digits = s.digits(k); digits == k {
			return 0, s.unexpected(j)
		}
		j = digits
	}
	v.to = uint32(j)
	return j, nil
}

// digits returns the offset behind the digits at i.
func (s *scanner) digits(i int) int {
	for i < len(s.b) && '0' <= s.b[i] && s.b[i] <= '9' {
		i++
	}
	return i
}

// space returns the offset of the first byte from i on that is not white space.
func (s *scanner) space(i int) int {
	for i < len(s.b) && (s.b[i] == ' ' || s.b[i] == '\n' || s.b[i] == '\t' || s.b[i] == '\r') {
		i++
	}
	return i
}

const ones = 0x0101010101010101

// quoted returns the offset of the quote that ends the string whose first character is at i, and whether it has a
// backslash. Eight bytes are looked at in one go: those below 0x20, quotes and backslashes get their top bit set (a
// bit above a true one may be false).
func (s *scanner) quoted(i int) (int, bool, error) {
	escaped := false
	for {
		for i+8 <= len(s.b) {
			w := binary.LittleEndian.Uint64(s.b[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			special := ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & (ones * 0x80)
			if special != 0 {
				skip := bits.TrailingZeros64(special)
				s.high |= w & (1<<skip - 1)
				i += skip / 8
				break
			}
			s.high |= w
			i += 8
		}
		if i >= len(s.b) {
			return 0, false, errTruncated
		}
		switch c := s.b[i]; {
		case c == '"':
			return i, escaped, nil
		case c == '\\':
			escaped = true
			n, err := s.escape(i)
			if err != nil {
				return 0, false, err
			}
			i += n
		case c < 0x20:
			return 0, false, s.unexpected(i)
		default:
			s.high |= uint64(c)
			i++
		}
	}
}

// escape returns the length of the escape sequence at i.
func (s *scanner) escape(i int) (int, error) {
	if i+1 >= len(s.b) {
		return 0, errTruncated
	}
	switch s.b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		if i+6 > len(s.b) {
			return 0, errTruncated
		}
		if _, ok := hex4(s.b[i+2:]); ok {
			return 6, nil
		}
	}
	return 0, s.unexpected(i)
}

func (s *scanner) unexpected(i int) error {
	if i >= len(s.b) {
		return errTruncated
	}
	return fmt.Errorf("unexpected %q at byte %d", s.b[i], i)
}

func hex4(b []byte) (rune, bool) {
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// unquote resolves the escapes of a scanned string, given without quotes.
func unquote(b []byte) string {
	var sb strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			sb.WriteByte(b[i])
			continue
		}
		i++
		if b[i] == 'u' {
			r, _ := hex4(b[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(0)
				if i+6 < len(b) && b[i+1] == '\\' && b[i+2] == 'u' {
					low, _ = hex4(b[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			sb.WriteRune(r)
			continue
		}
		if k := strings.IndexByte(`bfnrt`, b[i]); k >= 0 {
			sb.WriteByte("\b\f\n\r\t"[k])
		} else {
			sb.WriteByte(b[i])
		}
	}
	return sb.String()
}

// link appends child c to parent n while scanning.
func (t *tree) link(n, c uint32) {
	p := &t.nodes[n]
	if p.to == 0 {
		p.from = c
	} else {
		t.nodes[p.to].next = c
	}
	p.to = c
}
