// Package bundle is what an organisation lets others verify its identities by: the roots of its certificates and the
// keys of its tokens, as the document that SPIFFE implementations exchange (SPIFFE Trust Domain and Bundle, §4). A
// bundle is valid for its own trust domain and no other. Values only: fetching and keeping are package federation's.
//
//	b, err := bundle.Parse("bravo.example", doc)
//	doc, err := b.Marshal()
package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
)

// Limits of a document.
const (
	MaxBytes    = 128 << 10
	MaxKeys     = 100
	MaxSequence = 1<<63 - 1
	MaxHint     = 7 * 24 * time.Hour
	maxSkipped  = 20
)

// Bundle is one organisation's.
type Bundle struct {
	Org       bgp.Org
	Roots     []*x509.Certificate
	TokenKeys token.KeySet // by kid
	// AttestKeys are those by which the organisation signs what it offers and the paths of routes (docs/attestation.md),
	// sorted by id.
	AttestKeys []attest.Key
	Sequence   uint64 // 0 if the document has none; at most MaxSequence
	// RefreshHint is how often the owner wants it looked at; 0 if he does not say. A longer one is read as MaxHint.
	RefreshHint time.Duration
	// Skipped says which keys of a document were left out, and why: kinds that this reader does not know.
	Skipped []string
}

// key is a JWK as a bundle has it.
type key struct {
	Kty string   `json:"kty"`
	Use string   `json:"use"`
	Kid string   `json:"kid,omitempty"`
	Alg string   `json:"alg,omitempty"`
	Crv string   `json:"crv,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	X5C []string `json:"x5c,omitempty"`
	D   string   `json:"d,omitempty"`
}

// document is a bundle as JSON. Pointers tell what is missing.
type document struct {
	Keys     *[]json.RawMessage `json:"keys"`
	Sequence *json.Number       `json:"spiffe_sequence"`
	Hint     *json.Number       `json:"spiffe_refresh_hint"`
}

// ErrNoKnownKey tells that a document has keys, and none of a kind that is known here.
//
//nolint:gochecknoglobals // a sentinel
var ErrNoKnownKey = errors.New("the bundle has keys, and none of a kind that is known here")

// Parse reads the bundle of org. Keys of unknown kinds are left out and named in Skipped, as JWKS readers should
// (RFC 7517 §5): one new kind never takes the others along. A document without any key ("keys": []) is one of an
// organisation that has withdrawn them all (SPIFFE Trust Domain and Bundle §4.1.1).
func Parse(org bgp.Org, raw []byte) (*Bundle, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("bundle of %s: %d bytes: want at most %d", org, len(raw), MaxBytes)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("bundle of %s: it is no JSON of a bundle: %w", org, err)
	}
	if d.Keys == nil {
		return nil, fmt.Errorf("bundle of %s: it has no array of keys", org)
	}
	if n := len(*d.Keys); n > MaxKeys {
		return nil, fmt.Errorf("bundle of %s: %d keys: want at most %d", org, n, MaxKeys)
	}
	b := &Bundle{Org: org, TokenKeys: token.KeySet{}}
	var err error
	if b.Sequence, err = whole("spiffe_sequence", d.Sequence, MaxSequence); err != nil {
		return nil, fmt.Errorf("bundle of %s: %w", org, err)
	}
	hint, err := whole("spiffe_refresh_hint", d.Hint, MaxSequence)
	if err != nil {
		return nil, fmt.Errorf("bundle of %s: %w", org, err)
	}
	b.RefreshHint = time.Duration(min(hint, uint64(MaxHint/time.Second))) * time.Second //nolint:gosec // it is small
	for i, one := range *d.Keys {
		if err := b.add(one); err != nil {
			if errors.Is(err, errPrivate) {
				return nil, fmt.Errorf("bundle of %s: keys[%d] %w", org, i, err)
			}
			if len(b.Skipped) < maxSkipped {
				b.Skipped = append(b.Skipped, bgp.Printable(fmt.Sprintf("keys[%d]: %v", i, err)))
			}
		}
	}
	if len(*d.Keys) > 0 && len(b.Roots)+len(b.TokenKeys) == 0 {
		return nil, fmt.Errorf("bundle of %s: %w (%s)", org, ErrNoKnownKey, b.Skipped[0])
	}
	b.sort()
	return b, nil
}

// whole reads a whole number of 0 to most; 0 where there is none.
func whole(field string, n *json.Number, most uint64) (uint64, error) {
	if n == nil {
		return 0, nil
	}
	v, ok := new(big.Int).SetString(n.String(), 10)
	if !ok || v.Sign() < 0 || v.Cmp(new(big.Int).SetUint64(most)) > 0 {
		return 0, fmt.Errorf("%s: %s: want a whole number of 0 to %d", field, bgp.Printable(n.String()), most)
	}
	return v.Uint64(), nil
}

//nolint:gochecknoglobals // a sentinel
var errPrivate = errors.New("is a private key: whoever published it has to replace it")

// add takes one key, or says why not.
func (b *Bundle) add(raw json.RawMessage) error {
	var k key
	if err := json.Unmarshal(raw, &k); err != nil {
		return errors.New("it is no JWK")
	}
	if k.D != "" {
		return errPrivate
	}
	switch k.Use {
	case "x509-svid":
		root, err := rootOf(b.Org, &k)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(b.Roots, root.Equal) {
			b.Roots = append(b.Roots, root)
		}
		return nil
	case "jwt-svid":
		one, err := json.Marshal(map[string][]json.RawMessage{"keys": {raw}})
		if err != nil {
			return err
		}
		set, err := token.ParseJWKS(one, token.ES384, token.ES256, token.RS256)
		if err != nil {
			return err
		}
		for kid, key := range set {
			if b.TokenKeys[kid] != nil {
				return fmt.Errorf("its kid %q is given twice", bgp.Printable(kid))
			}
			b.TokenKeys[kid] = key
		}
		return nil
	}
	if k.Use == attest.Use || k.Use == attest.UsePath {
		return b.addAttest(raw)
	}
	return fmt.Errorf("its use is %q", k.Use)
}

func (b *Bundle) addAttest(raw json.RawMessage) error {
	one, err := json.Marshal(map[string][]json.RawMessage{"keys": {raw}})
	if err != nil {
		return err
	}
	keys, err := attest.ParseKeys(one)
	switch {
	case err != nil:
		return err
	case len(keys) == 0:
		return errors.New("it is no attestation key over P-384")
	case len(b.AttestKeys) >= attest.MaxKeys:
		return fmt.Errorf("more than %d attestation keys", attest.MaxKeys)
	}
	b.AttestKeys = append(b.AttestKeys, keys...)
	return nil
}

// rootOf reads the certificate of an x509-svid key: exactly one, which may sign, of the trust domain if it names one.
func rootOf(org bgp.Org, k *key) (*x509.Certificate, error) {
	if len(k.X5C) != 1 {
		return nil, fmt.Errorf("an x509-svid key has %d certificates, want one", len(k.X5C))
	}
	der, err := base64.StdEncoding.DecodeString(k.X5C[0])
	if err != nil {
		return nil, errors.New("its x5c is not base64")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("its x5c: %w", err)
	}
	return c, CheckRoot(org, c)
}

// CheckRoot tells what is wrong with a certificate as a root of org.
func CheckRoot(org bgp.Org, c *x509.Certificate) error {
	if !c.IsCA || !c.BasicConstraintsValid {
		return fmt.Errorf("certificate of %s is no CA", c.Subject)
	}
	for _, u := range c.URIs {
		if u.Scheme == "spiffe" && u.Host != string(org) {
			return fmt.Errorf("certificate of %s is for %s, not %s", c.Subject, u.Host, org)
		}
	}
	return nil
}

// FromPEM makes a bundle of roots in PEM, and of token keys if there are any.
func FromPEM(org bgp.Org, text []byte, keys token.KeySet) (*Bundle, error) {
	b := &Bundle{Org: org, TokenKeys: keys}
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("roots of %s: want certificates in PEM and nothing else", org)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			err = CheckRoot(org, c)
		}
		if err != nil {
			return nil, fmt.Errorf("roots of %s: %w", org, err)
		}
		b.Roots = append(b.Roots, c)
	}
	if len(b.Roots) == 0 || len(b.Roots) > MaxKeys {
		return nil, fmt.Errorf("roots of %s: %d certificates: want 1 to %d", org, len(b.Roots), MaxKeys)
	}
	b.sort()
	return b, nil
}

// Read reads what operators carry by hand: the document, or the roots in PEM.
func Read(org bgp.Org, raw []byte) (*Bundle, error) {
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("-----BEGIN")) {
		if len(raw) > MaxBytes {
			return nil, fmt.Errorf("roots of %s: %d bytes: want at most %d", org, len(raw), MaxBytes)
		}
		return FromPEM(org, raw, nil)
	}
	return Parse(org, raw)
}

func (b *Bundle) sort() {
	slices.SortFunc(b.Roots, func(x, y *x509.Certificate) int { return bytes.Compare(x.Raw, y.Raw) })
	slices.SortFunc(b.AttestKeys, func(x, y attest.Key) int { return strings.Compare(x.ID, y.ID) })
}

// PEM returns the roots, as a file of an identity's directory has them; empty if there are none.
func (b *Bundle) PEM() []byte {
	var out []byte
	for _, c := range b.Roots {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// Digest is the SHA-256 of what the bundle holds, in hexadecimal: the same for the same roots and keys, however
// they are written and whatever the sequence.
func (b *Bundle) Digest() string {
	h := sha256.New()
	for _, c := range b.Roots {
		sum := sha256.Sum256(c.Raw)
		h.Write(sum[:])
	}
	for _, kid := range b.kids() {
		sum := sha256.Sum256([]byte(kid))
		h.Write(sum[:])
	}
	for _, k := range b.AttestKeys {
		sum := sha256.Sum256(fmt.Appendf(nil, "attestation %t %s", k.Path, k.ID))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Pins are the SHA-256 of each root's DER in hexadecimal, as openssl x509 -fingerprint -sha256 prints it but for the
// colons: what two operators compare over another channel.
func (b *Bundle) Pins() []string {
	out := make([]string, 0, len(b.Roots))
	for _, c := range b.Roots {
		sum := sha256.Sum256(c.Raw)
		out = append(out, hex.EncodeToString(sum[:]))
	}
	return out
}

// Pool returns the roots for a verification.
func (b *Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range b.Roots {
		pool.AddCert(c)
	}
	return pool
}

// Until is when the last root ends; zero without roots.
func (b *Bundle) Until() time.Time {
	var last time.Time
	for _, c := range b.Roots {
		if c.NotAfter.After(last) {
			last = c.NotAfter
		}
	}
	return last
}

func (b *Bundle) kids() []string {
	kids := make([]string, 0, len(b.TokenKeys))
	for kid := range b.TokenKeys {
		kids = append(kids, kid)
	}
	slices.Sort(kids)
	return kids
}

// Marshal returns the document: each root an x509-svid key with one certificate and no kid, each token key a jwt-svid
// key with its kid, in an order that depends on nothing but them.
func (b *Bundle) Marshal() ([]byte, error) {
	out := struct {
		Keys     []key  `json:"keys"`
		Sequence uint64 `json:"spiffe_sequence,omitempty"`
		Hint     int64  `json:"spiffe_refresh_hint,omitempty"`
	}{Keys: []key{}, Sequence: b.Sequence, Hint: int64(b.RefreshHint / time.Second)}
	for _, c := range b.Roots {
		k, err := jwkOf(c.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("root %s of %s: %w", c.Subject, b.Org, err)
		}
		k.Use, k.X5C = "x509-svid", []string{base64.StdEncoding.EncodeToString(c.Raw)}
		out.Keys = append(out.Keys, k)
	}
	for _, kid := range b.kids() {
		k, err := jwkOf(b.TokenKeys[kid].Public)
		if err != nil {
			return nil, fmt.Errorf("token key %s of %s: %w", kid, b.Org, err)
		}
		k.Use, k.Kid, k.Alg = "jwt-svid", kid, b.TokenKeys[kid].Algorithm
		out.Keys = append(out.Keys, k)
	}
	for _, a := range b.AttestKeys {
		k, err := jwkOf(a.Public)
		if err != nil {
			return nil, fmt.Errorf("attestation key %s of %s: %w", a.ID, b.Org, err)
		}
		if k.Use, k.Kid = attest.Use, a.ID; a.Path {
			k.Use = attest.UsePath
		}
		out.Keys = append(out.Keys, k)
	}
	return json.Marshal(out)
}

// jwkOf writes a public key (RFC 7518 §6).
func jwkOf(public any) (key, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		crv := map[elliptic.Curve]string{elliptic.P256(): "P-256", elliptic.P384(): "P-384",
			elliptic.P521(): "P-521"}[p.Curve]
		point, err := p.Bytes()
		if crv == "" || err != nil {
			return key{}, errors.New("want an ECDSA key on P-256, P-384 or P-521")
		}
		n := (len(point) - 1) / 2
		return key{Kty: "EC", Crv: crv, X: b64(point[1 : 1+n]), Y: b64(point[1+n:])}, nil
	case *rsa.PublicKey:
		return key{Kty: "RSA", N: b64(p.N.Bytes()), E: b64(big.NewInt(int64(p.E)).Bytes())}, nil
	}
	return key{}, fmt.Errorf("%T: want an ECDSA or RSA key", public)
}
