package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/catalyst-router/catalyst/bgp"
)

const org = bgp.Org("acme.example")

func newRoot(t *testing.T) *Authority {
	t.Helper()
	a, err := NewRoot(org, RootLife)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// request is a signing request that asks for more than it should get.
func request(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root of all"}, DNSNames: []string{"other.example"},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example", Path: "/node/victim"}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func node(name string) bgp.NodeID { return bgp.NodeID{Org: org, Name: name} }

// verify has another implementation judge an SVID.
func verify(t *testing.T, a *Authority, svid *SVID) spiffeid.ID {
	t.Helper()
	bundle, err := x509bundle.Parse(spiffeid.RequireTrustDomainFromString(string(a.Org)), a.Roots())
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := x509svid.ParseAndVerify(svid.Chain, bundle)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Every rule of X509-SVID §4 and §5, whatever the request asked for.
func TestASignedRequestIsAnSVIDAndNothingMore(t *testing.T) {
	a := newRoot(t)
	began := time.Now()
	svid, err := a.Sign(request(t, newKey(t, elliptic.P384())), node("edge-1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	c := svid.Leaf
	if id := verify(t, a, svid); id.String() != node("edge-1").URI() {
		t.Errorf("it names %s", id)
	}
	if len(c.URIs) != 1 || len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses) > 0 || c.Subject.CommonName != "" {
		t.Errorf("it took names of the request: %v %v %q", c.URIs, c.DNSNames, c.Subject.CommonName)
	}
	if c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("CA %t, basic constraints %t, key usage %b", c.IsCA, c.BasicConstraintsValid, c.KeyUsage)
	}
	if len(c.ExtKeyUsage) != 2 || c.SerialNumber.BitLen() < 64 {
		t.Errorf("extended usages %v, serial %s", c.ExtKeyUsage, c.SerialNumber)
	}
	critical := false
	for _, e := range c.Extensions {
		critical = critical || e.Id.String() == "2.5.29.15" && e.Critical
	}
	if !critical {
		t.Error("the key usage is not critical")
	}
	if life := c.NotAfter.Sub(began); life < DefaultLife-time.Minute || life > DefaultLife+time.Minute {
		t.Errorf("it is valid for %s, want %s", life, DefaultLife)
	}
	if text := string(svid.PEM()); strings.Count(text, "BEGIN CERTIFICATE") != 1 {
		t.Errorf("a chain below the root itself is the leaf alone:\n%s", text)
	}
}

type subject string

func (s subject) URI() string { return string(s) }

func TestWhatIsNotSigned(t *testing.T) {
	a := newRoot(t)
	good := request(t, newKey(t, elliptic.P256()))
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		csr  []byte
		who  Subject
		life time.Duration
		want string
	}{
		{"no request", []byte("nonsense"), node("a"), 0, "signing request"},
		{"a key that its sender does not hold", forged, node("a"), 0, "does not hold the key"},
		{"an Ed25519 key", request(t, edwards), node("a"), 0, "P-256 or P-384"},
		{"a P-521 key", request(t, newKey(t, elliptic.P521())), node("a"), 0, "P-256 or P-384"},
		{"59 seconds", good, node("a"), 59 * time.Second, "life of 59s"},
		{"more than a day", good, node("a"), MaxLife + time.Second, "life of"},
		{
			"a node of another organisation", good, bgp.NodeID{Org: "bravo.example", Name: "a"}, 0,
			"this is the CA of acme.example",
		},
		{"the trust domain itself", good, subject("spiffe://acme.example"), 0, "want that of a node or of an Envoy"},
		{"dot segments", good, subject("spiffe://acme.example/node/../node/a"), 0, "identity"},
		{"capitals", good, subject("spiffe://acme.example/node/A"), 0, "want spiffe://acme.example/node/a"},
		{"the short form", good, subject("acme.example/a"), 0, "want spiffe://acme.example/node/a"},
		{"a query", good, subject("spiffe://acme.example/node/a?x=1"), 0, "identity"},
		{"something else", good, subject("spiffe://acme.example/admin/a"), 0, "want that of a node or of an Envoy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := a.Sign(tt.csr, tt.who, tt.life); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := a.Issue(newKey(t, elliptic.P256()).Public(), node("a"), MaxByHand+time.Second); err == nil {
		t.Error("a certificate by hand may be valid for ever")
	}
}

func TestAnEnvoyHasANameOfItsOwn(t *testing.T) {
	a := newRoot(t)
	e, err := bgp.NewEnvoyID(node("edge-1"), "front-1")
	if err != nil {
		t.Fatal(err)
	}
	svid, err := a.Sign(request(t, newKey(t, elliptic.P256())), e, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	id := verify(t, a, svid).String()
	if id != "spiffe://acme.example/envoy/edge-1/front-1" {
		t.Errorf("it names %s", id)
	}
	if n, err := bgp.ParseNodeID(id); err == nil {
		t.Errorf("it is taken for node %s", n)
	}
}

// intermediate signs a CA below a, as an operator's own PKI would.
func intermediate(t *testing.T, a *Authority, change func(*x509.Certificate)) *Authority {
	t.Helper()
	key := newKey(t, elliptic.P384())
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "issuing"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(2 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.chain[0], key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	below, err := Parse(append(encode(der), a.ChainPEM()...), text)
	if err != nil {
		t.Fatal(err)
	}
	return below
}

func TestAnIntermediateOfTheOperators(t *testing.T) {
	root := newRoot(t)
	a := intermediate(t, root, func(*x509.Certificate) {})
	svid, err := a.Sign(request(t, newKey(t, elliptic.P256())), node("a"), MaxLife)
	if err != nil {
		t.Fatal(err)
	}
	if verify(t, root, svid); len(svid.Chain) != 2 {
		t.Errorf("a chain of %d certificates, want leaf and intermediate", len(svid.Chain))
	}
	if string(a.Roots()) != string(root.Roots()) {
		t.Error("its root is another")
	}
	if until := svid.Leaf.NotAfter; until.After(a.Until()) {
		t.Errorf("the leaf is valid until %s, what signed it until %s", until, a.Until())
	}
	again, err := Parse(a.ChainPEM(), must(a.KeyPEM()))
	if err != nil || again.Org != org {
		t.Errorf("what it writes it does not read: %v", err)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestWhatIsNoAuthority(t *testing.T) {
	a, other := newRoot(t), newRoot(t)
	leaf, err := a.Issue(newKey(t, elliptic.P256()).Public(), node("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	key, otherKey := must(a.KeyPEM()), must(other.KeyPEM())
	bravo, err := NewRoot("bravo.example", RootLife)
	if err != nil {
		t.Fatal(err)
	}
	below := intermediate(t, a, func(*x509.Certificate) {})
	deep := below.ChainPEM()
	for _, tt := range []struct {
		name       string
		chain, key []byte
		want       string
	}{
		{"the key of another", a.ChainPEM(), otherKey, "not that of the first certificate"},
		{"no key", a.ChainPEM(), nil, "not PEM"},
		{"no certificate", nil, key, "has no certificate"},
		{"text after the certificates", append(a.ChainPEM(), "and more"...), key, "nothing else"},
		{"an intermediate without its root", encode(below.chain[0].Raw), must(below.KeyPEM()), "append those up to the root"},
		{
			"an intermediate below another root", append(encode(below.chain[0].Raw), other.ChainPEM()...), must(below.KeyPEM()),
			"not signed by the next",
		},
		{"a root of another organisation on top", append(a.ChainPEM(), bravo.ChainPEM()...), key, "not signed by the next"},
		{"a leaf", append(encode(leaf.Chain[0]), deep...), key, "not that of the first certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.chain, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A CA that has ended says so, instead of signing what nobody takes.
func TestNothingIsSignedAfterTheEnd(t *testing.T) {
	a := newRoot(t)
	a.now = func() time.Time { return a.Until().Add(time.Second) }
	if _, err := a.Issue(
		newKey(t, elliptic.P256()).Public(), node("a"), 0,
	); err == nil || !strings.Contains(err.Error(), "rotate it") {
		t.Errorf("got %v", err)
	}
}
