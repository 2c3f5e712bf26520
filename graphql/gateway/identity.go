package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Principal is who asks, as a Verifier found it.
type Principal struct {
	// Subject and Issuer of the token.
	Subject, Issuer string
	// Scopes it holds.
	Scopes []string
	// Key is the thumbprint of the certificate or key that the token is bound to, or "".
	Key string
	// Expires is when the token does; streams end then. Zero means never.
	Expires time.Time
	// Watch returns an error once the token is not good any more before it expires, for instance since it is revoked, and
	// nil when ctx ends; streams end then. Nil means that this does not happen.
	Watch func(ctx context.Context) error
}

// Verifier verifies bearer tokens. The error is for the log and must not contain the token; ErrUnavailable in it says
// that the token could be neither accepted nor refused.
type Verifier interface {
	// The certificate is the one that the caller's TLS connection was made with, or nil.
	Verify(ctx context.Context, token string, certificate *x509.Certificate) (*Principal, error)
}

// ErrUnavailable says that tokens cannot be verified at the moment.
var ErrUnavailable = errors.New("tokens cannot be verified at the moment") //nolint:gochecknoglobals // a sentinel

// Decider answers @policy.
type Decider interface {
	// Decide returns which of the named policies allow the request of a principal, which is nil for anonymous callers. A
	// policy that is not among them denies. An error denies all.
	Decide(ctx context.Context, p *Principal, policies []string) (map[string]bool, error)
}

// Identity says who may ask.
type Identity struct {
	// Verifier of bearer tokens; nil means that tokens are not looked at and every caller is anonymous.
	Verifier Verifier
	// Required refuses anonymous callers.
	Required bool
	// Decider answers @policy; nil denies all.
	Decider Decider
}

// caller is who sent a request.
type caller struct {
	principal *Principal // nil: anonymous
	scopes    map[string]bool
	// id tells callers apart wherever something is shared: equal ids get equal answers.
	id string
}

// identify verifies the caller of a request by its Authorization header.
func (g *Gateway) identify(ctx context.Context, h http.Header, conn *tls.ConnectionState) (*caller, *failure) {
	cfg := &g.cfg.Identity
	values := h.Values("Authorization")
	if cfg.Verifier == nil {
		// Nobody is authenticated, but a subgraph may look at what is passed on to it: such callers are not mixed.
		return &caller{id: fingerprint(append(values, h.Values("Cookie")...))}, nil
	}
	if len(values) == 0 {
		if cfg.Required {
			return nil, unauthenticated("A bearer token is wanted.", "")
		}
		return &caller{id: anonymous}, nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if token = strings.TrimSpace(token); len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, unauthenticated("The Authorization header must be one bearer token.", "invalid_request")
	}
	p, err := cfg.Verifier.Verify(ctx, token, certificate(conn))
	if errors.Is(err, ErrUnavailable) {
		g.cfg.Log.Error("a token could not be verified", "error", err)
		return nil, refuse(http.StatusServiceUnavailable, CodeUnauthenticated,
			"Tokens cannot be verified at the moment.").with("Retry-After", "5")
	}
	if err != nil {
		g.cfg.Log.Info("a token was refused", "reason", err)
		return nil, unauthenticated("The bearer token is not valid.", "invalid_token")
	}
	c := &caller{
		principal: p,
		scopes:    make(map[string]bool, len(p.Scopes)),
		id:        fingerprint([]string{p.Issuer, p.Subject, p.Key, token}),
	}
	for _, s := range p.Scopes {
		c.scopes[s] = true
	}
	return c, nil
}

func certificate(conn *tls.ConnectionState) *x509.Certificate {
	if conn == nil || len(conn.PeerCertificates) == 0 {
		return nil
	}
	return conn.PeerCertificates[0]
}

// unauthenticated is the answer of RFC 6750 §3.
func unauthenticated(text, reason string) *failure {
	challenge := "Bearer"
	if reason != "" {
		challenge += ` error="` + reason + `"`
	}
	return refuse(http.StatusUnauthorized, CodeUnauthenticated, "%s", text).with("WWW-Authenticate", challenge)
}

// anonymous is the id of callers who show nothing.
const anonymous = "anonymous"

// fingerprint is a hash of who somebody is, so that no token is kept in a key.
func fingerprint(parts []string) string {
	if len(parts) == 0 {
		return anonymous
	}
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// facts are what the plan of an operation depends on.
func (g *Gateway) facts(ctx context.Context, op *plan.Operation, c *caller) plan.Facts {
	f := plan.Facts{Authenticated: c.principal != nil, Scopes: c.scopes}
	if len(op.Policies) == 0 || g.cfg.Identity.Decider == nil {
		return f
	}
	answers, err := g.cfg.Identity.Decider.Decide(ctx, c.principal, op.Policies)
	if err != nil {
		g.cfg.Log.Error("policies could not be asked, and deny", "error", err)
		return f
	}
	f.Policies = answers
	return f
}
