package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	svid "github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

// followers are the organisations whose nodes may follow this one's revocations, by files of their roots.
type followers struct{ dir string }

// node returns the node of another organisation that a connection's certificate names, if it ends at the roots of
// that very organisation. The files are read each time: nodes follow for as long as their certificates live.
func (f followers) node(state *tls.ConnectionState) (*x509.Certificate, bgp.NodeID, error) {
	if f.dir == "" || state == nil || len(state.PeerCertificates) == 0 {
		return nil, bgp.NodeID{}, errors.New("no other organisation may follow this one's revocations")
	}
	leaf := state.PeerCertificates[0]
	uri, err := svid.Judge(leaf)
	if err != nil {
		return nil, bgp.NodeID{}, err
	}
	node, err := followerOf(uri)
	if err != nil {
		return nil, bgp.NodeID{}, err
	}
	text, err := os.ReadFile(filepath.Join(f.dir, disk.BundleFile(node.Org)))
	if err != nil {
		return nil, bgp.NodeID{}, fmt.Errorf("%s may not follow this organisation's revocations", node.Org)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, bgp.NodeID{}, fmt.Errorf("the certificate: %w", err)
	}
	return leaf, node, nil
}

// followerOf is who follows, by the name in a certificate: a node of another organisation, or its identity service,
// which exchanges tokens of this one's.
func followerOf(uri string) (bgp.NodeID, error) {
	if of, is := strings.CutSuffix(strings.TrimPrefix(uri, "spiffe://"), "/auth"); is {
		if org, err := bgp.ParseOrg(of); err == nil && ca.ServiceURI(org) == uri {
			return bgp.NodeID{Org: org, Name: "auth"}, nil
		}
	}
	return bgp.ParseNodeID(uri)
}
