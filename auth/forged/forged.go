// Package forged makes the certificates that a careless CA would sign, or one that was got at, for tests that have
// them refused.
package forged

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
)

const uriTag = 6 // of uniformResourceIdentifier among the GeneralNames (RFC 5280 §4.2.1.6)

// Certificate signs a certificate with these URI names, to the byte, for an hour, and whatever else change makes of
// it. Without change it is what the authority itself would sign, if the names are good.
func Certificate(a *ca.Authority, uris []string, change func(*x509.Certificate)) (tls.Certificate, error) {
	text, err := a.KeyPEM()
	if err != nil {
		return tls.Certificate{}, err
	}
	keyBlock, _ := pem.Decode(text)
	rootBlock, _ := pem.Decode(a.Roots())
	if keyBlock == nil || rootBlock == nil {
		return tls.Certificate{}, errors.New("not PEM")
	}
	signer, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return tls.Certificate{}, err
	}
	root, err := x509.ParseCertificate(rootBlock.Bytes)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(tmpl)
	}
	if err := name(tmpl, uris); err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, root, key.Public(), signer)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// name writes the names by hand: crypto/x509 would check the URIs.
func name(tmpl *x509.Certificate, uris []string) error {
	const dnsTag = 2
	var names []asn1.RawValue
	for _, u := range uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: uriTag, Bytes: []byte(u)})
	}
	for _, d := range tmpl.DNSNames {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: dnsTag, Bytes: []byte(d)})
	}
	if len(names) == 0 {
		return nil
	}
	san, err := asn1.Marshal(names)
	tmpl.ExtraExtensions = append(
		tmpl.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san},
	)
	return err
}
