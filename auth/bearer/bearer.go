// Package bearer is for services that take Catalyst tokens: a handler around an http.Handler, interceptors for a gRPC
// server, the issuer's keys as they change, and what it revoked.
//
//	jwks := secret.NewURL("https://auth.acme.example:7480/.well-known/jwks.json")
//	keys, _ := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: jwks})
//	feed := bearer.NewFeed(bearer.FeedConfig{URL: "https://auth.acme.example:7480/v1/revocations", Issuer: issuer, …})
//	guard, _ := bearer.NewGuard(bearer.Config{Verifier: verifier, Revocations: feed.Set()})
//	go keys.Run(ctx); go feed.Run(ctx)
//	http.Handle("/", guard.Handler(mux))            // bearer.Claims(r.Context()) says who asks
//
// A request goes on as long as its token is good: when that expires or is revoked, the request's context is
// cancelled, so that an open stream does not outlive the right to it. The example of this package runs.
package bearer

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/auth/token"
)

// Changes tells when something is revoked, as revoke.Set does.
type Changes interface {
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// Revocations are asked about every token, and tell when they change. revoke.Set and revoke.Book are some.
type Revocations interface {
	token.Revocations
	Changes
}

// Config is what a Guard is made of.
type Config struct {
	Verifier *token.Verifier // required
	// Revocations are those that the verifier asks; required.
	Revocations Changes
	// Allow decides what the claims allow; nil allows every valid token. An error is answered with 403 and is not shown.
	Allow func(ctx context.Context, c *token.Claims) error
	// Refused is told why a request was refused, for a log; nil for nobody. It must not keep or print the request's
	// headers.
	Refused func(ctx context.Context, err error)
}

// Guard lets callers with a good token through.
type Guard struct {
	cfg      Config
	handlers sync.WaitGroup // of streams
}

// NewGuard returns a guard.
func NewGuard(cfg Config) (*Guard, error) {
	if cfg.Verifier == nil || cfg.Revocations == nil {
		return nil, errors.New("a guard wants a verifier and its revocations")
	}
	if cfg.Refused == nil {
		cfg.Refused = func(context.Context, error) {}
	}
	return &Guard{cfg: cfg}, nil
}

type claimsKey struct{}

// Claims returns who asks; nil outside of a guard.
func Claims(ctx context.Context) *token.Claims {
	c, _ := ctx.Value(claimsKey{}).(*token.Claims)
	return c
}

// errForbidden is what Allow said no to.
type errForbidden struct{ error }

// hold verifies a token, and returns a context that ends when it is not good any more. stop has to be called.
func (g *Guard) hold(
	ctx context.Context, raw string, cert token.Thumbprint,
) (held context.Context, stop func(), err error) {
	changed := g.cfg.Revocations.Changed() // before the verification, so that none is missed
	c, err := g.cfg.Verifier.Verify(ctx, raw, cert)
	if err != nil {
		return nil, nil, err
	}
	if g.cfg.Allow != nil {
		if err := g.cfg.Allow(ctx, c); err != nil {
			return nil, nil, errForbidden{err}
		}
	}
	held, cancel := context.WithCancelCause(context.WithValue(ctx, claimsKey{}, c))
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.watch(held, cancel, changed, raw, cert, c.Expires)
	}()
	return held, func() { cancel(nil); <-done }, nil
}

// watch looks at the token again whenever something is revoked, and when it expires.
func (g *Guard) watch(
	ctx context.Context, cancel context.CancelCauseFunc, changed <-chan struct{}, raw string, cert token.Thumbprint,
	expires time.Time,
) {
	if err := Watch(ctx, g.cfg.Verifier, g.cfg.Revocations, changed, raw, cert, expires); err != nil {
		if ctx.Err() == nil {
			g.cfg.Refused(ctx, err)
		}
		cancel(err)
	}
}

// Watch returns why a token that was good is not any more, or nil when ctx ends. It looks at the token whenever
// something is revoked, and when it expires; zero leaves that to the caller. Changed is what revoked.Changed returned
// before the token was verified, so that no change is missed.
func Watch(
	ctx context.Context, v *token.Verifier, revoked Changes, changed <-chan struct{}, raw string, cert token.Thumbprint,
	expires time.Time,
) error {
	var expired <-chan time.Time
	var end *time.Timer
	if !expires.IsZero() {
		end = time.NewTimer(time.Until(expires))
		defer end.Stop()
		expired = end.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expired:
		case <-changed:
		}
		changed = revoked.Changed()
		if _, err := v.Verify(ctx, raw, cert); err != nil && !errors.Is(err, token.ErrUnavailable) {
			return err
		}
		if end != nil {
			end.Reset(max(time.Until(expires), time.Second))
		}
	}
}

// Handler lets requests with a good token through to next, with the claims in their context. Others get 401 or 403,
// or 503 while tokens cannot be verified, and never the reason (RFC 6750 §3).
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := bearerOf(r.Header.Values("Authorization"))
		if err != nil {
			g.cfg.Refused(r.Context(), err)
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "want a bearer token", http.StatusUnauthorized)
			return
		}
		ctx, stop, err := g.hold(r.Context(), raw, ofConnection(r.TLS))
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	g.cfg.Refused(r.Context(), err)
	forbidden := errForbidden{}
	switch {
	case errors.As(err, &forbidden):
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		http.Error(w, "the token does not allow this", http.StatusForbidden)
	case errors.Is(err, token.ErrUnavailable), token.ReasonOf(err) == token.Stale:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "tokens cannot be verified at the moment", http.StatusServiceUnavailable)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "the bearer token is not valid", http.StatusUnauthorized)
	}
}

// bearerOf takes the token out of the Authorization header: exactly one, with the scheme Bearer and one space.
func bearerOf(values []string) (string, error) {
	if len(values) != 1 {
		return "", errors.New("want exactly one Authorization header")
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" || strings.ContainsAny(raw, " ,") {
		return "", errors.New("the Authorization header must be one bearer token")
	}
	return raw, nil
}

// ofConnection is the thumbprint of the certificate that the caller proved the key of in TLS. A header never counts.
func ofConnection(state *tls.ConnectionState) token.Thumbprint {
	if state == nil || len(state.PeerCertificates) == 0 {
		return token.Thumbprint{}
	}
	return token.ThumbprintOf(state.PeerCertificates[0])
}

// Unary is the interceptor of unary calls.
func (g *Guard) Unary(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, stop, err := g.call(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	return next(ctx, in)
}

// Stream is the interceptor of streams.
func (g *Guard) Stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, stop, err := g.call(s.Context())
	if err != nil {
		return err
	}
	defer stop()
	ended := make(chan error, 1)
	// A handler that waits for a message hears of the end of the stream alone, which returning from here makes: Wait
	// waits for it.
	g.handlers.Go(func() { ended <- next(srv, &held{s, ctx}) })
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		if s.Context().Err() != nil {
			return <-ended
		}
		return status.Error(codes.Unauthenticated, "the bearer token is not valid any more")
	}
}

// Wait returns when every handler of a stream has returned, also those whose stream was ended because its token is not
// valid any more. It is for after the server has stopped.
func (g *Guard) Wait() { g.handlers.Wait() }

// held is a stream with another context.
type held struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (h *held) Context() context.Context { return h.ctx }

func (g *Guard) call(ctx context.Context) (context.Context, func(), error) {
	md, _ := metadata.FromIncomingContext(ctx)
	raw, err := bearerOf(md.Get("authorization"))
	if err != nil {
		g.cfg.Refused(ctx, err)
		return nil, nil, status.Error(codes.Unauthenticated, "want a bearer token")
	}
	var state *tls.ConnectionState
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			state = &info.State
		}
	}
	held, stop, err := g.hold(ctx, raw, ofConnection(state))
	if err == nil {
		return held, stop, nil
	}
	g.cfg.Refused(ctx, err)
	forbidden := errForbidden{}
	switch {
	case errors.As(err, &forbidden):
		return nil, nil, status.Error(codes.PermissionDenied, "the token does not allow this")
	case errors.Is(err, token.ErrUnavailable), token.ReasonOf(err) == token.Stale:
		return nil, nil, status.Error(codes.Unavailable, "tokens cannot be verified at the moment")
	}
	return nil, nil, status.Error(codes.Unauthenticated, "the bearer token is not valid")
}
