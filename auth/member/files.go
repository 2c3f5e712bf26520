package member

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/bgp"
)

// Files of a member's directory, besides those of package disk.
const (
	memberFile  = "member.json"     // what it has to know; sealed, mode 0600
	nodeKeyFile = "node-key.pem"    // the key that it joined with and comes back with; sealed, mode 0600
	pendingKey  = "pending-key.pem" // of the certificate that is asked for; sealed, mode 0600
	boundDir    = "bound"           // tokens that are bound to the certificate, a file each; they are minted anew with it
	revokedFile = "revoked.json"    // what the organisation revoked, as it was heard last; mode 0600
	issuedFile  = "issued.json"     // what was issued, until all of it is in its place; sealed, mode 0600
)

// secretFiles are those that are sealed.
func secretFiles() []string {
	return []string{nodeKeyFile, pendingKey, memberFile, issuedFile, disk.SVIDKey}
}

// state is member.json.
type state struct {
	Org        bgp.Org `json:"organisation"`
	Node       string  `json:"node"`
	Address    string  `json:"address"` // of the identity service
	Issuer     string  `json:"issuer"`
	Continuity []byte  `json:"continuity"` // secret
	Token      string  `json:"token"`      // of the node, bound to its certificate
	Alarm      string  `json:"alarm,omitempty"`
	// Returns is how often it may come back after its certificate ended, and Anew when that is counted anew, in Unix
	// seconds; 0 if none of them is used.
	Returns int   `json:"returns"`
	Anew    int64 `json:"returns_anew,omitempty"`
	// Peers are whom the join token says to peer with, until the node has taken them over.
	Peers []join.Peer `json:"peers,omitempty"`
}

// Joined tells whether a node joined in a directory.
func Joined(dir string) bool {
	for _, name := range []string{memberFile, issuedFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func readState(v disk.Vault) (*state, error) {
	b, err := v.Read(memberFile)
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(v.Dir, memberFile), err)
	}
	return s, nil
}

func (s *state) write(v disk.Vault) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return v.Write(memberFile, b)
}

// Service returns where the identity service is that the node of a directory joined by, HOST:PORT, and how it is
// dialled there. It is an error if nobody joined in the directory.
func Service(v disk.Vault) (address string, secure *tls.Config, err error) {
	s, err := readState(v)
	if err != nil {
		return "", nil, err
	}
	mine, err := v.Pair()
	if err != nil {
		return "", nil, err
	}
	roots, _, err := rootsOf(v.Dir, s.Org)
	if err != nil {
		return "", nil, err
	}
	return s.Address, serviceTLS(s.Org, roots, mine), nil
}

// mostBound is how many tokens go along with a renewal.
const mostBound = 16

// boundTokens are the files in which somebody keeps tokens that are bound to the node's certificate, and what is in
// them. None if there is no such directory.
func boundTokens(dir string) (names, tokens []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, boundDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || len(names) == mostBound {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, boundDir, e.Name()))
		if err != nil {
			return nil, nil, fmt.Errorf("read a token that is bound to the certificate: %w", err)
		}
		names, tokens = append(names, e.Name()), append(tokens, strings.TrimSpace(string(text)))
	}
	return names, tokens, err
}

func (s *state) id() bgp.NodeID { return bgp.NodeID{Org: s.Org, Name: s.Node} }

// keyIn returns the key in a file, and makes it if it is not there: it is on the disk before anybody hears of it.
func keyIn(v disk.Vault, name string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(v.Dir, name)
	b, err := v.Read(name)
	if err == nil {
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, fmt.Errorf("%s: is not PEM", path)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		key, ok := parsed.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s: want an ECDSA key", path)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	text, err := ca.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	return key, v.Write(name, text)
}

// selfSigned is how a key is shown in TLS that no certificate stands for.
func selfSigned(key *ecdsa.PrivateKey, name string) (tls.Certificate, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign with the node key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func request(key *ecdsa.PrivateKey) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a signing request: %w", err)
	}
	return csr, nil
}

func rootsOf(dir string, org bgp.Org) ([]*x509.Certificate, []byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, disk.BundleFile(org)))
	if err != nil {
		return nil, nil, err
	}
	certs, err := parseCerts(text)
	return certs, text, err
}

func parseCerts(text []byte) (all []*x509.Certificate, err error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a certificate: %w", err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return all, nil
}

// serviceTLS is how the identity service is dialled: by the roots that are known, and nobody else of the organisation
// may pose as it.
func serviceTLS(org bgp.Org, roots []*x509.Certificate, mine tls.Certificate) *tls.Config {
	return dial(mine, func(chain []*x509.Certificate) error {
		pool := x509.NewCertPool()
		for _, r := range roots {
			pool.AddCert(r)
		}
		return verifyService(org, chain, pool)
	})
}

// pinnedTLS trusts the root of a join token, which the service shows together with its certificate.
func pinnedTLS(t join.Token, mine tls.Certificate) *tls.Config {
	return dial(mine, func(chain []*x509.Certificate) error {
		for _, c := range chain {
			if sha256.Sum256(c.Raw) == t.Pin {
				pool := x509.NewCertPool()
				pool.AddCert(c)
				return verifyService(t.Org, chain, pool)
			}
		}
		return errors.New("whoever answers there is not the identity service that the join token is of")
	})
}

func dial(mine tls.Certificate, verify func(chain []*x509.Certificate) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		Certificates: []tls.Certificate{mine}, NextProtos: []string{"h2"}, SessionTicketsDisabled: true,
		InsecureSkipVerify: true, // VerifyConnection does it, by SPIFFE's rules instead of host names
		VerifyConnection:   func(state tls.ConnectionState) error { return verify(state.PeerCertificates) },
	}
}

func verifyService(org bgp.Org, chain []*x509.Certificate, pool *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("the identity service shows no certificate")
	}
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return fmt.Errorf("the identity service's certificate: %w", err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != ca.ServiceURI(org) {
		return fmt.Errorf("whoever answers there is not the identity service of %s", org)
	}
	return nil
}

// Reseal writes the secrets in a directory as after says, which were sealed as before says or lay in clear, and returns
// the files that there are. Each is replaced whole; one that after opens already stays as it is, so that it may be done
// again.
func Reseal(before, after disk.Vault) (did []string, err error) {
	for _, name := range secretFiles() {
		if _, err := os.Stat(filepath.Join(before.Dir, name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		secret, err := before.Read(name)
		if err != nil {
			if _, opened := after.Read(name); opened != nil {
				return did, err
			}
			continue
		}
		if err := after.Write(name, secret); err != nil {
			return did, err
		}
		did = append(did, name)
	}
	return did, nil
}
