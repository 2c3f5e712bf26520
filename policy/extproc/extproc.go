// Package extproc ends requests whose token is not good any more (envoy.service.ext_proc.v3). Package extauthz lets a
// request through once; a stream may then go on for hours. Envoy tells this package of each request that goes on by
// right of a token, keeps a stream open for as long as the request lasts, and ends it when it is told to.
//
//	held := extproc.New(extproc.Config{Tokens: tokens, Log: log})
//	check := extauthz.New(extauthz.Config{Hold: held.Hold, …})
//	held.Register(grpcServer)
//
// Nothing of the request or of the answer comes here but the header extauthz.HoldHeader. A node that is restarted
// forgets which requests are under way: they go on, and Envoy bounds their life (xds.Limits).
package extproc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// Tokens tells how long a token is good.
type Tokens interface {
	// Good returns when a token ends that came over a connection with this certificate (SHA-256; nil without one), or
	// why it is not good. An error that wraps extauthz.ErrUnavailable decides nothing.
	Good(ctx context.Context, raw string, certificate []byte) (until time.Time, err error)
	// Changed returns a channel that is closed when something is revoked.
	Changed() <-chan struct{}
}

// Config is what a Server needs.
type Config struct {
	Tokens Tokens       // required
	Log    *slog.Logger // required
}

// Server holds requests by their tokens.
type Server struct {
	extproc.UnimplementedExternalProcessorServer
	cfg     Config
	waiting *expirable.LRU[string, held] // let through, and Envoy has not said yet that they go on; by decision
}

type held struct {
	raw         string
	certificate []byte
}

// Bounds of what waits: Envoy asks for a request within milliseconds of its decision.
const (
	mostWaiting = 8192
	waitAtMost  = 30 * time.Second
)

// New returns a server that holds nothing yet.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, waiting: expirable.NewLRU[string, held](mostWaiting, nil, waitAtMost)}
}

// Register has a gRPC server serve it.
func (s *Server) Register(srv *grpc.Server) { extproc.RegisterExternalProcessorServer(srv, s) }

// Hold is told of a request that is let through, under its decision.
func (s *Server) Hold(id, raw string, certificate []byte) { s.waiting.Add(id, held{raw, certificate}) }

// Process implements extproc.ExternalProcessorServer for one request.
func (s *Server) Process(stream grpc.BidiStreamingServer[extproc.ProcessingRequest, extproc.ProcessingResponse]) error {
	changed := s.cfg.Tokens.Changed() // before the token is looked at, so that no revocation is missed
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	id := holdID(first.GetRequestHeaders())
	h, known := s.waiting.Get(id)
	s.waiting.Remove(id)
	if !known { // the node was restarted in between: the caller may try again
		return end(stream, typev3.StatusCode_ServiceUnavailable, "hold_unknown")
	}
	until, err := s.cfg.Tokens.Good(stream.Context(), h.raw, h.certificate)
	if err != nil {
		return s.ended(stream, id, err)
	}
	if err := stream.Send(goOn()); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- drain(stream) }() // ends with the stream
	err = s.watch(stream.Context(), over, h, until, changed)
	if err == nil || status.Code(err) == codes.Canceled || errors.Is(err, context.Canceled) {
		return nil // the request is over
	}
	return s.ended(stream, id, err)
}

// drain reads what Envoy still says, which is not asked for, until it ends the stream.
func drain(stream extproc.ExternalProcessor_ProcessServer) error {
	for {
		if _, err := stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return status.FromContextError(context.Canceled).Err()
		}
	}
}

// watch returns nil when the request is over, or why its token is not good any more.
func (s *Server) watch(ctx context.Context, over <-chan error, h held, until time.Time, changed <-chan struct{}) error {
	expiry := time.NewTimer(time.Until(until))
	defer expiry.Stop()
	for {
		select {
		case err := <-over:
			return err
		case <-expiry.C:
		case <-changed:
		}
		changed = s.cfg.Tokens.Changed()
		if _, err := s.cfg.Tokens.Good(ctx, h.raw, h.certificate); err != nil && !errors.Is(err, extauthz.ErrUnavailable) {
			return err
		}
		expiry.Reset(max(time.Until(until), time.Second))
	}
}

func (s *Server) ended(stream extproc.ExternalProcessor_ProcessServer, id string, why error) error {
	code := typev3.StatusCode_Unauthorized //nolint:misspell // the API spells it so
	if errors.Is(why, extauthz.ErrUnavailable) {
		code = typev3.StatusCode_ServiceUnavailable
	}
	s.cfg.Log.Info("a request ends with its token", "decision", id, "reason", why)
	return end(stream, code, "token_ended")
}

func holdID(h *extproc.HttpHeaders) string {
	for _, header := range h.GetHeaders().GetHeaders() {
		if header.GetKey() == extauthz.HoldHeader {
			if raw := header.GetRawValue(); len(raw) > 0 {
				return string(raw)
			}
			return header.GetValue()
		}
	}
	return ""
}

// goOn has the request go on, without the header.
func goOn() *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extproc.HeadersResponse{Response: &extproc.CommonResponse{
			HeaderMutation: &extproc.HeaderMutation{RemoveHeaders: []string{extauthz.HoldHeader}},
		}},
	}}
}

// end answers the request, or resets it if the answer has begun. It says no reason to the caller.
func end(stream extproc.ExternalProcessor_ProcessServer, code typev3.StatusCode, details string) error {
	out := &extproc.ImmediateResponse{Status: &typev3.HttpStatus{Code: code}, Details: details}
	if code == typev3.StatusCode_Unauthorized { //nolint:misspell // the API spells it so
		out.Headers = &extproc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{{
			Header: &core.HeaderValue{Key: "www-authenticate", RawValue: []byte(`Bearer error="invalid_token"`)},
		}}}
	}
	return stream.Send(&extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: out,
	}})
}
