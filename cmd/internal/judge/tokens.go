package judge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// Verifier is what verifies tokens. token.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, raw string, certificate token.Thumbprint) (*token.Claims, error)
}

// Tokens has the tokens of calls verified, and makes principals of what they say.
type Tokens struct {
	Verifier     Verifier
	Organisation string // whose tokens they are
}

var _ extauthz.Tokens = Tokens{}

// TokensOf returns what verifies tokens of one issuer by the keys in a file (JWKS, RFC 7517), read once.
func TokensOf(file, issuer, audience string) (Tokens, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Tokens{}, fmt.Errorf("keys of tokens: %w", err)
	}
	keys, err := token.ParseJWKS(raw, token.ES384)
	if err != nil {
		return Tokens{}, fmt.Errorf("keys of tokens %s: %w", file, err)
	}
	v, err := token.NewVerifier(token.Config{
		Audience: audience, Issuers: token.IssuerMap{issuer: {Name: issuer, Keys: keys}}, Revocations: token.NothingRevoked{},
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("keys of tokens %s: %w", file, err)
	}
	return Tokens{v, issuer}, nil
}

// Verify implements extauthz.Tokens.
func (t Tokens) Verify(ctx context.Context, raw string, certificate []byte) (*policy.Bearer, error) {
	var thumbprint token.Thumbprint
	copy(thumbprint[:], certificate)
	c, err := t.Verifier.Verify(ctx, raw, thumbprint)
	if errors.Is(err, token.ErrUnavailable) {
		return nil, fmt.Errorf("%w: %w", extauthz.ErrUnavailable, err)
	}
	if err != nil {
		return nil, err
	}
	claims := map[string]string{"iss": c.Issuer, "sub": c.Subject}
	for name, value := range map[string]string{"jti": c.ID, "client_id": c.ClientID,
		"scope": strings.Join(c.Scopes, " ")} {
		if value != "" {
			claims[name] = value
		}
	}
	return &policy.Bearer{
		Principal:      string(c.Principal),
		Subject:        c.Subject,
		Name:           c.Entity.Name,
		Kind:           c.Entity.Type,
		Organisation:   t.Organisation,
		TrustedDomains: c.Entity.TrustedDomains, TrustedNodes: c.Entity.TrustedNodes, Claims: claims,
	}, nil
}
