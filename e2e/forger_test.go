//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/e2e/liar"
)

// Somebody with a CA of his own makes himself a certificate of a partner's node. It is believed neither where peers
// come in nor where calls do, nobody's session is hurt, and the partner goes on.
func TestAnotherOrganisationsCertificate(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	a := n("a")
	x := organisation(t, "bravo.example", "x")
	offer(t, a, "books", "one")
	peered(t, a, x, "bravo.example", []string{"--export", "books"}, nil)
	answers(t, x, "books", "one")
	forger := organisation(t, "bravo.example", "x") // another CA of that name
	roots, err := os.ReadFile(filepath.Join(a.Dir, "identity", "acme.example.bundle.pem"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(forger.Dir, "identity", "acme.example.bundle.pem"), roots, 0o600))

	to := bgp.NodeID{Org: "acme.example", Name: "a"}
	evil, err := liar.Dial(t.Context(), filepath.Join(forger.Dir, "identity"), to, a.Peering, bgp.RoleNone)
	if err == nil { // in TLS 1.3 a client hears of the refusal after the handshake
		defer evil.Close()
		must(t, lab.Eventually(t.Context(), "the session ends", func(context.Context) error {
			if _, err := evil.Ended(); err == nil {
				return fmt.Errorf("it is up")
			}
			return nil
		}))
	}
	if got, err := askAs(t, asNode(t, forger), a.Ingress, "books.acme.example"); err == nil {
		t.Errorf("a call with a forged certificate is answered %d", got)
	}
	answers(t, x, "books", "one")
	var p peeringView
	must(t, a.JSON(t.Context(), &p, "peering", "show", "bravo.example"))
	if len(p.Nodes) != 1 || p.Nodes[0].State != "Established" {
		t.Errorf("the partner's session: %+v", p.Nodes)
	}
}
