package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// payloads reads a stream to its end.
func payloads(t *testing.T, e *Executor, req *Request) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := e.Stream(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out []string
	for {
		res, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("after %v: %v", out, err)
		}
		out = append(out, string(res.Body))
		res.Release()
	}
}

func deferPlan() *plan.Plan {
	price := object("Book", field("price", "Int!", nil))
	author := object("Book", field("author", "Author", object("Author", field("name", "String", nil))))
	bio := object("Author", field("bio", "String", nil))
	p := query(&plan.Defer{
		Primary: fetch(0, "a", "{books}", "books"),
		Blocks: []plan.Block{
			{
				ID:       0,
				Parent:   -1,
				Label:    "price",
				Path:     path("books:list"),
				Response: price,
				Node:     entityFetch(1, "b", "P", []plan.Rep{rep("Book", "id")}, path("books:list")),
			},
			{
				ID:       1,
				Parent:   -1,
				Path:     path("books:list"),
				Response: author,
				Node:     entityFetch(2, "c", "A", []plan.Rep{rep("Book", "id")}, path("books:list")),
			},
			{
				ID:       2,
				Parent:   1,
				Label:    "bio",
				Path:     path("books:list", "author"),
				Response: bio,
				Node:     entityFetch(3, "d", "B", []plan.Rep{rep("Author", "id")}, path("books:list", "author")),
			},
		},
	}, object("Query", field("list:books", "[Book]", object("Book", field("title", "String!", nil)))))
	return p
}

func TestDefer(t *testing.T) {
	answers := map[string]string{
		"a": `{"data":{"books":[{"id":"1","title":"A"},{"id":"2","title":null},{"id":"3","title":"C"}]}}`,
		"b": `{"data":{"_entities":[{"price":1},{"price":2},{"price":null}]},"errors":[{"message":"no price","path":["_entities",2,"price"]}]}`,
		"c": `{"data":{"_entities":[{"author":{"id":"x","name":"X"}},null,{"author":null}]}}`,
		"d": `{"data":{"_entities":[{"bio":"born"}]}}`,
	}
	const first = `"data":{"list":[{"title":"A"},null,{"title":"C"}]},"errors":[{"message":"Cannot return null for non-nullable field Book.title.","path":["list",1,"title"],"extensions":{"code":"NULL_FOR_NON_NULL"}}]`
	const noPrice = `"errors":[{"message":"no price","path":["list",2,"price"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"b"}}]`
	for form, want := range map[Incremental][]string{
		ByPath: {
			`{` + first + `,"hasNext":true}`,
			`{"data":{"price":1},` + noPrice + `,"path":["list",0],"label":"price"}`,
			`{"data":null,"path":["list",2],"label":"price"}`,
			`{"data":{"author":{"name":"X"}},"path":["list",0]}`,
			`{"data":{"author":null},"path":["list",2]}`,
			`{"data":{"bio":"born"},"path":["list",0,"author"],"label":"bio"}`,
		},
		ByID: {
			`{` + first +
				`,"pending":[{"id":"0","path":["list",0],"label":"price"},{"id":"1","path":["list",2],"label":"price"},{"id":"2","path":["list",0]},{"id":"3","path":["list",2]}],"hasNext":true}`,
			`{"data":{"price":1},` + noPrice + `,"id":"0"}`,
			`{"id":"0"},{"id":"1"}`,
			`{"data":{"author":{"name":"X"}},"id":"2"}`,
			`"pending":[{"id":"4","path":["list",0,"author"],"label":"bio"}]`,
			`{"data":{"bio":"born"},"id":"4"}`,
		},
	} {
		t.Run(fmt.Sprint(form), func(t *testing.T) {
			s := &subgraphs{answers: answers}
			got := payloads(t, s.executor(t, nil), &Request{Plan: deferPlan(), Incremental: form})
			if got[0] != want[0] {
				t.Errorf("first payload\n got %s\nwant %s", got[0], want[0])
			}
			rest := strings.Join(got[1:], "\n")
			for _, w := range want[1:] {
				if strings.Count(rest, w) != 1 {
					t.Errorf("want once %s in\n%s", w, rest)
				}
			}
			if strings.Contains(rest, `"list",1`) {
				t.Errorf("something was delivered below a position that is null:\n%s", rest)
			}
			for i, p := range got {
				if strings.HasSuffix(p, `"hasNext":true}`) != (i < len(got)-1) {
					t.Errorf("payload %d of %d: %s", i, len(got), p)
				}
			}
		})
	}
}

// A deferred fragment further up has the same objects again: where the first payload has null, they stay null.
func TestWhatWasNullStaysNull(t *testing.T) {
	s := &subgraphs{answers: map[string]string{
		"a": `{"data":{"books":[{"id":"1","title":"A"},{"id":"2","title":null}]}}`,
		"b": `{"data":{"_entities":[{"price":1},{"price":2}]}}`,
	}}
	price := object("Book", field("price", "Int", nil))
	p := query(&plan.Defer{
		Primary: fetch(0, "a", "{books}", "books"),
		Blocks: []plan.Block{{
			Parent:   -1,
			Response: object("Query", field("list:books", "[Book]", price)),
			Node:     entityFetch(1, "b", "P", []plan.Rep{rep("Book", "id")}, path("books:list")),
		}},
	}, object("Query", field("list:books", "[Book]", object("Book", field("title", "String!", nil)))))
	got := payloads(t, s.executor(t, nil), &Request{Plan: p})
	if want := `{"data":{"list":[{"price":1},null]},"path":[]}`; !strings.Contains(strings.Join(got, "\n"), want) {
		t.Errorf("want %s in\n%s", want, strings.Join(got, "\n"))
	}
}

func TestDeferWithNothingToDeliver(t *testing.T) {
	for body, want := range map[string]string{
		`{"data":{"books":[]}}`:                        `{"data":{"list":[]},"hasNext":false}`,
		`{"data":{"books":[{"id":"1","title":null}]}}`: `{"data":{"list":[null]},"errors":[{"message":"Cannot return null for non-nullable field Book.title.","path":["list",0,"title"],"extensions":{"code":"NULL_FOR_NON_NULL"}}],"hasNext":false}`,
	} {
		s := &subgraphs{answers: map[string]string{"a": body}}
		got := payloads(t, s.executor(t, nil), &Request{Plan: deferPlan()})
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %v, want %s", body, got, want)
		}
		if len(s.asked) != 1 {
			t.Errorf("asked %v", s.asked)
		}
	}
}

func TestDeferredFailureStaysInItsPayload(t *testing.T) {
	s := &subgraphs{
		answers: map[string]string{"a": `{"data":{"books":[{"id":"1","title":"A"}]}}`,
			"b": `{"data":{"_entities":[{"price":5}]}}`},
	}
	got := strings.Join(payloads(t, s.executor(t, nil), &Request{Plan: deferPlan()}), "\n")
	for _, want := range []string{
		`{"data":{"list":[{"title":"A"}]},"hasNext":true}`,
		`{"data":{"price":5},"path":["list",0],"label":"price"}`,
		`{"data":{"author":null},"errors":[{"message":"Subgraph 'c' cannot be reached.","path":["list",0],"extensions":{"code":"SUBREQUEST_UNREACHABLE","serviceName":"c"}}],"path":["list",0]}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s in\n%s", want, got)
		}
	}
}

func subscriptionPlan() *plan.Plan {
	f := fetch(0, "a", "subscription{book}", "book")
	f.Kind = plan.Subscribe
	p := query(&plan.Subscription{Primary: f, Then: entityFetch(1, "b", "P", []plan.Rep{rep("Book", "id")}, path("book"))},
		object("Subscription", field("book", "Book",
			object("Book", field("title", "String", nil), field("price", "Int", nil)))))
	p.Kind, p.RootType = plan.Subscribe, "Subscription"
	return p
}

// live returns an executor whose subgraph a is a server with h, and b answers in memory.
func live(t *testing.T, h http.HandlerFunc, sub Subscription, change func(*Config)) (*Executor, *subgraphs) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s := &subgraphs{answers: map[string]string{"b": `{"data":{"_entities":[{"price":10}]}}`}}
	e := s.executor(t, func(c *Config) {
		c.Subgraphs["a"] = Subgraph{
			URL:          server.URL,
			Transport:    NewTransport(TransportOptions{}),
			Subscription: sub,
			Timeout:      5 * time.Second,
			Backoff:      time.Millisecond,
		}
		if change != nil {
			change(c)
		}
	})
	return e, s
}

func sse(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, text)
	}
}

const (
	event1   = `{"data":{"book":{"id":"1","title":"A"}}}`
	event2   = `{"data":{"book":null},"errors":[{"message":"gone","path":["book"]}]}`
	printed1 = `{"data":{"book":{"title":"A","price":10}}}`
	printed2 = `{"data":{"book":null},"errors":[{"message":"gone","path":["book"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`
)

func interruptedText(text string) string {
	return `{"data":null,"errors":[{"message":"` + text +
		`","extensions":{"code":"SUBSCRIPTION_INTERRUPTED","serviceName":"a"}}]}`
}

func TestSSE(t *testing.T) {
	const broke = "The event stream of subgraph 'a' broke off."
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"two events", ":\n\nevent: next\ndata: " + event1 + "\n\nevent: next\r\ndata:" + event2 +
			"\r\n\r\nevent: complete\ndata:\n\n", []string{printed1, printed2}},
		{"data on several lines", "data: {\"data\":\ndata: {\"book\":null}}\nid: 7\nevent: next\n\nevent: complete\n\n",
			[]string{`{"data":{"book":null}}`}},
		{"no event name", "data: " + event1 + "\n\nevent: complete\n\n", []string{printed1}},
		{"unknown events are left out", "event: hello\ndata: 1\n\nevent: complete\n\n", nil},
		{"broken off", "event: next\ndata: " + event1 + "\n\n", []string{printed1, interruptedText(broke)}},
		{"broken off within an event", "event: next\ndata: " + event1, []string{interruptedText(broke)}},
		{"an event that is not JSON", "event: next\ndata: <\n\nevent: complete\n\n",
			[]string{`{"data":{"book":null},"errors":[{"message":"The answer of subgraph 'a' is not valid JSON: unexpected '<' at byte 0.","path":["book"],"extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"a"}}]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _ := live(t, sse(c.text), Subscription{Protocol: SSE}, nil)
			if got := payloads(t, e, &Request{Plan: subscriptionPlan()}); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestSSEAnsweredWithoutStream(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{400, `{"errors":[{"message":"no such field"}]}`,
			`{"data":{"book":null},"errors":[{"message":"no such field","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`},
		{500, `oops`,
			`{"data":null,"errors":[{"message":"Subgraph 'a' answered with HTTP status 500.","extensions":{"code":"SUBREQUEST_HTTP_ERROR","serviceName":"a","http":{"status":500}}}]}`},
		{200, `oops`,
			`{"data":null,"errors":[{"message":"Subgraph 'a' answered a subscription without an event stream.","extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"a"}}]}`},
	} {
		e, _ := live(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}, Subscription{Protocol: SSE}, nil)
		if got := payloads(t, e, &Request{Plan: subscriptionPlan()}); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%d %s: got\n%s\nwant\n%s", c.status, c.body, strings.Join(got, "\n"), c.want)
		}
	}
}

// ws is a subgraph that speaks graphql-transport-ws; after the acknowledgement and the subscription script does what
// it wants.
func ws(t *testing.T, ack bool, script func(context.Context, *websocket.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		ctx := r.Context()
		if _, init, err := conn.Read(ctx); err != nil || !strings.HasPrefix(string(init), `{"type":"connection_init"`) {
			t.Errorf("got %s, %v", init, err)
			return
		}
		if !ack {
			script(ctx, conn)
			return
		}
		say(ctx, conn, `{"type":"ping"}`)
		conn.Read(ctx)
		say(ctx, conn, `{"type":"connection_ack","payload":{}}`)
		_, sub, err := conn.Read(ctx)
		if want := `{"id":"1","type":"subscribe","payload":{"query":"subscription{book}"}}`; err != nil ||
			string(sub) != want {
			t.Errorf("got %s, %v, want %s", sub, err, want)
		}
		script(ctx, conn)
	}
}

func say(ctx context.Context, conn *websocket.Conn, messages ...string) {
	for _, m := range messages {
		conn.Write(ctx, websocket.MessageText, []byte(m))
	}
}

func TestWebSocket(t *testing.T) {
	for _, c := range []struct {
		name   string
		ack    bool
		script func(context.Context, *websocket.Conn)
		want   []string
	}{
		{"two events", true, func(ctx context.Context, c *websocket.Conn) {
			say(ctx, c, `{"id":"1","type":"next","payload":`+event1+`}`, `{"type":"ping"}`,
				`{"id":"1","type":"next","payload":`+event2+`}`, `{"id":"1","type":"complete"}`)
			c.Read(ctx)
			c.Read(ctx)
		}, []string{printed1, printed2}},
		{"an error", true, func(ctx context.Context, c *websocket.Conn) {
			say(ctx, c, `{"id":"1","type":"error","payload":[{"message":"not here","extensions":{"code":"X"}}]}`)
			c.Read(ctx)
		}, []string{`{"data":null,"errors":[{"message":"not here","extensions":{"code":"X","serviceName":"a"}}]}`}},
		{"refused", false, func(_ context.Context, c *websocket.Conn) { c.Close(4403, "Forbidden") },
			[]string{interruptedText("Subgraph 'a' closed the event stream with code 4403.")}},
		{"not the protocol", true, func(ctx context.Context, c *websocket.Conn) { say(ctx, c, `hello`); c.Read(ctx) },
			[]string{`{"data":null,"errors":[{"message":"Subgraph 'a' sent a WebSocket message that is not of graphql-transport-ws.","extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"a"}}]}`}},
		{"lost", true, func(ctx context.Context, c *websocket.Conn) {
			say(ctx, c, `{"id":"1","type":"next","payload":`+event1+`}`)
		},
			[]string{printed1, interruptedText("The event stream of subgraph 'a' broke off.")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _ := live(t, ws(t, c.ack, c.script), Subscription{Protocol: WebSocket}, nil)
			if got := payloads(t, e, &Request{Plan: subscriptionPlan()}); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestProbeFallsBackToSSE(t *testing.T) {
	var dials atomic.Int32
	stream := sse("event: next\ndata: " + event1 + "\n\nevent: complete\n\n")
	e, _ := live(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			dials.Add(1)
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		stream(w, r)
	}, Subscription{}, nil)
	for range 2 {
		if got := payloads(t, e, &Request{Plan: subscriptionPlan()}); !slices.Equal(got, []string{printed1}) {
			t.Errorf("got %v", got)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("dialled %d times, want once", dials.Load())
	}
}

func TestLostStreamIsOpenedAgain(t *testing.T) {
	var opened atomic.Int32
	e, _ := live(t, ws(t, true, func(ctx context.Context, c *websocket.Conn) {
		say(ctx, c, `{"id":"1","type":"next","payload":`+event1+`}`)
		if opened.Add(1) == 3 {
			say(ctx, c, `{"id":"1","type":"complete"}`)
			c.Read(ctx)
		}
	}), Subscription{Protocol: WebSocket, Reconnects: 1}, nil)
	if got := payloads(t, e, &Request{Plan: subscriptionPlan()}); !slices.Equal(got,
		[]string{printed1, printed1, printed1}) {
		t.Errorf("got %v", got)
	}
}

func TestSlowClientLosesItsStream(t *testing.T) {
	sent := make(chan struct{})
	e, _ := live(t, ws(t, true, func(ctx context.Context, c *websocket.Conn) {
		for range 12 {
			say(ctx, c, `{"id":"1","type":"next","payload":`+event1+`}`)
		}
		for {
			if _, _, err := c.Read(ctx); err != nil {
				close(sent)
				return
			}
		}
	}), Subscription{Protocol: WebSocket}, func(c *Config) { c.MaxEvents = 4 })
	s, err := e.Stream(t.Context(), &Request{Plan: subscriptionPlan()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, err := s.Next(t.Context())
	if err != nil || string(first.Body) != printed1 {
		t.Fatalf("got %v, %v", first, err)
	}
	<-sent // the subgraph's connection is closed while nobody calls Next
	var last string
	n := 1
	for {
		res, err := s.Next(t.Context())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		last = string(res.Body)
		n++
	}
	if !strings.Contains(last, CodeSlowConsumer) || n < 5 || n > 12 {
		t.Errorf("%d payloads, the last %s", n, last)
	}
}

func TestClosingEndsStreams(t *testing.T) {
	gone := make(chan struct{})
	e, _ := live(t, ws(t, true, func(ctx context.Context, c *websocket.Conn) {
		say(ctx, c, `{"id":"1","type":"next","payload":`+event1+`}`)
		for {
			if _, _, err := c.Read(ctx); err != nil {
				close(gone)
				return
			}
		}
	}), Subscription{Protocol: WebSocket}, nil)
	s, err := e.Stream(t.Context(), &Request{Plan: subscriptionPlan()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Close()
	<-gone
	if _, err := s.Next(t.Context()); err == nil {
		t.Error("the stream goes on though the executor is closed")
	}
	s.Close()
	if _, err := e.Stream(t.Context(), &Request{Plan: subscriptionPlan()}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
