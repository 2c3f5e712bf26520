package supergraph

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"
)

// TestComposer changes subgraphs at random, again and again. A composer that has seen all that went before has to
// answer as one that has seen nothing: the same supergraph, document, errors and hints, whatever merges did to the
// subgraphs that it keeps.
func TestComposer(t *testing.T) {
	files, err := filepath.Glob("testdata/compose/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var cases [][]Subgraph
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := split(a)
		cases = append(cases, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.SampledFrom(cases).Draw(t, "case")
		other := rapid.SampledFrom(cases).Draw(t, "other")
		pool := slices.Concat(from, other)
		opts := Options{RootConflict: rapid.SampledFrom([]Conflict{LastWins, Reject}).Draw(t, "conflict")}
		c := NewComposer(opts)
		now := slices.Clone(from)
		var previous []string
		for range rapid.IntRange(2, 6).Draw(t, "compositions") {
			if rapid.Bool().Draw(t, "largest") {
				r, excluded := c.ComposeLargest(now, previous)
				want, wantExcluded := ComposeLargest(now, previous, opts)
				same(t, r, want)
				if diff := cmp.Diff(wantExcluded, excluded, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("others are left out (-from scratch +incremental):\n%s", diff)
				}
			} else {
				same(t, c.Compose(now), Compose(now, opts))
			}
			if len(c.kept) > len(now) {
				t.Fatalf("%d subgraphs are kept, of %d", len(c.kept), len(now))
			}
			previous = previous[:0]
			for _, s := range now {
				previous = append(previous, s.Name)
			}
			now = change(t, now, pool)
		}
	})
}

// change adds, replaces, takes away or moves one subgraph, or changes nothing.
func change(t *rapid.T, now, pool []Subgraph) []Subgraph {
	now = slices.Clone(now)
	i := rapid.IntRange(0, max(len(now)-1, 0)).Draw(t, "which")
	one := rapid.SampledFrom(pool).Draw(t, "with")
	switch what := rapid.SampledFrom([]string{"add", "replace", "remove", "move", "key", "url", "nothing"}).Draw(t,
		"change"); {
	case what == "add" || len(now) == 0:
		return append(now, one)
	case what == "replace":
		now[i].SDL = one.SDL
	case what == "remove":
		return slices.Delete(now, i, i+1)
	case what == "move":
		slices.Reverse(now[i:])
	case what == "url":
		now[i].URL = "http://moved.example"
	case what == "key":
		now[i].Keys = map[string][]string{rapid.SampledFrom([]string{"User", "Book", "Product"}).Draw(t, "type"): {"id"}}
	}
	return now
}

func same(t rapid.TB, got, want *Result) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(),
		cmpopts.IgnoreTypes(&ast.Position{}, []*ast.Position{}, &ast.CommentGroup{})); diff != "" {
		t.Fatalf("composed otherwise (-from scratch +incremental):\n%s", diff)
	}
}

// TestComposerSteps has the changes after which something that was kept would be wrong.
func TestComposerSteps(t *testing.T) {
	link := `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@override"]) `
	plain := Subgraph{Name: "plain", SDL: `type Query { version: String }`}
	later := Subgraph{Name: "later", SDL: `type Query { version: Int }`}
	moved := Subgraph{Name: "plain", URL: "http://elsewhere.example", SDL: plain.SDL}
	owner := Subgraph{Name: "owner", SDL: link + `type Query { a: T } type T @key(fields: "id") { id: ID! x: Int }`}
	taker := Subgraph{Name: "taker", SDL: link + `type T @key(fields: "id") { id: ID! x: Int @override(from: "owner") }`}
	slow := Subgraph{
		Name: "taker",
		SDL:  link + `type T @key(fields: "id") { id: ID! x: Int @override(from: "owner", label: "percent(5)") }`,
	}
	keyless := Subgraph{
		Name: "keyless",
		SDL:  `extend type Book { isbn: ID! @external review: String } type Query { top: Book }`,
	}
	books := Subgraph{
		Name: "books",
		SDL:  `type Book @key(fields: "isbn") { isbn: ID! title: String } type Query { book: Book }`,
	}
	fields := Subgraph{
		Name: "books",
		SDL:  `type Book @key(fields: "title") { isbn: ID! title: String } type Query { book: Book }`,
	}
	bare := Subgraph{Name: "bare", SDL: `type Book { isbn: ID! title: String } type Query { book: Book }`}
	poor := Subgraph{Name: "owner", SDL: link + `type Query { a: T } type T @key(fields: "id") { id: ID! }`}
	keys := with(plain, "Query", "version")
	tests := map[string][][]Subgraph{
		"a root field that was replaced is there again": {{plain, later}, {plain}},
		"a field that was moved away is there again":    {{owner, taker}, {owner}},
		"a migration begins, ends, and has nothing to end": {{owner, slow}, {owner}, {slow, owner}, {slow, books},
			{owner, slow}, {poor, slow}, {owner, slow}, {owner, taker}},
		"the key of another says whose fields an extension has": {{keyless}, {keyless, books}, {keyless, fields},
			{books, keyless}, {keyless, bare}, {keyless}},
		"the address":         {{plain}, {moved}},
		"the operator's keys": {{plain}, {keys}, {plain}},
		"the order":           {{owner, books}, {books, owner}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			c := NewComposer(Options{})
			for _, in := range steps {
				same(t, c.Compose(in), Compose(in, Options{}))
			}
		})
	}
}

// TestComposerKeeps holds the composer to what it is for: what did not change is not read again, and what a merge has
// changed is.
func TestComposerKeeps(t *testing.T) {
	link := `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@override"]) `
	a := Subgraph{Name: "a", SDL: link + `type Query { a: T } type T @key(fields: "id") { id: ID! x: Int }`}
	b := Subgraph{Name: "b", SDL: link + `type T @key(fields: "id") { id: ID! y: Int }`}
	moved := Subgraph{Name: "b", SDL: link + `type T @key(fields: "id") { id: ID! x: Int @override(from: "a") }`}
	c := NewComposer(Options{})
	compose := func(in ...Subgraph) {
		t.Helper()
		if r := c.Compose(in); len(r.Errors) > 0 {
			t.Fatal(r)
		}
	}
	compose(a, b)
	was := c.kept["a"]
	compose(b, a)
	if was == nil || c.kept["a"] != was {
		t.Error("a subgraph that did not change was read again")
	}
	compose(a, moved)
	if c.kept["a"] != nil {
		t.Error("a subgraph that a merge has changed was kept")
	}
	compose(a)
	if c.kept["a"] == nil || c.kept["a"] == was || c.kept["b"] != nil {
		t.Errorf("kept: %v", c.kept)
	}
}

// TestComposerMergesWhatChanged holds the composer to it that types of which no subgraph says anything new are neither
// merged nor written again, and that all the others are. (Every subgraph has a Query.)
func TestComposerMergesWhatChanged(t *testing.T) {
	link := `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"]) `
	a := Subgraph{Name: "a", SDL: link + `type Query { a: T e: E } type T @key(fields: "id") { id: ID! x: Int } enum E { V }
		type Alone { n: Int }`}
	b := Subgraph{Name: "b", SDL: link + `type T @key(fields: "id") { id: ID! y: Int } type Other { s: String }`}
	changed := Subgraph{Name: "b", SDL: link + `type T @key(fields: "id") { id: ID! y: Float } type Other { s: String }`}
	c := NewComposer(Options{})
	compose := func(in ...Subgraph) map[string]*ast.Definition {
		t.Helper()
		r := c.Compose(in)
		if len(r.Errors) > 0 {
			t.Fatal(r)
		}
		out := map[string]*ast.Definition{}
		for _, d := range r.Document.Definitions {
			out[d.Name] = d
		}
		return out
	}
	was := compose(a, b)
	is := compose(a, changed)
	for name, want := range map[string]bool{"Query": false, "Alone": true, "T": false, "Other": false, "E": false} {
		if got := was[name] == is[name]; got != want {
			t.Errorf("%s is the same definition: %t, want %t", name, got, want)
		}
	}
}
