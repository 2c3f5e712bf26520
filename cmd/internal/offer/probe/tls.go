package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/catalyst-router/catalyst/bgp"
)

// TLS is how a workload that speaks TLS is known. The zero value is none: the workload speaks in clear.
type TLS struct {
	CA string // PEM; "" for none
	// Name is a DNS name or an IP address: what is asked for (SNI, a DNS name only) and, without ID, what the certificate
	// has to be for.
	Name     string
	ID       string // the SPIFFE id that the certificate has to carry; judged by its organisation's roots without CA
	Insecure bool   // whoever answers is believed
}

// On tells whether the workload speaks TLS.
func (t TLS) On() bool { return t.CA != "" || t.ID != "" || t.Insecure }

// Identity is this node's certificate, which a workload that is known by its SPIFFE id is shown, and the roots of
// organisations. identity.Source is one.
type Identity interface {
	x509svid.Source
	x509bundle.Source
}

// Asker asks workloads; ID may be nil where none is known by a SPIFFE id.
type Asker struct{ ID Identity }

// ParseCA reads the certificates of those who may sign a workload's: PEM, and nothing but certificates.
func ParseCA(text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := []byte(text); ; {
		block, more := pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s among the certificates: want certificates alone", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all, rest = append(all, c), more
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in it: want PEM")
	}
	return all, nil
}

// config is how the node speaks TLS with a workload, as its Envoy does.
func (a Asker) config(t TLS, p bgp.Protocol) (*tls.Config, error) {
	c := &tls.Config{ServerName: t.Name, MinVersion: tls.VersionTLS12}
	switch p {
	case bgp.HTTP2, bgp.GRPC:
		c.NextProtos = []string{"h2"}
	case bgp.HTTP, bgp.GraphQL:
		c.NextProtos = []string{"http/1.1"}
	case bgp.TCP:
	}
	if t.Insecure {
		c.InsecureSkipVerify = true //nolint:gosec // the operator said so, and catalyst route list shows it
		return c, nil
	}
	var roots []*x509.Certificate
	if t.CA != "" {
		var err error
		if roots, err = ParseCA(t.CA); err != nil {
			return nil, err
		}
	}
	if t.ID == "" {
		c.RootCAs = x509.NewCertPool()
		for _, r := range roots {
			c.RootCAs.AddCert(r)
		}
		return c, nil
	}
	return c, a.byID(c, t.ID, roots)
}

// byID has a configuration believe one SPIFFE id, by these roots or by those of its organisation.
func (a Asker) byID(c *tls.Config, id string, roots []*x509.Certificate) error {
	want, err := spiffeid.FromString(id)
	if err != nil {
		return err
	}
	if a.ID == nil {
		return errors.New("this node has no identity to show")
	}
	var bundles x509bundle.Source = a.ID
	if len(roots) > 0 {
		bundles = x509bundle.FromX509Authorities(want.TrustDomain(), roots)
	}
	c.GetClientCertificate = tlsconfig.GetClientCertificate(a.ID)
	c.InsecureSkipVerify = true //nolint:gosec // VerifyConnection judges it
	c.VerifyConnection = func(state tls.ConnectionState) error {
		got, _, err := x509svid.Verify(state.PeerCertificates, bundles)
		if err == nil && got != want {
			err = fmt.Errorf("its certificate is that of %s, want %s", got, want)
		}
		return err
	}
	return nil
}

// dial connects to a workload as Envoy does, over TLS where it speaks that.
func (a Asker) dial(ctx context.Context, t *Target) (net.Conn, error) {
	conn, err := Dial(ctx, t.Address, t.Other)
	if err != nil || !t.TLS.On() {
		return conn, err
	}
	secured, err := a.secure(ctx, conn, t)
	if err != nil {
		_ = conn.Close()
		return nil, &tlsError{err}
	}
	return secured, nil
}

// secure shakes hands with a workload.
func (a Asker) secure(ctx context.Context, conn net.Conn, t *Target) (*tls.Conn, error) {
	c, err := a.config(t.TLS, t.Protocol)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, c)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if slices.Contains(c.NextProtos, "h2") && secured.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, errors.New("it speaks no HTTP/2 (ALPN h2)")
	}
	return secured, nil
}

// tlsError tells that a workload takes connections, and that its TLS is not what the node was told.
type tlsError struct{ error }

func (e *tlsError) Error() string { return "TLS: " + e.error.Error() }

// Unwrap returns what TLS itself said.
func (e *tlsError) Unwrap() error { return e.error }
