package exec

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// socketServer speaks graphql-transport-ws with any number of operations, and tells what it sees.
type socketServer struct {
	mu    sync.Mutex
	inits []string      // payloads, one for each connection
	conns []*heardConn  // in the order of their subscriptions
	seen  chan struct{} // has an element for each subscription
	ended chan string   // ids of operations that the client has completed, and "gone" for each connection that ended
}

type heardConn struct {
	c  *websocket.Conn
	id string
}

func newSocketServer() *socketServer {
	return &socketServer{seen: make(chan struct{}, 100), ended: make(chan string, 100)}
}

func (s *socketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return
	}
	defer func() { c.CloseNow(); s.ended <- "gone" }()
	for {
		_, data, err := c.Read(r.Context())
		if err != nil {
			return
		}
		var m struct {
			ID, Type string
			Payload  json.RawMessage
		}
		if json.Unmarshal(data, &m) != nil {
			return
		}
		switch m.Type {
		case "connection_init":
			s.mu.Lock()
			s.inits = append(s.inits, string(m.Payload))
			s.mu.Unlock()
			say(r.Context(), c, `{"type":"connection_ack"}`)
		case "subscribe":
			s.mu.Lock()
			s.conns = append(s.conns, &heardConn{c, m.ID})
			s.mu.Unlock()
			s.seen <- struct{}{}
		case "complete":
			s.ended <- m.ID
		}
	}
}

// event sends an event to the nth subscription.
func (s *socketServer) event(t *testing.T, n int, payload string) {
	t.Helper()
	s.mu.Lock()
	to := s.conns[n]
	s.mu.Unlock()
	say(t.Context(), to.c, `{"id":"`+to.id+`","type":"next","payload":`+payload+`}`)
}

// start begins a subscription and waits until the subgraph has it, if it is to see one.
func (s *socketServer) start(t *testing.T, e *Executor, req *Request, asks bool) *Stream {
	t.Helper()
	st, err := e.Stream(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	ev, ok := st.parts.(*events)
	if !ok {
		t.Fatalf("a stream of %T", st.parts)
	}
	ev.begun = true
	if !st.spawn(ev.pump) {
		t.Fatal("closed")
	}
	if asks {
		within(t, s.seen)
	}
	return st
}

func within[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

func nextBody(t *testing.T, s *Stream) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Release()
	return string(res.Body)
}

// TestOneSocketForEachIdentity: subscriptions of one caller with one payload share a connection; another caller has
// another one, and so has who passes something else on.
func TestOneSocketForEachIdentity(t *testing.T) {
	server := newSocketServer()
	e, _ := live(t, server.ServeHTTP, Subscription{Protocol: WebSocket}, nil)
	req := func(caller, payload string) *Request {
		return &Request{Plan: subscriptionPlan(), Caller: caller, Init: func(subgraph string) []byte {
			if subgraph != "a" || payload == "" {
				return nil
			}
			return []byte(payload)
		}}
	}
	first := server.start(t, e, req("x", `{"t":1}`), true)
	second := server.start(t, e, req("x", `{"t":1}`), true)
	server.start(t, e, req("x", `{"t":2}`), true)
	server.start(t, e, req("y", ""), true)
	server.mu.Lock()
	got := slices.Clone(server.inits)
	server.mu.Unlock()
	if want := []string{`{"t":1}`, `{"t":2}`, ""}; !slices.Equal(got, want) {
		t.Fatalf("connections with payloads %q, want %q", got, want)
	}
	server.event(t, 1, event2)
	server.event(t, 0, event1)
	if got := nextBody(t, first); got != printed1 {
		t.Errorf("first: %s", got)
	}
	if got := nextBody(t, second); got != printed2 {
		t.Errorf("second: %s", got)
	}
	first.Close()
	if got := within(t, server.ended); got != "1" {
		t.Errorf("ended %q, want the first operation alone", got)
	}
	server.event(t, 1, event1)
	if got := nextBody(t, second); got != printed1 {
		t.Errorf("the other one of the connection: %s", got)
	}
	second.Close()
	if got := []string{within(t, server.ended), within(t, server.ended)}; !slices.Equal(got, []string{"2", "gone"}) {
		t.Errorf("ended %q, want the second operation, then the connection", got)
	}
}

// TestSharedSubscription: equal subscriptions of one caller are one for the subgraph.
func TestSharedSubscription(t *testing.T) {
	server := newSocketServer()
	e, _ := live(t, server.ServeHTTP, Subscription{Protocol: WebSocket, Share: true}, nil)
	first := server.start(t, e, &Request{Plan: subscriptionPlan(), Caller: "x"}, true)
	second := server.start(t, e, &Request{Plan: subscriptionPlan(), Caller: "x"}, false)
	other := server.start(t, e, &Request{Plan: subscriptionPlan(), Caller: "y"}, true)
	// the second has joined when it is counted
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		e.broadcasts.mu.Lock()
		joined := slices.ContainsFunc(slices.Collect(maps.Values(e.broadcasts.open)), func(b *broadcast) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.feeds) == 2
		})
		e.broadcasts.mu.Unlock()
		if joined {
			break
		}
	}
	server.event(t, 0, event1)
	server.event(t, 1, event2)
	for _, s := range []*Stream{first, second} {
		if got := nextBody(t, s); got != printed1 {
			t.Errorf("shared: %s", got)
		}
	}
	if got := nextBody(t, other); got != printed2 {
		t.Errorf("of another caller: %s", got)
	}
	first.Close()
	server.event(t, 0, event2)
	if got := nextBody(t, second); got != printed2 {
		t.Errorf("after one has left: %s", got)
	}
	second.Close()
	if got := within(t, server.ended); got != "1" {
		t.Errorf("ended %q, want the shared one when its last reader leaves", got)
	}
}

// TestSilentEventStream: a stream that brings nothing is given up, one with comments is not.
func TestSilentEventStream(t *testing.T) {
	const silence = 1500 * time.Millisecond
	for comments, want := range map[bool][]string{
		false: {printed1, interruptedText("Subgraph 'a' sent nothing for 1.5s.")},
		true:  {printed1, printed2},
	} {
		e, _ := live(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			say := func(text string) {
				io.WriteString(w, text)
				http.NewResponseController(w).Flush()
			}
			say("event: next\ndata: " + event1 + "\n\n")
			if !comments {
				<-r.Context().Done()
				return
			}
			tick := time.NewTicker(silence / 10)
			defer tick.Stop()
			for range 15 {
				<-tick.C
				say(":\n\n")
			}
			say("event: next\ndata: " + event2 + "\n\nevent: complete\n\n")
		}, Subscription{Protocol: SSE, Silence: silence}, nil)
		if got := payloads(t, e, &Request{Plan: subscriptionPlan()}); !slices.Equal(got, want) {
			t.Errorf("with comments %t: got\n%s\nwant\n%s", comments, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
