package exec

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

var okBody = `{"data":{"me":{"id":"1"}}}`

func mePlan() *plan.Plan {
	return query(fetch(0, "a", "{me{id}}", "me"),
		object("Query", field("me", "User", object("User", field("id", "ID!", nil)))))
}

func handled(h func(*http.Request, string) (*http.Response, error)) *subgraphs {
	return &subgraphs{handle: map[string]func(*http.Request, string) (*http.Response, error){"a": h}}
}

func run(t testing.TB, e *Executor, req *Request) string {
	t.Helper()
	res := e.Execute(context.Background(), req)
	defer res.Release()
	return string(res.Body)
}

func code(body string) string {
	_, rest, _ := strings.Cut(body, `"code":"`)
	c, _, _ := strings.Cut(rest, `"`)
	return c
}

func TestStatus(t *testing.T) {
	const gql, js = "application/graphql-response+json; charset=utf-8", "application/json"
	errorsOnly := `{"errors":[{"message":"bad query"}]}`
	for _, c := range []struct {
		status          int
		mediaType, body string
		want            string
	}{
		{200, js, okBody, `{"data":{"me":{"id":"1"}}}`},
		{200, "", okBody, `{"data":{"me":{"id":"1"}}}`},
		{201, gql, okBody, `{"data":{"me":{"id":"1"}}}`},
		{500, gql, okBody, `{"data":{"me":{"id":"1"}}}`},
		{500, js, okBody, failedStatus(500)},
		{400, js,
			errorsOnly,
			`{"data":{"me":null},"errors":[{"message":"bad query","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`},
		{404, "text/html", "<html>", failedStatus(404)},
		{503, "text/plain", "no healthy upstream", failedStatus(503)},
		{302, js, "", failedStatus(302)},
		{502, js, `{"message":"x"}`, failedStatus(502)},
	} {
		s := handled(func(*http.Request, string) (*http.Response, error) { return reply(c.status, c.mediaType, c.body), nil })
		if got := run(t, s.executor(t, nil), &Request{Plan: mePlan()}); got != c.want {
			t.Errorf("%d %s %s:\n got %s\nwant %s", c.status, c.mediaType, c.body, got, c.want)
		}
	}
}

func failedStatus(status int) string {
	return fmt.Sprintf(`{"data":{"me":null},"errors":[{"message":"Subgraph 'a' answered with HTTP status %d.","path":["me"],"extensions":{"code":"SUBREQUEST_HTTP_ERROR","serviceName":"a","http":{"status":%d}}}]}`, status, status)
}

func TestErrorModes(t *testing.T) {
	root := par(fetch(0, "a", "{me}", "me"), fetch(1, "b", "{you}", "you"))
	shape := object("Query", field("me", "User", object("User", field("id", "ID", nil))),
		field("you", "User", object("User", field("id", "ID", nil))))
	for mode, want := range map[ErrorMode]string{
		Wrapped: `[{"message":"Subgraph 'a' reported errors.","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a","errors":[` +
			`{"message":"x","path":["me"],"extensions":{"secret":1,"code":"C","serviceName":"a"}},{"message":"y","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}},` +
			`{"message":"Subgraph 'b' cannot be reached.","path":["you"],"extensions":{"code":"SUBREQUEST_UNREACHABLE","serviceName":"b"}}]`,
		Masked: `[{"message":"A subgraph could not answer this part of the operation.","path":["me"],"extensions":{"code":"C"}},` +
			`{"message":"A subgraph could not answer this part of the operation.","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR"}},` +
			`{"message":"A subgraph could not answer this part of the operation.","path":["you"],"extensions":{"code":"SUBREQUEST_UNREACHABLE"}}]`,
	} {
		s := &subgraphs{
			answers: map[string]string{"a": `{"data":{"me":null},"errors":[{"message":"x","path":["me"],"extensions":{"secret":1,"code":"C"}},{"message":"y"}]}`},
		}
		e := s.executor(t, func(c *Config) { c.ErrorMode = mode })
		if got, full := run(t, e, &Request{Plan: query(root, shape)}),
			`{"data":{"me":null,"you":null},"errors":`+want+`}`; got != full {
			t.Errorf("mode %d:\n got %s\nwant %s", mode, got, full)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf(`{"message":"%d"}`, i))
	}
	s := &subgraphs{answers: map[string]string{"a": `{"data":{"me":null},"errors":[` + strings.Join(list, ",") + `]}`}}
	res := s.executor(t, func(c *Config) { c.MaxErrors = 10 }).Execute(t.Context(), &Request{Plan: mePlan()})
	if res.Errors != 11 || !strings.HasSuffix(string(res.Body), `,{"message":"990 more errors were left out."}]}`) {
		t.Errorf("%d errors: %s", res.Errors, res.Body)
	}
}

func TestHeadersAndHost(t *testing.T) {
	var got *http.Request
	s := handled(func(r *http.Request, _ string) (*http.Response, error) {
		got = r
		resp := reply(200, "application/json", okBody)
		resp.Header["Set-Cookie"] = []string{"a=1", "b=2"}
		resp.Header.Set("Cache-Control", "private, max-age=60")
		return resp, nil
	})
	obs := &observer{}
	e := s.executor(t, func(c *Config) {
		c.Observer = obs
		c.Subgraphs["a"] = Subgraph{
			URL:      "http://a:8080/graphql?x=1",
			Host:     "books.acme.example",
			Header:   http.Header{"X-Static": {"s"}, "X-Both": {"static"}},
			Compress: true,
		}
	})
	res := e.Execute(t.Context(), &Request{
		Plan:   mePlan(),
		Header: func(name string) http.Header { return http.Header{"X-Sub": {name}, "X-Both": {"request"}} },
	})
	h := got.Header
	if got.Host != "books.acme.example" || got.URL.String() != "http://a:8080/graphql?x=1" ||
		got.Method != http.MethodPost {
		t.Errorf("sent %s %s to %s", got.Method, got.URL, got.Host)
	}
	for k, want := range map[string]string{"X-Static": "s", "X-Sub": "a", "X-Both": "request", "Traceparent": "00-1",
		"Accept-Encoding": "gzip, br, deflate", "Content-Type": "application/json",
		"Accept": "application/graphql-response+json, application/json;q=0.9"} {
		if h.Get(k) != want {
			t.Errorf("%s: %q, want %q", k, h.Get(k), want)
		}
	}
	if len(res.Answers) != 1 || len(res.Answers[0].Header["Set-Cookie"]) != 2 ||
		res.Cache != (Cache{MaxAge: 60, Private: true}) {
		t.Errorf("answers %v, cache %v", res.Answers, res.Cache)
	}
	if want := (Stats{Requests: 1, BytesIn: len(okBody), BytesOut: len(`{"query":"{me{id}}"}`)}); res.Stats != want {
		t.Errorf("stats %+v, want %+v", res.Stats, want)
	}
	if len(obs.ended) != 1 || obs.ended[0].Status != 200 || obs.ended[0].Code != "" ||
		obs.started[0].Operation != "Test" || obs.started[0].Kind != "query" {
		t.Errorf("observed %+v %+v", obs.started, obs.ended)
	}
}

type observer struct {
	mu      sync.Mutex
	started []Fetch
	ended   []FetchResult
}

func (o *observer) FetchStart(ctx context.Context, f Fetch, h http.Header) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	h.Set("Traceparent", "00-1")
	o.started = append(o.started, f)
	return ctx
}

func (o *observer) FetchEnd(_ context.Context, _ Fetch, r FetchResult) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, r)
}

func TestCacheControl(t *testing.T) {
	for _, c := range []struct {
		headers []string
		want    Cache
	}{
		{[]string{"max-age=60", "public, max-age=\"30\""}, Cache{MaxAge: 30}},
		{[]string{"max-age=60", ""}, Cache{MaxAge: -1}},
		{[]string{"Private, Max-Age=5", "no-store"}, Cache{MaxAge: -1, Private: true, NoStore: true}},
	} {
		var got Cache
		for i, h := range c.headers {
			got.add(h, i == 0)
		}
		if got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.headers, got, c.want)
		}
	}
}

func TestGzip(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	io.WriteString(w, okBody)
	w.Close()
	bomb := bytes.Buffer{}
	w = gzip.NewWriter(&bomb)
	io.CopyN(w, spaces{}, 1<<20)
	w.Close()
	for name, c := range map[string]struct{ body, enc, want string }{
		"gzip":    {z.String(), "gzip", ""},
		"bomb":    {bomb.String(), "gzip", CodeTooLarge},
		"half":    {z.String()[:20], "gzip", CodeUnreachable},
		"garbage": {okBody, "gzip", CodeMalformed},
		"unasked": {okBody, "br", CodeUnreachable},
	} {
		s := handled(func(*http.Request, string) (*http.Response, error) {
			r := reply(200, "application/json", c.body)
			r.Header.Set("Content-Encoding", c.enc)
			return r, nil
		})
		if got := run(t, s.executor(t, func(c *Config) { c.MaxResponseBytes = 1 << 16 }),
			&Request{Plan: mePlan()}); code(got) != c.want {
			t.Errorf("%s: got %s, want %q", name, got, c.want)
		}
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestLimits(t *testing.T) {
	wide := `{"data":{"me":{"id":"1","x":[` + strings.Repeat("1,", 2000) + `1]}}}`
	for name, c := range map[string]struct {
		change func(*Config)
		body   string
		stream bool
		want   string
	}{
		"announced length": {func(c *Config) { c.MaxResponseBytes = 100 }, wide, false, CodeTooLarge},
		"endless body":     {func(c *Config) { c.MaxResponseBytes = 1 << 20 }, "", true, CodeTooLarge},
		"operation":        {func(c *Config) { c.MaxOperationBytes = 100 }, wide, false, CodeTooLarge},
		"values":           {func(c *Config) { c.MaxValues = 1000 }, wide, false, CodeTooLarge},
		"subgraph": {func(c *Config) {
			c.Subgraphs["a"] = Subgraph{URL: "http://a/", MaxResponseBytes: 100}
		}, wide, false, CodeTooLarge},
	} {
		s := handled(func(*http.Request, string) (*http.Response, error) {
			r := reply(200, "application/json", c.body)
			if c.stream {
				r.Body, r.ContentLength = io.NopCloser(spaces{}), -1
			}
			return r, nil
		})
		if got := run(t, s.executor(t, c.change), &Request{Plan: mePlan()}); code(got) != c.want ||
			!strings.HasPrefix(got, `{"data":{"me":null},`) {
			t.Errorf("%s: got %s, want %q", name, got, c.want)
		}
	}
}

// Fanning out a large entity to many positions must not multiply what a subgraph sent without bound.
func TestFanOutIsBounded(t *testing.T) {
	p := query(seq(fetch(0, "a", "{books}", "books"),
		entityFetch(1, "b", "B", []plan.Rep{rep("Book", "id")}, path("books"))),
		object("Query", field("books", "[Book]", object("Book", field("x", "JSON", nil)))))
	for name, c := range map[string]struct{ entity, want string }{
		"values": {`{"x":[` + strings.Repeat("1,", 5000) + `1]}`, CodeTooLarge},
		"text":   {`{"x":"` + strings.Repeat("1", 50000) + `"}`, CodeResponseTooLarge},
	} {
		s := &subgraphs{
			answers: map[string]string{"a": `{"data":{"books":[` + strings.Repeat(`{"id":1},`, 999) + `{"id":1}]}}`,
				"b": `{"data":{"_entities":[` + c.entity + `]}}`},
		}
		e := s.executor(t, func(c *Config) { c.MaxValues, c.MaxOperationBytes = 100000, 1<<20 })
		if got := run(t, e, &Request{Plan: p}); code(got) != c.want || len(got) > 2<<20 {
			t.Errorf("%s: got %d bytes, %.300s", name, len(got), got[max(0, len(got)-300):])
		}
	}
}

func TestRetries(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, c := range []struct {
		name     string
		mutation bool
		fails    []any // statuses or errors of the first tries
		want     string
		tries    int
	}{
		{"recovers", false, []any{503, refused}, "", 3},
		{"gives up", false, []any{503, 502, 504, 503}, CodeHTTP, 3},
		{"not for other statuses", false, []any{500}, CodeHTTP, 1},
		{"never for mutations", true, []any{refused}, CodeUnreachable, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			s := handled(func(*http.Request, string) (*http.Response, error) {
				tries++
				if tries > len(c.fails) {
					return reply(200, "application/json", okBody), nil
				}
				if status, ok := c.fails[tries-1].(int); ok {
					return reply(status, "text/plain", "no healthy upstream"), nil
				}
				return nil, c.fails[tries-1].(error)
			})
			e := s.executor(t, func(c *Config) {
				c.Subgraphs["a"] = Subgraph{URL: "http://a/", Retries: 2, Backoff: time.Second}
			})
			p := mePlan()
			if c.mutation {
				p.Kind, p.Root.(*plan.Fetch).Kind = plan.Mutation, plan.Mutation
			}
			start := time.Now()
			if got := run(t, e, &Request{Plan: p}); code(got) != c.want || tries != c.tries {
				t.Errorf("%s: got %s after %d tries, want %q after %d", c.name, got, tries, c.want, c.tries)
			}
			if waited := time.Since(start); waited > 3*time.Second || c.tries == 3 && waited < 1500*time.Millisecond {
				t.Errorf("%s: waited %v", c.name, waited)
			}
		})
	}
}

// silent never answers.
func silent(r *http.Request, _ string) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration // of the subgraph
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		want    string
		after   time.Duration
	}{
		{"subgraph", time.Second, context.WithCancel, CodeTimeout, time.Second},
		{"operation", time.Minute, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*time.Second)
		}, CodeTimeout, 2 * time.Second},
		{"client", time.Minute, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(3*time.Second, cancel)
			return ctx, cancel
		}, CodeCancelled, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := handled(silent)
			s.answers = map[string]string{"b": `{"data":{"you":{"id":"2"}}}`}
			e := s.executor(t, func(cfg *Config) {
				cfg.Subgraphs["a"] = Subgraph{
					URL:     "http://a/",
					Timeout: c.timeout,
					Retries: 3,
				}
			})
			p := query(par(fetch(0, "a", "{me{id}}", "me"), fetch(1, "b", "{you}", "you")),
				object("Query", field("me", "User", object("User", field("id", "ID!", nil))),
					field("you", "User", object("User", field("id", "ID!", nil)))))
			ctx, cancel := c.ctx(t.Context())
			defer cancel()
			start := time.Now()
			got := string(e.Execute(ctx, &Request{Plan: p}).Body)
			if code(got) != c.want || !strings.HasPrefix(got, `{"data":{"me":null,"you":{"id":"2"}}`) {
				t.Errorf("%s: got %s, want %q", c.name, got, c.want)
			}
			if took := time.Since(start); took != c.after {
				t.Errorf("%s: took %v, want %v", c.name, took, c.after)
			}
		})
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"subgraph":  func(c *Config) { c.Subgraphs["a"] = Subgraph{URL: "http://a/", MaxRequests: 3} },
		"operation": func(c *Config) { c.MaxRequests = 3 },
	} {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int32
			s := handled(func(*http.Request, string) (*http.Response, error) {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return reply(200, "application/json", okBody), nil
			})
			var nodes []plan.Node
			for i := range 10 {
				nodes = append(nodes, fetch(i, "a", fmt.Sprint("{me", i, "}"), "me"))
			}
			p := query(par(nodes...), mePlan().Response)
			p.Fetches = 10
			if got := run(t, s.executor(t, change), &Request{Plan: p}); got != okBody || most.Load() != 3 {
				t.Errorf("%s: %d at once, got %s", name, most.Load(), got)
			}
		})
	}
}

func TestHTTP2WithPriorKnowledge(t *testing.T) {
	var proto atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto + " " + r.Host)
		io.WriteString(w, okBody)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	tr := NewTransport(TransportOptions{H2C: true})
	defer tr.CloseIdleConnections()
	e, err := New(Config{
		Transport: tr,
		Subgraphs: map[string]Subgraph{"a": {URL: server.URL, Host: "books.acme.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got := run(t, e, &Request{Plan: mePlan()}); got != okBody || proto.Load() != "HTTP/2.0 books.acme.example" {
		t.Errorf("got %s by %v", got, proto.Load())
	}
}

// A query must survive that the server has closed a kept connection in the meantime.
func TestStaleConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		io.WriteString(w, okBody)
	}))
	defer server.Close()
	e, err := New(Config{Subgraphs: map[string]Subgraph{"a": {URL: server.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 20 {
		if got := run(t, e, &Request{Plan: mePlan()}); got != okBody {
			t.Fatalf("got %s", got)
		}
		server.CloseClientConnections()
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, okBody[:10])
	}))
	defer server.Close()
	e, err := New(Config{Subgraphs: map[string]Subgraph{"a": {URL: server.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want := `{"data":{"me":null},"errors":[{"message":"The answer of subgraph 'a' broke off.","path":["me"],"extensions":{"code":"SUBREQUEST_UNREACHABLE","serviceName":"a","http":{"status":200}}}]}`
	if got := run(t, e, &Request{Plan: mePlan()}); got != want {
		t.Errorf("got %s", got)
	}
}

func TestConfigProblemsAreAllNamed(t *testing.T) {
	_, err := New(Config{
		MaxErrors: -1,
		Subgraphs: map[string]Subgraph{"x": {}, "y": {URL: "ftp://h"},
			"z": {URL: "http://h", Retries: -1, Subscription: Subscription{URL: "/x"}}},
	})
	for _, want := range []string{"limits must not be negative", "subgraph x: URL", "subgraph y: URL",
		"subgraph z: Retries", "subgraph z: Subscription.URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestVariables(t *testing.T) {
	f := &plan.Fetch{Request: request(0, "a", "Q", "v", "w", "x")}
	f.Variables[1].Client, f.Variables[2].Client = 1, 2
	p := query(f, object("Query", typeName("t")))
	p.Variables = []plan.Variable{{Name: "v"}, {Name: "other"}, {Name: "x"}}
	s := &subgraphs{answers: map[string]string{"a": `{"data":{}}`}}
	run(t, s.executor(t, nil), &Request{
		Plan:      p,
		Variables: map[string]json.RawMessage{"other": []byte(`{"a":1}`), "x": []byte("null")},
	})
	if want := `a {"query":"Q","variables":{"w":{"a":1},"x":null}}`; s.asked[0] != want {
		t.Errorf("asked %s, want %s", s.asked[0], want)
	}
}

// Large answers of all executors together are bounded, and what was held is given back.
func TestMemoryOfLargeAnswers(t *testing.T) {
	const size = 3 << 20
	memory := &Memory{Most: 6 << 20}
	large := `{"data":{"v":"` + strings.Repeat("x", size) + `"}}`
	e, _ := live(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, large)
	}, Subscription{}, func(c *Config) { c.Memory = memory })
	f := fetch(0, "a", "{v}", "v")
	p := query(f, object("Query", field("v", "String", nil)))
	var held []*Response
	refused := 0
	for range 4 {
		res := e.Execute(t.Context(), &Request{Plan: p})
		if strings.Contains(string(res.Body), `"code":"SUBREQUEST_TOO_LARGE"`) {
			refused++
		} else if res.Errors > 0 || len(res.Body) < size {
			t.Errorf("got %.300s", res.Body)
		}
		held = append(held, res)
		memory.add(size) // as if another operation held as much
	}
	if refused == 0 || refused == 4 {
		t.Errorf("%d of 4 answers were refused", refused)
	}
	for _, res := range held {
		res.Release()
		memory.add(-size)
	}
	if n := memory.held.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
	if res := e.Execute(t.Context(), &Request{Plan: p}); res.Errors > 0 {
		t.Errorf("afterwards: got %.300s", res.Body)
	}
}
