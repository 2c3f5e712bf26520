package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Signer signs tokens with one key.
type Signer struct {
	key     *Key
	private *ecdsa.PrivateKey
}

// NewSigner returns a signer for a P-384 key, whose id is its RFC 7638 thumbprint.
func NewSigner(private *ecdsa.PrivateKey) (*Signer, error) {
	if private.Curve != elliptic.P384() {
		return nil, errors.New("want a P-384 key")
	}
	key, err := NewKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Signer{key, private}, nil
}

// Key returns the public half.
func (s *Signer) Key() *Key { return s.key }

// String names the key and nothing secret.
func (s *Signer) String() string { return "signer " + s.key.ID }

// Sign returns the token of these claims: ES384, its header exactly alg, kid and typ. What no verifier would take is
// an error.
func (s *Signer) Sign(c *Claims) (string, error) {
	body, err := c.encode()
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	v, err := ParseJSON(string(body))
	if err == nil {
		_, err = readClaims(v)
	}
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if !c.Expires.After(c.IssuedAt) {
		return "", errors.New("sign a token: it would expire before it is issued")
	}
	header := `{"alg":"ES384","kid":"` + s.key.ID + `","typ":"` + TypeJWT + `"}`
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(body)
	sig, err := jwt.SigningMethodES384.Sign(signed, s.private)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	raw := signed + "." + base64.RawURLEncoding.EncodeToString(sig)
	if len(raw) > MaxBytes {
		return "", fmt.Errorf("sign a token: it would have %d bytes, and verifiers take %d: trust fewer nodes and domains",
			len(raw), MaxBytes)
	}
	return raw, nil
}
