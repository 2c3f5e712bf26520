package scenarios

import (
	"go/scanner"
	"go/token"
	"regexp"
	"strings"
)

// occurrences says where a file has a piece of code, as offsets of its begin and end. White space and line breaks
// count nothing, nor does the comma that gofmt wants before a bracket on a line of its own: a guard that somebody
// breaks over two lines is still found. A piece that is no Go code, such as half a string, is looked for as it stands.
func occurrences(text, piece string) [][]int {
	if at := places(text, regexp.MustCompile(regexp.QuoteMeta(piece))); len(at) > 0 {
		return at
	}
	pattern, ok := loosely(piece)
	if !ok {
		return nil
	}
	return places(text, pattern)
}

func places(text string, pattern *regexp.Regexp) [][]int { return pattern.FindAllStringIndex(text, -1) }

// loosely makes a pattern of the tokens of a piece of code, with any white space between them.
func loosely(piece string) (*regexp.Regexp, bool) {
	var s scanner.Scanner
	failed := false
	set := token.NewFileSet()
	source := []byte(piece)
	s.Init(set.AddFile("", set.Base(), len(source)), source, func(token.Position, string) { failed = true }, 0)
	var b strings.Builder
	for {
		_, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}
		if tok == token.SEMICOLON && lit == "\n" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(`\s*`)
		}
		switch {
		case tok == token.RPAREN, tok == token.RBRACE, tok == token.RBRACK:
			b.WriteString(`,?\s*` + regexp.QuoteMeta(tok.String()))
		case lit != "":
			b.WriteString(regexp.QuoteMeta(lit))
		default:
			b.WriteString(regexp.QuoteMeta(tok.String()))
		}
	}
	if failed || b.Len() == 0 {
		return nil, false
	}
	pattern, err := regexp.Compile(b.String())
	return pattern, err == nil
}
