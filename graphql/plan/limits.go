package plan

import (
	"math"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// Limits of an operation. All are checked before anything expensive is done with it. In each of them zero means the
// default and less than zero no limit.
type Limits struct {
	// Tokens of the document's text, comments not counted; 20,000 by default. Code MAX_TOKENS_LIMIT.
	Tokens int
	// Depth of fields in each other, fragments resolved; 100 by default. Code MAX_DEPTH_LIMIT.
	Depth int
	// Aliases, fragments resolved; 1,000 by default. Code MAX_ALIASES_LIMIT.
	Aliases int
	// RootFields, fragments resolved; 500 by default. Code MAX_ROOT_FIELDS_LIMIT.
	RootFields int
	// Fields of any depth, fragments resolved; 20,000 by default. Code MAX_FIELDS_LIMIT.
	Fields int
	// Repeats is how often one selection set may name the same response key, since validation compares each with each;
	// 200 by default. Code MAX_REPEATS_LIMIT.
	Repeats int
	// Directives of the whole document; 500 by default. Code MAX_DIRECTIVES_LIMIT.
	Directives int
}

func (l Limits) orDefaults() Limits {
	for _, f := range []struct {
		n   *int
		def int
	}{{&l.Tokens, 20_000}, {&l.Depth, 100}, {&l.Aliases, 1000}, {&l.RootFields, 500}, {&l.Fields, 20_000},
		{&l.Repeats, 200}, {&l.Directives, 500}} {
		switch {
		case *f.n == 0:
			*f.n = f.def
		case *f.n < 0:
			*f.n = math.MaxInt
		}
	}
	return l
}

// Size of an operation, fragments resolved (a fragment counts as often as it is spread).
type Size struct {
	Tokens, Depth, Aliases, RootFields, Fields int
}

// countTokens counts the tokens of a document and refuses too many.
func countTokens(query string, limit int) (int, *gqlerror.Error) {
	lex := lexer.New(&ast.Source{Input: query})
	for n := 0; ; {
		tok, err := lex.ReadToken()
		if err != nil {
			return 0, coded(gqlerror.WrapIfUnwrapped(err), CodeParse)
		}
		switch tok.Kind {
		case lexer.EOF:
			return n, nil
		case lexer.Comment:
			continue
		}
		if n++; n > limit {
			return 0, limitError("MAX_TOKENS_LIMIT", "The document has more than %d tokens.", limit)
		}
	}
}

// measure counts an operation in time linear in its text, and checks it against the limits.
func (p *Planner) measure(doc *ast.QueryDocument, def *ast.OperationDefinition, tokens int) (Size, *gqlerror.Error) {
	m := meter{lim: p.opts.Limits, fragments: make(map[string]*measured, len(doc.Fragments))}
	for _, f := range doc.Fragments {
		if m.fragments[f.Name] == nil {
			m.fragments[f.Name] = &measured{set: f.SelectionSet}
		}
	}
	for _, f := range doc.Fragments { // those that are not used are validated too
		m.fragment(f.Name)
	}
	var s Size
	for _, o := range doc.Operations {
		if of := m.set(o.SelectionSet); o == def {
			s = of
		}
	}
	s.Tokens = tokens
	if m.err != nil {
		return s, m.err
	}
	l := p.opts.Limits
	switch {
	case m.directives > l.Directives:
		return s, limitError("MAX_DIRECTIVES_LIMIT", "The document has %d directives; at most %d are allowed.",
			m.directives, l.Directives)
	case s.Depth > l.Depth:
		return s, limitError("MAX_DEPTH_LIMIT", "The operation is %d fields deep; at most %d are allowed.", s.Depth, l.Depth)
	case s.Aliases > l.Aliases:
		return s, limitError("MAX_ALIASES_LIMIT", "The operation has %d aliases; at most %d are allowed.", s.Aliases,
			l.Aliases)
	case s.RootFields > l.RootFields:
		return s, limitError("MAX_ROOT_FIELDS_LIMIT", "The operation has %d root fields; at most %d are allowed.",
			s.RootFields, l.RootFields)
	case s.Fields > l.Fields:
		return s, limitError("MAX_FIELDS_LIMIT", "The operation has %d fields; at most %d are allowed.", s.Fields, l.Fields)
	}
	return s, nil
}

type measured struct {
	set   ast.SelectionSet
	state int // 0 not yet, 1 now, 2 done
	size  Size
}

// meter measures selection sets; of cyclic fragments each lap counts once (validation refuses them).
type meter struct {
	lim        Limits
	fragments  map[string]*measured
	directives int
	err        *gqlerror.Error
}

func (m *meter) fragment(name string) Size {
	f := m.fragments[name]
	if f == nil || f.state == 1 {
		return Size{}
	}
	if f.state == 0 {
		f.state = 1
		f.size = m.set(f.set)
		f.state = 2
	}
	return f.size
}

// set measures a selection set; RootFields is the number of fields at its top.
func (m *meter) set(set ast.SelectionSet) Size {
	var out Size
	var repeats map[string]int
	if len(set) > m.lim.Repeats { // otherwise nothing is named so often
		repeats = make(map[string]int, len(set))
	}
	for _, s := range set {
		m.directives += len(directives(s))
		var in Size
		switch s := s.(type) {
		case *ast.Field:
			in = m.set(s.SelectionSet)
			in.Depth++
			in.Fields = add(in.Fields, 1)
			in.RootFields = 1
			key := s.Name
			if s.Alias != "" {
				key = s.Alias
			}
			if key != s.Name {
				in.Aliases = add(in.Aliases, 1)
			}
			if repeats == nil {
				break
			}
			if repeats[key]++; repeats[key] > m.lim.Repeats && m.err == nil {
				m.err = limitError("MAX_REPEATS_LIMIT", "A selection set names %q more than %d times.", key, m.lim.Repeats)
			}
		case *ast.InlineFragment:
			in = m.set(s.SelectionSet)
		case *ast.FragmentSpread:
			in = m.fragment(s.Name)
		}
		out.Depth = max(out.Depth, in.Depth)
		out.Fields = add(out.Fields, in.Fields)
		out.RootFields = add(out.RootFields, in.RootFields)
		out.Aliases = add(out.Aliases, in.Aliases)
	}
	return out
}

// add is saturating: fragments in fragments multiply.
func add(a, b int) int {
	if c := a + b; c < 1<<40 {
		return c
	}
	return 1 << 40
}
