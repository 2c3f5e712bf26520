package blockstring_test

import (
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/blockstring"
)

// TestValues: the values that graphql-js 16.11 gives.
func TestValues(t *testing.T) {
	for raw, want := range map[string]string{
		"first\n    second\n      third\n  ": "first\nsecond\n  third",
		"  first\n  second":                  "  first\nsecond",
		"first\nsecond":                      "first\nsecond",
		"\n    a\n      b\n":                 "a\n  b",
		"one line  ":                         "one line  ",
		"a\n\tb\n\t\tc":                      "a\nb\n\tc",
		"a\r\n  b\r  c":                      "a\nb\nc",
		"say \\\"\"\" so\n  \\n is two":      "say \"\"\" so\n\\n is two",
		"a\n   \n  b\n\n":                    "a\n \nb",
		"":                                   "",
		"é\n  ü # \"no\" comment":            "é\nü # \"no\" comment",
	} {
		text := "# \"\"\" not here\n{ f(s: \"\\\"\", a: \"\"\"" + raw + "\"\"\", b: 1) }"
		doc, err := parser.ParseQuery(&ast.Source{Input: blockstring.Settle(text)})
		if err != nil {
			t.Errorf("%q: %v", raw, err)
			continue
		}
		args := doc.Operations[0].SelectionSet[0].(*ast.Field).Arguments
		if got := args.ForName("a").Value.Raw; got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

// TestPlaces: what follows a block string is where it was, and other documents are left alone.
func TestPlaces(t *testing.T) {
	const text = "{ f(a: \"\"\"x\n  y\n  z\"\"\" b: 1) }"
	doc, err := parser.ParseQuery(&ast.Source{Input: blockstring.Settle(text)})
	if err != nil {
		t.Fatal(err)
	}
	was, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		t.Fatal(err)
	}
	at := func(d *ast.QueryDocument) ast.Position {
		return *d.Operations[0].SelectionSet[0].(*ast.Field).Arguments.ForName("b").Position
	}
	if got, want := at(doc), at(was); got.Line != want.Line || got.Column != want.Column {
		t.Errorf("b is at %d:%d, want %d:%d", got.Line, got.Column, want.Line, want.Column)
	}
	for _, same := range []string{"{ a }", `{ a(s: """x""") }`, "{ a(s: \"\"\"\n  x\n\"\"\") }", `{ a(s: """`,
		`{ a(s: "`, `"`, `# """x` + "\n  y"} {
		if got := blockstring.Settle(same); got != same {
			t.Errorf("%q becomes %q", same, got)
		}
	}
}

// TestAnyText: no text makes it fail, and a settled text stays as it is.
func TestAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{`"""`, `"`, "\n", "\r", "  ", "x", `\"""`, `\`, "#",
			"é"})).Draw(t, "parts")
		text := ""
		for _, p := range parts {
			text += p
		}
		once := blockstring.Settle(text)
		if again := blockstring.Settle(once); again != once {
			t.Fatalf("%q becomes %q, and then %q", text, once, again)
		}
	})
}
