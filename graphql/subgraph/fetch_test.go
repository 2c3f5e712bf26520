package subgraph

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// service answers each of the three questions with a status and a body; what it does not know it refuses.
func service(t *testing.T, answers map[string]string, status int) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		for key, answer := range answers {
			if strings.Contains(string(b), key) {
				io.WriteString(w, answer)
				return
			}
		}
		w.WriteHeader(status)
		io.WriteString(w, `{"errors":[{"message":"no such field"}]}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFetch(t *testing.T) {
	full, err := os.ReadFile("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile("testdata/old.json")
	if err != nil {
		t.Fatal(err)
	}
	const federation, plain = `{"data":{"_service":{"sdl":"type Query { a: Int }"}}}`, `{"data":{"_sdl":"type Query { b: Int }"}}`
	for name, c := range map[string]struct {
		answers map[string]string
		kind    Kind
		has     string
	}{
		"federation first": {map[string]string{"_service": federation, "{_sdl}": plain}, Federation, "a: Int"},
		"_sdl next": {map[string]string{"{_sdl}": plain, "isOneOf": `{"data":` + string(full) + `}`}, SDL,
			"b: Int"},
		"an empty one does not do": {map[string]string{"_service": `{"data":{"_service":{"sdl":" \n"}}}`, "{_sdl}": plain},
			SDL, "b: Int"},
		"null does not do": {map[string]string{"_service": `{"data":{"_service":null}}`, "{_sdl}": plain}, SDL, "b: Int"},
		"introspection": {map[string]string{"isOneOf": `{"data":` + string(full) + `}`}, Introspection,
			"input Limit @oneOf"},
		"introspection of old": {map[string]string{"isOneOf": `{"errors":[{"message":"isOneOf?"}]}`,
			"__schema": `{"data":` + string(old) + `}`}, Introspection, "input Limit {"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "introspection of old" {
				delete(c.answers, "isOneOf")
				c.answers = map[string]string{
					"kind name description fields(includeDeprecated:true){name description args{": c.answers["__schema"],
				}
			}
			for _, status := range []int{200, 400} {
				sdl, kind, err := Fetch(t.Context(), http.DefaultClient, service(t, c.answers, status).URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				if kind != c.kind || !strings.Contains(sdl, c.has) {
					t.Errorf("got %s %q, want %s with %q", kind, sdl, c.kind, c.has)
				}
			}
		})
	}
}

func TestFetchFails(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		handler  func(http.ResponseWriter, *http.Request)
		noSchema bool
		want     string
	}{
		"refuses everything": {answer(400, `{"errors":[{"message":"go away"}]}`), true,
			"federation: go away; sdl: go away; introspection: go away"},
		"not GraphQL": {answer(400, "<html>what  is that?"), true,
			"HTTP status 400, and no GraphQL answer: <html>what is that?"},
		"not known yet": {answer(404, "no service of this name"), false, "HTTP status 404: no service of this name"},
		"broken proxy":  {answer(503, "no healthy upstream"), false, "HTTP status 503: no healthy upstream"},
		"wrong type":    {answer(200, `{"data":{"_service":[1],"_sdl":{}}}`), true, "another form"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, false, "larger than 32 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(c.handler))
			defer s.Close()
			_, _, err := Fetch(t.Context(), http.DefaultClient, s.URL, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNoSchema) != c.noSchema {
				t.Errorf("got %v, want %q (no schema: %t)", err, c.want, c.noSchema)
			}
		})
	}
}

// A service that never answers costs its deadline once, not once for each way.
func TestFetchEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then the server notices that the client goes away
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, _, err := Fetch(ctx, http.DefaultClient, s.URL, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if len(asked) != 0 {
		t.Error("a dead service was asked again")
	}
}

func TestFetchSendsHeaders(t *testing.T) {
	got := make(chan *http.Request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r
		io.WriteString(w, `{"data":{"_service":{"sdl":"scalar A"}}}`)
	}))
	defer s.Close()
	header := http.Header{"Host": {"books.acme.example"}, "x-api-key": {"k"}}
	if _, _, err := Fetch(t.Context(), http.DefaultClient, s.URL, header); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.Host != "books.acme.example" || r.Header.Get("X-Api-Key") != "k" {
		t.Errorf("host %q, header %v", r.Host, r.Header)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	if _, _, err := Fetch(t.Context(), http.DefaultClient, srv.URL, nil); err == nil ||
		!strings.Contains(err.Error(), "307") || asked != 0 {
		t.Errorf("got %v, and the other was asked %d times", err, asked)
	}
}
