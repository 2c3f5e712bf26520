// Package blockstring gives the parser block strings that it understands.
//
// The lexer of gqlparser counts the first line of a block string when it works out the common indentation, where the
// GraphQL specification (chapter 2.9.4, BlockStringValue) leaves it out. So
//
//	"""first
//	    second
//	"""
//
// has the value "first\n    second" there instead of "first\nsecond". Settle writes such strings so that both agree:
//
//	doc, err := parser.ParseQuery(&ast.Source{Input: blockstring.Settle(text)})
package blockstring

import (
	"strings"
	"unicode/utf8"
)

const quotes = `"""`

// Settle returns a GraphQL document in which every block string that the lexer would misread stands as a string in
// quotes. What follows such a string keeps its line and column. A document without one is returned as it is.
func Settle(text string) string {
	if !strings.Contains(text, quotes) {
		return text
	}
	var out strings.Builder
	done := 0 // of text that is in out
	for at := 0; at < len(text); {
		switch c := text[at]; {
		case c == '#':
			at += strings.IndexAny(text[at:]+"\n", "\n\r")
		case strings.HasPrefix(text[at:], quotes):
			end, raw := block(text, at)
			if end < 0 { // unterminated: the parser says so
				at = len(text)
				continue
			}
			if !alike(raw) {
				out.WriteString(text[done:at])
				quoted(&out, value(raw))
				pad(&out, text[at:end])
				done = end
			}
			at = end
		case c == '"':
			at = plain(text, at)
		default:
			at++
		}
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// block returns the end of a block string that begins at a place, and what stands between its quotes; -1 if it has no
// end.
func block(text string, at int) (end int, raw string) {
	var b strings.Builder
	for i := at + len(quotes); i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], `\"""`):
			b.WriteString(quotes)
			i += len(quotes)
		case strings.HasPrefix(text[i:], quotes):
			for strings.HasPrefix(text[i+1:], quotes) { // the lexer takes the last three quotes of a row for the end
				b.WriteByte('"')
				i++
			}
			return i + len(quotes), b.String()
		case text[i] == '\r':
			if strings.HasPrefix(text[i:], "\r\n") {
				i++
			}
			b.WriteByte('\n')
		default:
			b.WriteByte(text[i])
		}
	}
	return -1, ""
}

// plain returns the end of a string in single quotes, or of its line.
func plain(text string, at int) int {
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"', '\n', '\r':
			return i + 1
		}
	}
	return len(text)
}

// alike reports whether the lexer reads a block string right: it has nothing on its first line, or no further lines.
func alike(raw string) bool {
	first, rest, more := strings.Cut(raw, "\n")
	return !more || blank(first) || common(strings.Split(rest, "\n")) == 0
}

// value is the value of a block string: BlockStringValue of the specification.
func value(raw string) string {
	lines := strings.Split(raw, "\n")
	if n := common(lines[1:]); n > 0 {
		for i, l := range lines[1:] {
			lines[i+1] = l[min(n, len(l)):]
		}
	}
	for len(lines) > 0 && blank(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && blank(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

// common is the indentation that all lines with text have.
func common(lines []string) int {
	least := -1
	for _, l := range lines {
		if n := len(l) - len(strings.TrimLeft(l, " \t")); n < len(l) && (least < 0 || n < least) {
			least = n
		}
	}
	return max(least, 0)
}

func blank(line string) bool { return strings.Trim(line, " \t") == "" }

// quoted writes a string in quotes.
func quoted(out *strings.Builder, s string) {
	out.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case '\n':
			out.WriteString(`\n`)
		case '\t':
			out.WriteString(`\t`)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
}

// pad writes white space so that what follows stands where it stood after the block string.
func pad(out *strings.Builder, was string) {
	lines := strings.Count(strings.ReplaceAll(strings.ReplaceAll(was, "\r\n", "\n"), "\r", "\n"), "\n")
	out.WriteString(strings.Repeat("\n", lines))
	out.WriteString(strings.Repeat(" ", utf8.RuneCountInString(was[strings.LastIndexAny(was, "\n\r")+1:])))
}
