package supergraph

import (
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

// FuzzCompose gives the composer two schemas of any content. It must answer with errors or with a supergraph that the
// planner's reader takes, and answer the same again.
func FuzzCompose(f *testing.F) {
	files, err := filepath.Glob("testdata/compose/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		s, _ := split(a)
		other := ""
		if len(s) > 1 {
			other = s[1].SDL
		}
		f.Add(s[0].SDL, other)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		in := []Subgraph{{Name: "a", SDL: a}, {Name: "b", SDL: b}}
		r := Compose(in, Options{})
		if (r.SDL == "") != (len(r.Errors) > 0) {
			t.Fatalf("supergraph %q, errors %v", r.SDL, r.Errors)
		}
		if again := Compose(in, Options{}); again.SDL != r.SDL || again.String() != r.String() {
			t.Fatalf("composed twice, with two outcomes:\n%s\n%s", r, again)
		}
		if r.SDL == "" {
			return
		}
		readable(t, r)
	})
}
