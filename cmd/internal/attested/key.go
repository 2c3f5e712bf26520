package attested

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp/attest"
)

// SigningKey is a private key over P-384, as catalyst attestation key writes it. It prints as its id alone.
type SigningKey struct {
	private *ecdsa.PrivateKey
	ID      string // the RFC 7638 thumbprint
}

// ReadKey reads a private key from a file that nobody else can read.
func ReadKey(path string) (*SigningKey, error) {
	text, err := disk.ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no PEM block", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, errors.New("is no ECDSA key"))
	}
	id, err := attest.KeyID(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &SigningKey{private: key, ID: id}, nil
}

// Sign signs a set.
func (k *SigningKey) Sign(s *attest.Set) (signed []byte, chunks [][]byte, err error) {
	return attest.Sign(s, k.private, k.ID, rand.Reader)
}

// SignHop signs an encoded hop of a path.
func (k *SigningKey) SignHop(hop []byte) ([]byte, error) {
	return attest.SignHop(hop, k.private, rand.Reader)
}

// String is the key's id.
func (k *SigningKey) String() string { return k.ID }

// GoString is the key's id.
func (k *SigningKey) GoString() string { return k.ID }
