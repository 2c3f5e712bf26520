package peering

import (
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// A session ends whose other side showed a certificate that is refused now, though other certificates of that node are
// not; the node comes back with another. One that began between the handshake and the review is refused as well.
func TestSessionsEndWithTheirCertificate(t *testing.T) {
	node := org(t, "acme.example")
	src := node("b")
	a, b := start(t, node("a"), 1), start(t, src, 2)
	a.peer(t, b)
	b.peer(t, a)
	a.eventually(t, "b is a peer", established(b.id))
	former := src.Material().Chain
	svid, err := src.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(leaf *x509.Certificate) error {
		if leaf.Equal(svid.Certificates[0]) {
			return errors.New("revoked")
		}
		return nil
	}
	if ended := a.Review(t.Context(), func(*x509.Certificate) error { return nil }); len(ended) > 0 {
		t.Errorf("sessions of %v ended without a reason", ended)
	}
	if ended := a.Review(t.Context(), refuse); !slices.Equal(ended, []bgp.NodeID{b.id}) {
		t.Errorf("ended %v, want %v", ended, b.id)
	}
	// It dials again with the same certificate, which the handshake would take: the review's answer holds.
	a.eventually(t, "b stays away", func(s *speaker.Speaker) bool { return !established(b.id)(s) })
	node("b") // another certificate
	if _, err := src.Reload(); err != nil || slices.Equal(former, src.Material().Chain) {
		t.Fatalf("the same certificate, %v", err)
	}
	a.eventually(t, "b is back with another certificate", established(b.id))
}
