package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what is parsed. They are checked on the text: a parser that is given a million brackets in each other
// ends the process.
const (
	MaxDocument = 256 << 10 // bytes of a document
	MaxPolicy   = 32 << 10  // bytes of one policy
	MaxPolicies = 2_000     // policies of a document
	MaxTotal    = 20_000    // policies of a set
	MaxEntities = 100_000   // entities of a set
	MaxNesting  = 64        // brackets in each other
	maxUnary    = 16        // signs of negation in a row
	maxOperands = 1_000     // operators, conditionals and attributes of one policy
)

// Document is a text and the name that its positions are given by: of a file, say.
type Document struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Source is all that a snapshot is made of.
type Source struct {
	Policies []Document `json:"policies"` // in Cedar
	Entities []Document `json:"entities"` // JSON lists of entities, as Cedar defines them
}

// Problem is something wrong with a source. Line and Column are 0 if they are not known, and begin at 1 otherwise.
type Problem struct {
	Document     string `json:"document"`
	Line, Column int
	Policy       string `json:"policy,omitempty"` // id; "" if it is about the document
	Text         string `json:"text"`
}

func (p Problem) String() string {
	at := p.Document
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", p.Document, p.Line, p.Column)
	}
	if p.Policy != "" {
		return fmt.Sprintf("%s: policy %s: %s", at, p.Policy, p.Text)
	}
	return fmt.Sprintf("%s: %s", at, p.Text)
}

// Problems is why a source is refused, as an error.
type Problems []Problem

func (p Problems) Error() string {
	const most = 50
	lines := make([]string, 0, most+1)
	for i, one := range p {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(p)-most))
			break
		}
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

// scanner walks over the tokens of a document, without a stack.
type scanner struct {
	doc             Document
	line, column    int
	depth, unary    int
	operands, began int // of the policy
	policies        int
	cedar           bool
	problem         *Problem
}

// tooLarge checks a document against the limits, before anything parses it; nil if it is within them.
func tooLarge(doc Document, cedar bool) *Problem {
	if len(doc.Text) > MaxDocument && cedar {
		return &Problem{
			Document: doc.Name,
			Text:     fmt.Sprintf("%d bytes: want at most %d; split it", len(doc.Text), MaxDocument),
		}
	}
	if !utf8.ValidString(doc.Text) {
		return &Problem{Document: doc.Name, Text: "it is not UTF-8"}
	}
	s := scanner{doc: doc, line: 1, column: 1, cedar: cedar}
	for i := 0; i < len(doc.Text) && s.problem == nil; {
		next := s.token(i)
		s.advance(doc.Text[i:next])
		i = next
	}
	return s.problem
}

func (s *scanner) advance(text string) {
	if n := strings.Count(text, "\n"); n > 0 {
		s.line += n
		s.column = utf8.RuneCountInString(text[strings.LastIndexByte(text, '\n')+1:]) + 1
		return
	}
	s.column += utf8.RuneCountInString(text)
}

func (s *scanner) fail(format string, args ...any) {
	s.problem = &Problem{Document: s.doc.Name, Line: s.line, Column: s.column, Text: fmt.Sprintf(format, args...)}
}

// token judges the token at i and returns where the next one begins.
func (s *scanner) token(i int) int {
	text := s.doc.Text
	c := text[i]
	switch {
	case c == '"':
		s.unary = 0
		return s.quoted(i)
	case s.cedar && strings.HasPrefix(text[i:], "//"):
		if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
			return i + n
		}
		return len(text)
	case c == '(' || c == '[' || c == '{':
		if s.depth++; s.depth > MaxNesting {
			s.fail("more than %d brackets in each other", MaxNesting)
		}
	case c == ')' || c == ']' || c == '}':
		s.depth = max(0, s.depth-1)
	case !s.cedar:
	case c == '!' || c == '-':
		s.operand()
		if s.unary++; s.unary > maxUnary {
			s.fail("more than %d signs of negation in a row", maxUnary)
		}
		return i + 1
	case c == ';':
		s.policy(i)
	case strings.IndexByte("&|+*.<>=", c) >= 0, strings.HasPrefix(text[i:], "if"):
		s.operand()
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		return i + 1 // is nothing between two signs
	}
	s.unary = 0
	return i + 1
}

func (s *scanner) quoted(i int) int {
	for j := i + 1; j < len(s.doc.Text); j++ {
		switch s.doc.Text[j] {
		case '\\':
			j++
		case '"':
			return j + 1
		}
	}
	return len(s.doc.Text)
}

func (s *scanner) operand() {
	if s.operands++; s.operands > maxOperands {
		s.fail("more than %d operators in one policy", maxOperands)
	}
}

// policy ends one at i.
func (s *scanner) policy(i int) {
	if i-s.began > MaxPolicy {
		s.fail("a policy of %d bytes: want at most %d", i-s.began, MaxPolicy)
	}
	if s.policies++; s.policies > MaxPolicies {
		s.fail("more than %d policies in one document: split it", MaxPolicies)
	}
	s.began, s.operands = i+1, 0
}
