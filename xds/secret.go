package xds

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/catalyst-router/catalyst/bgp"
)

// The files of an Envoy's own bundle, as package auth/disk writes them.
const (
	certificateFile = "svid.pem"
	keyFile         = "key.pem"
)

// CertificateOnFiles is the secret with the node's certificate as an Envoy on another machine is given it: it has a
// certificate and a key of its own, in dir on its machine, and reads them again when they are replaced there (Envoy's
// docs, "SDS: key rotation").
func CertificateOnFiles(dir string) ([]byte, error) {
	file := func(name string) *core.DataSource {
		return &core.DataSource{Specifier: &core.DataSource_Filename{Filename: filepath.Join(dir, name)}}
	}
	own := &tls.TlsCertificate{
		CertificateChain: file(certificateFile),
		PrivateKey:       file(keyFile),
		WatchedDirectory: &core.WatchedDirectory{Path: dir},
	}
	secret := &tls.Secret{Name: secretNode, Type: &tls.Secret_TlsCertificate{TlsCertificate: own}}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(secret)
	if err != nil {
		return nil, fmt.Errorf("secret of files in %q: %w", dir, err)
	}
	return raw, nil
}

// Identity returns the secrets for a new identity: the node's certificate, what callers of the mesh ingress are
// judged by, which is the roots of each trust domain for itself alone, and for each organisation with next hops its
// own roots and no others.
func (c *Compiler) Identity(id Identity) (Delta, error) {
	c.roots = id.Roots
	for org := range id.Roots {
		c.peerOrgs[org] = true
	}
	b := builder{c: c}
	b.set(TypeSecret, secretNode, &tls.Secret{Name: secretNode, Type: &tls.Secret_TlsCertificate{
		TlsCertificate: &tls.TlsCertificate{CertificateChain: inline(id.Chain), PrivateKey: inline(id.Key)},
	}})
	for i := range b.d.Set {
		b.d.Set[i].Secret = true
	}
	b.set(TypeSecret, secretTrust, validator(secretTrust, id.Roots))
	for _, org := range slices.Sorted(maps.Keys(c.peerOrgs)) {
		c.trustOrg(&b, org)
	}
	return b.d, b.err
}

// Believes returns the secrets by which Envoys believe certificates of an organisation, if what was compiled last holds
// these roots of it, as PEM.
func (c *Compiler) Believes(org bgp.Org, roots []byte) (in []Ref, ok bool) {
	if !c.peerOrgs[org] || !bytes.Equal(c.roots[org], roots) {
		return nil, false
	}
	return []Ref{{TypeSecret, secretTrust}, {TypeSecret, trustOf(org)}}, true
}

// trust makes sure that Envoy has the roots of the organisations of a service's next hops.
func (c *Compiler) trust(b *builder, f *Forwarding) {
	if org := orgOf(f.TLS); org != "" && len(f.local()) > 0 && !c.peerOrgs[org] {
		c.trustAlso(b, org)
	}
	for _, tier := range f.Tiers {
		for _, t := range tier {
			if org := t.NextHop.Node.Org; t.Backend.Address == "" && !c.peerOrgs[org] {
				c.trustAlso(b, org)
			}
		}
	}
}

// trustAlso publishes the roots of one more organisation.
func (c *Compiler) trustAlso(b *builder, org bgp.Org) {
	c.peerOrgs[org] = true
	own := builder{c: c} // it is no service's
	c.trustOrg(&own, org)
	b.d.Set, b.err = append(b.d.Set, own.d.Set...), errors.Join(b.err, own.err)
}

// trustOrg publishes by which roots next hops of one organisation are judged. Envoy chooses the roots by the first
// URI name of a certificate and looks for the expected name among all of them: were other roots there, their CA could
// sign for this organisation's nodes by putting a name of its own first. Where the roots are not known, as when they
// were removed, this node's own organisation stands in: nobody of another is believed.
func (c *Compiler) trustOrg(b *builder, org bgp.Org) {
	domain := org
	if c.roots[org] == nil {
		domain = c.cfg.Self.Org
	}
	name := trustOf(org)
	b.set(TypeSecret, name, validator(name, map[bgp.Org][]byte{domain: c.roots[domain]}))
}

// trustOf names the secret with one organisation's roots.
func trustOf(org bgp.Org) string { return secretTrust + "/" + string(org) }

// validator is a secret by which certificates are judged as SPIFFE asks: by the roots of their own trust domain.
func validator(name string, roots map[bgp.Org][]byte) *tls.Secret {
	spiffe := &tls.SPIFFECertValidatorConfig{}
	for _, org := range slices.Sorted(maps.Keys(roots)) {
		spiffe.TrustDomains = append(spiffe.TrustDomains, &tls.SPIFFECertValidatorConfig_TrustDomain{
			Name: string(org), TrustBundle: inline(roots[org]),
		})
	}
	validation := &tls.CertificateValidationContext{
		CustomValidatorConfig: extension("envoy.tls.cert_validator.spiffe", spiffe),
	}
	return &tls.Secret{Name: name, Type: &tls.Secret_ValidationContext{ValidationContext: validation}}
}

// label is what a DNS name consists of, as a regular expression.
const label = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"

// dataPlaneOf matches the certificates that may stand for a node in the data plane: its own, and those of its Envoys
// elsewhere.
func dataPlaneOf(n bgp.NodeID) []*tls.SubjectAltNameMatcher {
	envoys := &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{
		Regex: regexp.QuoteMeta(bgp.EnvoyPrefix(n)) + names}}}
	return []*tls.SubjectAltNameMatcher{
		{SanType: tls.SubjectAltNameMatcher_URI, Matcher: exactly(n.URI())},
		{SanType: tls.SubjectAltNameMatcher_URI, Matcher: envoys},
	}
}
