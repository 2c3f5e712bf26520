package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// The algorithms that a key may sign with. Catalyst's own tokens are ES384 only.
const (
	ES384 = "ES384"
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
)

// Bounds of a key set.
const (
	maxKeys      = 100
	MaxJWKSBytes = 1 << 20
	minRSABits   = 2048
	maxRSABits   = 8192
)

// Key is a public key of an issuer.
type Key struct {
	ID        string
	Algorithm string // the only one it may be used with (RFC 8725 §3.1)
	Public    crypto.PublicKey
}

// Keys finds the keys of one issuer. It is asked at every verification, of tokens in the cache too, so it must be
// quick.
type Keys interface {
	// Key returns the key of that id, nil if there is none, or an error if that cannot be said now. The same key is the
	// same pointer as long as it may be used.
	Key(ctx context.Context, kid string) (*Key, error)
}

// KeySet is a fixed set of keys, by id.
type KeySet map[string]*Key

// Key implements Keys.
func (s KeySet) Key(_ context.Context, kid string) (*Key, error) { return s[kid], nil }

// NewKey returns the ES384 key of an issuer under its RFC 7638 thumbprint.
func NewKey(public *ecdsa.PublicKey) (*Key, error) {
	x, y, err := coordinates(public)
	if err != nil {
		return nil, err
	}
	return &Key{ID: keyID(x, y), Algorithm: ES384, Public: public}, nil
}

// coordinates returns x and y of a P-384 point in base64url of 48 bytes each (RFC 7518 §6.2.1).
func coordinates(public *ecdsa.PublicKey) (x, y string, err error) {
	if public.Curve != elliptic.P384() {
		return "", "", errors.New("want a P-384 key")
	}
	b, err := public.Bytes()
	if err != nil {
		return "", "", fmt.Errorf("encode a key: %w", err)
	}
	n := (len(b) - 1) / 2
	return base64.RawURLEncoding.EncodeToString(b[1 : 1+n]), base64.RawURLEncoding.EncodeToString(b[1+n:]), nil
}

// keyID is the thumbprint of RFC 7638 §3: the members in lexical order, without spaces.
func keyID(x, y string) string {
	sum := sha256.Sum256([]byte(`{"crv":"P-384","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

type jwk struct {
	Kty string   `json:"kty"`
	Crv string   `json:"crv,omitempty"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg,omitempty"`
	Use string   `json:"use,omitempty"`
	Ops []string `json:"key_ops,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	D   string   `json:"d,omitempty"`
}

// WriteJWKS returns the JWKS of ES384 keys, in the order given: each with kid, alg and use "sig", as PyJWT and the
// SPIFFE libraries read it, and nothing besides. An empty set is {"keys":[]}.
func WriteJWKS(keys []*Key) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		public, ok := k.Public.(*ecdsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("key %s: want an ECDSA key", k.ID)
		}
		x, y, err := coordinates(public)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, err)
		}
		set.Keys = append(set.Keys, jwk{Kty: "EC", Crv: "P-384", Kid: k.ID, Alg: ES384, Use: "sig", X: x, Y: y})
	}
	return json.Marshal(set)
}

// ParseJWKS reads the keys of one issuer that may sign with one of the algorithms. Keys of another kind, curve, use
// or without a kid are left out, as RFC 7517 §5 wants; a set that holds a private key, a kid twice, a point off its
// curve, or no key at all for them is refused.
func ParseJWKS(raw []byte, algorithms ...string) (KeySet, error) {
	if len(raw) > MaxJWKSBytes {
		return nil, fmt.Errorf("a key set is larger than %d bytes", MaxJWKSBytes)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("read a key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a key set has %d keys, and %d are allowed", len(set.Keys), maxKeys)
	}
	keys := KeySet{}
	for i, raw := range set.Keys {
		var j jwk
		if json.Unmarshal(raw, &j) != nil {
			continue // of a kind that we do not know
		}
		if j.D != "" {
			return nil, fmt.Errorf("keys[%d] is a private key: whoever published it has to replace it", i)
		}
		k, err := j.key(algorithms)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		if k == nil {
			continue
		}
		if keys[k.ID] != nil {
			return nil, fmt.Errorf("keys[%d]: its kid is given twice", i)
		}
		keys[k.ID] = k
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("a key set has no key with a kid for %v", algorithms)
	}
	return keys, nil
}

// key returns nil for a key that is not for us.
func (j jwk) key(algorithms []string) (*Key, error) {
	if j.Kid == "" || len(j.Kid) > maxText || j.Use != "" && j.Use != "sig" && j.Use != "jwt-svid" || len(j.Ops) > 0 &&
		!slices.Contains(j.Ops, "verify") {
		return nil, nil //nolint:nilnil // nothing is wrong with it
	}
	var algorithm string
	var public crypto.PublicKey
	var err error
	switch j.Kty + " " + j.Crv {
	case "EC P-384":
		algorithm = ES384
		public, err = point(elliptic.P384(), 48, j)
	case "EC P-256":
		algorithm = ES256
		public, err = point(elliptic.P256(), 32, j)
	case "RSA ":
		algorithm = RS256
		public, err = modulus(j)
	case "OKP Ed25519":
		algorithm = EdDSA
		var b []byte
		if b, err = base64.RawURLEncoding.Strict().DecodeString(j.X); err == nil && len(b) != ed25519.PublicKeySize {
			err = errors.New("an Ed25519 key has 32 bytes")
		}
		public = ed25519.PublicKey(b)
	}
	if !slices.Contains(algorithms, algorithm) || j.Alg != "" && j.Alg != algorithm {
		return nil, nil //nolint:nilnil // nothing is wrong with it
	}
	if err != nil {
		return nil, err
	}
	return &Key{ID: j.Kid, Algorithm: algorithm, Public: public}, nil
}

func point(curve elliptic.Curve, size int, j jwk) (*ecdsa.PublicKey, error) {
	b := make([]byte, 1, 1+2*size)
	b[0] = 4 // uncompressed
	for _, c := range []string{j.X, j.Y} {
		d, err := base64.RawURLEncoding.Strict().DecodeString(c)
		if err != nil || len(d) != size {
			return nil, fmt.Errorf("a coordinate must be %d bytes in base64url", size)
		}
		b = append(b, d...)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, b)
}

func modulus(j jwk) (*rsa.PublicKey, error) {
	n, err := base64.RawURLEncoding.Strict().DecodeString(j.N)
	if err != nil {
		return nil, errors.New("n is not base64url")
	}
	e, err := base64.RawURLEncoding.Strict().DecodeString(j.E)
	if err != nil || len(e) > 4 {
		return nil, errors.New("e is not a small number in base64url")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits || key.E < 3 || key.E%2 == 0 {
		return nil, fmt.Errorf("an RSA key must have %d to %d bits and an odd exponent", minRSABits, maxRSABits)
	}
	return key, nil
}
