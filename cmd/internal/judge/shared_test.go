package judge

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

// signing is a node of an organisation whose authority is made in dir, if it is not there.
func signing(t *testing.T, dir string, org bgp.Org, node string) Signing {
	t.Helper()
	dir = filepath.Join(dir, string(org))
	authority, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		if err := disk.InitCA(filepath.Join(dir, "ca"), org); err != nil {
			t.Fatal(err)
		}
		if authority, err = disk.LoadCA(filepath.Join(dir, "ca")); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := disk.IssueNode(authority, filepath.Join(dir, node), node, time.Hour); err != nil {
		t.Fatal(err)
	}
	src, err := identity.Open(filepath.Join(dir, node))
	if err != nil {
		t.Fatal(err)
	}
	return Signing{Identity: src}
}

// A set is believed if the node that is named signed it, with a certificate that held then, of this organisation.
func TestSigning(t *testing.T) {
	dir := t.TempDir()
	a, b := signing(t, dir, "acme.example", "a"), signing(t, dir, "acme.example", "b")
	foreign := signing(t, dir, "bravo.example", "a")
	id := bgp.NodeID{Org: "acme.example", Name: "a"}
	text, now := []byte("a set"), time.Now()
	sig, chain, err := a.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(id, text, sig, chain, now); err != nil {
		t.Fatalf("what a signed: %v", err)
	}
	other, otherChain, _ := b.Sign(text)
	strange, strangeChain, _ := foreign.Sign(text)
	revoked := b
	revoked.Revoked = func(*x509.Certificate) error { return errors.New("revoked") }
	for name, err := range map[string]error{
		"another text":            b.Verify(id, []byte("another"), sig, chain, now),
		"signed by b":             b.Verify(id, text, other, otherChain, now),
		"b's signature, a's leaf": b.Verify(id, text, other, chain, now),
		"another organisation":    b.Verify(id, text, strange, strangeChain, now),
		"and its name":            b.Verify(bgp.NodeID{Org: "bravo.example", Name: "a"}, text, strange, strangeChain, now),
		"after its end":           b.Verify(id, text, sig, chain, now.Add(2*time.Hour)),
		"no chain":                b.Verify(id, text, sig, nil, now),
		"no certificate":          b.Verify(id, text, sig, [][]byte{{1}}, now),
		"revoked":                 revoked.Verify(id, text, sig, chain, now),
	} {
		if err == nil {
			t.Errorf("%s is believed", name)
		}
	}
}
