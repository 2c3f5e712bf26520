package identity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
)

const (
	maxURI      = 2048 // characters of a SPIFFE ID (SPIFFE-ID §2.3)
	uriTag      = 6    // of uniformResourceIdentifier among the GeneralNames (RFC 5280 §4.2.1.6)
	contextTags = 2    // the ASN.1 class of GeneralNames
)

// NodeOf returns the node that a connection's certificate names. The chain has been verified by the handshake; here
// the certificate is judged by the rules of X509-SVID that no chain check covers.
func (s *Source) NodeOf(state tls.ConnectionState) (bgp.NodeID, error) { return nodeOf(state) }

func nodeOf(state tls.ConnectionState) (bgp.NodeID, error) {
	id, err := idOf(state)
	if err != nil {
		return bgp.NodeID{}, err
	}
	n, err := bgp.ParseNodeID(id)
	if err == nil && n.URI() != id {
		// It is the short form, or has capitals: another name for all who compare bytes, as Envoy does.
		err = fmt.Errorf("certificate of %q: want %s", id, n.URI())
	}
	return n, err
}

// EnvoyOf returns the Envoy that a connection's certificate names, judged as NodeOf does.
func (s *Source) EnvoyOf(state tls.ConnectionState) (bgp.EnvoyID, error) { return envoyOf(state) }

func envoyOf(state tls.ConnectionState) (bgp.EnvoyID, error) {
	id, err := idOf(state)
	if err != nil {
		return bgp.EnvoyID{}, err
	}
	if n, err := bgp.ParseNodeID(id); err == nil {
		return bgp.EnvoyID{}, fmt.Errorf(
			"it shows the certificate of node %s: an Envoy has one of its own (catalyst org issue-envoy)", n,
		)
	}
	return bgp.ParseEnvoyID(id)
}

func idOf(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("no certificate")
	}
	return Judge(state.PeerCertificates[0])
}

// Judge returns the SPIFFE ID of a leaf, as the certificate has it to the byte, or which rule of X509-SVID it breaks:
// exactly one URI SAN (§2), no CA and no right to sign (§4.1, §4.3), digitalSignature (§4.3), and both extended
// usages where there are any (§4.4).
func Judge(leaf *x509.Certificate) (string, error) {
	uris, err := rawURIs(leaf)
	switch {
	case err != nil:
		return "", err
	case len(uris) != 1:
		return "", fmt.Errorf("certificate has %d URI names, want exactly one (X509-SVID §2)", len(uris))
	case len(uris[0]) > maxURI:
		return "", fmt.Errorf(
			"certificate has a name of %d characters, want %d at most (SPIFFE-ID §2.3)", len(uris[0]), maxURI,
		)
	case leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "", fmt.Errorf("certificate of %q may sign others, and is no leaf (X509-SVID §4)", uris[0])
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "", fmt.Errorf("certificate of %q lacks the key usage digitalSignature (X509-SVID §4.3)", uris[0])
	}
	if e := leaf.ExtKeyUsage; len(e)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(e, x509.ExtKeyUsageAny) &&
		(!slices.Contains(e, x509.ExtKeyUsageServerAuth) || !slices.Contains(e, x509.ExtKeyUsageClientAuth)) {
		return "", fmt.Errorf("certificate of %q is not for server and client (X509-SVID §4.4)", uris[0])
	}
	return uris[0], nil
}

// rawURIs returns the URI names of a certificate as they stand in it. crypto/x509 gives parsed URLs, which lose what
// a comparison of bytes sees, such as an empty fragment or capitals in the scheme.
func rawURIs(c *x509.Certificate) ([]string, error) {
	var all []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return nil, errors.New("certificate has malformed names")
		}
		for rest := names.Bytes; len(rest) > 0; {
			var name asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				return nil, errors.New("certificate has malformed names")
			}
			if name.Class == contextTags && name.Tag == uriTag {
				all = append(all, string(name.Bytes))
			}
		}
	}
	return all, nil
}
