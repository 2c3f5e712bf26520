package api

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/policy"
)

// Believer says whose tokens are believed. tokens.Tokens is one.
type Believer interface {
	Verifier() *token.Verifier
	Changed() <-chan struct{}
	CheckSensitive(c *token.Claims) error
	Bearer(c *token.Claims) *policy.Bearer
}

// Revocations tells which certificates are not believed any more. revoke.Set is one.
type Revocations interface {
	Changed() <-chan struct{}
	CheckCertificate(leaf *x509.Certificate) error
	CheckSensitive(now time.Time) error
}

// RemoteConfig says who may use the operator API from elsewhere.
type RemoteConfig struct {
	Tokens      Believer    // nil: certificates alone
	Revocations Revocations // of this node's organisation; nil if nobody tells them
}

// Remote serves the operator API over TLS (identity.Source.OperatorTLS): callers are who their token says, which may be
// bound to the certificate of their connection, or without a token who that certificate says. What they may do is for
// the policies; whatever changes something wants a proof of a key besides (a token that is bound, or the certificate
// itself) and revocations that are not of a while ago. A request ends when its token or certificate is revoked.
func (a *API) Remote(cfg RemoteConfig) (http.Handler, error) {
	return a.remote(cfg, operator.Handler(a, proven{a.byPolicy(), cfg}, operator.LargestOwn))
}

// remote has callers say who they are before next answers them.
func (a *API) remote(cfg RemoteConfig, next http.Handler) (http.Handler, error) {
	r := &remote{api: a, cfg: cfg, next: next}
	if cfg.Tokens != nil {
		guard, err := bearer.NewGuard(bearer.Config{
			Verifier: cfg.Tokens.Verifier(), Revocations: cfg.Tokens,
			Refused: func(_ context.Context, err error) {
				a.cfg.Log.Info("a token was refused at the operator API", "reason", err)
			},
		})
		if err != nil {
			return nil, err
		}
		r.guarded = guard.Handler(http.HandlerFunc(r.byToken))
	}
	mux := http.NewServeMux()
	mux.Handle("/graphql", r)
	return mux, nil
}

type remote struct {
	api           *API
	cfg           RemoteConfig
	guarded, next http.Handler
}

// ServeHTTP implements http.Handler.
func (r *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch _, shown := req.Header["Authorization"]; {
	case shown && r.guarded != nil:
		r.guarded.ServeHTTP(w, req)
	case shown:
		http.Error(w, "this node looks at no tokens (policy.tokens)", http.StatusUnauthorized)
	default:
		r.byCertificate(w, req)
	}
}

func (r *remote) byToken(w http.ResponseWriter, req *http.Request) {
	who := r.cfg.Tokens.Bearer(bearer.Claims(req.Context()))
	r.next.ServeHTTP(w, req.WithContext(operator.As(req.Context(), *who)))
}

// byCertificate serves whoever shows the certificate of an operator or a node of this organisation.
func (r *remote) byCertificate(w http.ResponseWriter, req *http.Request) {
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "show a certificate of the organisation, or a bearer token", http.StatusUnauthorized)
		return
	}
	leaf := req.TLS.PeerCertificates[0]
	who, err := r.api.bearerOf(leaf)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	ctx, stop := r.whileGood(req.Context(), leaf)
	defer stop()
	r.next.ServeHTTP(w, req.WithContext(operator.As(context.WithValue(ctx, leafKey{}, true), who)))
}

type leafKey struct{} // the caller is who its certificate says

// bearerOf is whom policies take the holder of a certificate for: an operator is an ADMIN, a node a NODE.
func (a *API) bearerOf(leaf *x509.Certificate) (policy.Bearer, error) {
	org := a.cfg.Node.Org
	uri := leaf.URIs[0].String() // exactly one, as the handshake saw to
	b := policy.Bearer{Subject: uri, Organisation: string(org), TrustedDomains: []string{string(org)}}
	if name, ok := ca.ParseOperator(org, uri); ok {
		b.Principal, b.Name, b.Kind = string(token.Admin), name, "user"
		return b, nil
	}
	if n, err := bgp.ParseNodeID(uri); err == nil {
		b.Principal, b.Name, b.Kind = string(token.Node), n.Name, "service"
		return b, nil
	}
	return b, errors.New("the certificate is neither an operator's nor a node's")
}

// whileGood returns a context that ends when a certificate is revoked, or has ended. stop has to be called.
func (r *remote) whileGood(ctx context.Context, leaf *x509.Certificate) (context.Context, func()) {
	ctx, cancel := context.WithDeadline(ctx, leaf.NotAfter)
	if r.cfg.Revocations == nil {
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			changed := r.cfg.Revocations.Changed()
			if r.cfg.Revocations.CheckCertificate(leaf) != nil {
				cancel()
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// proven asks more of whatever changes something than next does.
type proven struct {
	next byPolicy
	cfg  RemoteConfig
}

// Authorize implements operator.Authorizer.
func (p proven) Authorize(ctx context.Context, r operator.Request) error {
	if changes(r.Action) {
		if err := p.prove(ctx); err != nil {
			return p.next.refuse(r, err)
		}
	}
	return p.next.Authorize(ctx, r)
}

// changes tells whether an action changes something: all but reading do.
func changes(action string) bool { return action != "LOGIN" && !strings.HasSuffix(action, "_LIST") }

func (p proven) prove(ctx context.Context) error {
	c := bearer.Claims(ctx)
	switch {
	case c != nil:
		if err := c.CheckBound(); err != nil {
			return err
		}
		return p.cfg.Tokens.CheckSensitive(c)
	case ctx.Value(leafKey{}) == nil:
		return errors.New("nobody has said who calls")
	case p.cfg.Revocations != nil:
		return p.cfg.Revocations.CheckSensitive(time.Now())
	}
	return nil
}
