package ads

import (
	"context"
	"crypto/tls"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/xds"
)

// stream is one Envoy's connection. All but signal is guarded by the server's mu.
type stream struct {
	s           *Server
	node        string
	certified   string // what its certificate names; "" on a Unix socket
	secret      []byte // what it is sent in place of the node's certificate and key; nil on a Unix socket
	ctx         context.Context
	cancel      context.CancelCauseFunc // of ctx
	ended       bool                    // it has lost its place
	since       time.Time
	signal      chan struct{}
	subs        map[string]*subscription // by type
	pending     map[string]*queue        // by type
	outstanding map[string]*response     // by nonce
	nonce       uint64
	groups      []group                     // to be sent in responses of their own
	waiting     map[string]map[xds.Ref]bool // by what the Envoy has to have first
	held        map[string]bool             // types of which something waits for an answer, as state of the world
	bytes       int
	lingering   lingering
	removeAfter time.Time // until when removals wait for acknowledgements; zero if none wait
}

// Caller is the Envoy whose certificate a call was made with, by its node id, or "" for one on the Unix socket; an
// error tells why it may not call. It is for services of Config.Register.
func (s *Server) Caller(ctx context.Context) (string, error) {
	if state, ok := overTLS(ctx); ok {
		p, _ := peer.FromContext(ctx)
		return s.places.admit(state, p.Addr.String())
	}
	return "", nil
}

// overTLS is the TLS connection that a call came over; false for a Unix socket.
func overTLS(ctx context.Context) (tls.ConnectionState, bool) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			return info.State, true
		}
	}
	return tls.ConnectionState{}, false
}

// newStream begins a stream, whose client may have a certificate.
func newStream(ctx context.Context, s *Server) (*stream, error) {
	certified, err := s.Caller(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &stream{
		s: s, ctx: ctx, cancel: cancel, certified: certified, since: time.Now(), signal: make(chan struct{}, 1),
		subs: map[string]*subscription{}, pending: map[string]*queue{},
		outstanding: map[string]*response{}, held: map[string]bool{}, waiting: map[string]map[xds.Ref]bool{},
	}, nil
}

// changed notes that a resource may have to be sent.
func (st *stream) changed(ref xds.Ref) {
	if st.subs[ref.Type] == nil {
		return // the subscription begins with everything
	}
	if st.pending[ref.Type] == nil {
		st.pending[ref.Type] = newQueue()
	}
	st.pending[ref.Type].add(ref.Name)
}

// end has the goroutine that serves it end it. Its place is free at once.
func (st *stream) end() {
	st.ended = true
	st.cancel(status.Error(codes.ResourceExhausted, "a newer connection with this certificate took its place"))
}

// why is the error of a stream whose context has ended: nil if its Envoy went, or the server ends.
func (st *stream) why() error {
	if cause := context.Cause(st.ctx); status.Code(cause) == codes.ResourceExhausted {
		return cause
	}
	return nil
}

func (st *stream) poke() {
	select {
	case st.signal <- struct{}{}:
	default:
	}
}
