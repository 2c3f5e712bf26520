package federation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

// statementDomain stands in front of what is signed: the key signs nothing else that begins so.
const statementDomain = "catalyst bundle 1\x00"

const maxStatement = 4 * bundle.MaxBytes / 3 * 2

// statement is what a node says in its organisation's name, to one other organisation.
type statement struct {
	Node     bgp.NodeID      `json:"iss"`
	Audience bgp.Org         `json:"aud"`
	Document json.RawMessage `json:"bundle"`
}

// Sign writes that a node of an organisation says: this is our bundle. It is proved by the node's certificate, so by
// a root that the reader holds already, over whatever way it comes.
func Sign(cert *tls.Certificate, node bgp.NodeID, audience bgp.Org, own *bundle.Bundle) (string, error) {
	doc, err := own.Marshal()
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(statement{node, audience, doc})
	if err != nil {
		return "", err
	}
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return "", errors.New("sign the bundle: the certificate has no key")
	}
	digest := sha256.Sum256(append([]byte(statementDomain), payload...))
	sig, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("sign the bundle: %w", err)
	}
	parts := []string{base64.RawURLEncoding.EncodeToString(payload), base64.RawURLEncoding.EncodeToString(sig)}
	for _, der := range cert.Certificate {
		parts = append(parts, base64.RawURLEncoding.EncodeToString(der))
	}
	return strings.Join(parts, "."), nil
}

// Verify reads a statement to reader, and returns the bundle in it, if a root of held proves that a node of its
// organisation made it.
func Verify(text string, reader bgp.Org, held *bundle.Bundle) (*bundle.Bundle, error) {
	parts := strings.Split(text, ".")
	if len(text) > maxStatement || len(parts) < 3 || len(parts) > 7 {
		return nil, errors.New("statement: want a bundle, a signature and certificates")
	}
	raw := make([][]byte, len(parts))
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil {
			return nil, errors.New("statement: is not base64url")
		}
	}
	var chain []*x509.Certificate
	for _, der := range raw[2:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("statement: %w", err)
		}
		chain = append(chain, c)
	}
	id, err := identity.Judge(chain[0])
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	if err := Chain(chain, held); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	key, ok := chain[0].PublicKey.(*ecdsa.PublicKey)
	digest := sha256.Sum256(append([]byte(statementDomain), raw[0]...))
	if !ok || !ecdsa.VerifyASN1(key, digest[:], raw[1]) {
		return nil, errors.New("statement: its signature is not that of its certificate")
	}
	var s statement
	if err := json.Unmarshal(raw[0], &s); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	if s.Node.URI() != id || s.Node.Org != held.Org || s.Audience != reader {
		return nil, fmt.Errorf("statement: %s says it for %s to %s", bgp.Printable(id), s.Node.Org, s.Audience)
	}
	return bundle.Parse(held.Org, s.Document)
}
