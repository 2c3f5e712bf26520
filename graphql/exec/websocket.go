package exec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// subprotocol is GraphQL over WebSocket (graphql-transport-ws).
const subprotocol = "graphql-transport-ws"

// closeTime is how long a peer may take to answer a close frame.
const closeTime = 250 * time.Millisecond

// wsSource is a WebSocket with one subscription.
type wsSource struct {
	e      *Executor
	sub    *subgraph
	conn   *websocket.Conn
	cancel context.CancelFunc
	wg     sync.WaitGroup // the pinging goroutine
	tree   tree           // of the message being read
}

// openWebSocket connects, waits for the acknowledgement and subscribes.
func (e *Executor) openWebSocket(ctx context.Context, m *message, observed http.Header) (source, error) {
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
		return nil, m.sub.dialError(within, resp, err)
	}
	if conn.Subprotocol() != subprotocol {
		conn.CloseNow() //nolint:errcheck,gosec // given up
		return nil, &sourceError{
			fetchError: fetchError{
				code: CodeMalformed,
				text: "Subgraph '" + m.sub.name + "' does not speak " + subprotocol + ".",
			},
		}
	}
	conn.SetReadLimit(int64(m.sub.MaxResponseBytes))
	s := &wsSource{e: e, sub: m.sub, conn: conn}
	if err := s.begin(within, m); err != nil {
		conn.CloseNow() //nolint:errcheck,gosec // given up
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.wg.Go(func() { s.ping(ctx) })
	return s, nil
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

// begin initialises the connection and subscribes.
func (s *wsSource) begin(ctx context.Context, m *message) error {
	init := []byte(`{"type":"connection_init"}`)
	if s.sub.Subscription.Init != nil {
		if payload := s.sub.Subscription.Init(m.header); payload != nil {
			init = append(append([]byte(`{"type":"connection_init","payload":`), payload...), '}')
		}
	}
	if err := s.conn.Write(ctx, websocket.MessageText, init); err != nil {
		return s.lost(ctx, err)
	}
	for {
		kind, _, err := s.read(ctx)
		if err != nil {
			return err
		}
		switch kind {
		case "connection_ack":
			msg := append([]byte(`{"id":"1","type":"subscribe","payload":`), m.body...)
			if err := s.conn.Write(ctx, websocket.MessageText, append(msg, '}')); err != nil {
				return s.lost(ctx, err)
			}
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

// read reads a message and returns its type and payload.
func (s *wsSource) read(ctx context.Context) (kind string, payload []byte, err error) {
	_, text, err := s.conn.Read(ctx)
	if err != nil {
		return "", nil, s.lost(ctx, err)
	}
	s.tree.reset(nil, s.e.cfg.MaxValues)
	root, err := s.tree.scan(text)
	if err != nil || s.tree.nodes[root].kind != kindObject ||
		s.tree.nodes[s.tree.field(root, "type", 0)].kind != kindString {
		return "", nil, &sourceError{
			fetchError: fetchError{
				code:  CodeMalformed,
				text:  "Subgraph '" + s.sub.name + "' sent a WebSocket message that is not of " + subprotocol + ".",
				cause: err,
			},
			started: true,
		}
	}
	quoted := s.tree.text(s.tree.field(root, "type", 0))
	kind = unquote(quoted[1 : len(quoted)-1])
	if p := s.tree.field(root, "payload", 0); p != 0 {
		payload = s.tree.appendJSON(nil, p)
	}
	if cap(s.tree.nodes) > keepNodes {
		s.tree.nodes = nil
	}
	return kind, payload, nil
}

func (s *wsSource) receive(ctx context.Context) (*buffer, error) {
	for {
		kind, payload, err := s.read(ctx)
		if err != nil {
			return nil, err
		}
		switch kind {
		case "next":
			b := s.e.newBuffer(len(payload))
			b.b = append(b.b, payload...)
			return b, nil
		case "error":
			return nil, &sourceError{
				fetchError: fetchError{
					code: CodeDownstream,
					text: "Subgraph '" + s.sub.name + "' ended the subscription with an error.",
				},
				errors:  payload,
				started: true,
			}
		case "complete":
			return nil, io.EOF
		case "ping":
			if err := s.pong(ctx); err != nil {
				return nil, err
			}
		}
	}
}

func (s *wsSource) pong(ctx context.Context) error {
	if err := s.conn.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`)); err != nil {
		return s.lost(ctx, err)
	}
	return nil
}

// ping pings until ctx ends. Without an answer it closes the connection, so that receive fails.
func (s *wsSource) ping(ctx context.Context) {
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
func (s *wsSource) lost(ctx context.Context, err error) error {
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

// close ends the subscription and the connection.
func (s *wsSource) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, []byte(`{"id":"1","type":"complete"}`)) == nil {
		late := time.AfterFunc(closeTime, func() { s.conn.CloseNow() }) //nolint:errcheck,gosec // it may be closed already
		s.conn.Close(websocket.StatusNormalClosure, "")                 //nolint:errcheck,gosec // as above
		late.Stop()
	}
	s.conn.CloseNow() //nolint:errcheck,gosec // as above
	s.cancel()
	s.wg.Wait()
}
