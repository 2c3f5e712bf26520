package tokens

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/secret"
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
		Audience: "mesh", JWKS: secret.NewURL(file), Issuer: "acme.example", Log: slog.New(slog.DiscardHandler),
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
	b, err := tokens.Verify(t.Context(), extauthz.Shown{Token: raw, Certificate: thumbprint})
	if err != nil || b.Principal != "USER" || b.Subject != "joe" || b.Claims["jti"] != "1" ||
		b.Organisation != "acme.example" {
		t.Errorf("%+v, %v", b, err)
	}
	for _, other := range [][]byte{nil, make([]byte, 32)} {
		_, err := tokens.Verify(t.Context(), extauthz.Shown{Token: raw, Certificate: other})
		if err == nil || errors.Is(err, extauthz.ErrUnavailable) {
			t.Errorf("with another certificate: %v", err)
		}
	}
}

// The bearer of another organisation's token is never taken for somebody of this one, and nobody there is an
// administrator here.
func TestTokensOfAnotherOrganisation(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	own := follow.New(follow.Config{Issuer: "https://auth.acme.example", Org: "acme.example", Log: quiet})
	known, err := New(t.Context(), Config{
		Audience: "mesh", Own: own, Log: quiet,
		Others: []Other{{Org: "bravo.example", Address: "127.0.0.1:1", Issuer: "https://auth.bravo.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for issuer, want := range map[string]string{
		"https://auth.acme.example": "joe", "https://auth.bravo.example": "bravo.example/joe",
	} {
		b := known.Bearer(&token.Claims{Issuer: issuer, Subject: "joe", Principal: token.User})
		if b.Subject != want || !strings.HasSuffix(issuer, b.Organisation) {
			t.Errorf("%s: %+v, want %s", issuer, b, want)
		}
	}
	node := known.Bearer(&token.Claims{Issuer: "https://auth.bravo.example", Subject: "spiffe://bravo.example/node/x"})
	if node.Subject != "spiffe://bravo.example/node/x" {
		t.Errorf("a node of another organisation: %+v", node)
	}
	if p := known.feeds[1].Issuer().Principals; p == nil || slices.Contains(p, token.Admin) {
		t.Errorf("another organisation may speak for %v", p)
	}
	for i, s := range known.Status() {
		if s.Stale != "everything" || len(known.Warnings()) != 2 {
			t.Errorf("feed %d, before it was heard of: %+v, %q", i, s, known.Warnings())
		}
	}
	_, err = New(t.Context(), Config{
		Audience: "mesh", Own: own, Log: quiet,
		Others: []Other{{Org: "bravo.example", Address: "127.0.0.1:1", Issuer: "https://auth.acme.example"}},
	})
	if err == nil {
		t.Error("another organisation has the own one's issuer")
	}
}
