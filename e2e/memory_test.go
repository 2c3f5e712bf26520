//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// resident is what a node's process takes of the machine's memory, in MiB.
func resident(t *testing.T, n *lab.Node) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return float64(kib) / 1024
}

// A neighbour announces very many services and goes: the process is then at most 1.3 times as large as before.
func TestMemoryGoesBackAfterAFlood(t *testing.T) {
	l, at := world(t, "b", "")
	b := at("b")
	offer(t, b, "books", "one")
	answers(t, b, "books", "one")
	before := resident(t, b)
	n := max(*many, 60_000) // fewer are hardly seen
	newCrowd(t, l, b, n)
	routes := func(want int) {
		t.Helper()
		must(t, patiently(t.Context(), fmt.Sprintf("%d routes", want), func(ctx context.Context) error {
			var node struct{ Routes int }
			err := b.JSON(ctx, &node, "status")
			if err == nil && node.Routes != want {
				err = fmt.Errorf("there are %d", node.Routes)
			}
			return err
		}))
	}
	routes(n + 1)
	peak := resident(t, b)
	_, err := b.CLI(t.Context(), "peer", "remove", "crowd")
	must(t, err)
	routes(1)
	after := 0.0
	must(t, patiently(t.Context(), "memory goes back", func(context.Context) error {
		peak = max(peak, resident(t, b))
		if after = resident(t, b); after > 1.3*before {
			return fmt.Errorf("%.0f MiB are resident, %.0f at the most, %.0f before", after, peak, before)
		}
		return nil
	}))
	t.Logf("%d services: %.0f MiB resident before, %.0f at the most, %.0f afterwards", n, before, peak, after)
	answers(t, b, "books", "one")
}
