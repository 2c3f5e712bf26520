package exec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// subprotocol is GraphQL over WebSocket (graphql-transport-ws).
const subprotocol = "graphql-transport-ws"

// closeTime is how long a peer may take to answer a close frame.
const closeTime = 250 * time.Millisecond

// mostPerSocket is how many subscriptions share one WebSocket; servers bound them too.
const mostPerSocket = 100

// socket is a WebSocket to a subgraph, with subscriptions of one identity: equal callers with equal headers and an
// equal payload of connection_init. One goroutine of the executor, run, connects and reads.
type socket struct {
	e    *Executor
	sub  *subgraph
	key  string
	conn *websocket.Conn // set before ready is closed
	stop context.CancelFunc
	wg   sync.WaitGroup // the pinging goroutine
	tree tree           // of the message being read

	ready chan struct{} // closed when subscriptions may begin
	over  chan struct{} // closed when nothing more comes
	why   error         // valid when over is closed

	mu    sync.Mutex
	feeds map[string]*feed // by operation id; guarded by mu
	last  int              // operation id given last; guarded by mu
	users int              // guarded by sockets.mu
}

// sockets are the WebSockets that subscriptions may join, by identity.
type sockets struct {
	mu   sync.Mutex
	open map[string][]*socket
}

// openWebSocket subscribes over a connection of the same identity, made if there is none.
func (e *Executor) openWebSocket(ctx context.Context, m *message, observed http.Header) (source, error) {
	c := e.join(m, observed)
	if c == nil {
		return nil, ErrClosed
	}
	select {
	case <-c.ready:
		f, err := c.subscribe(ctx, m)
		if err == nil {
			return f, nil
		}
		c.leave()
		return nil, err
	case <-c.over:
		c.leave()
		return nil, c.why
	case <-ctx.Done():
		c.leave()
		return nil, ctx.Err()
	}
}

// join returns a socket that the message's identity may use, and counts its user; nil if the executor is closed.
func (e *Executor) join(m *message, observed http.Header) *socket {
	key := m.identity()
	e.sockets.mu.Lock()
	defer e.sockets.mu.Unlock()
	for _, c := range e.sockets.open[key] {
		select {
		case <-c.over:
			continue
		default:
		}
		if c.users < mostPerSocket {
			c.users++
			return c
		}
	}
	c := &socket{
		e: e, sub: m.sub, key: key, users: 1, feeds: map[string]*feed{},
		ready: make(chan struct{}), over: make(chan struct{}),
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(e.done)
	opening := *m
	if !e.spawn(func() { c.run(ctx, &opening, observed) }) {
		c.stop()
		return nil
	}
	e.sockets.open[key] = append(e.sockets.open[key], c)
	return c
}

// leave is for a user of the socket that needs it no longer. The last one closes it.
func (c *socket) leave() {
	c.e.sockets.mu.Lock()
	defer c.e.sockets.mu.Unlock()
	c.users--
	if c.users > 0 {
		return
	}
	c.e.sockets.forget(c)
	c.stop()
}

// forget takes a socket out of those that may be joined. The caller holds mu.
func (s *sockets) forget(c *socket) {
	s.open[c.key] = slices.DeleteFunc(s.open[c.key], func(o *socket) bool { return o == c })
	if len(s.open[c.key]) == 0 {
		delete(s.open, c.key)
	}
}

// run connects, reads until the connection or ctx ends, and closes it.
func (c *socket) run(ctx context.Context, m *message, observed http.Header) {
	defer c.stop()
	err := c.connect(ctx, m, observed)
	if err == nil {
		pinging, cancel := context.WithCancel(ctx)
		c.wg.Go(func() { c.ping(pinging) })
		close(c.ready)
		err = c.receive(ctx)
		cancel()
	}
	c.why = err
	close(c.over)
	c.e.sockets.mu.Lock()
	c.e.sockets.forget(c)
	c.e.sockets.mu.Unlock()
	if c.conn != nil {
		late := time.AfterFunc(closeTime, func() { c.conn.CloseNow() }) //nolint:errcheck,gosec // it may be closed already
		c.conn.Close(websocket.StatusNormalClosure, "")                 //nolint:errcheck,gosec // as above
		late.Stop()
		c.conn.CloseNow() //nolint:errcheck,gosec // as above
	}
	c.wg.Wait()
}

// connect connects and waits for the acknowledgement.
func (c *socket) connect(ctx context.Context, m *message, observed http.Header) error {
	within, cancel := context.WithTimeout(ctx, m.sub.Timeout)
	defer cancel()
	u := m.sub.url
	if m.sub.events != nil {
		u = m.sub.events
	}
	//nolint:bodyclose // there is no body after a handshake
	conn, resp, err := websocket.Dial(within, u.String(),
		&websocket.DialOptions{
			HTTPClient:   &http.Client{Transport: m.sub.upgrade},
			HTTPHeader:   m.handshake(observed),
			Host:         m.sub.host,
			Subprotocols: []string{subprotocol},
		})
	if err != nil {
		return m.sub.dialError(within, resp, err)
	}
	c.conn = conn
	if conn.Subprotocol() != subprotocol {
		return &sourceError{
			fetchError: fetchError{
				code: CodeMalformed,
				text: "Subgraph '" + m.sub.name + "' does not speak " + subprotocol + ".",
			},
		}
	}
	conn.SetReadLimit(int64(m.sub.MaxResponseBytes))
	return c.begin(within, m)
}

// subscribe starts the message's operation.
func (c *socket) subscribe(ctx context.Context, m *message) (*feed, error) {
	c.mu.Lock()
	c.last++
	id := strconv.Itoa(c.last)
	f := newFeed(c.over, func() error { return c.why })
	f.leave = func() {
		c.mu.Lock()
		_, runs := c.feeds[id]
		delete(c.feeds, id)
		c.mu.Unlock()
		if runs {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			// a connection that is gone need not be told
			_ = c.conn.Write(ctx, websocket.MessageText, []byte(`{"id":"`+id+`","type":"complete"}`))
		}
		c.leave()
	}
	c.feeds[id] = f
	c.mu.Unlock()
	msg := append([]byte(`{"id":"`+id+`","type":"subscribe","payload":`), m.body...)
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.sub.Timeout) // a write that is cut ends the socket
	defer cancel()
	if err := c.conn.Write(within, websocket.MessageText, append(msg, '}')); err != nil {
		c.mu.Lock()
		delete(c.feeds, id)
		c.mu.Unlock()
		return nil, c.lost(within, err)
	}
	return f, nil
}

// take removes the feed of an operation that has ended.
func (c *socket) take(id string) *feed {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.feeds[id]
	delete(c.feeds, id)
	return f
}

func (c *socket) feed(id string) *feed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.feeds[id]
}

// handshake is the header of the handshake: everything but what belongs to a body.
func (m *message) handshake(observed http.Header) http.Header {
	h := http.Header{"User-Agent": {"catalyst"}}
	for _, from := range [...]http.Header{m.sub.Header, m.header, observed} {
		maps.Copy(h, from)
	}
	h.Del("Content-Type")
	h.Del("Accept-Encoding")
	return h
}

func (s *subgraph) dialError(ctx context.Context, resp *http.Response, err error) *sourceError {
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		return &sourceError{fetchError: *unreadable(s.name, resp.StatusCode, err), lost: resp.StatusCode >= 500}
	}
	return &sourceError{fetchError: *s.transportError(ctx, err), lost: true}
}

// begin initialises the connection.
func (s *socket) begin(ctx context.Context, m *message) error {
	init := []byte(`{"type":"connection_init"}`)
	if m.init != nil {
		init = append(append([]byte(`{"type":"connection_init","payload":`), m.init...), '}')
	}
	if err := s.conn.Write(ctx, websocket.MessageText, init); err != nil {
		return s.lost(ctx, err)
	}
	for {
		kind, _, _, err := s.read(ctx)
		if err != nil {
			return err
		}
		switch kind {
		case "connection_ack":
			return nil
		case "ping":
			if err := s.pong(ctx); err != nil {
				return err
			}
		case "pong":
		default:
			return &sourceError{
				fetchError: fetchError{
					code: CodeMalformed,
					text: fmt.Sprintf("Subgraph '%s' sent %q before connection_ack.", s.sub.name, kind),
				},
				started: true,
			}
		}
	}
}

// read reads a message and returns its type, operation id and payload.
func (s *socket) read(ctx context.Context) (kind, id string, payload []byte, err error) {
	_, text, err := s.conn.Read(ctx)
	if err != nil {
		return "", "", nil, s.lost(ctx, err)
	}
	s.tree.reset(nil, s.e.cfg.MaxValues)
	root, err := s.tree.scan(text)
	if err != nil || s.tree.nodes[root].kind != kindObject ||
		s.tree.nodes[s.tree.field(root, "type", 0)].kind != kindString {
		return "", "", nil, &sourceError{
			fetchError: fetchError{
				code:  CodeMalformed,
				text:  "Subgraph '" + s.sub.name + "' sent a WebSocket message that is not of " + subprotocol + ".",
				cause: err,
			},
			started: true,
		}
	}
	kind, id = s.text(root, "type"), s.text(root, "id")
	if p := s.tree.field(root, "payload", 0); p != 0 {
		payload = s.tree.appendJSON(nil, p)
	}
	if cap(s.tree.nodes) > keepNodes {
		s.tree.nodes = nil
	}
	return kind, id, payload, nil
}

// text is a string of a message, or "".
func (s *socket) text(root uint32, key string) string {
	n := s.tree.field(root, key, 0)
	if s.tree.nodes[n].kind != kindString {
		return ""
	}
	quoted := s.tree.text(n)
	return unquote(quoted[1 : len(quoted)-1])
}

// receive hands what comes to the subscriptions, until the connection or ctx ends.
func (s *socket) receive(ctx context.Context) error {
	for {
		kind, id, payload, err := s.read(ctx)
		if err != nil {
			return err
		}
		switch kind {
		case "next":
			if f := s.feed(id); f != nil {
				b := s.e.newBuffer(len(payload))
				b.b = append(b.b, payload...)
				f.give(ctx, b, nil)
			}
		case "error":
			if f := s.take(id); f != nil {
				f.give(ctx, nil, &sourceError{
					fetchError: fetchError{
						code: CodeDownstream,
						text: "Subgraph '" + s.sub.name + "' ended the subscription with an error.",
					},
					errors:  payload,
					started: true,
				})
			}
		case "complete":
			if f := s.take(id); f != nil {
				f.give(ctx, nil, io.EOF)
			}
		case "ping":
			if err := s.pong(ctx); err != nil {
				return err
			}
		}
	}
}

func (s *socket) pong(ctx context.Context) error {
	if err := s.conn.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`)); err != nil {
		return s.lost(ctx, err)
	}
	return nil
}

// ping pings until ctx ends. Without an answer it closes the connection, so that receive fails.
func (s *socket) ping(ctx context.Context) {
	every := cmp.Or(s.sub.Subscription.Ping, 20*time.Second)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		within, cancel := context.WithTimeout(ctx, every)
		err := s.conn.Ping(within)
		cancel()
		if err != nil {
			s.conn.CloseNow() //nolint:errcheck,gosec // it is lost
			return
		}
	}
}

// lost makes an error of a read or write that failed. The close codes 4400 to 4499 are the protocol's for what the
// client has done wrong, and asking again would not help.
func (s *socket) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	e := interrupted(s.sub.name, err)
	var closed websocket.CloseError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.fetchError = *contextError(ctx, s.sub.name)
	case errors.Is(err, websocket.ErrMessageTooBig):
		e.fetchError, e.lost = fetchError{
			code:  CodeTooLarge,
			text:  "An event of subgraph '" + s.sub.name + "' is too large.",
			cause: err,
		}, false
	case errors.As(err, &closed) && closed.Code >= 4400 && closed.Code < 4500:
		e.text, e.lost = fmt.Sprintf("Subgraph '%s' closed the event stream with code %d.", s.sub.name, closed.Code), false
	}
	return e
}
