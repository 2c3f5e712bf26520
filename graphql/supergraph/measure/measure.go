// Package measure counts what is in the text of a schema without parsing it, so that too much of it is refused before
// it costs memory. It knows no limits: who composes has them.
package measure

import "strings"

// Size is how much is in a schema's text.
type Size struct{ Types, Fields int }

// Text counts the definitions of a text, and what is in them, without parsing it: names at the start of
// definitions, and colons and names within braces. A text that is no GraphQL is counted somehow; the parser refuses
// it.
func Text(sdl string) (n Size) {
	depth, word := 0, false
	for i := 0; i < len(sdl); i++ {
		c := sdl[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		switch {
		case letter && !word && depth == 0:
			n.Types += keywordAt(sdl[i:])
		case letter && !word:
			n.Fields++ // a field, an argument, a value or a type's name: at most twice what there is
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
	n.Fields /= 2
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
