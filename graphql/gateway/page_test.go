package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

func TestBrowsersGetThePage(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the page") })
	g := serving(t, Config{Page: page}, items())
	for accept, want := range map[string]bool{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"text/html;q=0.5, application/json":                               false,
		"text/html, application/json;q=0.9":                               true,
		"application/graphql-response+json":                               false,
		"*/*":                                                             false,
		"":                                                                false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql?query={items{id}}", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Body.String() == "the page"; got != want {
			t.Errorf("Accept %q: got %d %s", accept, w.Code, w.Body)
		}
		if !strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Accept") {
			t.Errorf("Accept %q: got Vary %v", accept, w.Header().Values("Vary"))
		}
	}
	if w := post(t, g, `{"query":"{item(id:1){name}}"}`, "Accept", "text/html, */*"); w.Body.String() == "the page" {
		t.Error("a POST got the page")
	}
}

// one is a listener of one connection.
type one struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *one) Close() error   { close(l.done); return nil }
func (l *one) Addr() net.Addr { return &net.TCPAddr{} }

// A client that stops within its request's body is told so, and holds neither memory nor a place among the operations
// meanwhile.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{MaxConcurrent: 1})
		defer g.Close()
		client, server := net.Pipe()
		l := &one{make(chan net.Conn, 1), make(chan struct{})}
		l.conn <- server
		srv := &http.Server{Handler: g} //nolint:gosec // the test has no slow headers
		go srv.Serve(l)
		defer srv.Close()
		io.WriteString(client, "POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "+
			"100\r\n\r\n{\"query\":")
		synctest.Wait()
		if len(g.slots) != 0 || g.held.Load() != 9 {
			t.Errorf("while the body comes: %d operations, %d bytes held", len(g.slots), g.held.Load())
		}
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), CodeTimeout) {
			t.Errorf("got %d %s", answer.StatusCode, text)
		}
		client.Close()
		synctest.Wait()
		if n := g.held.Load(); n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
	})
}

func TestBodiesTogetherAreBounded(t *testing.T) {
	g := serving(t, Config{MaxBodies: 100}, items())
	if w := post(t, g, `{"query":"{item(id:1){name}}","extensions":{"padding":"`+strings.Repeat("x", 100)+
		`"}}`); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), CodeOverloaded) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := post(t, g, `{"query":"{item(id:1){name}}"}`); w.Code != http.StatusOK {
		t.Errorf("afterwards: got %d %s", w.Code, w.Body)
	}
}

func TestFreshness(t *testing.T) {
	for name, c := range map[string]struct {
		p       plan.Plan
		res     exec.Response
		private bool
		want    string
	}{
		"nothing said": {plan.Plan{Kind: plan.Query, MaxAge: -1}, exec.Response{Cache: exec.Cache{MaxAge: -1}},
			false, ""},
		"the subgraph's": {plan.Plan{Kind: plan.Query, MaxAge: -1}, exec.Response{Cache: exec.Cache{MaxAge: 60}},
			false, "max-age=60, public"},
		"the shorter one": {plan.Plan{Kind: plan.Query, MaxAge: 5}, exec.Response{Cache: exec.Cache{MaxAge: 60}},
			false, "max-age=5, public"},
		"the subgraph's private": {plan.Plan{Kind: plan.Query, MaxAge: -1},
			exec.Response{Cache: exec.Cache{MaxAge: 60, Private: true}}, false, "max-age=60, private"},
		"by who asks": {plan.Plan{Kind: plan.Query, MaxAge: -1}, exec.Response{Cache: exec.Cache{MaxAge: 60}}, true,
			"max-age=60, private"},
		"with errors": {plan.Plan{Kind: plan.Query, MaxAge: -1}, exec.Response{Cache: exec.Cache{MaxAge: 60}, Errors: 1},
			false, "no-store"},
		"a mutation": {plan.Plan{Kind: plan.Mutation, MaxAge: 60}, exec.Response{Cache: exec.Cache{MaxAge: 60}}, false,
			"no-store"},
	} {
		if _, got := freshness(&c.p, &c.res, c.private); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
