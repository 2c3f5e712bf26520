// Package ca is an organisation's certificate authority on files: it makes the root, and issues X.509 SVIDs to nodes
// (SPIFFE X.509-SVID). It keeps no list of what it issued, revokes nothing and serves nobody online.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// The files of a CA's directory and of a node's bundle.
const (
	RootFile   = "ca.pem"     // the root certificate
	KeyFile    = "ca-key.pem" // its key, mode 0600
	SVIDFile   = "svid.pem"   // a node's certificate
	SVIDKey    = "key.pem"    // its key, mode 0600
	BundleGlob = "*.bundle.pem"
)

// BundleFile is the name under which a node keeps an organisation's roots.
func BundleFile(org bgp.Org) string { return string(org) + ".bundle.pem" }

const (
	rootLife = 10 * 365 * 24 * time.Hour
	backdate = 5 * time.Minute // for clocks that are behind
)

// The life of a node's SVID.
const (
	MaxLife     = 90 * 24 * time.Hour
	DefaultLife = 24 * time.Hour
)

// Authority is an organisation's CA, loaded.
type Authority struct {
	Org  bgp.Org
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Init makes the CA of org in dir: a P-384 root of ten years with the trust domain as its URI SAN. A CA that is there already is an
// error, and stays as it is.
func Init(dir string, org bgp.Org) error {
	if _, err := os.Stat(filepath.Join(dir, KeyFile)); err == nil {
		return fmt.Errorf("%s holds a CA already: choose another directory, or remove it if you mean to lose it", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the CA's directory: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate the root key: %w", err)
	}
	now := time.Now()
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{string(org)}, CommonName: string(org) + " CA"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(rootLife), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, URIs: []*url.URL{{Scheme: "spiffe", Host: string(org)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return fmt.Errorf("sign the root: %w", err)
	}
	if err := writeKey(filepath.Join(dir, KeyFile), key); err != nil {
		return err
	}
	return writeCert(filepath.Join(dir, RootFile), der)
}

// Load reads the CA in dir. A key that others may read is refused.
func Load(dir string) (*Authority, error) {
	keyPEM, err := ReadPrivate(filepath.Join(dir, KeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no CA: make one with catalyst org init ORGANISATION --dir %s", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, fmt.Errorf("%s: is not PEM", filepath.Join(dir, KeyFile))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, KeyFile), err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: want an ECDSA key", filepath.Join(dir, KeyFile))
	}
	root, err := readCert(filepath.Join(dir, RootFile))
	if err != nil {
		return nil, err
	}
	if len(root.URIs) != 1 || root.URIs[0].Scheme != "spiffe" {
		return nil, fmt.Errorf("%s: has no trust domain", filepath.Join(dir, RootFile))
	}
	org, err := bgp.ParseOrg(root.URIs[0].Host)
	if err != nil {
		return nil, err
	}
	return &Authority{Org: org, root: root, key: key}, nil
}

// IssueNode writes the bundle of a node into dir: SVID, key and the organisation's root. A bundle that is there is renewed with a new key; the
// roots of other organisations in it stay.
func (a *Authority) IssueNode(dir, name string, life time.Duration) (bgp.NodeID, time.Time, error) {
	id, err := bgp.NewNodeID(string(a.Org), name)
	if err != nil {
		return bgp.NodeID{}, time.Time{}, err
	}
	if life == 0 {
		life = DefaultLife
	}
	if life < time.Minute || life > MaxLife {
		return id, time.Time{}, fmt.Errorf("life of %s: want 1m to %s", life, MaxLife)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return id, time.Time{}, fmt.Errorf("generate the node's key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return id, time.Time{}, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-backdate), NotAfter: now.Add(life), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: string(id.Org), Path: "/node/" + id.Name}},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.root, key.Public(), a.key)
	if err != nil {
		return id, time.Time{}, fmt.Errorf("sign the node's certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return id, time.Time{}, fmt.Errorf("make the bundle's directory: %w", err)
	}
	if err := writeCert(filepath.Join(dir, BundleFile(a.Org)), a.root.Raw); err != nil {
		return id, time.Time{}, err
	}
	if err := writeKey(filepath.Join(dir, SVIDKey), key); err != nil {
		return id, time.Time{}, err
	}
	return id, tmpl.NotAfter, writeCert(filepath.Join(dir, SVIDFile), der)
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

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	return replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func writeCert(path string, der []byte) error {
	return replace(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// replace writes a file so that a reader sees the old or the new one, whole.
func replace(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func readCert(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: is not PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}
