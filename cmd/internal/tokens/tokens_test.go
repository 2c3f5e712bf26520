package tokens

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// A real token: bound to a certificate it is worth nothing without it, and it makes the principal that it names.
func TestTokens(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := token.WriteJWKS([]*token.Key{signer.Key()})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := New(t.Context(), Config{
		Audience: "mesh", JWKS: file, Issuer: "acme.example", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	thumbprint := make([]byte, 32)
	thumbprint[0] = 1
	now := time.Now()
	c := &token.Claims{
		ID:        "1",
		Issuer:    "acme.example",
		Subject:   "joe",
		Audience:  []string{"mesh"},
		IssuedAt:  now,
		Expires:   now.Add(time.Minute),
		Principal: token.Principal("USER"),
		Entity:    token.Entity{ID: "joe", Name: "Joe", Type: "user", TrustedDomains: []string{"acme.example"}},
	}
	copy(c.Bound[:], thumbprint)
	raw, err := signer.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tokens.Verify(t.Context(), raw, thumbprint)
	if err != nil || b.Principal != "USER" || b.Subject != "joe" || b.Claims["jti"] != "1" ||
		b.Organisation != "acme.example" {
		t.Errorf("%+v, %v", b, err)
	}
	for _, other := range [][]byte{nil, make([]byte, 32)} {
		if _, err := tokens.Verify(t.Context(), raw, other); err == nil || errors.Is(err, extauthz.ErrUnavailable) {
			t.Errorf("with another certificate: %v", err)
		}
	}
}
