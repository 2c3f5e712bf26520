package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/token"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
)

// verifier verifies the bearer tokens of the gateway's callers, which gateway.issuer signs with a key of gateway.jwks.
type verifier struct {
	keys    *bearer.RemoteKeys
	tokens  *token.Verifier
	revoked Revocations // nil: nothing ever is
	log     *slog.Logger
}

// Revocations are asked about every token, and tell when they change.
type Revocations interface {
	token.Revocations
	bearer.Changes
}

var _ server.Verifier = (*verifier)(nil)

// verifier returns nil without gateway.jwks. A file that holds no keys is an error; a URL is tried again by Run.
func (g *Gateway) verifier(ctx context.Context, revoked Revocations) (*verifier, error) {
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
		p.Watch = func(ctx context.Context) error { return v.watch(ctx, raw, c.Bound) }
	}
	return p, nil
}

// watch looks at a token again whenever something is revoked, until it is not good any more.
func (v *verifier) watch(ctx context.Context, raw string, certificate token.Thumbprint) error {
	for {
		changed := v.revoked.Changed() // before the verification, so that no change is missed
		if _, err := v.tokens.Verify(ctx, raw, certificate); err != nil && !errors.Is(err, token.ErrUnavailable) &&
			ctx.Err() == nil {
			v.log.Info("streams of a caller end: its token is not good any more", "reason", err)
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
