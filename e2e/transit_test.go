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

// crosses waits until calls of books at a node go by way of another organisation.
func crosses(t *testing.T, n *lab.Node, org string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "books by way of "+org, func(ctx context.Context) error {
		status, body, err := n.Get(ctx, "books.acme.example", "/headers")
		if err != nil || status != 200 {
			return fmt.Errorf("%d %s, %w", status, body, err)
		}
		seen, err := headersSeen(body)
		if err == nil && seen.Get("X-Catalyst-Organisation") != org {
			err = fmt.Errorf("it goes by %v", seen.Values("X-Catalyst-Path"))
		}
		return err
	}))
}

// Two paths to a service lead through two other organisations. The one in use is restarted, and nothing is lost; it is
// drained, and calls go by the other; the other dies, node and Envoy, and calls come back at once.
func TestPathsThroughOtherOrganisations(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	a := n("a")
	offer(t, a, "books", "one")
	x := organisation(t, "bravo.example", "x")
	d, e := organisation(t, "delta.example", "d"), organisation(t, "echo.example", "e")
	for _, carrier := range []*lab.Node{d, e} {
		org := carrier.Lab().Org
		peered(t, a, carrier, org, []string{"--export", "books"}, []string{"--import", "books.acme.example"})
		peered(t, carrier, x, "bravo.example", []string{"--export", "books.acme.example"},
			[]string{"--import", "books.acme.example"})
	}
	must(t, lab.Eventually(t.Context(), "x has both paths", func(ctx context.Context) error {
		out, err := x.CLI(ctx, "route", "explain", "books.acme.example")
		if err != nil || !strings.Contains(out, "delta.example/d") || !strings.Contains(out, "echo.example/e") {
			return fmt.Errorf("%s, %w", out, err)
		}
		return nil
	}))
	answers(t, x, "books", "one")
	_, err := d.CLI(t.Context(), "drain")
	must(t, err)
	crosses(t, x, "echo.example")
	_, err = d.CLI(t.Context(), "drain", "--off")
	must(t, err)
	_, err = e.CLI(t.Context(), "drain")
	must(t, err)
	crosses(t, x, "delta.example")
	_, err = e.CLI(t.Context(), "drain", "--off")
	must(t, err)

	stop := load(t, x, "books")
	must(t, d.Stop(syscall.SIGKILL)) // its Envoy and everybody's go on
	must(t, d.Start(t.Context()))
	must(t, d.Stop(syscall.SIGKILL))
	d.KillEnvoy()
	crosses(t, x, "echo.example")
	total, failed, why := stop()
	t.Logf("%d of %d requests failed: %s", failed, total, why)
	if failed > 1 || total == 0 { // one may have been under way at the Envoy that died
		t.Errorf("%d of %d requests failed, want at most the one under way: %s", failed, total, why)
	}
}
