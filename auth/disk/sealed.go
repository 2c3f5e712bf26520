package disk

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/auth/seal"
)

// SealFile is the machine's own file with the key that secrets of a directory are sealed under, in that directory; mode
// 0600.
const SealFile = "seal.key"

// sealedMark is the first line of a file that is sealed; the second is what seal.Sealer.Seal returned for the file's
// name.
const sealedMark = "catalyst sealed key\n"

// Vault is the secret files of one directory: sealed when they are written, and read sealed or in clear. A copy of such
// a file, in a backup for example, is worth nothing without the sealing key.
type Vault struct {
	Dir  string
	Seal seal.Place
}

// Own is the vault of a directory whose sealing key is the machine's own, in SealFile there.
func Own(dir string) Vault { return Vault{dir, seal.Place{Own: filepath.Join(dir, SealFile)}} }

// Read returns what a secret file holds. A file that others may read is an error, as is one that is sealed under
// another key; errors.Is with fs.ErrNotExist tells that the file is not there.
func (v Vault) Read(name string) ([]byte, error) {
	b, _, err := v.read(name)
	return b, err
}

func (v Vault) read(name string) (content []byte, clear bool, err error) {
	path := filepath.Join(v.Dir, name)
	text, err := ReadPrivate(path)
	if err != nil {
		return nil, false, err
	}
	if !bytes.HasPrefix(text, []byte(sealedMark)) {
		return text, true, nil
	}
	content, err = unsealed(path, text, v.Seal.Opener)
	return content, false, err
}

// Write replaces a secret file, with mode 0600.
func (v Vault) Write(name string, secret []byte) error {
	s, err := v.Seal.Sealer()
	if err != nil {
		return err
	}
	if s != nil {
		secret = []byte(sealedMark + s.Seal(secret, name) + "\n")
	}
	return Replace(filepath.Join(v.Dir, name), secret, 0o600)
}

// SealAll seals those of some files that lie in clear, where they lie, and returns which. Files that are not there are
// passed over. Each is replaced whole; doing it again changes nothing.
func (v Vault) SealAll(names ...string) (did []string, err error) {
	if s, err := v.Seal.Sealer(); s == nil || err != nil {
		return nil, err
	}
	for _, name := range names {
		secret, clear, err := v.read(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !clear {
			continue
		}
		if err == nil {
			err = v.Write(name, secret)
		}
		if err != nil {
			return did, fmt.Errorf("seal %s: %w", filepath.Join(v.Dir, name), err)
		}
		did = append(did, name)
	}
	return did, nil
}

// Pair reads the certificate and its key, to be shown in TLS.
func (v Vault) Pair() (tls.Certificate, error) {
	chain, err := os.ReadFile(filepath.Join(v.Dir, SVIDFile))
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := v.Read(SVIDKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return pair, fmt.Errorf("%s and %s: %w", filepath.Join(v.Dir, SVIDFile), SVIDKey, err)
	}
	return pair, nil
}

// SealCA seals the key of the CA in dir where it lies, if it lies there in clear, and tells whether it did. The file is
// replaced whole.
func SealCA(dir string, s *seal.Sealer) (bool, error) {
	path := filepath.Join(dir, KeyFile)
	key, err := ReadPrivate(path)
	if err != nil || bytes.HasPrefix(key, []byte(sealedMark)) {
		return false, err
	}
	return true, Replace(path, []byte(sealedMark+s.Seal(key, KeyFile)+"\n"), 0o600)
}

// ReadKey reads a key's file that only its owner may read, sealed or in clear; open is asked for what opens it if it is
// sealed.
func ReadKey(path string, open func() (*seal.Sealer, error)) ([]byte, error) {
	text, err := ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	return unsealed(path, text, open)
}

// unsealed returns what a file of a key holds.
func unsealed(path string, text []byte, open func() (*seal.Sealer, error)) ([]byte, error) {
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
