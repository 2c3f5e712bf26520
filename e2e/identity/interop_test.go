//go:build e2e

package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
)

// TestPyJWT has PyJWT verify tokens of ours by our JWKS, and us tokens of PyJWT's: both accept and refuse alike.
func TestPyJWT(t *testing.T) {
	python := os.Getenv("CATALYST_PYJWT")
	if python == "" {
		python = "../../.tools/pyjwt/bin/python"
	}
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := token.NewSigner(stranger)
	if err != nil {
		t.Fatal(err)
	}
	const issuer = "https://auth.acme.example"
	now := time.Now().Truncate(time.Second)
	mint := func(s *token.Signer, change func(*token.Claims)) string {
		c := &token.Claims{
			ID:        "1",
			Issuer:    issuer,
			Subject:   "spiffe://acme.example/user/ada",
			Audience:  []string{"acme.example"},
			IssuedAt:  now,
			Expires:   now.Add(time.Hour),
			Principal: token.User,
			Entity:    token.Entity{ID: "ada", Name: "Ada", Type: "user"},
			Bound:     token.Thumbprint{1},
		}
		change(c)
		raw, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := mint(signer, func(*token.Claims) {})
	jwks, err := token.WriteJWKS([]*token.Key{signer.Key()})
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(map[string]any{
		"jwks": string(jwks), "issuer": issuer, "kid": signer.Key().ID,
		"private": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"tokens": map[string]string{
			"good": good, "another audience": mint(signer, func(c *token.Claims) { c.Audience = []string{"x"} }),
			"expired": mint(signer, func(c *token.Claims) {
				c.IssuedAt, c.Expires = now.Add(-time.Hour),
					now.Add(-time.Minute)
			}),
			"unknown key": mint(other, func(*token.Claims) {}),
			"not ours":    good[:len(good)-4] + "AAAA",
			"another iss": mint(signer, func(c *token.Claims) { c.Issuer = "https://evil.example" }),
		},
		"claims": map[string]any{
			"iss": issuer, "sub": "ada", "aud": "acme.example", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"jti": "2", "principal": "CATALYST::USER",
			"entity": map[string]string{"id": "ada", "name": "Ada", "type": "user"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "pyjwt.py")
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run PyJWT (make tools installs it): %v\n%s", err, stderr.String())
	}
	var got struct {
		Answers    map[string]string
		Made, Crit string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"good": "ok spiffe://acme.example/user/ada", "another audience": "InvalidAudienceError",
		"expired":     "ExpiredSignatureError",
		"unknown key": "unknown key", "not ours": "InvalidSignatureError", "another iss": "InvalidIssuerError",
	} {
		if got.Answers[name] != want {
			t.Errorf("PyJWT says of %s: %s, want %s", name, got.Answers[name], want)
		}
	}
	set, err := token.ParseJWKS(jwks, token.ES384)
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.NewVerifier(token.Config{
		Audience:    "acme.example",
		Issuers:     token.IssuerMap{issuer: {Name: issuer, Keys: set}},
		Revocations: token.NothingRevoked{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := v.Verify(t.Context(), got.Made, token.Thumbprint{}); err != nil || c.Subject != "ada" {
		t.Errorf("a token of PyJWT's: %+v, %v", c, err)
	}
	if _, err := v.Verify(t.Context(), got.Crit, token.Thumbprint{}); token.ReasonOf(err) != token.BadHeader {
		t.Errorf("with crit: %v", err)
	}
}
