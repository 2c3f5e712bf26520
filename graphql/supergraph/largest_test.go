package supergraph

import (
	"slices"
	"strings"
	"testing"
)

const v2 = "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.3\", import: [\"@key\", " +
	"\"@shareable\"])\n"

func TestComposeLargest(t *testing.T) {
	books := Subgraph{
		Name: "books",
		SDL:  v2 + `type Query { books: [Book] } type Book @key(fields: "id") { id: ID! title: String }`,
	}
	stars := Subgraph{Name: "stars", SDL: v2 + `type Book @key(fields: "id") { id: ID! stars: Int }`}
	thief := Subgraph{Name: "thief", SDL: v2 + `type Book @key(fields: "id") { id: ID! title: String }`}
	broken := Subgraph{Name: "broken", SDL: "type Query {"}
	unkeyed := Subgraph{Name: "unkeyed", SDL: v2 + `type Book @key(fields: "isbn") { isbn: ID! pages: Int }`}
	base := Subgraph{Name: "base", SDL: v2 + `type Book @key(fields: "id") @key(fields: "isbn") { id: ID! isbn: ID! }`}
	tests := []struct {
		name     string
		in       []Subgraph
		previous []string
		out      string // left out, with the code of the first reason
	}{
		{"all", []Subgraph{books, stars}, nil, ""},
		{"one is not GraphQL", []Subgraph{books, broken, stars}, nil, "broken INVALID_GRAPHQL"},
		{"the later of two", []Subgraph{books, stars, thief}, nil, "thief INVALID_FIELD_SHARING"},
		{"the newer of two, though it stands first", []Subgraph{thief, books, stars}, []string{"books", "stars"},
			"thief INVALID_FIELD_SHARING"},
		{"one that cannot be reached", []Subgraph{books, stars, unkeyed}, nil, "unkeyed SATISFIABILITY_ERROR"},
		{"reached through another", []Subgraph{books, unkeyed, base}, nil, ""},
		{"two that fail apart from each other", []Subgraph{thief, books, unkeyed}, []string{"books"},
			"thief INVALID_FIELD_SHARING, unkeyed SATISFIABILITY_ERROR"},
		{"of two of a name the first", []Subgraph{books, {Name: "books", SDL: stars.SDL}}, nil,
			"books INVALID_SUBGRAPH_NAME"},
		{"nothing", []Subgraph{broken}, nil, "broken INVALID_GRAPHQL"},
		{"none", nil, nil, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r, excluded := ComposeLargest(tc.in, tc.previous, Options{})
			var got []string
			for name, errs := range excluded {
				got = append(got, name+" "+string(errs[0].Code))
			}
			slices.Sort(got)
			if s := strings.Join(got, ", "); s != tc.out {
				t.Errorf("left out %q, want %q", s, tc.out)
			}
			if nothing := len(excluded) == len(tc.in); nothing != (r.SDL == "") {
				t.Errorf("errors %v, supergraph:\n%s", r.Errors, r.SDL)
			}
		})
	}
}
