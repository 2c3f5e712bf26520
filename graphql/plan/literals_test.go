package plan

import (
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// TestLargeIntegers: integer literals beyond 64 bits are values of ID, Float and custom scalars, as graphql-js has
// it, and of nothing else.
func TestLargeIntegers(t *testing.T) {
	r := supergraph.Compose([]supergraph.Subgraph{{Name: "a", URL: "http://a", SDL: `scalar Big
input In { id: ID b: Big }
type Query { id(v: ID): Int big(v: Big): Int float(v: Float): Int ids(v: [ID]): Int in(v: In): Int int(v: Int): Int text(v: String): Int }`}}, supergraph.Options{})
	g, err := graph.Read(r.SDL)
	if err != nil {
		t.Fatal(err)
	}
	p := New(g, Options{})
	for query, want := range map[string]string{
		"{ id(v: 99999999999999999999) }":                                  `id(v:"99999999999999999999")`,
		"{ big(v: -99999999999999999999) }":                                `big(v:-99999999999999999999)`,
		"{ float(v: 99999999999999999999) }":                               `float(v:99999999999999999999.0)`,
		"{ ids(v: [1, 99999999999999999999]) }":                            `ids(v:[1,"99999999999999999999"])`,
		"{ in(v: {id: 99999999999999999999, b: [99999999999999999999]}) }": `in(v:{id:"99999999999999999999",b:[99999999999999999999]})`,
		"query ($v: ID = 99999999999999999999) { id(v: $v) }":              `$v:ID="99999999999999999999"`,
		"{ int(v: 99999999999999999999) }":                                 "",
		"{ text(v: 99999999999999999999) }":                                "",
	} {
		op, errs := p.Prepare(query, "")
		if want == "" {
			if errs == nil {
				t.Errorf("%s is taken", query)
			}
			continue
		}
		if errs != nil {
			t.Errorf("%s: %v", query, errs)
			continue
		}
		pl, err := p.Plan(op, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		if got := pl.Root.(*Fetch).Query; !strings.Contains(got, want) {
			t.Errorf("%s goes out as %s, want %s in it", query, got, want)
		}
	}
}
