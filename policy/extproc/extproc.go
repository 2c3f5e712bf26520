// Package extproc ends requests whose right has ended (envoy.service.ext_proc.v3). Package extauthz lets a request
// through once; a stream may then go on for hours. Envoy tells this package of each request that lasts, keeps a stream
// open for as long as the request does, and ends the request when it is told to: when its token is revoked or expires,
// and when the policies in force do not permit it any more.
//
//	check := extauthz.New(extauthz.Config{Hold: true, …})
//	watch := extproc.New(extproc.Config{Judge: check, Policies: engine.Changed, Log: log})
//	watch.Register(grpcServer)
//
// Which requests last, Envoy finds by their answers: one whose length is not known, or is large. Those that may last
// before they are answered (connections, gRPC streams, uploads of unknown length) it tells of at their beginning, by
// extauthz.HoldHeader. Nothing else of request or answer comes here: what the request was let through by, Envoy
// kept (extauthz.Held). A node that is restarted forgets which requests are under way: they go on.
package extproc

import (
	"context"
	"log/slog"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/envoy/lasting"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// Judge decides anew. extauthz.Server is one.
type Judge interface {
	// Again tells how it stands now with a request that was let through.
	Again(ctx context.Context, h extauthz.Held) extauthz.Standing
}

// Config is what a Server needs.
type Config struct {
	Judge Judge        // required
	Log   *slog.Logger // required
	// Policies and Tokens return a channel that is closed when others are in force, and when something is revoked; nil
	// for never.
	Policies, Tokens func() <-chan struct{}
}

// Server watches requests that last.
type Server struct {
	extproc.UnimplementedExternalProcessorServer
	cfg Config
}

// New returns a server that watches nothing yet.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Register has a gRPC server serve it.
func (s *Server) Register(srv *grpc.Server) { extproc.RegisterExternalProcessorServer(srv, s) }

// changes are the channels that tell when to decide anew.
type changes struct{ policies, tokens <-chan struct{} }

func (s *Server) changes() (c changes) {
	if s.cfg.Policies != nil {
		c.policies = s.cfg.Policies()
	}
	if s.cfg.Tokens != nil {
		c.tokens = s.cfg.Tokens()
	}
	return c
}

// Process implements extproc.ExternalProcessorServer for one request.
func (s *Server) Process(stream lasting.Stream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h, held, err := extauthz.HeldIn(first.GetMetadataContext())
	if err != nil {
		s.cfg.Log.Error("a request that lasts cannot be watched", "error", err)
		return end(stream, typev3.StatusCode_ServiceUnavailable, "hold_unknown", "")
	}
	c := s.changes() // before it is decided, so that no change is missed
	var standing extauthz.Standing
	if held {
		if standing = s.cfg.Judge.Again(stream.Context(), h); !standing.Good {
			return s.ended(stream, h, standing)
		}
	}
	if err := stream.Send(lasting.GoOn(first, extauthz.HoldHeader)); err != nil || !held {
		return err
	}
	return s.watch(stream, lasting.Receive(stream), h, standing.Until, c)
}

// watch returns when the request is over, or has been ended.
func (s *Server) watch(stream lasting.Stream, more <-chan *extproc.ProcessingRequest, h extauthz.Held, until time.Time,
	c changes) error {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		if !until.IsZero() {
			clock.Reset(max(time.Until(until), 0))
		}
		select {
		case m, ok := <-more:
			if !ok {
				return nil
			}
			if err := stream.Send(lasting.GoOn(m, extauthz.HoldHeader)); err != nil {
				return err
			}
			continue
		case <-clock.C:
		case <-c.policies:
		case <-c.tokens:
		}
		c = s.changes()
		st := s.cfg.Judge.Again(stream.Context(), h)
		if stream.Context().Err() != nil {
			return nil // the request was over before it was decided
		}
		if !st.Good {
			return s.ended(stream, h, st)
		}
		until = st.Until
	}
}

func (s *Server) ended(stream lasting.Stream, h extauthz.Held, st extauthz.Standing) error {
	code, details := typev3.StatusCode_Forbidden, "policy_ended"
	if st.Token {
		code, details = typev3.StatusCode_Unauthorized, "token_ended" //nolint:misspell // the API spells it so
	}
	s.cfg.Log.Info("a request ends with its right", "decision", st.Record.ID, "let-through-by", h.ID, "service",
		h.Call.Service, "policies", st.Record.Decision.Policies, "errors", st.Record.Decision.Errors)
	return end(stream, code, details, st.Record.ID)
}

// end answers the request, or resets it if the answer has begun. It says no reason to the caller, but an id by which
// the operator finds it.
func end(stream lasting.Stream, code typev3.StatusCode, details, decision string) error {
	out := &extproc.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: code}, Details: details, Headers: &extproc.HeaderMutation{},
	}
	set := func(name, value string) {
		out.Headers.SetHeaders = append(out.Headers.SetHeaders, &core.HeaderValueOption{
			Header: &core.HeaderValue{Key: name, RawValue: []byte(value)},
		})
	}
	if decision != "" {
		set(extauthz.DecisionHeader, decision)
	}
	if code == typev3.StatusCode_Unauthorized { //nolint:misspell // the API spells it so
		set("www-authenticate", `Bearer error="invalid_token"`)
	}
	return lasting.End(stream, out)
}
