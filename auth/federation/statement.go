package federation

import (
	"crypto"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

const (
	statementDomain = "catalyst bundle 1\x00" // of identity.Sign
	maxStatement    = 4 * bundle.MaxBytes / 3 * 2
	maxStatementCAs = 5 // certificates in one, the node's own among them
)

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
	text, err := identity.Sign(statementDomain, payload, signer, cert.Certificate)
	if err != nil {
		return "", fmt.Errorf("sign the bundle: %w", err)
	}
	return text, nil
}

// Verify reads a statement to reader, and returns the bundle in it, if a root of held proves that a node of its
// organisation made it.
func Verify(text string, reader bgp.Org, held *bundle.Bundle) (*bundle.Bundle, error) {
	said, err := identity.ParseSigned(text, maxStatement, maxStatementCAs)
	if errors.Is(err, identity.ErrSignedForm) {
		return nil, errors.New("statement: want a bundle, a signature and certificates")
	}
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	id, err := identity.Judge(said.Chain[0])
	if err == nil {
		err = Chain(said.Chain, held)
	}
	if err == nil {
		err = said.CheckSignature(statementDomain)
	}
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	var s statement
	if err := json.Unmarshal(said.Payload, &s); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	if s.Node.URI() != id || s.Node.Org != held.Org || s.Audience != reader {
		return nil, fmt.Errorf("statement: %s says it for %s to %s", bgp.Printable(id), s.Node.Org, s.Audience)
	}
	return bundle.Parse(held.Org, s.Document)
}
