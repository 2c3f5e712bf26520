package federation

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
)

// Paths of the endpoint.
const (
	BundlePath = "/bundle"     // GET, anybody: the bundle (SPIFFE Federation §5)
	RedeemPath = "/v1/peering" // POST, whoever has an invitation: Redemption → Answer
)

const (
	mostConns  = 64 // of the endpoint at once
	answerTime = 10 * time.Second
	maxBody    = maxInvitation
)

// Own is what an endpoint says of its node's organisation.
type Own interface {
	// Bundle is the organisation's, as it is now.
	Bundle() (*bundle.Bundle, error)
}

// Endpoint serves the bundle of an organisation, and takes redemptions of invitations, on connections that are given
// to it. What a caller may do follows from what he shows in the request, not from the connection: his certificate
// proves no more than that he has its key.
type Endpoint struct {
	book *Book
	own  Own
	log  *slog.Logger
	made func(ctx context.Context, p *Peering) error
	mux  *http.ServeMux

	conns chan net.Conn
	slots chan struct{}
}

// NewEndpoint returns an endpoint. made is told of a peering that was made, before the answer to it goes out.
func NewEndpoint(book *Book, own Own, log *slog.Logger, made func(ctx context.Context, p *Peering) error) *Endpoint {
	e := &Endpoint{
		book: book, own: own, log: log, made: made, mux: http.NewServeMux(),
		conns: make(chan net.Conn), slots: make(chan struct{}, mostConns),
	}
	e.mux.HandleFunc("GET "+BundlePath, e.bundle)
	e.mux.HandleFunc("POST "+RedeemPath, e.redeem)
	return e
}

// Handle adds a path.
func (e *Endpoint) Handle(pattern string, h http.HandlerFunc) { e.mux.HandleFunc(pattern, h) }

// Run serves until ctx ends.
func (e *Endpoint) Run(ctx context.Context) error {
	return Serve(ctx, listener{e, ctx}, e.mux, e.log)
}

// Serve answers questions on a listener until ctx ends, on terms under which nobody holds a connection for longer than
// a question and its answer take.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: http.MaxBytesHandler(h, maxBody), ReadHeaderTimeout: answerTime / 2, ReadTimeout: answerTime,
		WriteTimeout: answerTime, IdleTimeout: answerTime, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(over); _ = srv.Close() })
	err := srv.Serve(l)
	if !stop() {
		<-over
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil //nolint:nilerr // it was told to end
	}
	return err
}

// Take serves a connection whose handshake is done, or closes it if there are too many.
func (e *Endpoint) Take(ctx context.Context, conn *tls.Conn) {
	select {
	case e.slots <- struct{}{}:
	default:
		e.log.Debug("too many connections of the trust endpoint", "from", conn.RemoteAddr().String())
		_ = conn.Close()
		return
	}
	g := &counted{Conn: conn, free: func() { <-e.slots }}
	select {
	case e.conns <- g:
	case <-ctx.Done():
		_ = g.Close()
	}
}

// counted gives its place back when it is closed. It hands on what the handshake came to.
type counted struct {
	*tls.Conn
	once sync.Once
	free func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(c.free)
	return c.Conn.Close()
}

// listener gives the server what Take was given.
type listener struct {
	e   *Endpoint
	ctx context.Context //nolint:containedctx // of Run: net.Listener has no other way
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.e.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l listener) Close() error { return nil }

// Addr implements net.Listener.
func (l listener) Addr() net.Addr { return &net.TCPAddr{} }

func (e *Endpoint) bundle(w http.ResponseWriter, r *http.Request) {
	own, err := e.own.Bundle()
	var doc []byte
	if err == nil {
		doc, err = own.Marshal()
	}
	if err != nil {
		e.log.Error("the bundle cannot be served", "error", err)
		http.Error(w, "the bundle cannot be served just now", http.StatusServiceUnavailable)
		return
	}
	reply(w, r, doc)
}

// redeem takes the redemption of an invitation.
func (e *Endpoint) redeem(w http.ResponseWriter, r *http.Request) {
	var in Redemption
	if !ReadJSON(w, r, &in) {
		return
	}
	own, err := e.own.Bundle()
	if err != nil {
		e.log.Error("an invitation cannot be honoured", "error", err)
		http.Error(w, "not just now: try again", http.StatusServiceUnavailable)
		return
	}
	answer, p, err := e.book.Redeem(r.Context(), &in, Shown(r), own, r.RemoteAddr)
	var bad *Misuse
	switch {
	case errors.As(err, &bad):
		WriteJSON(w, http.StatusForbidden, problem{Kind: bad.Kind, Text: bad.Text})
		return
	case err == nil && p != nil:
		err = e.made(r.Context(), p)
	}
	if err != nil {
		e.log.Error("an invitation cannot be honoured", "error", err)
		http.Error(w, "not just now: try again", http.StatusServiceUnavailable)
		return
	}
	WriteJSON(w, http.StatusOK, answer)
}

// problem is the body of a refusal.
type problem struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	// Handshake is told to whoever shows a certificate that names a neighbour.
	Handshake *Handshake `json:"handshake,omitempty"`
}

// ReadJSON reads the body of a request; false if it is bad, which the caller has been told then.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		WriteJSON(w, http.StatusBadRequest, problem{Kind: "malformed", Text: fmt.Sprintf("the body is no %T", into)})
		return false
	}
	return true
}

// WriteJSON answers a request.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
