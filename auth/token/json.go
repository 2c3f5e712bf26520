package token

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of the JSON inside a token.
const (
	maxDepth   = 8  // an object in an object in …
	maxMembers = 64 // of one object, and elements of one array
	maxValues  = 512
)

type kind uint8

const (
	jsonNull kind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// Value is a JSON value that was read strictly: no name twice in an object in whatever case, valid UTF-8, and nothing
// after it.
type Value struct {
	kind  kind
	text  string // of a string; of a number as written; "true" or "false"
	names []string
	items []Value // elements, or the members' values
}

// ParseJSON reads one JSON object strictly. Unlike encoding/json it refuses names that occur twice or differ in case
// alone, invalid UTF-8, lone surrogates, more than 64 members or 8 levels, and anything after the object: two readers
// of one text must not understand it differently.
func ParseJSON(text string) (Value, error) {
	p := jsonParser{s: text}
	p.space()
	v, err := p.value(1)
	if err != nil {
		return Value{}, err
	}
	if p.space(); p.i != len(p.s) {
		return Value{}, refuse(Malformed, "something follows the JSON")
	}
	if v.kind != jsonObject {
		return Value{}, refuse(Malformed, "the JSON is no object")
	}
	return v, nil
}

// Member returns the member of that name, exactly so written.
func (v Value) Member(name string) (Value, bool) {
	if v.kind != jsonObject {
		return Value{}, false
	}
	for i, n := range v.names {
		if n == name {
			return v.items[i], true
		}
	}
	return Value{}, false
}

// Names returns the names of an object's members in their order. It is not to be changed.
func (v Value) Names() []string { return v.names }

// Text returns a string's content.
func (v Value) Text() (string, bool) { return v.text, v.kind == jsonString }

// Texts returns an array of strings, or one string as an array of it, as aud may be either (RFC 7519 §4.1.3).
func (v Value) Texts() ([]string, bool) {
	if v.kind == jsonString {
		return []string{v.text}, true
	}
	if v.kind != jsonArray {
		return nil, false
	}
	all := make([]string, len(v.items))
	for i, item := range v.items {
		if item.kind != jsonString {
			return nil, false
		}
		all[i] = item.text
	}
	return all, true
}

// IsTrue tells whether v is the literal true.
func (v Value) IsTrue() bool { return v.kind == jsonBool && v.text == "true" }

// Seconds returns a NumericDate (RFC 7519 §2) in whole seconds: a number of 0 to 2^53, without exponent. A fraction
// is cut off.
func (v Value) Seconds() (int64, bool) {
	if v.kind != jsonNumber {
		return 0, false
	}
	whole, fraction, _ := strings.Cut(v.text, ".")
	if strings.ContainsAny(fraction, "eE") {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 0 || n > 1<<53 || whole[0] == '-' {
		return 0, false
	}
	return n, true
}

type jsonParser struct {
	s      string
	i      int
	values int
}

func (p *jsonParser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t' || p.s[p.i] == '\n' || p.s[p.i] == '\r') {
		p.i++
	}
}

// next returns the byte at hand, or 0 at the end.
func (p *jsonParser) next() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *jsonParser) value(depth int) (Value, error) {
	if p.values++; depth > maxDepth || p.values > maxValues {
		return Value{}, refuse(TooLarge, "the JSON has more than %d levels or %d values", maxDepth, maxValues)
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.str()
		return Value{kind: jsonString, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, literal := range []Value{{kind: jsonNull, text: "null"}, {kind: jsonBool, text: "true"},
		{kind: jsonBool, text: "false"}} {
		if strings.HasPrefix(p.s[p.i:], literal.text) {
			p.i += len(literal.text)
			return literal, nil
		}
	}
	return Value{}, refuse(Malformed, "the JSON is not valid")
}

func (p *jsonParser) object(depth int) (Value, error) {
	v := Value{kind: jsonObject}
	err := p.list('}', func() error {
		if p.next() != '"' {
			return refuse(Malformed, "a member of a JSON object has no name")
		}
		name, err := p.str()
		if err != nil {
			return err
		}
		for _, other := range v.names {
			if strings.EqualFold(other, name) {
				return refuse(Malformed, "a JSON object has a name twice, or twice in different case")
			}
		}
		if p.space(); p.next() != ':' {
			return refuse(Malformed, "a name in a JSON object has no value")
		}
		p.i++
		p.space()
		item, err := p.value(depth + 1)
		v.names, v.items = append(v.names, name), append(v.items, item)
		return err
	})
	return v, err
}

func (p *jsonParser) array(depth int) (Value, error) {
	v := Value{kind: jsonArray}
	err := p.list(']', func() error {
		item, err := p.value(depth + 1)
		v.items = append(v.items, item)
		return err
	})
	return v, err
}

// list reads what stands between the bracket at hand and end, separated by commas.
func (p *jsonParser) list(end byte, element func() error) error {
	p.i++
	if p.space(); p.next() == end {
		p.i++
		return nil
	}
	for n := 1; ; n++ {
		if n > maxMembers {
			return refuse(TooLarge, "a JSON object or array has more than %d entries", maxMembers)
		}
		p.space()
		if err := element(); err != nil {
			return err
		}
		p.space()
		switch p.next() {
		case end:
			p.i++
			return nil
		case ',':
			p.i++
		default:
			return refuse(Malformed, "the JSON is not valid")
		}
	}
}

// number reads by the grammar of RFC 8259 §6.
func (p *jsonParser) number() (Value, error) {
	from := p.i
	if p.next() == '-' {
		p.i++
	}
	digits := p.digits()
	ok := digits == 1 || digits > 1 && p.s[p.i-digits] != '0'
	if p.next() == '.' {
		p.i++
		ok = ok && p.digits() > 0
	}
	if c := p.next(); c == 'e' || c == 'E' {
		p.i++
		if c := p.next(); c == '+' || c == '-' {
			p.i++
		}
		ok = ok && p.digits() > 0
	}
	text := p.s[from:p.i]
	if f, err := strconv.ParseFloat(text, 64); !ok || err != nil || math.IsInf(f, 0) {
		return Value{}, refuse(Malformed, "a number in the JSON is not valid")
	}
	return Value{kind: jsonNumber, text: text}, nil
}

func (p *jsonParser) digits() (n int) {
	for p.next() >= '0' && p.next() <= '9' {
		p.i++
		n++
	}
	return n
}

// str reads the string at hand.
func (p *jsonParser) str() (string, error) {
	p.i++
	from, plain := p.i, true
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			text := p.s[from:p.i]
			p.i++
			if !utf8.ValidString(text) {
				return "", refuse(Malformed, "a string in the JSON is not UTF-8")
			}
			if plain {
				return text, nil
			}
			return unescape(text)
		case c == '\\':
			plain = false
			p.i++ // whatever is escaped, a quote too
		case c < ' ':
			return "", refuse(Malformed, "a string in the JSON has a control character")
		}
	}
	return "", refuse(Malformed, "a string in the JSON does not end")
}

func unescape(s string) (string, error) {
	bad := refuse(Malformed, "a string in the JSON has an escape that is not valid")
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		if j := strings.IndexByte(`"\/bfnrt`, s[i]); j >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[j])
			continue
		}
		r, ok := hex4(s[i:])
		if !ok {
			return "", bad
		}
		i += 4
		if utf16.IsSurrogate(r) {
			low, ok := rune(0), i+2 < len(s) && s[i+1] == '\\'
			if ok {
				low, ok = hex4(s[i+2:])
			}
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return "", bad
			}
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), nil
}

// hex4 reads "u" and four hexadecimal digits.
func hex4(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:5], 16, 16)
	return rune(n), err == nil
}
