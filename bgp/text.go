package bgp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a text that somebody else wrote, fit for a terminal and a log of one line: white space of any
// kind is a space, and what moves the cursor, changes colours, turns the direction of writing or is no UTF-8 stands
// as "�". A good text is returned as it is.
func Printable(s string) string {
	bad := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) } // IsPrint takes no space but U+0020
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case bad(r):
			return utf8.RuneError
		}
		return r
	}, s)
}
