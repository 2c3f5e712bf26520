// Package disk keeps identities on files: an organisation's CA in one directory, and what a node or an Envoy shows in
// another. Each file is replaced whole, so that a reader sees the old or the new one; keys have mode 0600 and are
// refused if others may read them.
//
//	org/                      edge-1/
//	  ca.pem                    svid.pem                  the certificate, and intermediates
//	  ca-key.pem                key.pem                   its key, as PKCS#8
//	                            acme.example.bundle.pem   the roots of an organisation, one file each
package disk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/bgp"
)

// The files of a CA's directory and of a bundle.
const (
	RootFile   = "ca.pem"     // the signing certificate, followed by those up to the root
	KeyFile    = "ca-key.pem" // its key, mode 0600
	SVIDFile   = "svid.pem"   // a certificate
	SVIDKey    = "key.pem"    // its key, mode 0600
	BundleGlob = "*.bundle.pem"
)

// BundleFile is the name under which a node keeps an organisation's roots.
func BundleFile(org bgp.Org) string { return string(org) + ".bundle.pem" }

// BundleOrg returns whose roots a file of that name holds.
func BundleOrg(path string) (bgp.Org, error) {
	return bgp.ParseOrg(strings.TrimSuffix(filepath.Base(path), strings.TrimPrefix(BundleGlob, "*")))
}

// InitCA makes the CA of org in dir, on a new root of ten years. A CA that is there already is an error, and stays as
// it is.
func InitCA(dir string, org bgp.Org) error {
	a, err := ca.NewRoot(org, ca.RootLife)
	if err != nil {
		return err
	}
	return SaveCA(dir, a)
}

// SaveCA keeps an authority in dir. A CA that is there already is an error, and stays as it is.
func SaveCA(dir string, a *ca.Authority) error {
	if _, err := os.Stat(filepath.Join(dir, KeyFile)); err == nil {
		return fmt.Errorf("%s holds a CA already: choose another directory, or remove it if you mean to lose it", dir)
	}
	key, err := a.KeyPEM()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the CA's directory: %w", err)
	}
	if err := Replace(filepath.Join(dir, KeyFile), key, 0o600); err != nil {
		return err
	}
	return Replace(filepath.Join(dir, RootFile), a.ChainPEM(), 0o644)
}

// LoadCA reads the CA in dir, whose key lies there in clear. A key that others may read is refused.
func LoadCA(dir string) (*ca.Authority, error) {
	return LoadSealedCA(dir, func() (*seal.Sealer, error) { return nil, errors.New("no sealing key was given") })
}

// LoadSealedCA is LoadCA for a key that may be sealed; open is asked for what opens it if it is.
func LoadSealedCA(dir string, open func() (*seal.Sealer, error)) (*ca.Authority, error) {
	path := filepath.Join(dir, KeyFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no CA: make one with catalyst org init ORGANISATION --dir %s", dir, dir)
	}
	key, err := ReadKey(path, open)
	if err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(filepath.Join(dir, RootFile))
	if err != nil {
		return nil, err
	}
	a, err := ca.Parse(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return a, nil
}

// IssueNode writes the bundle of a node into dir, with a key that is made here. A bundle that is there is renewed
// with a new key; the roots of other organisations in it stay. life is as ca.Issue takes it.
func IssueNode(a *ca.Authority, dir, name string, life time.Duration) (bgp.NodeID, time.Time, error) {
	id, err := bgp.NewNodeID(string(a.Org), name)
	if err != nil {
		return bgp.NodeID{}, time.Time{}, err
	}
	until, err := issue(a, dir, id, life)
	return id, until, err
}

// IssueEnvoy writes the bundle of an Envoy of a node's into dir, as IssueNode does.
func IssueEnvoy(a *ca.Authority, dir, node, name string, life time.Duration) (bgp.EnvoyID, time.Time, error) {
	owner, err := bgp.NewNodeID(string(a.Org), node)
	if err != nil {
		return bgp.EnvoyID{}, time.Time{}, err
	}
	id, err := bgp.NewEnvoyID(owner, name)
	if err != nil {
		return bgp.EnvoyID{}, time.Time{}, err
	}
	until, err := issue(a, dir, id, life)
	return id, until, err
}

func issue(a *ca.Authority, dir string, who ca.Subject, life time.Duration) (time.Time, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return time.Time{}, fmt.Errorf("generate a key: %w", err)
	}
	svid, err := a.Issue(key.Public(), who, life)
	if err != nil {
		return time.Time{}, err
	}
	return svid.Leaf.NotAfter, SaveBundle(dir, a, svid, key)
}

// SaveBundle writes what a's holder of a new SVID shows: the roots first, then the key, then the certificate, so that
// whoever reads in between has two that do not match, and looks again.
func SaveBundle(dir string, a *ca.Authority, svid *ca.SVID, key crypto.Signer) error {
	text, err := ca.MarshalKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the bundle's directory: %w", err)
	}
	if err := Replace(filepath.Join(dir, BundleFile(a.Org)), a.Roots(), 0o644); err != nil {
		return err
	}
	if err := Replace(filepath.Join(dir, SVIDKey), text, 0o600); err != nil {
		return err
	}
	return Replace(filepath.Join(dir, SVIDFile), svid.PEM(), 0o644)
}

// ReadPrivate reads a file that only its owner may read.
func ReadPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): run chmod 600 %s", path, mode, path)
	}
	return os.ReadFile(path)
}

// Replace writes a file so that a reader sees the old or the new one, whole.
func Replace(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncDir has a new name on the disk, so that it is there after a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
