package live

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

func TestDiffSaysWhatAChangeMeansToClients(t *testing.T) {
	const base = "type Query { a(x: Int = 1, y: [Int!]): [T]! e: E u: U } type T implements I { id: ID! } interface " +
		"I { id: ID! } enum E { A B } union U = T input In { n: Int }"
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", base, base, nil},
		{"type added and removed", "type Query { a: Int } type X { a: Int }", "type Query { a: Int } type Y { a: Int }",
			[]string{"breaking X: type removed", "safe Y: type added"}},
		{"kind", "type Query { a: Int } type X { a: Int }", "type Query { a: Int } input X { a: Int }",
			[]string{"breaking X: was OBJECT, is INPUT_OBJECT"}},
		{"field", "type Query { a: Int b: Int }", "type Query { a: Int c: Int }",
			[]string{"breaking Query.b: field removed", "safe Query.c: field added"}},
		{"output narrows", "type Query { a: [Int] }", "type Query { a: [Int!]! }",
			[]string{"safe Query.a: type was [Int], is [Int!]!"}},
		{"output widens", "type Query { a: Int! }", "type Query { a: Int }",
			[]string{"breaking Query.a: type was Int!, is Int"}},
		{"output no list", "type Query { a: [Int] }", "type Query { a: Int }",
			[]string{"breaking Query.a: type was [Int], is Int"}},
		{"argument widens", "type Query { a(x: Int!): Int }", "type Query { a(x: Int): Int }",
			[]string{"safe Query.a(x:): type was Int!, is Int"}},
		{"argument narrows", "type Query { a(x: Int): Int }", "type Query { a(x: Int!): Int }",
			[]string{"breaking Query.a(x:): type was Int, is Int!"}},
		{"argument removed", "type Query { a(x: Int): Int }", "type Query { a: Int }",
			[]string{"breaking Query.a(x:): argument removed"}},
		{"argument added", "type Query { a: Int }", "type Query { a(x: Int, y: Int!, z: Int! = 1): Int }",
			[]string{"safe Query.a(x:): argument added", "breaking Query.a(y:): required argument added",
				"safe Query.a(z:): argument added"}},
		{"default", "type Query { a(x: Int = 1): Int }", "type Query { a(x: Int = 2): Int }",
			[]string{"dangerous Query.a(x:): default was 1, is 2"}},
		{"input field", "type Query { a(x: I): Int } input I { n: Int }",
			"type Query { a(x: I): Int } input I { n: Int m: Int! }", []string{"breaking I.m: required input field added"}},
		{"enum", "type Query { a: E } enum E { A B }", "type Query { a: E } enum E { A C }",
			[]string{"breaking E: value B removed", "dangerous E: value C added"}},
		{"union", "type Query { a: U } type X { a: Int } type Y { a: Int } union U = X",
			"type Query { a: U } type X { a: Int } type Y { a: Int } union U = X | Y", []string{"dangerous U: member Y added"}},
		{"interface", "type Query { a: X } interface I { a: Int } type X implements I { a: Int }",
			"type Query { a: X } interface I { a: Int } type X { a: Int }", []string{"breaking X: implements I removed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, ch := range Diff(load(t, c.before), load(t, c.after)) {
				got = append(got, fmt.Sprintf("%s %s: %s", ch.Severity, ch.Coordinate, ch.Text))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
		})
	}
}

// Before the first graph there is none, and after the last one none either.
func TestDiffWithNoSchema(t *testing.T) {
	s := load(t, "type Query { a: Int }")
	if got := Diff(nil, s); len(got) != 1 || got[0].Severity != Safe {
		t.Errorf("from nothing: got %v, want one addition", got)
	}
	if got := Diff(s, nil); len(got) != 1 || got[0].Severity != Breaking {
		t.Errorf("to nothing: got %v, want one removal", got)
	}
}

func load(t *testing.T, sdl string) *ast.Schema {
	t.Helper()
	s, err := gqlparser.LoadSchema(&ast.Source{Name: "test", Input: strings.TrimSpace(sdl)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
