package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// How long certificates are valid.
const (
	RootLife    = 10 * 365 * 24 * time.Hour
	MinLife     = time.Minute         // of an SVID; it is renewed at half of it
	MaxLife     = 24 * time.Hour      // of an SVID that its holder renews by itself (Sign)
	DefaultLife = time.Hour           // of Sign, where none is asked for
	MaxByHand   = 90 * 24 * time.Hour // of an SVID that an operator issues as files (Issue)
	ByHand      = 24 * time.Hour      // of Issue, where none is asked for

	// Backdate is how far before its signing a certificate begins, for clocks that are behind.
	Backdate = 5 * time.Minute
)

// MaxURI is how long a SPIFFE ID may be (SPIFFE-ID §2.3).
const MaxURI = 2048

// Subject is whom a certificate names: a bgp.NodeID or a bgp.EnvoyID.
type Subject interface {
	// URI is the SPIFFE ID.
	URI() string
}

// Authority signs for one organisation. It is safe for concurrent use.
type Authority struct {
	Org bgp.Org

	key   crypto.Signer
	chain []*x509.Certificate // the signing certificate first, the root last
	now   func() time.Time
}

// SVID is a signed certificate.
type SVID struct {
	Leaf  *x509.Certificate
	Chain [][]byte // DER; the leaf first, then the intermediates, without the root
}

// PEM returns the chain as a file svid.pem has it.
func (s *SVID) PEM() []byte { return encode(s.Chain...) }

// NewRoot makes an authority on a new self-signed P-384 root, which is valid for life.
func NewRoot(org bgp.Org, life time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the root key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{string(org)}, CommonName: string(org) + " CA"},
		NotBefore: now.Add(-Backdate), NotAfter: now.Add(life), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, URIs: []*url.URL{trustDomain(org)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the root: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the root back: %w", err)
	}
	return &Authority{Org: org, key: key, chain: []*x509.Certificate{cert}, now: time.Now}, nil
}

// Parse reads an authority from PEM: the signing certificate followed by those up to the root, and the signing
// certificate's key as PKCS#8. The trust domain is the URI of the signing certificate, or of the root where an
// operator's intermediate has none.
func Parse(chainPEM, keyPEM []byte) (*Authority, error) {
	chain, err := certificates(chainPEM)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || !public.Equal(chain[0].PublicKey) {
		return nil, errors.New("the key is not that of the first certificate")
	}
	if err := judgeChain(chain); err != nil {
		return nil, err
	}
	org, err := orgOf(chain)
	if err != nil {
		return nil, err
	}
	return &Authority{Org: org, key: key, chain: chain, now: time.Now}, nil
}

// ChainPEM returns the signing certificate followed by those up to the root: what Parse takes.
func (a *Authority) ChainPEM() []byte {
	var ders [][]byte
	for _, c := range a.chain {
		ders = append(ders, c.Raw)
	}
	return encode(ders...)
}

// KeyPEM returns the signing key as PKCS#8. It is secret.
func (a *Authority) KeyPEM() ([]byte, error) { return MarshalKey(a.key) }

// Roots returns the organisation's root as PEM: what those who are to trust its SVIDs need.
func (a *Authority) Roots() []byte { return encode(a.chain[len(a.chain)-1].Raw) }

// Until is when the authority's signing certificate ends.
func (a *Authority) Until() time.Time { return a.chain[0].NotAfter }

// Sign signs the key of a signing request for who, for life: MinLife to MaxLife, DefaultLife if it is zero. Of the
// request only the key counts, and that its sender holds it (RFC 2986 §4.2): names and extensions in it are ignored.
func (a *Authority) Sign(csr []byte, who Subject, life time.Duration) (*SVID, error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("signing request: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("signing request: its sender does not hold the key: %w", err)
	}
	if life == 0 {
		life = DefaultLife
	}
	if life < MinLife || life > MaxLife {
		return nil, fmt.Errorf("life of %s: want %s to %s", life, MinLife, MaxLife)
	}
	return a.sign(req.PublicKey, who, life)
}

// Issue signs a key for who, as an operator does by hand, for life: MinLife to MaxByHand, ByHand if it is zero.
func (a *Authority) Issue(key crypto.PublicKey, who Subject, life time.Duration) (*SVID, error) {
	if life == 0 {
		life = ByHand
	}
	if life < MinLife || life > MaxByHand {
		return nil, fmt.Errorf("life of %s: want %s to %s", life, MinLife, MaxByHand)
	}
	return a.sign(key, who, life)
}

// sign makes a leaf by the rules of X509-SVID §4: exactly one URI SAN, no CA, critical key usage digitalSignature,
// and both extended usages, since every node is client and server. It never outlives what signs it.
func (a *Authority) sign(key crypto.PublicKey, who Subject, life time.Duration) (*SVID, error) {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() && public.Curve != elliptic.P384() {
		return nil, errors.New("key: want an ECDSA key on P-256 or P-384")
	}
	id, err := a.subject(who)
	if err != nil {
		return nil, err
	}
	return a.leaf(public, id, nil, life)
}

// leaf signs a certificate with one URI SAN, and DNS names and IP addresses for those who ask for a server by them.
func (a *Authority) leaf(public *ecdsa.PublicKey, id *url.URL, hosts []string, life time.Duration) (*SVID, error) {
	now := a.now()
	until := now.Add(life)
	for _, c := range a.chain {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	if !now.Before(until) {
		return nil, fmt.Errorf("the CA of %s ended at %s: rotate it", a.Org, until.Format(time.RFC3339))
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-Backdate), NotAfter: until, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{id},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.chain[0], public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate back: %w", err)
	}
	out := &SVID{Leaf: leaf, Chain: [][]byte{der}}
	for _, c := range a.chain[:len(a.chain)-1] {
		out.Chain = append(out.Chain, c.Raw)
	}
	return out, nil
}

// subject returns a SPIFFE ID that this authority may sign: one of its own organisation, in the only way that it is
// written.
func (a *Authority) subject(who Subject) (*url.URL, error) {
	text := who.URI()
	node, err := bgp.ParseNodeID(text)
	org, written := node.Org, node.URI()
	if err != nil {
		e, other := bgp.ParseEnvoyID(text)
		if other != nil {
			return nil, fmt.Errorf("identity %q: want that of a node or of an Envoy", text)
		}
		org, written = e.Node.Org, e.URI()
	}
	id, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("identity %q: %w", text, err)
	case written != text || len(text) > MaxURI:
		return nil, fmt.Errorf("identity %q: want %s", text, written)
	case org != a.Org:
		return nil, fmt.Errorf("identity %s: this is the CA of %s", text, a.Org)
	}
	return id, nil
}

// MarshalKey encodes a private key as PKCS#8 in PEM, which every SPIFFE library reads.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(keyPEM []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("the key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key: want ECDSA")
	}
	return key, nil
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("want certificates in PEM and nothing else")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a certificate: %w", err)
		}
		all, rest = append(all, cert), after
	}
	if len(all) == 0 {
		return nil, errors.New("has no certificate")
	}
	return all, nil
}

// judgeChain checks that each certificate may sign, and is signed by the next, and the last by itself.
func judgeChain(chain []*x509.Certificate) error {
	for i, c := range chain {
		if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return fmt.Errorf("certificate %d (%s) may not sign others", i+1, c.Subject)
		}
		limited := c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero // RFC 5280 §4.2.1.9
		if limited && i > c.MaxPathLen {
			return fmt.Errorf("certificate %d (%s) allows %d intermediates below it", i+1, c.Subject, c.MaxPathLen)
		}
		signer := chain[min(i+1, len(chain)-1)]
		if err := c.CheckSignatureFrom(signer); err != nil {
			return fmt.Errorf("certificate %d (%s) is not signed by the next, or the last by itself: "+
				"append those up to the root: %w", i+1, c.Subject, err)
		}
	}
	return nil
}

// orgOf is the trust domain that a chain signs for. Where several of its certificates name one, it has to be the same.
func orgOf(chain []*x509.Certificate) (bgp.Org, error) {
	var org bgp.Org
	for _, c := range chain {
		if len(c.URIs) == 0 {
			continue
		}
		u := c.URIs[0]
		if len(c.URIs) != 1 || u.Scheme != "spiffe" || u.Path != "" {
			return "", fmt.Errorf("certificate of %s: want one URI, spiffe://ORGANISATION without a path", c.Subject)
		}
		o, err := bgp.ParseOrg(u.Host)
		if err != nil {
			return "", err
		}
		if org != "" && o != org {
			return "", fmt.Errorf("certificate of %s: is for %s, not %s", c.Subject, o, org)
		}
		org = o
	}
	if org == "" {
		return "", errors.New("no certificate names a trust domain: " +
			"want spiffe://ORGANISATION as URI SAN of the CA (X509-SVID §2)")
	}
	return org, nil
}

func trustDomain(org bgp.Org) *url.URL { return &url.URL{Scheme: "spiffe", Host: string(org)} }

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func encode(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
