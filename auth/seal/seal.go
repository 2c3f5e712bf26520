// Package seal encrypts what must not lie on a disk in clear, with AES-256-GCM under one key that the operator keeps
// elsewhere: in a file that only its owner may read, or in the environment. Each ciphertext is bound to what it is
// for, so that a row of a database cannot be put in the place of another.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const keyBytes = 32

// Sealer encrypts and decrypts. It does not print its key, and is not to be compared.
type Sealer struct {
	_    [0]func() // not to be compared
	aead cipher.AEAD
	id   string
}

// New makes a sealer of a key of 32 bytes in base64, as Generate writes it.
func New(text string) (*Sealer, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("the sealing key must be %d bytes in base64: make one with head -c 32 /dev/urandom | base64",
			keyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a sealer: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make a sealer: %w", err)
	}
	sum := sha256.Sum256(append([]byte("catalyst sealing key\x00"), key...))
	return &Sealer{aead: aead, id: base64.RawURLEncoding.EncodeToString(sum[:6])}, nil
}

// Generate returns a fresh key as New reads it.
func Generate() (string, error) {
	var key [keyBytes]byte
	if _, err := rand.Read(key[:]); err != nil {
		return "", fmt.Errorf("draw a sealing key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key[:]), nil
}

// FromFile reads the key from a file that nobody but its owner may read. With mayCreate, a file that is not there is
// made.
func FromFile(path string, mayCreate bool) (*Sealer, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && mayCreate {
		return create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): run chmod 600 %s", path, mode, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	s, err := New(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// create writes a fresh key so that of two who do it at once both get the same.
func create(path string) (*Sealer, error) {
	key, err := Generate()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return nil, fmt.Errorf("write the sealing key: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(key + "\n")
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write the sealing key: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write the sealing key: %w", err)
	}
	return FromFile(path, false)
}

// ID names the key without telling it, so that it can be said which one is missing.
func (s *Sealer) ID() string { return s.id }

// String names the key.
func (s *Sealer) String() string { return "sealing key " + s.id }

// Seal encrypts a secret. purpose has to be given again to open it.
func (s *Sealer) Seal(secret []byte, purpose string) string {
	return s.id + "." + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, secret, []byte(purpose)))
}

// Open decrypts what Seal returned for the same purpose.
func (s *Sealer) Open(sealed, purpose string) ([]byte, error) {
	id, text, ok := strings.Cut(sealed, ".")
	if !ok {
		return nil, errors.New("open a secret: it is not sealed")
	}
	if id != s.id {
		return nil, fmt.Errorf("open a secret: it is sealed under key %s, and %s was given: give the former key", clip(id),
			s.id)
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("open a secret: it is damaged")
	}
	secret, err := s.aead.Open(nil, nil, b, []byte(purpose))
	if err != nil {
		return nil, errors.New("open a secret: it is damaged, or was put in the place of another")
	}
	return secret, nil
}

func clip(s string) string { return s[:min(len(s), 16)] }
