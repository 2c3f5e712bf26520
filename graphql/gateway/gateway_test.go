package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// fake is a subgraph that answers by what the operation contains.
type fake struct {
	name, sdl string
	answer    func(r *http.Request, query string) string
}

// graphOf composes fakes and returns a snapshot over them.
func graphOf(t *testing.T, opts SnapshotOptions, fakes ...fake) *Snapshot {
	t.Helper()
	var subgraphs []supergraph.Subgraph
	for _, f := range fakes {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, f.answer(r, string(body)))
		}))
		t.Cleanup(srv.Close)
		subgraphs = append(subgraphs, supergraph.Subgraph{Name: f.name, URL: srv.URL, SDL: f.sdl})
	}
	res := supergraph.Compose(subgraphs, supergraph.Options{})
	if res.Errors != nil {
		t.Fatal(res.Errors)
	}
	s, err := NewSnapshot(res.SDL, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const itemSDL = `type Query { item(id: ID): Item  items: [Item!]!  secret: String }
type Item { id: ID! name: String friend: Item }
type Mutation { rename(id: ID!, name: String!): Item }`

func items() fake {
	return fake{"items", itemSDL, func(_ *http.Request, _ string) string {
		return `{"data":{"item":{"id":"1","name":"one"},"items":[{"id":"1","name":"one"}],"rename":{"id":"1","name":"two"}}}`
	}}
}

// serving returns a gateway that serves fakes.
func serving(t *testing.T, cfg Config, fakes ...fake) *Gateway {
	t.Helper()
	g := New(cfg)
	g.Swap(graphOf(t, SnapshotOptions{}, fakes...))
	t.Cleanup(g.Close)
	return g
}

// post sends an operation and returns the answer.
func post(t *testing.T, h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestQuery(t *testing.T) {
	g := serving(t, Config{}, items())
	w := post(t, g, `{"query":"{item(id:1){name}}"}`)
	if got, want := w.Body.String(), `{"data":{"item":{"name":"one"}}}`; got != want || w.Code != 200 {
		t.Errorf("got %d %s, want 200 %s", w.Code, got, want)
	}
}

// Who takes one answer gets one, @defer or not; who takes parts gets parts of the same operation, in whatever order
// they come.
func TestDeferIsPassedOverWhereOneAnswerIsTaken(t *testing.T) {
	g := serving(t, Config{}, items())
	const body = `{"query":"{item(id:1){... @defer {name}}}"}`
	for range 2 {
		w := post(t, g, body, "Accept", "application/json")
		if got, want := w.Body.String(), `{"data":{"item":{"name":"one"}}}`; got != want || w.Code != 200 {
			t.Errorf("got %d %s, want 200 %s", w.Code, got, want)
		}
		w = post(t, g, body, "Accept", "multipart/mixed;deferSpec=20220824, application/json")
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "multipart/mixed") ||
			!strings.Contains(w.Body.String(), "hasNext") {
			t.Errorf("got %s: %s, want parts", got, w.Body)
		}
	}
	if w := post(t, serving(t, Config{MaxBatch: 2}, items()),
		"["+body+"]"); w.Body.String() != `[{"data":{"item":{"name":"one"}}}]` {
		t.Errorf("in a list: %d %s", w.Code, w.Body)
	}
}

// What runs on a snapshot ends on it; its executor is closed when the last one is done.
func TestSnapshotLivesAsLongAsItIsUsed(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := items()
	slow.answer = func(*http.Request, string) string {
		close(entered)
		<-leave
		return `{"data":{"item":{"name":"old"}}}`
	}
	g := New(Config{})
	defer g.Close()
	old := graphOf(t, SnapshotOptions{}, slow)
	g.Swap(old)
	done := make(chan string)
	go func() { done <- post(t, g, `{"query":"{item(id:1){name}}"}`).Body.String() }()
	<-entered
	g.Swap(graphOf(t, SnapshotOptions{}, items()))
	select {
	case <-old.Closed():
		t.Fatal("the former snapshot is closed while an operation runs on it")
	default:
	}
	if got := post(t, g, `{"query":"{item(id:1){name}}"}`).Body.String(); !strings.Contains(got, "one") {
		t.Errorf("after the swap: %s", got)
	}
	close(leave)
	if got := <-done; !strings.Contains(got, "old") {
		t.Errorf("the running operation got %s", got)
	}
	<-old.Closed()
	if old.hold() {
		t.Error("a closed snapshot can be held")
	}
}

func TestNoGraphYet(t *testing.T) {
	g := New(Config{})
	defer g.Close()
	if w := post(t, g, `{"query":"{a}"}`); w.Code != http.StatusServiceUnavailable ||
		!strings.Contains(w.Body.String(), CodeNoGraph) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if g.Ready() == "" {
		t.Error("ready without a graph")
	}
}

func TestWhatIsNoSupergraph(t *testing.T) {
	if _, err := NewSnapshot("type Query { a: Int }", SnapshotOptions{}); err == nil {
		t.Error("an SDL that is no supergraph was accepted")
	}
}
