package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// The subprotocol graphql-transport-ws, and the codes with which it closes
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
const (
	subprotocol = "graphql-transport-ws"

	closeInvalid        websocket.StatusCode = 4400
	closeUnauthorized   websocket.StatusCode = 4401
	closeForbidden      websocket.StatusCode = 4403
	closeNoSubprotocol  websocket.StatusCode = 4406
	closeInitTimeout    websocket.StatusCode = 4408
	closeExists         websocket.StatusCode = 4409
	closeTooManyInits   websocket.StatusCode = 4429
	closeServerShutdown                      = websocket.StatusGoingAway
)

// isWebSocket reports whether a request asks for a WebSocket.
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// socket is one WebSocket of a client.
type socket struct {
	g    *Gateway
	conn *websocket.Conn
	from origin // caller is nil until connection_init
	tls  *tls.ConnectionState

	mu         sync.Mutex
	operations map[string]context.CancelFunc // by id
	running    sync.WaitGroup
}

// message of the protocol, in either direction.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// serveWebSocket serves one connection until it ends.
func (g *Gateway) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(r) && !g.cfg.CORS.allows(origin) {
		g.fail(r.Context(), w, accepted{}, refuse(http.StatusForbidden, CodeCSRF,
			"Pages of the origin %s may not open WebSockets here.", clip(origin)))
		return
	}
	if !g.streams.begin() {
		g.fail(r.Context(), w, accepted{}, refuse(http.StatusServiceUnavailable, CodeOverloaded,
			"Too many streams are open.").with("Retry-After", "5"))
		return
	}
	defer g.streams.end()
	// the origin has been checked
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true,
	})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	if conn.Subprotocol() != subprotocol {
		_ = conn.Close(closeNoSubprotocol, "Subprotocol not acceptable: use "+subprotocol)
		return
	}
	conn.SetReadLimit(g.cfg.MaxBody)
	s := &socket{
		g:          g,
		conn:       conn,
		from:       origin{header: r.Header.Clone()},
		tls:        r.TLS,
		operations: map[string]context.CancelFunc{},
	}
	s.serve(r.Context())
}

// serve runs the connection; when it returns all of its operations have ended.
func (s *socket) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer cancel()
	fail := s.init(ctx)
	if fail == nil {
		var expired context.CancelFunc
		ctx, expired = s.g.lifetime(ctx, s.from.caller)
		defer expired()
		s.running.Go(func() { s.keepAlive(ctx) })
		fail = s.read(ctx)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errShutdown), s.g.done.Err() != nil:
		_ = s.conn.Close(closeServerShutdown, "the gateway is shutting down")
	case errors.Is(cause, errExpired), errors.Is(cause, errWithdrawn):
		_ = s.conn.Close(closeForbidden, "the token has expired")
	case fail != nil && fail.code != 0:
		_ = s.conn.Close(fail.code, fail.reason)
	}
}

// closing is how a connection ends; code 0 means that it is gone already.
type closing struct {
	code   websocket.StatusCode
	reason string
}

// init waits for connection_init and identifies the caller.
func (s *socket) init(ctx context.Context) *closing {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	// A read whose context ends takes the connection with it, and nothing more could be said on it.
	late := time.AfterFunc(s.g.cfg.Streams.InitTimeout,
		func() { _ = s.conn.Close(closeInitTimeout, "Connection initialisation timeout") })
	defer late.Stop()
	stop := context.AfterFunc(s.g.done, cancel)
	defer stop()
	for {
		m, end := s.receive(wait)
		switch {
		case end != nil:
			return end
		case m.Type == "ping":
			s.send(ctx, message{Type: "pong", Payload: m.Payload})
			continue
		case m.Type == "pong":
			continue
		case m.Type == "subscribe":
			return &closing{closeUnauthorized, "Unauthorized"} //nolint:misspell // the protocol.s word
		case m.Type != "connection_init":
			return &closing{closeInvalid, "want connection_init first"}
		}
		headersOf(m.Payload, s.from.header)
		s.from.init = m.Payload
		var fail *failure
		if s.from.caller, fail = s.g.identify(ctx, s.from.header, s.tls); fail != nil {
			s.g.figures.refused(ctx, fail.code())
			return &closing{closeForbidden, "Forbidden: " + fail.errs[0].Message}
		}
		return s.send(ctx, message{Type: "connection_ack"})
	}
}

// headersOf takes headers out of the payload of connection_init, since pages cannot set headers on a WebSocket:
// `authorization`, and the object `headers`.
func headersOf(payload json.RawMessage, into http.Header) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil {
		return
	}
	set := func(name string, raw json.RawMessage) {
		var value string
		if json.Unmarshal(raw, &value) == nil && validHeader(name, value) {
			into.Set(name, value)
		}
	}
	for name, raw := range fields {
		switch strings.ToLower(name) {
		case "authorization":
			set(name, raw)
		case "headers":
			var headers map[string]json.RawMessage
			if json.Unmarshal(raw, &headers) == nil {
				for name, raw := range headers {
					set(name, raw)
				}
			}
		}
	}
}

func validHeader(name, value string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != "" && !strings.ContainsAny(value, "\r\n\x00")
}

// receive reads one message.
func (s *socket) receive(ctx context.Context) (m message, end *closing) {
	kind, data, err := s.conn.Read(ctx)
	if err != nil {
		return m, &closing{}
	}
	if kind != websocket.MessageText {
		return m, &closing{closeInvalid, "Invalid message: want text"}
	}
	if err := json.Unmarshal(data, &m); err != nil || m.Type == "" {
		return m, &closing{closeInvalid, "Invalid message: want a JSON object with a type"}
	}
	return m, nil
}

// read handles messages until the connection is to end.
func (s *socket) read(ctx context.Context) *closing {
	for {
		m, end := s.receive(ctx)
		if end != nil {
			return end
		}
		switch m.Type {
		case "ping":
			end = s.send(ctx, message{Type: "pong", Payload: m.Payload})
		case "pong":
		case "connection_init":
			return &closing{closeTooManyInits, "Too many initialisation requests"}
		case "subscribe":
			end = s.subscribe(ctx, m)
		case "complete":
			s.mu.Lock()
			if cancel := s.operations[m.ID]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
		default:
			return &closing{closeInvalid, "Invalid message: unknown type"}
		}
		if end != nil {
			return end
		}
	}
}

// subscribe starts an operation of any kind.
func (s *socket) subscribe(ctx context.Context, m message) *closing {
	if m.ID == "" || m.Payload == nil {
		return &closing{closeInvalid, "Invalid message: subscribe wants an id and a payload"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.operations[m.ID]; ok {
		return &closing{closeExists, "Subscriber for " + clip(m.ID) + " already exists"}
	}
	if len(s.operations) >= s.g.cfg.Streams.MaxPerConnection || !s.g.streams.begin() {
		return s.fail(ctx, m.ID, refuse(http.StatusServiceUnavailable, CodeOverloaded, "Too many operations are running."))
	}
	ctx, cancel := context.WithCancel(ctx)
	s.operations[m.ID] = cancel
	s.running.Go(func() {
		defer s.g.streams.end()
		defer cancel()
		s.run(ctx, m)
	})
	return nil
}

// run executes an operation and sends what it gives.
func (s *socket) run(ctx context.Context, m message) {
	fail := s.guarded(ctx, m)
	s.mu.Lock()
	delete(s.operations, m.ID)
	s.mu.Unlock()
	switch {
	case ctx.Err() != nil: // the client has completed it, or everything ends
	case fail != nil:
		s.fail(ctx, m.ID, fail)
	default:
		s.send(ctx, message{ID: m.ID, Type: "complete"})
	}
}

// guarded is execute; a panic costs this operation alone.
func (s *socket) guarded(ctx context.Context, m message) (fail *failure) {
	defer func() {
		if v := recover(); v != nil {
			fail = s.g.recovered(v)
		}
	}()
	return s.execute(ctx, m)
}

func (s *socket) execute(ctx context.Context, m message) *failure {
	p, fail := decodeOne(m.Payload)
	if fail != nil {
		return fail
	}
	o, fail := s.g.prepare(ctx, &p, s.from)
	if fail != nil {
		return fail
	}
	defer o.release()
	next := func(body []byte) error {
		if end := s.send(ctx, message{ID: m.ID, Type: "next", Payload: body}); end != nil {
			return errors.New("the connection is gone")
		}
		return nil
	}
	if o.op.Kind != plan.Subscribe && !o.streams() {
		res := o.execute(ctx)
		defer res.Release()
		_ = next(res.Body) // nobody is there to be told
		return nil
	}
	if err := o.each(ctx, next); err != nil && ctx.Err() == nil {
		return lastWords(ctx, err)
	}
	return nil
}

func (s *socket) fail(ctx context.Context, id string, f *failure) *closing {
	s.g.figures.refused(ctx, f.code())
	payload, err := json.Marshal(f.errs)
	if err != nil {
		payload = []byte(`[{"message":"internal error"}]`)
	}
	return s.send(ctx, message{ID: id, Type: "error", Payload: payload})
}

// send writes one message. A client that does not take it in time loses the connection.
func (s *socket) send(ctx context.Context, m message) *closing {
	data, err := json.Marshal(m)
	if err != nil {
		return &closing{websocket.StatusInternalError, "internal error"}
	}
	ctx, cancel := context.WithTimeout(ctx, s.g.cfg.Streams.WriteTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return &closing{}
	}
	return nil
}

// keepAlive pings the client; one that does not answer before the next ping is given up.
func (s *socket) keepAlive(ctx context.Context) {
	every := s.g.cfg.Streams.Ping
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wait, cancel := context.WithTimeout(ctx, every)
		err := s.conn.Ping(wait)
		cancel()
		if err != nil && ctx.Err() == nil {
			_ = s.conn.CloseNow()
			return
		}
	}
}
