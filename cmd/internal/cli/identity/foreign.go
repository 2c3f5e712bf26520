package identity

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	feeds "github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
	"github.com/catalyst-router/catalyst/bgp"
)

// externalOrg is another organisation whose tokens are exchanged, as the file of external issuers gives it.
type externalOrg struct {
	Organisation string        `yaml:"organisation"`
	Address      string        `yaml:"address"`  // HOST:PORT of its identity service
	Roots        string        `yaml:"roots"`    // PEM file of its roots; read at each connection
	Issuer       string        `yaml:"issuer"`   // iss of its tokens; empty for https://auth.ORGANISATION
	Audience     []string      `yaml:"audience"` // of the new tokens
	Subjects     []string      `yaml:"subjects"` // whose tokens are exchanged; none for all
	Life         time.Duration `yaml:"life"`     // the longest of a new token
}

// addOrg has tokens of another organisation exchanged, by what its identity service says of keys and revocations.
func (e *externals) addOrg(in externalOrg, log *slog.Logger) error {
	org, err := bgp.ParseOrg(in.Organisation)
	if err != nil {
		return fmt.Errorf("organisation: %w", err)
	}
	if _, _, err := net.SplitHostPort(in.Address); err != nil {
		return fmt.Errorf("address: want HOST:PORT: %w", err)
	}
	if _, err := rootsIn(in.Roots); err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	feed := feeds.New(feeds.Config{
		Issuer: cmp.Or(in.Issuer, "https://auth."+string(org)), Org: org, Log: log,
		Connect: func(context.Context) (authv1.IdentityClient, func(), error) {
			roots, err := rootsIn(in.Roots)
			if err != nil {
				return nil, nil, err
			}
			return feeds.Dial(in.Address, e.dials(org, roots))
		},
	})
	e.feeds = append(e.feeds, feed)
	e.foreign = append(e.foreign, service.Foreign{
		Org: org, Issuer: feed.Issuer(), Revocations: feed.Revocations(), Audience: in.Audience, Subjects: in.Subjects,
		Life: in.Life,
	})
	return nil
}

func rootsIn(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it", path)
	}
	return roots, nil
}

// dials proves this service by its own certificate to the identity service of an organisation, and takes nobody else
// for that.
func (e *externals) dials(org bgp.Org, roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, by SPIFFE's rules instead of host names
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if s := e.mine.Load(); s != nil {
				return s.Certificate()
			}
			return nil, errors.New("the service is not up yet")
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			shown, err := identity.Judge(leaf)
			if want := ca.ServiceURI(org); err == nil && shown != want {
				err = fmt.Errorf("whoever answers there is %s, want %s", bgp.Printable(shown), want)
			}
			if err != nil {
				return err
			}
			between := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
			return err
		},
	}
}
