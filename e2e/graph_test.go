//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/examples/books"
	"github.com/catalyst-router/catalyst/e2e/examples/movies"
	"github.com/catalyst-router/catalyst/e2e/examples/orders"
	"github.com/catalyst-router/catalyst/e2e/examples/products"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// graphService starts a subgraph and announces it at a node; stop ends it.
func graphService(t *testing.T, n *lab.Node, name string, h http.Handler) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = examples.ServeHTTP(ctx, l, h) }()
	_, err = n.CLI(t.Context(), "route", "add", name, "--addr", l.Addr().String(), "--protocol", "graphql")
	must(t, err)
	return func() { cancel(); <-done }
}

// answersQuery waits until an operation has an answer.
func answersQuery(t *testing.T, n *lab.Node, operation, want string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), operation+" at "+n.Name, func(ctx context.Context) error {
		got, err := n.Query(ctx, operation)
		if err == nil && got != want {
			err = fmt.Errorf("got  %s\nwant %s", got, want)
		}
		return err
	}))
}

// One query at the end of a line joins subgraphs of three nodes, all of it through Envoys. A fourth joins while the
// graph serves; the plan says who is asked; a workload that dies costs its own fields, and once its route is
// withdrawn they leave the graph. With the last one the graph goes as well.
func TestGraphFollowsTheRoutes(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a b c", "a-b c-b", "--gateway-linger", "2s")
	a, b, c := node("a"), node("b"), node("c")
	graphService(t, a, "books", books.Handler())
	stopMovies := graphService(t, b, "movies", movies.Handler())
	graphService(t, c, "products", products.Handler())
	answersQuery(t,
		c, `{ book(isbn: "9780156027601") { title adaptations { director discs { price } } editions { price } } }`,
		`{"data":{"book":{"title":"Solaris","adaptations":[{"director":"Andrei Tarkovsky","discs":[{"price":1999}]},{"director":"Steven Soderbergh","discs":[]}],"editions":[{"price":990},{"price":4500}]}}}`)

	graphService(t, a, "orders", orders.Handler())
	answersQuery(t,
		c, `{ order(id: "o1") { lines { quantity item { ... on Paperback { shipping book { title tagline } } ... on Disc { shipping movie { title } } } } } }`,
		`{"data":{"order":{"lines":[{"quantity":2,"item":{"shipping":220,"book":{"title":"Solaris","tagline":"Solaris: read since 1961"}}},{"quantity":1,"item":{"shipping":90,"movie":{"title":"Solaris"}}}]}}}`)

	plan, err := c.CLI(t.Context(), "graph", "plan", "{ books { title adaptations { title } } }")
	must(t, err)
	for _, want := range []string{"books.acme.example", "movies.acme.example", "adaptations"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %s:\n%s", want, plan)
		}
	}

	stopMovies()
	must(t, lab.Eventually(t.Context(), "partial data", func(ctx context.Context) error {
		got, err := c.Query(ctx, `{ books { title } movies { title } }`)
		if err == nil && (!strings.Contains(got, "errors") || !strings.Contains(got, "movies.acme.example")) {
			err = fmt.Errorf("got %s, want an error that names movies.acme.example", got)
		}
		return err
	}))
	_, err = b.CLI(t.Context(), "route", "remove", "movies")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "movies leave the graph", func(ctx context.Context) error {
		got, err := c.Query(ctx, `{ movies { title } }`)
		if err == nil && !strings.Contains(got, "Cannot query field") {
			err = fmt.Errorf("got %s, want that the field is not known", got)
		}
		return err
	}))
	for n, names := range map[*lab.Node][]string{a: {"books", "orders"}, c: {"products"}} {
		for _, name := range names {
			_, err = n.CLI(t.Context(), "route", "remove", name)
			must(t, err)
		}
	}
	must(t, lab.Eventually(t.Context(), "the graph is empty", func(ctx context.Context) error {
		got, err := c.Query(ctx, `{ books { title } }`)
		if err == nil && strings.Contains(got, `"title"`) {
			err = fmt.Errorf("got %s, want no data", got)
		}
		return err
	}))
}

// What stays is not touched by what comes and goes: under load, with a subgraph joining and leaving all the time, no
// operation on the others fails.
func TestRecompositionFailsNoOperation(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a b", "b-a", "--gateway-linger", "500ms")
	a, b := node("a"), node("b")
	graphService(t, a, "books", books.Handler())
	graphService(t, a, "movies", movies.Handler())
	const operation, want = `{ books { title adaptations { title } } }`, `"adaptations":[{"title":"Blade Runner"}]`
	must(t, lab.Eventually(t.Context(), "the graph", func(ctx context.Context) error {
		got, err := b.Query(ctx, operation)
		if err == nil && !strings.Contains(got, want) {
			err = errors.New(got)
		}
		return err
	}))
	ctx, stop := context.WithCancel(t.Context())
	var total, failed atomic.Int64
	var first sync.Once
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				got, err := b.Query(ctx, operation)
				if ctx.Err() != nil {
					return
				}
				total.Add(1)
				if err != nil || !strings.Contains(got, want) || strings.Contains(got, "errors") {
					failed.Add(1)
					first.Do(func() { t.Errorf("a failed operation: %v %s", err, got) })
				}
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeHTTP(t.Context(), l, products.Handler()) }()
	compositions := func() int {
		var h []struct{ Why string }
		must(t, b.JSON(t.Context(), &h, "graph", "history", "--first", "64"))
		return len(h)
	}
	before := compositions()
	for range 5 {
		_, err := a.CLI(t.Context(), "route", "add", "products", "--addr", l.Addr().String(), "--protocol", "graphql")
		must(t, err)
		must(t, lab.Eventually(t.Context(), "products join", func(ctx context.Context) error {
			got, err := b.Query(ctx, `{ products { sku } }`)
			if err == nil && !strings.Contains(got, `"p1"`) {
				err = errors.New(got)
			}
			return err
		}))
		_, err = a.CLI(t.Context(), "route", "remove", "products")
		must(t, err)
		must(t, lab.Eventually(t.Context(), "products leave", func(ctx context.Context) error {
			got, err := b.Query(ctx, `{ products { sku } }`)
			if err == nil && !strings.Contains(got, "Cannot query field") {
				err = errors.New(got)
			}
			return err
		}))
	}
	stop()
	clients.Wait()
	if n := compositions() - before; n < 10 {
		t.Errorf("%d compositions, want at least 10: the test has shown nothing", n)
	}
	if total.Load() < 100 || failed.Load() > 0 {
		t.Errorf("%d of %d operations failed, want none of at least 100", failed.Load(), total.Load())
	}
}

// A schema that breaks the graph is left out with its reason, and check tells before it is deployed what it would do.
func TestABadSubgraphIsNamed(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a", "")
	a := node("a")
	graphService(t, a, "books", books.Handler())
	answersQuery(t, a, `{ book(isbn: "9780156027601") { title } }`, `{"data":{"book":{"title":"Solaris"}}}`)
	graphService(t, a, "liar", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"data":{"_service":{"sdl":"type Query { broken: Missing }"}}}`)
	}))
	must(t, lab.Eventually(t.Context(), "liar is left out", func(ctx context.Context) error {
		out, err := a.CLI(ctx, "graph", "subgraphs")
		if err == nil && (!strings.Contains(out, "excluded") || !strings.Contains(out, "Missing")) {
			err = errors.New(out)
		}
		return err
	}))
	answersQuery(t, a, `{ book(isbn: "9780156027601") { title } }`, `{"data":{"book":{"title":"Solaris"}}}`)

	file := filepath.Join(t.TempDir(), "books.graphql")
	must(t,
		os.WriteFile(file, []byte(`type Query { book(isbn: ID!): Book } type Book @key(fields: "isbn") { isbn: ID! }`),
			0o600))
	out, err := a.CLI(t.Context(), "graph", "check", "books", file)
	if err == nil || !strings.Contains(out, "Book.title: field removed") ||
		!strings.Contains(err.Error(), "would break 1 of 1 recorded operations") {
		t.Errorf("check: got %v\n%s\nwant Book.title removed and one operation broken", err, out)
	}
}

// A restarted control plane serves the graph again, and an Envoy that is killed costs operations only until it is back.
func TestGraphSurvivesRestart(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a b", "b-a")
	a, b := node("a"), node("b")
	graphService(t, a, "books", books.Handler())
	const operation, want = `{ book(isbn: "9780156027601") { title } }`, `{"data":{"book":{"title":"Solaris"}}}`
	answersQuery(t, b, operation, want)
	began := time.Now()
	must(t, b.Stop(9))
	must(t, b.Start(t.Context()))
	answersQuery(t, b, operation, want)
	t.Logf("graph back %s after the kill", time.Since(began).Round(time.Millisecond))
	b.KillEnvoy()
	answersQuery(t, b, operation, want)
}
