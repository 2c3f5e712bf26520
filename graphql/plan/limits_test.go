package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// wide is a planner for a schema of many types and fields.
func wide(t testing.TB) *Planner {
	t.Helper()
	var sdl strings.Builder
	sdl.WriteString("type Query { a: T0 b: Int interfaces: Query }\n")
	for i := range 300 {
		fmt.Fprintf(&sdl, "type T%d {", i)
		for f := range 20 {
			fmt.Fprintf(&sdl, " field%d: T%d", f, (i+f)%300)
		}
		sdl.WriteString(" }\n")
	}
	res := supergraph.Compose([]supergraph.Subgraph{{Name: "wide", URL: "http://wide.example", SDL: sdl.String()}},
		supergraph.Options{})
	if res.Errors != nil {
		t.Fatal(res.Errors)
	}
	g, err := graph.Read(res.SDL)
	if err != nil {
		t.Fatal(err)
	}
	return New(g, Options{})
}

// ask prepares and plans an operation, and returns the code of what refuses it.
func ask(p *Planner, query string) (pl *Plan, code string) {
	op, errs := p.Prepare(query, "")
	if errs != nil {
		code, _ = errs[0].Extensions["code"].(string)
		return nil, code
	}
	pl, err := p.Plan(op, Facts{Conditions: make([]bool, len(op.Conditions))})
	var limit *gqlerror.Error
	if errors.As(err, &limit) {
		code, _ = limit.Extensions["code"].(string)
		return nil, code
	}
	if err != nil {
		return nil, err.Error()
	}
	return pl, ""
}

// nested writes open n times around inner.
func nested(n int, open, inner, end string) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

func TestLimitsOfOperations(t *testing.T) {
	p := wide(t)
	var bomb, aliases strings.Builder
	bomb.WriteString("{a{...F0}}")
	for i := range 40 {
		fmt.Fprintf(&bomb, " fragment F%d on T0 {...F%d ...F%d}", i, i+1, i+1)
	}
	bomb.WriteString(" fragment F40 on T0 {__typename}")
	for i := range 600 {
		fmt.Fprintf(&aliases, " a%d: b", i)
	}
	for name, c := range map[string]struct{ query, code string }{
		"small":                   {"{b a{field0{field1{__typename}}}}", ""},
		"deep":                    {"{a" + nested(101, "{field0", "{__typename}", "}") + "}", "MAX_DEPTH_LIMIT"},
		"too deep to be parsed":   {"{a" + nested(5000, "{field0", "{__typename}", "}") + "}", CodeParse},
		"fragments that multiply": {bomb.String(), "MAX_FIELDS_LIMIT"},
		"cyclic fragments": {"{...A} fragment A on Query {b ...B} fragment B on Query {...A}",
			CodeValidate},
		"many aliases":          {"{" + aliases.String() + "}", "MAX_ROOT_FIELDS_LIMIT"},
		"a key again and again": {"{" + strings.Repeat("b ", 201) + "}", "MAX_REPEATS_LIMIT"},
		"many directives": {"{b " + strings.Repeat("@skip(if:false) ", 501) + "}",
			"MAX_DIRECTIVES_LIMIT"},
		"many tokens": {"{" + strings.Repeat("b ", 20_001) + "}", "MAX_TOKENS_LIMIT"},
		"the introspection that tools send": {"{__schema{types{fields(includeDeprecated:true){name " +
			"type{ofType{ofType{ofType{name}}}}} inputFields{name} interfaces{name} possibleTypes{name}}}}", ""},
		"introspection in itself": {"{__schema{types{fields{type{fields{type{fields{name}}}}}}}}", CodeValidate},
		"introspection in itself by fragments": {"{__type(name:\"T1\"){...A}} fragment A on __Type {fields{type{...B}}} " +
			"fragment B on __Type {possibleTypes{...C}} fragment C on __Type {interfaces{name}}", CodeValidate},
		"fields of one's own with such names": {"{interfaces{interfaces{interfaces{interfaces{b}}}}}", ""},
		"large introspections": {"{" +
			aliasesOf("__schema{types{name description fields{name type{name kind}}}}", 40) + "}", ""},
		"an introspection that is too large": {"{__schema{types{fields{type{fields{" + aliasesOf("name", 400) + "}}}}}}",
			"MAX_INTROSPECTION_LIMIT"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, code := ask(p, c.query); code != c.code {
				t.Errorf("got %q, want %q", code, c.code)
			}
		})
	}
}

func aliasesOf(field string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d:%s", i, field)
	}
	return b.String()
}

// Large introspections are answered, but not kept with the plan.
func TestLargeIntrospectionsAreNotKept(t *testing.T) {
	p := wide(t)
	pl, code := ask(p, "{"+aliasesOf("__schema{types{name fields{name type{name kind}}}}", 10)+"}")
	if code != "" {
		t.Fatal(code)
	}
	kept := 0
	none := func(string) []byte { return nil }
	first := pl.Response.Fields[0].Local.Append(nil, none)
	for i := range pl.Response.Fields {
		l := pl.Response.Fields[i].Local
		kept += len(l.json)
		if got := l.Append(nil, none); string(got) != string(first) || len(got) < 100_000 {
			t.Fatalf("field %d: %d bytes, the first has %d", i, len(got), len(first))
		}
	}
	if kept > keptIntrospection {
		t.Errorf("%d bytes are kept", kept)
	}
}
