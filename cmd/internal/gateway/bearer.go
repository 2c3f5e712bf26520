package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/token"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
)

// verifier verifies the bearer tokens of the gateway's callers, which gateway.issuer signs with a key of gateway.jwks.
type verifier struct {
	keys    *bearer.RemoteKeys
	tokens  *token.Verifier
	revoked bearer.Revocations // nil: nothing ever is
	log     *slog.Logger
}

// verifier returns nil without gateway.jwks. A file that holds no keys is an error; a URL is tried again by Run.
func (g *Gateway) verifier(ctx context.Context, revoked bearer.Revocations) (*verifier, error) {
	source := g.cfg.JWKS
	if source.Reveal() == "" {
		return nil, nil //nolint:nilnil // nobody is asked for a token
	}
	keys, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: source, Log: g.tel.Log})
	if err != nil {
		return nil, fmt.Errorf("gateway.jwks: %w", err)
	}
	if err := keys.Refresh(ctx); err != nil {
		if !keys.Fetched() {
			return nil, fmt.Errorf("gateway.jwks: %s: %w", source, err)
		}
		g.tel.Log.Warn("keys of tokens not had, trying again", "source", source, "error", err)
	}
	var asked token.Revocations = token.NothingRevoked{}
	if revoked != nil {
		asked = revoked
	}
	tokens, err := token.NewVerifier(token.Config{
		Audience: g.cfg.Audience, Revocations: asked,
		Issuers: token.IssuerMap{g.cfg.Issuer: {Name: g.cfg.Issuer, Keys: keys, AnyLife: true, Map: callerOf}},
	})
	if err != nil {
		return nil, fmt.Errorf("gateway.jwks: %w", err)
	}
	return &verifier{keys: keys, tokens: tokens, revoked: revoked, log: g.tel.Log}, nil
}

// callerOf takes the scopes of a token: the text scope (RFC 9068 §2.2.3), and the list scopes that some issuers write.
func callerOf(payload token.Value, c *token.Claims) error {
	c.Principal = token.User
	if v, there := payload.Member("scope"); there {
		s, ok := v.Text()
		if !ok {
			return errors.New("scope is not a text")
		}
		c.Scopes = strings.Fields(s)
	}
	if v, there := payload.Member("scopes"); there {
		all, ok := v.Texts()
		if !ok {
			return errors.New("scopes is not a list of texts")
		}
		c.Scopes = append(c.Scopes, all...)
	}
	return nil
}

// Verify implements server.Verifier.
func (v *verifier) Verify(ctx context.Context, raw string, certificate *x509.Certificate) (*server.Principal, error) {
	var changed <-chan struct{}
	if v.revoked != nil {
		changed = v.revoked.Changed() // before the token is verified, so that no change is missed
	}
	c, err := v.tokens.Verify(ctx, raw, token.ThumbprintOf(certificate))
	switch {
	case errors.Is(err, token.ErrUnavailable), token.ReasonOf(err) == token.Stale:
		return nil, fmt.Errorf("%w: %w", server.ErrUnavailable, err)
	case err != nil:
		return nil, err
	}
	p := &server.Principal{
		Subject: c.Subject, Issuer: c.Issuer, Scopes: c.Scopes, Key: c.Bound.String(), Expires: c.Expires,
	}
	if v.revoked != nil {
		p.Watch = func(ctx context.Context) error { return v.watch(ctx, changed, raw, c.Bound) }
	}
	return p, nil
}

// watch waits until a token is not good any more. When it expires, the server itself sees.
func (v *verifier) watch(ctx context.Context, changed <-chan struct{}, raw string, cert token.Thumbprint) error {
	err := bearer.Watch(ctx, v.tokens, v.revoked, changed, raw, cert, time.Time{})
	if err != nil && ctx.Err() == nil {
		v.log.Info("streams of a caller end: its token is not good any more", "reason", err)
	}
	return err
}
