//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// A site can only dial out: its Envoy holds tunnels to the hub, and the hub reaches its services by them. The hub
// says so, in a trace and of the peer. Nodes and Envoys that are killed come back.
func TestASiteBehindNATOffersServices(t *testing.T) {
	t.Parallel()
	l, at := world(t, "hub", "", "--envoy-tunnels-from", "[acme.example/site]")
	hub := at("hub")
	// where nobody listens
	site, err := l.Add(t.Context(), "site", "--envoy-tunnels-to", "[acme.example/hub="+hub.Ingress+"]",
		"--envoy-advertise", "127.0.0.1:1")
	must(t, err)
	must(t, lab.Peer(t.Context(), site, hub))
	offer(t, site, "books", "one")
	offer(t, hub, "own", "two")
	answers(t, hub, "books", "one")
	answers(t, site, "own", "two") // the other way is dialled as ever

	says := func(want string, n *lab.Node, args ...string) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), strings.Join(args, " "), func(ctx context.Context) error {
			out, err := n.CLI(ctx, args...)
			if err == nil && !strings.Contains(out, want) {
				err = fmt.Errorf("it does not say %q: %s", want, out)
			}
			return err
		}))
	}
	says("by a tunnel that the Envoy of acme.example/site holds", hub, "trace", "books")
	says("by its tunnels to the mesh ingress here", hub, "status")
	says("it reaches this node by tunnels", site, "status")

	site.KillEnvoy()
	answers(t, hub, "books", "one")
	hub.KillEnvoy()
	answers(t, hub, "books", "one")
	must(t, hub.Stop(syscall.SIGKILL))
	must(t, site.Stop(syscall.SIGKILL))
	must(t, hub.Start(t.Context()))
	must(t, site.Start(t.Context()))
	answers(t, hub, "books", "one")
}
