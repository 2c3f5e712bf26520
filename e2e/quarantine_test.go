//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// nosuch is an address that no check of ours can refuse, and an Envoy does on a machine without that interface.
const nosuch = "[fe80::1%nosuch]:80"

// metric waits until a node's metrics have a line.
func metric(t *testing.T, n *lab.Node, line string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), line+" at "+n.Name, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/metrics", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		all, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(all), line) {
			err = fmt.Errorf("not in %d bytes", len(all))
		}
		return err
	}))
}

// A next hop whose address Envoy refuses: the services behind it stay on the way that they had, over a crash of the
// node and its Envoy too, all others go on, and the reason is shown where it is refused and where the route was
// announced. When the address is right, it is used.
func TestARefusedNextHopIsAlone(t *testing.T) {
	t.Parallel()
	l, n := world(t, "a c", "c-a")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	kept(t, n("c"), "route/books.acme.example")

	b, err := l.Add(t.Context(), "b", "--envoy-advertise", nosuch)
	must(t, err)
	offer(t, b, "books", "two")
	offer(t, b, "stock", "two")
	stop := load(t, n("c"), "books")
	must(t, lab.Peer(t.Context(), n("c"), b))
	const why = "malformed IP address: fe80::1%nosuch"
	prints(t, n("c"), why, "route", "show", "stock")
	prints(t, n("c"), "what it took before stays", "route", "show", "books")
	prints(t, n("c"), "it has nothing of the service", "route", "explain", "stock")
	prints(t, n("c"), why, "envoy", "status")
	prints(t, b, why, "route", "show", "stock") // at the originator
	prints(t, b, "refused at node acme.example/c", "route", "show", "stock")
	metric(t, n("c"), `catalyst_xds_problems{kind="refused"`)
	offer(t, n("a"), "other", "one")
	answers(t, n("c"), "other", "one")
	if total, failed, reason := stop(); failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, reason)
	}

	crash(t, n("c"))
	must(t, n("c").Start(t.Context()))
	answers(t, n("c"), "books", "one")
	answers(t, n("c"), "other", "one")
	prints(t, n("c"), why, "route", "show", "books")

	must(t, b.Stop(syscall.SIGTERM))
	b.Flags = nil
	must(t, b.Start(t.Context()))
	answers(t, n("c"), "stock", "two")
	answers(t, n("c"), "books", "two") // shared with a
	must(t, lab.Eventually(t.Context(), "nothing is wrong any more", func(ctx context.Context) error {
		for _, at := range []*lab.Node{n("c"), b} {
			for _, args := range [][]string{{"route", "show", "stock"}, {"route", "show", "books"}, {"envoy", "status"}} {
				out, err := at.CLI(ctx, args...)
				if err != nil || strings.Contains(out, "refuse") {
					return fmt.Errorf("%s: %s %w", at.Name, out, err)
				}
			}
		}
		return nil
	}))
}

// The same for a workload of this node: its operator typed it.
func TestARefusedWorkloadIsAlone(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	offer(t, n("a"), "books", "one")
	answers(t, n("a"), "books", "one")
	kept(t, n("a"), "route/books.acme.example")
	_, err := n("a").CLI(t.Context(), "route", "update", "books", "--addr", nosuch)
	must(t, err)
	prints(t, n("a"), "malformed IP address", "route", "show", "books")
	prints(t, n("a"), "malformed IP address", "route", "list")
	answers(t, n("a"), "books", "one")
	crash(t, n("a"))
	must(t, n("a").Start(t.Context()))
	prints(t, n("a"), "malformed IP address", "route", "show", "books")
	answers(t, n("a"), "books", "one")
}
