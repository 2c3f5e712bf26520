package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fixture runs a registry in a synctest bubble over services that the test switches on, off and about.
type fixture struct {
	announcing sync.Mutex
	*Registry
	t *testing.T

	mu      sync.Mutex
	schemas map[string]string // by name; what is not in it does not answer
	fetches map[string]int
	refuse  error // of Publish
	graphs  []*Graph
	hang    map[string]bool
}

func start(t *testing.T, rules Rules) *fixture {
	t.Helper()
	return startWith(t, rules, nil)
}

// run runs the registry until the test ends.
func (f *fixture) run() {
	t := f.t
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func (f *fixture) fetch(ctx context.Context, src Source) (string, string, error) {
	f.announcing.Lock()
	f.announcing.Unlock() //nolint:staticcheck // it waits for an announcement that is being made
	f.mu.Lock()
	f.fetches[src.Name]++
	sdl, ok := f.schemas[src.Name]
	hang := f.hang[src.Name]
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return "", "", ctx.Err()
	}
	if !ok {
		return "", "", errors.New("connection refused")
	}
	return sdl, "federation", nil
}

func (f *fixture) publish(_ context.Context, g *Graph) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.graphs = append(f.graphs, g)
	return nil
}

func (f *fixture) serve(name, sdl string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.schemas[name] = sdl
}

func (f *fixture) silence(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.schemas, name)
}

func (f *fixture) announce(names ...string) {
	f.announcing.Lock() // so that all are announced before the first schema is had
	defer f.announcing.Unlock()
	for _, n := range names {
		f.Put(Source{Name: n, URL: "http://" + n + "/graphql"})
	}
}

// want compares the subgraphs, each "NAME STATUS", and the graph's members.
func (f *fixture) want(graph string, subgraphs ...string) {
	f.t.Helper()
	synctest.Wait()
	var got []string
	for _, v := range f.Subgraphs() {
		got = append(got, fmt.Sprintf("%s %s", v.Name, v.Status))
	}
	if !slices.Equal(got, subgraphs) {
		f.t.Errorf("subgraphs: got %v, want %v", got, subgraphs)
	}
	if got := members(f.Current()); got != graph {
		f.t.Errorf("graph: got %q, want %q", got, graph)
	}
}

func members(g *Graph) string {
	if g == nil {
		return ""
	}
	var names []string
	for _, s := range g.Sources {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

const (
	link   = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"]) `
	books  = link + `type Query { books: [Book!]! } type Book @key(fields: "isbn") { isbn: ID! title: String! }`
	movies = link +
		`type Query { movies: [Movie!]! } type Movie { title: String! basedOn: Book } type Book @key(fields: "isbn", resolvable: false) { isbn: ID! }`
	// clash resolves Book.title a second time without being shareable.
	clash = link + `type Query { clash: Int } type Book @key(fields: "isbn") { isbn: ID! title: String! }`
)

// A graph grows and shrinks with its subgraphs, down to none.
func TestSubgraphsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{Linger: -1})
		f.want("")
		f.serve("books", books)
		f.serve("movies", movies)
		f.announce("books")
		f.want("books", "books serving")
		f.announce("movies")
		f.want("books movies", "books serving", "movies serving")
		f.Gone("books")
		f.want("movies", "movies serving")
		f.Gone("movies")
		f.want("")
		if last := f.graphs[len(f.graphs)-1]; last != nil {
			t.Errorf("the last graph published is %v: want none, so that nothing goes on answering", members(last))
		}
	})
}

// A service that starts later than its route joins when it answers, and others do not wait for it.
func TestASilentSubgraphStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{RetryMin: time.Second, RetryMax: 4 * time.Second})
		f.serve("books", books)
		f.announce("books", "movies")
		f.want("books", "books serving", "movies fetching")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := f.fetches["movies"]; n != 4 { // at 0, 1, 3 and 7 s
			t.Errorf("%d attempts in 10 s, want 4: the pause doubles to 4 s", n)
		}
		f.serve("movies", movies)
		time.Sleep(4 * time.Second)
		f.want("books movies", "books serving", "movies serving")
	})
}

// At the start the graph waits a little for those that are late, so that clients do not see it grow.
func TestTheFirstGraphWaitsALittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{StartWait: 5 * time.Second})
		f.serve("books", books)
		f.announce("books", "movies")
		f.want("", "books composing", "movies fetching")
		time.Sleep(4 * time.Second)
		f.want("", "books composing", "movies fetching")
		time.Sleep(time.Second)
		f.want("books", "books serving", "movies fetching")
		f.serve("movies", movies)
		time.Sleep(30 * time.Second)
		f.want("books movies", "books serving", "movies serving")
	})
}

// One that hangs is given up after a time and holds nobody up.
func TestAHangingSubgraphStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{})
		f.hang["movies"] = true
		f.serve("books", books)
		f.announce("movies", "books")
		f.want("books", "books serving", "movies fetching")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if v := f.Subgraphs()[1]; !strings.Contains(v.FetchError, "deadline") {
			t.Errorf("movies: error %q, want the deadline", v.FetchError)
		}
	})
}

// A subgraph that stops answering stays in the graph with the schema that it had: operations get partial data, and
// clients no new schema.
func TestALostSubgraphKeepsItsSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{Poll: 30 * time.Second})
		f.serve("books", books)
		f.announce("books")
		f.want("books", "books serving")
		f.silence("books")
		time.Sleep(31 * time.Second)
		f.want("books", "books stale")
		f.serve("books", books)
		time.Sleep(time.Second)
		f.want("books", "books serving")
		if len(f.graphs) != 1 {
			t.Errorf("%d graphs published, want 1: nothing has changed", len(f.graphs))
		}
	})
}

// A route that flaps leaves the graph alone; one that stays away leaves it.
func TestAWithdrawnSubgraphLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{Linger: 10 * time.Second})
		f.serve("books", books)
		f.serve("movies", movies)
		f.announce("books", "movies")
		f.Gone("movies") // before it had a schema: there is nothing to linger
		f.want("books", "books serving")
		f.announce("movies")
		f.want("books movies", "books serving", "movies serving")
		f.Gone("movies")
		time.Sleep(9 * time.Second)
		f.want("books movies", "books serving", "movies leaving")
		f.announce("movies")
		f.want("books movies", "books serving", "movies serving")
		f.Gone("movies")
		time.Sleep(10 * time.Second)
		f.want("books", "books serving")
	})
}

// Of two subgraphs that do not go together the one that was there stays, whatever their names.
func TestWhatDoesNotComposeIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{})
		f.serve("books", books)
		f.serve("a-clash", clash)
		f.serve("broken", "type Query {")
		f.announce("books")
		f.want("books", "books serving")
		f.announce("a-clash", "broken")
		f.want("books", "a-clash excluded", "books serving", "broken excluded")
		if v := f.Subgraphs()[0]; len(v.Errors) == 0 || v.Errors[0].Code != "INVALID_FIELD_SHARING" {
			t.Errorf("a-clash: errors %v, want INVALID_FIELD_SHARING", v.Errors)
		}
		f.serve("a-clash", link+`type Query { clash: Int }`)
		f.Refresh()
		f.want("a-clash books", "a-clash serving", "books serving", "broken excluded")
	})
}

// A subgraph in the graph that comes up with a schema that does not compose goes on with the one it had.
func TestABadNewSchemaIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{})
		f.serve("books", books)
		f.serve("clash", link+`type Query { clash: Int }`)
		f.announce("books", "clash")
		f.want("books clash", "books serving", "clash serving")
		f.serve("clash", clash)
		f.Refresh()
		f.want("books clash", "books serving", "clash outdated")
		if sdl := f.Current().SDL; !strings.Contains(sdl, "clash") {
			t.Errorf("the graph has lost the field clash:\n%s", sdl)
		}
	})
}

// A graph that cannot be published leaves the last one, and the reason is kept.
func TestAFailedPublicationLeavesTheLastGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{Linger: -1})
		f.serve("books", books)
		f.serve("movies", movies)
		f.announce("books")
		f.want("books", "books serving")
		f.refuse = errors.New("no planner for it")
		f.announce("movies")
		f.want("books", "books serving", "movies composing")
		if h := f.History(); h[0].Error != "no planner for it" || h[0].Why != "movies joined" {
			t.Errorf("history: got %+v, want the failed publication first", h[0])
		}
	})
}

// The history says what changed for clients, newest first, and is bounded.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{Linger: -1})
		f.serve("books", books)
		f.serve("movies", movies)
		f.announce("books")
		f.want("books", "books serving")
		f.announce("movies")
		f.want("books movies", "books serving", "movies serving")
		h := f.History()
		if len(h) != 2 || h[0].Why != "movies joined" {
			t.Fatalf("got %d entries, the first because of %q; want 2, the first because movies joined", len(h), h[0].Why)
		}
		if !slices.ContainsFunc(h[0].Changes,
			func(c Change) bool { return c.Coordinate == "Query.movies" && c.Severity == Safe }) {
			t.Errorf("changes: got %v, want the addition of Query.movies", h[0].Changes)
		}
		for i := range 2 * historySize {
			f.serve("movies", movies+fmt.Sprintf(" type T%d @shareable { a: Int }", i))
			f.Refresh()
			synctest.Wait()
		}
		if n := len(f.History()); n != historySize {
			t.Errorf("history has %d entries, want %d", n, historySize)
		}
	})
}

func TestCheckTellsWhatACandidateWouldBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{})
		f.serve("books", books)
		f.serve("movies", movies)
		f.announce("books", "movies")
		f.want("books movies", "books serving", "movies serving")
		operations := []Operation{{Name: "Titles", Text: "query Titles { movies { title basedOn { title } } }", Count: 7},
			{Name: "Books", Text: "query Books { books { isbn } }"}, {Text: "{ nonsense }"}}

		r, err := f.Check(Source{Name: "books", SDL: strings.Replace(books, "title: String!", "name: String!", 1)},
			operations)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Errors) > 0 || r.Checked != 2 || len(r.Broken) != 1 || r.Broken[0].Name != "Titles" {
			t.Errorf("got %+v, want one of two operations broken", r)
		}
		if !slices.ContainsFunc(r.Changes, func(c Change) bool {
			return c.Coordinate == "Book.title" &&
				c.Severity == Breaking
		}) {
			t.Errorf("changes: got %v, want Book.title removed", r.Changes)
		}

		r, err = f.Check(Source{Name: "shop", SDL: clash}, operations)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Errors) == 0 || r.Errors[0].Code != "INVALID_FIELD_SHARING" {
			t.Errorf("got errors %v, want INVALID_FIELD_SHARING", r.Errors)
		}
		if _, err := f.Check(Source{Name: "shop"}, nil); err == nil {
			t.Error("an empty schema was accepted")
		}
		f.want("books movies", "books serving", "movies serving")
	})
}

// TestChecksBesideCompositions asks what candidates would break while the graph changes: neither may see what the other
// composes. The race detector says so.
func TestChecksBesideCompositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{})
		f.serve("books", books)
		f.announce("books")
		f.want("books", "books serving")
		var asking sync.WaitGroup
		asking.Go(func() {
			for range 20 {
				if _, err := f.Check(Source{Name: "movies", SDL: movies}, nil); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range 20 {
			f.Put(Source{Name: "shop", SDL: fmt.Sprintf("type Query { shop: Int version%d: Int }", i)})
		}
		asking.Wait()
	})
}
