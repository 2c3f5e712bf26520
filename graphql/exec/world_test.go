package exec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// A world is a graph of four subgraphs with data, planned by the real planner: accounts, inventory, products and
// reviews.
type world struct {
	planner *plan.Planner
	objects map[string]map[string]any // by "Type:key"
	roots   map[string]any            // root fields

	mu    sync.Mutex
	cache map[string][]byte // answers by service and body
}

const fedLink = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@external", "@requires", "@provides", "@shareable"])
`

func worldSubgraphs() []supergraph.Subgraph {
	sdl := map[string]string{
		"accounts":  `type Query { me: User users: [User] } type User @key(fields: "id") { id: ID! name: String username: String birthday: Int }`,
		"inventory": `type Product @key(fields: "upc") { upc: String! weight: Int @external price: Int @external inStock: Boolean shippingEstimate: Int @requires(fields: "price weight") }`,
		"products":  `type Query { topProducts(first: Int = 5): [Product] } type Product @key(fields: "upc") { upc: String! name: String price: Int weight: Int }`,
		"reviews": `type Review @key(fields: "id") { id: ID! body: String author: User product: Product }
			type User @key(fields: "id") { id: ID! reviews: [Review] } type Product @key(fields: "upc") { upc: String! reviews: [Review] }`,
	}
	var out []supergraph.Subgraph
	for _, name := range []string{"accounts", "inventory", "products", "reviews"} {
		out = append(out, supergraph.Subgraph{Name: name, URL: "http://" + name + "/graphql", SDL: fedLink + sdl[name]})
	}
	return out
}

func newWorld(tb testing.TB, products, reviewsPerProduct int) *world {
	tb.Helper()
	r := supergraph.Compose(worldSubgraphs(), supergraph.Options{})
	if len(r.Errors) > 0 {
		tb.Fatal(r.Errors)
	}
	g, err := graph.Read(r.SDL)
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{planner: plan.New(g, plan.Options{}), objects: map[string]map[string]any{}, cache: map[string][]byte{}}
	w.fill(products, reviewsPerProduct)
	return w
}

// fill makes the data: six users, who write the reviews in turn.
func (w *world) fill(products, reviewsPerProduct int) {
	var users, all []any
	for i := range 6 {
		u := map[string]any{"__typename": "User", "id": fmt.Sprint(i + 1), "name": fmt.Sprintf("User Number %d", i+1),
			"username": fmt.Sprintf("user-%d", i+1), "birthday": 1980 + i, "reviews": []any{}}
		w.objects["User:"+u["id"].(string)] = u
		users = append(users, u)
	}
	n := 0
	for i := range products {
		p := map[string]any{"__typename": "Product", "upc": fmt.Sprint(i + 1),
			"name": fmt.Sprintf("Product of the name %d", i+1), "price": 100 * (i + 1), "weight": 10 + i, "inStock": i%2 == 0,
			"shippingEstimate": 50 + i}
		var reviews []any
		for range reviewsPerProduct {
			n++
			u := users[n%len(users)].(map[string]any)
			r := map[string]any{"__typename": "Review", "id": fmt.Sprint(n),
				"body": fmt.Sprintf("Review %d: some words about it that are not too long", n), "author": u, "product": p}
			u["reviews"] = append(u["reviews"].([]any), r)
			w.objects["Review:"+r["id"].(string)] = r
			reviews = append(reviews, r)
		}
		p["reviews"] = reviews
		w.objects["Product:"+p["upc"].(string)] = p
		all = append(all, p)
	}
	w.roots = map[string]any{"me": users[0], "users": users, "topProducts": all}
}

func (w *world) plan(tb testing.TB, query string) *plan.Plan {
	tb.Helper()
	op, errs := w.planner.Prepare(query, "")
	if len(errs) > 0 {
		tb.Fatal(errs)
	}
	p, err := w.planner.Plan(op, plan.Facts{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// RoundTrip answers in memory.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	req.Body.Close()
	answer := w.answer(req.URL.Hostname(), body)
	return &http.Response{
		StatusCode:    http.StatusOK,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(answer)),
		Body:          io.NopCloser(bytes.NewReader(answer)),
	}, nil
}

// answer evaluates a request once and remembers the answer.
func (w *world) answer(service string, body []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b, ok := w.cache[service+string(body)]; ok {
		return b
	}
	var req struct {
		Query     string
		Variables map[string]any
	}
	json.Unmarshal(body, &req)
	doc, err := parser.ParseQuery(&ast.Source{Input: req.Query})
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	w.selection(&out, doc, doc.Operations[0].SelectionSet, nil, req.Variables)
	b := []byte(`{"data":` + out.String() + `}`)
	w.cache[service+string(body)] = b
	return b
}

func (w *world) selection(out *bytes.Buffer, doc *ast.QueryDocument, set ast.SelectionSet, parent map[string]any,
	vars map[string]any) {
	out.WriteByte('{')
	w.fields(out, doc, set, parent, vars)
	out.WriteByte('}')
}

func (w *world) fields(out *bytes.Buffer, doc *ast.QueryDocument, set ast.SelectionSet, parent map[string]any,
	vars map[string]any) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.InlineFragment:
			if s.TypeCondition == "" || s.TypeCondition == parent["__typename"] {
				w.fields(out, doc, s.SelectionSet, parent, vars)
			}
		case *ast.FragmentSpread:
			w.fields(out, doc, doc.Fragments.ForName(s.Name).SelectionSet, parent, vars)
		case *ast.Field:
			if out.Bytes()[out.Len()-1] != '{' {
				out.WriteByte(',')
			}
			key := s.Alias
			if key == "" {
				key = s.Name
			}
			fmt.Fprintf(out, "%q:", key)
			w.value(out, doc, s, w.resolve(s, parent, vars), vars)
		}
	}
}

func (w *world) resolve(f *ast.Field, parent map[string]any, vars map[string]any) any {
	switch {
	case f.Name == "_entities":
		var out []any
		for _, rep := range vars[f.Arguments[0].Value.Raw].([]any) {
			m := rep.(map[string]any)
			key := m["id"]
			if key == nil {
				key = m["upc"]
			}
			out = append(out, w.objects[m["__typename"].(string)+":"+key.(string)])
		}
		return out
	case parent == nil:
		return w.roots[f.Name]
	}
	return parent[f.Name]
}

func (w *world) value(out *bytes.Buffer, doc *ast.QueryDocument, f *ast.Field, v any, vars map[string]any) {
	switch v := v.(type) {
	case []any:
		out.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			w.value(out, doc, f, e, vars)
		}
		out.WriteByte(']')
	case map[string]any:
		w.selection(out, doc, f.SelectionSet, v, vars)
	default:
		b, _ := json.Marshal(v)
		out.Write(b)
	}
}

// executor returns an executor for the world's subgraphs over the given transport; urls replace those in memory.
func (w *world) executor(tb testing.TB, transport http.RoundTripper, urls map[string]string) *Executor {
	tb.Helper()
	cfg := Config{Transport: transport, Subgraphs: map[string]Subgraph{}}
	for _, s := range worldSubgraphs() {
		u := s.URL
		if urls != nil {
			u = urls[s.Name]
		}
		cfg.Subgraphs[s.Name] = Subgraph{URL: u}
	}
	e, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

const (
	bigQuery = `query Big { users { ...User reviews { ...Review product { ...Product } } }
		topProducts { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } } }
		fragment User on User { id username name }
		fragment Review on Review { id body }
		fragment Product on Product { inStock name price shippingEstimate upc weight }`
	smallQuery = `query Small { me { id name reviews { id body } } }`
)

// expect answers a query from the data, without subgraphs or plan.
func (w *world) expect(tb testing.TB, query string) any {
	tb.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	w.selection(&out, doc, doc.Operations[0].SelectionSet, nil, nil)
	return decode(tb, `{"data":`+out.String()+`}`)
}

func decode(tb interface{ Fatalf(string, ...any) }, s string) any {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%v in %s", err, s)
	}
	return v
}
