package supergraph

import (
	"fmt"
	"strings"
)

// Limits bound what a schema may make the composer hold. They are counted in the text, before it is parsed. Zero
// means the value named.
type Limits struct {
	// Bytes of one schema's text: 8 MiB.
	Bytes int
	// Types and Fields (arguments, enum values and input fields included) of one schema: 20,000 and 200,000.
	Types, Fields int
	// AllTypes and AllFields of all schemas of a graph together: 60,000 and 600,000.
	AllTypes, AllFields int
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&l.Bytes, 8<<20)
	set(&l.Types, 20_000)
	set(&l.Fields, 200_000)
	set(&l.AllTypes, 60_000)
	set(&l.AllFields, 600_000)
	return l
}

// size is how much is in a schema's text.
type size struct{ types, fields int }

// measure counts the definitions of a text, and what is in them, without parsing it: names at the start of
// definitions, and colons and names within braces. A text that is no GraphQL is counted somehow; the parser refuses
// it.
func measure(sdl string) (n size) {
	depth, word := 0, false
	for i := 0; i < len(sdl); i++ {
		c := sdl[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		switch {
		case letter && !word && depth == 0:
			n.types += keywordAt(sdl[i:])
		case letter && !word:
			n.fields++ // a field, an argument, a value or a type's name: at most twice what there is
		case c == '{' || c == '(':
			depth++
		case c == '}' || c == ')':
			depth--
		case c == '#':
			i += strings.IndexAny(sdl[i:]+"\n", "\n\r")
		case c == '"':
			i = afterString(sdl, i) - 1
		}
		word = letter
	}
	n.fields /= 2
	return n
}

// keywordAt is 1 where a definition begins.
func keywordAt(s string) int {
	for _, k := range []string{"type", "interface", "union", "enum", "input", "scalar", "directive"} {
		if rest, ok := strings.CutPrefix(s, k); ok && rest != "" && strings.ContainsRune(" \t\r\n,@", rune(rest[0])) {
			return 1
		}
	}
	return 0
}

// afterString is where a string that begins at i ends.
func afterString(s string, i int) int {
	if strings.HasPrefix(s[i:], `"""`) {
		for j := i + 3; j < len(s); j++ {
			switch {
			case strings.HasPrefix(s[j:], `\"""`):
				j += 3
			case strings.HasPrefix(s[j:], `"""`):
				return j + 3
			}
		}
		return len(s)
	}
	for j := i + 1; j < len(s); j++ {
		switch s[j] {
		case '\\':
			j++
		case '"', '\n':
			return j + 1
		}
	}
	return len(s)
}

// tooLarge says what is too much of a schema; "" if nothing is.
func (l Limits) tooLarge(sdl string) (string, size) {
	if len(sdl) > l.Bytes {
		return fmt.Sprintf("the schema has %d bytes, and at most %d are taken", len(sdl), l.Bytes), size{}
	}
	n := measure(sdl)
	switch {
	case n.types > l.Types:
		return fmt.Sprintf("the schema has %d types, and at most %d are taken", n.types, l.Types), n
	case n.fields > l.Fields:
		return fmt.Sprintf("the schema has some %d fields, arguments and values, and at most %d are taken", n.fields,
			l.Fields), n
	}
	return "", n
}

// together reports schemas that are too much only together, each by itself so that the newest can be left out.
func (l Limits) together(subs []*subgraph) []Error {
	var all size
	for _, s := range subs {
		all.types, all.fields = all.types+s.holds.types, all.fields+s.holds.fields
	}
	if all.types <= l.AllTypes && all.fields <= l.AllFields {
		return nil
	}
	e := Error{
		Code: SchemaTooLarge,
		Message: fmt.Sprintf("the schemas have %d types and some %d fields, arguments and values together, and at most "+
			"%d and %d are taken",
			all.types, all.fields, l.AllTypes, l.AllFields),
	}
	for _, s := range subs {
		e.Subgraphs = append(e.Subgraphs, s.name)
	}
	return []Error{e}
}
