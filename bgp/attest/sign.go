package attest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// MaxKeys is the most keys of an organisation.
const MaxKeys = 32

// Digest is the SHA-384 of a chunk.
type Digest [sha512.Size384]byte

func sumOf(b []byte) Digest { return sha512.Sum384(b) }

// context begins what is signed, so that no signature for another purpose passes for one of these.
const context = "catalyst attestation v1\x00"

const (
	signatureSize = 96 // r and s, 48 bytes each, big-endian (RFC 7518 §3.4, ES384)
	maxKeyID      = 128
)

// Key is a public key that an organisation signs its sets with: ECDSA over P-384.
type Key struct {
	ID     string // the RFC 7638 thumbprint unless the organisation says otherwise
	Public *ecdsa.PublicKey
	// Path is set for a key that signs hops of paths, at the border nodes, and no sets.
	Path bool
}

// Sign encodes a set and signs it. Entries are sorted by names.
func Sign(s *Set, key *ecdsa.PrivateKey, keyID string, random io.Reader) (signed []byte, chunks [][]byte, err error) {
	if err := s.Check(); err != nil {
		return nil, nil, err
	}
	if key.Curve != elliptic.P384() {
		return nil, nil, errors.New("sign: want a key over P-384")
	}
	chunks = chunksOf(sortEntries(s.Entries))
	if len(chunks) > MaxChunks {
		return nil, nil, fmt.Errorf("entries: they take %d chunks: the limit is %d", len(chunks), MaxChunks)
	}
	m := manifest{org: s.Org, serial: s.Serial, notBefore: s.NotBefore, notAfter: s.NotAfter, keyID: keyID}
	for _, c := range chunks {
		m.digests = append(m.digests, sumOf(c))
	}
	body := m.encode()
	signature, err := signature(context, body, key, random)
	if err != nil {
		return nil, nil, err
	}
	return appendBytes(appendBytes(nil, fieldManifest, body), fieldSignature, signature), chunks, nil
}

// signature signs a text for a purpose, which its context names.
func signature(context string, body []byte, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	sum := sumOf(append([]byte(context), body...))
	r, v, err := ecdsa.Sign(random, key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	b := make([]byte, signatureSize)
	r.FillBytes(b[:signatureSize/2])
	v.FillBytes(b[signatureSize/2:])
	return b, nil
}

// signed tells whether a key signed a text for a purpose.
func (k *Key) signed(context string, body, signature []byte) bool {
	sum := sumOf(append([]byte(context), body...))
	r := new(big.Int).SetBytes(signature[:signatureSize/2])
	v := new(big.Int).SetBytes(signature[signatureSize/2:])
	return ecdsa.Verify(k.Public, sum[:], r, v)
}

// verify tells whether one of the keys signed a manifest.
func verify(keys []Key, m *manifest, body, signature []byte) error {
	if len(signature) != signatureSize {
		return fmt.Errorf("signature of %d bytes: want %d", len(signature), signatureSize)
	}
	for _, k := range keys {
		if k.ID != m.keyID || k.Path {
			continue
		}
		if !k.signed(context, body, signature) {
			return fmt.Errorf("signature: is not one of key %q of %s", k.ID, m.org)
		}
		return nil
	}
	return fmt.Errorf("key %q: is none of %s that this node trusts", m.keyID, m.org)
}

// KeyID is the RFC 7638 thumbprint of a key.
func KeyID(k *ecdsa.PublicKey) (string, error) {
	x, y, err := coordinates(k)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(`{"crv":"P-384","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

func coordinates(k *ecdsa.PublicKey) (x, y string, err error) {
	if k.Curve != elliptic.P384() {
		return "", "", errors.New("key: want one over P-384")
	}
	b, err := k.Bytes()
	if err != nil {
		return "", "", fmt.Errorf("key: %w", err)
	}
	half := (len(b) - 1) / 2
	return base64.RawURLEncoding.EncodeToString(b[1 : 1+half]), base64.RawURLEncoding.EncodeToString(b[1+half:]), nil
}

// jwk is a JSON Web Key (RFC 7517) as far as it matters here.
type jwk struct {
	Type string `json:"kty"`
	Use  string `json:"use,omitempty"`
	ID   string `json:"kid,omitempty"`
	Crv  string `json:"crv,omitempty"`
	X    string `json:"x,omitempty"`
	Y    string `json:"y,omitempty"`
}

// Uses of keys in a JSON Web Key Set.
const (
	Use     = "catalyst-attestation" // signs sets
	UsePath = "catalyst-path"        // signs hops of paths
)

// ParseKeys reads the attestation keys of a JSON Web Key Set (RFC 7517): those of use "catalyst-attestation" or
// "catalyst-path", over P-384. Keys of other uses and kinds are passed over, so that a SPIFFE bundle can hold them.
func ParseKeys(set []byte) ([]Key, error) {
	var all struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(set, &all); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var keys []Key
	for _, j := range all.Keys {
		if j.Use != Use && j.Use != UsePath || j.Type != "EC" || j.Crv != "P-384" {
			continue
		}
		k, err := j.key()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", j.ID, err)
		}
		if keys = append(keys, k); len(keys) > MaxKeys {
			return nil, fmt.Errorf("keys: more than %d", MaxKeys)
		}
	}
	return keys, nil
}

func (j *jwk) key() (Key, error) {
	point := []byte{4}
	for _, c := range []string{j.X, j.Y} {
		b, err := base64.RawURLEncoding.DecodeString(c)
		if err != nil || len(b) != signatureSize/2 {
			return Key{}, errors.New("want x and y of 48 bytes in base64url")
		}
		point = append(point, b...)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	if err != nil {
		return Key{}, err
	}
	id := j.ID
	if id == "" {
		id, err = KeyID(public)
	}
	if len(id) > maxKeyID {
		err = fmt.Errorf("kid: longer than %d bytes", maxKeyID)
	}
	return Key{ID: id, Public: public, Path: j.Use == UsePath}, err
}

// FormatKeys writes keys as a JSON Web Key Set that ParseKeys reads.
func FormatKeys(keys []Key) ([]byte, error) {
	out := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		x, y, err := coordinates(k.Public)
		if err != nil {
			return nil, err
		}
		use := Use
		if k.Path {
			use = UsePath
		}
		out.Keys = append(out.Keys, jwk{Type: "EC", Use: use, ID: k.ID, Crv: "P-384", X: x, Y: y})
	}
	return json.MarshalIndent(out, "", "  ")
}
