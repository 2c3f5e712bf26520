package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/bgp"
)

// A certificate that one side does not believe is told of at both ends, as one story: which certificate, whose, by
// which bundle, who refused and why.
func TestARefusedHandshakeIsOneStory(t *testing.T) {
	a, b := pair(t)
	eventually(t, "both hold each other's bundle", func() bool {
		return a.Book().Held("bravo.example") != nil && b.Book().Held("acme.example") != nil
	})
	tried := federation.KeysOf(b.Book().Held("acme.example"))
	next, err := ca.NewRoot("acme.example", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := disk.IssueNode(next, a.dir, "a", time.Hour); err != nil { // at once, without a word
		t.Fatal(err)
	}
	if _, err := a.id.Reload(); err != nil {
		t.Fatal(err)
	}
	cert, err := a.id.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.Certificate[0])
	story := func(n *node, org bgp.Org) *federation.Handshake {
		for _, h := range n.Standing(n.Book().Peering(org)).Handshakes {
			if h.SHA256 == hex.EncodeToString(sum[:]) {
				return &h
			}
		}
		return nil
	}
	eventually(t, "both tell of it", func() bool {
		return story(a, "bravo.example") != nil && story(b, "acme.example") != nil
	})
	for _, h := range []*federation.Handshake{story(a, "bravo.example"), story(b, "acme.example")} {
		if h.By != b.cfg.Node || h.Of != a.cfg.Node || h.Name != a.cfg.Node.URI() || h.Kind != federation.FaultStaleBundle ||
			h.Tried.Sequence != tried.Sequence || len(h.Tried.Pins) != 1 || h.Tried.Pins[0] != tried.Pins[0] ||
			h.Serial == "" || h.Text == "" || h.Times < 1 {
			t.Errorf("%+v", h)
		}
	}
}
