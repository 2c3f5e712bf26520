package disk

import (
	"bytes"
	"fmt"
	"path/filepath"
)

// Sealer encrypts keys before they lie on a disk. seal.Sealer is one.
type Sealer interface {
	Seal(secret []byte, purpose string) string
	Open(sealed, purpose string) ([]byte, error)
}

// sealedMark is the first line of a file that is sealed; the second is what Sealer.Seal returned.
const sealedMark = "catalyst sealed key\n"

// SealCA seals the key of the CA in dir where it lies, if it lies there in clear, and tells whether it did. The file is
// replaced whole.
func SealCA(dir string, s Sealer) (bool, error) {
	path := filepath.Join(dir, KeyFile)
	key, err := ReadPrivate(path)
	if err != nil || bytes.HasPrefix(key, []byte(sealedMark)) {
		return false, err
	}
	return true, Replace(path, []byte(sealedMark+s.Seal(key, KeyFile)+"\n"), 0o600)
}

// ReadKey reads a key's file that only its owner may read, sealed or in clear; open is asked for what opens it if it is
// sealed.
func ReadKey(path string, open func() (Sealer, error)) ([]byte, error) {
	text, err := ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	return unsealed(path, text, open)
}

// unsealed returns what a file of a key holds.
func unsealed(path string, text []byte, open func() (Sealer, error)) ([]byte, error) {
	sealed, ok := bytes.CutPrefix(text, []byte(sealedMark))
	if !ok {
		return text, nil
	}
	s, err := open()
	if err != nil {
		return nil, fmt.Errorf("%s is sealed: %w", path, err)
	}
	key, err := s.Open(string(bytes.TrimSpace(sealed)), filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
