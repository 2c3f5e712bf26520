package subgraph

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The answers in testdata were given by graphql-js 16 for testdata/schema.graphql, to the two queries of this package.
func TestIntrospectionIsPrinted(t *testing.T) {
	for _, name := range []string{"full", "old"} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Schema *Schema `json:"__schema"`
			}
			if err := json.Unmarshal(raw, &answer); err != nil {
				t.Fatal(err)
			}
			got, err := SDLFrom(answer.Schema)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".graphql")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if _, err := gqlparser.LoadSchema(&ast.Source{Name: name, Input: got}); err != nil {
				t.Errorf("what is printed is not a schema: %v", err)
			}
		})
	}
}

// The queries themselves are compared with those that the answers were made with.
func TestIntrospectionQueries(t *testing.T) {
	for name, query := range map[string]string{"full": fullIntrospection(), "old": oldIntrospection()} {
		path := filepath.Join("testdata", name+".query")
		if *update {
			if err := os.WriteFile(path, []byte(query), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != query {
			t.Errorf("%s: the query has changed: make the answer anew with graphql-js", name)
		}
	}
}

func TestUnsoundIntrospectionIsRefused(t *testing.T) {
	for name, s := range map[string]Schema{
		"name of a type": {Types: []Type{{Kind: "OBJECT", Name: "A { b: Int } type C"}}},
		"no name":        {Types: []Type{{Kind: "SCALAR"}}},
		"digit first":    {Types: []Type{{Kind: "SCALAR", Name: "1a"}}},
		"kind":           {Types: []Type{{Kind: "THING", Name: "A"}}},
		"name of a field": {
			Types: []Type{{Kind: "OBJECT", Name: "A", Fields: []Field{{Name: "a b", Type: TypeRef{Name: "Int"}}}}},
		},
		"empty":            {},
		"type of a field":  {Types: []Type{{Kind: "OBJECT", Name: "A", Fields: []Field{{Name: "a"}}}}},
		"directive's name": {Directives: []Directive{{Name: "a on FIELD"}}},
	} {
		if sdl, err := SDLFrom(&s); err == nil {
			t.Errorf("%s: accepted as %q", name, sdl)
		}
	}
}
