//go:build e2e

package hostile

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// Answers of 5 MB, lists of 10,000 entities and operations of 1,000 fields are right, and cost memory in proportion.
func TestLargeCases(t *testing.T) {
	const (
		link  = "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.3\", import: [\"@key\"])\n"
		items = 10_000
		width = 1000
	)
	var list, text, wide strings.Builder
	for i := range items {
		fmt.Fprintf(&list, `{"__typename":"Item","id":"%d"},`, i)
	}
	for i := range 5000 {
		fmt.Fprintf(&text, `"%d %s",`, i, strings.Repeat("x", 1000))
	}
	for i := range width {
		fmt.Fprintf(&wide, `"f%d":%d,`, i, i)
	}
	lists := `{"data":{"items":[` + strings.TrimSuffix(list.String(), ",") + `],"lines":[` +
		strings.TrimSuffix(text.String(), ",") + `],"wide":{` + strings.TrimSuffix(wide.String(), ",") + `}}}`
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/items", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, lists)
	})
	mux.HandleFunc("/prices", func(w http.ResponseWriter, r *http.Request) {
		asked++ // one at a time: the test asks so
		var in struct {
			Variables map[string][]struct{ ID string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		var out strings.Builder
		for _, reps := range in.Variables {
			for _, rep := range reps {
				fmt.Fprintf(&out, `{"__typename":"Item","price":%s},`, rep.ID)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":{"_entities":[`+strings.TrimSuffix(out.String(), ",")+`]}}`)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	fields := repeat(width, "f%d:Int ")
	p := start(t, []supergraph.Subgraph{
		{
			Name: "items",
			URL:  srv.URL + "/items",
			SDL: link + `type Query { items: [Item!]! lines: [String!]! wide: Wide } type Wide { ` + fields +
				` } type Item @key(fields: "id") { id: ID! }`,
		},
		{Name: "prices", URL: srv.URL + "/prices", SDL: link + `type Item @key(fields: "id") { id: ID! price: Int! }`},
	})
	before := p.peak()
	t.Logf("at the start: %d MiB", before)
	measured := func(what, operation string) *answer {
		t.Helper()
		began := time.Now()
		got, err := p.ask(operation, "{}")
		must(t, err)
		if got.code() != "" {
			t.Fatalf("%s: got %s", what, got)
		}
		t.Logf("%s: %d bytes in %s, peak %d MiB", what, len(got.body), time.Since(began).Round(time.Millisecond), p.peak())
		return got
	}
	for range 3 {
		got := measured("5 MB", "{lines}")
		if want := `{"data":{"lines":[` + strings.TrimSuffix(text.String(), ",") + `]}}`; string(got.body) != want {
			t.Errorf("5 MB: %d bytes that are not those of the subgraph", len(got.body))
		}
		got = measured("10,000 entities", "{items{id price}}")
		var data struct {
			Items []struct {
				ID    string
				Price int
			}
		}
		must(t, json.Unmarshal([]byte(`{"items":`+string(got.Data["items"])+`}`), &data))
		if len(data.Items) != items {
			t.Errorf("got %d items", len(data.Items))
		}
		for i, it := range data.Items {
			if it.ID != fmt.Sprint(i) || it.Price != i {
				t.Fatalf("item %d: got %+v", i, it)
			}
		}
		got = measured("1,000 fields", "{wide{"+repeat(width, "f%d ")+"}}")
		if want := `{"data":{"wide":{` + strings.TrimSuffix(wide.String(), ",") + `}}}`; string(got.body) != want {
			t.Errorf("1,000 fields: got %s", got)
		}
		measured("1,000 aliases", "{wide{"+repeat(width, "a%d: f1 ")+"}}")
	}
	if asked != 3 {
		t.Errorf("the entities were asked in %d requests, want one for each operation", asked)
	}
	p.within("large cases", before+250)
}
