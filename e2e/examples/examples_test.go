package examples

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/examples/books"
	"github.com/catalyst-router/catalyst/e2e/examples/movies"
	"github.com/catalyst-router/catalyst/e2e/examples/orders"
	"github.com/catalyst-router/catalyst/e2e/examples/products"
)

// Each example has to answer as a federation subgraph: with its schema, and with entities made of what the others know.
func TestSubgraphsAnswerAsFederationAsks(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.Handler
		query   string
		want    string
	}{
		{"books",
			books.Handler(),
			`{_entities(representations:[{__typename:"Book",isbn:"9780156027601"}]){...on Book{title author{books{title}}}}}`,
			`{"data":{"_entities":[{"title":"Solaris","author":{"books":[{"title":"Solaris"}]}}]}}`},
		{"movies",
			movies.Handler(),
			`{_entities(representations:[{__typename:"Book",isbn:"9780345404473",title:"T",year:7}]){...on Book{tagline adaptations{title}}}}`,
			`{"data":{"_entities":[{"tagline":"T: read since 7","adaptations":[{"title":"Blade Runner"}]}]}}`},
		{"products",
			products.Handler(), `{_entities(representations:[{__typename:"Movie",id:"m1"}]){...on Movie{discs{sku price}}}}`,
			`{"data":{"_entities":[{"discs":[{"sku":"d1","price":1999}]}]}}`},
		{"orders",
			orders.Handler(),
			`{_entities(representations:[{__typename:"Paperback",sku:"p2",price:990,weight:220}]){...on Paperback{shipping sold}}}`,
			`{"data":{"_entities":[{"shipping":220,"sold":2}]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := post(t, c.handler, c.query); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if got := post(t, c.handler, `{_service{sdl}}`); !strings.Contains(got, "@key(fields:") {
				t.Errorf("_service: got %s, want an SDL with keys", got)
			}
		})
	}
}

func post(t *testing.T, h http.Handler, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return strings.TrimSpace(w.Body.String())
}
