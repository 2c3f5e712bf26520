//go:build e2e

package e2e

import (
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// A node hangs: its process is stopped, its sockets stand. With liveness its peer leaves it in less than a second,
// though the hold time is a minute and a half, and comes back when it goes on. Its Envoy runs all the while, so that
// nothing is lost either way.
func TestLiveness(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "b-c")
	for _, pair := range [][2]string{{"a", "c"}, {"c", "a"}} {
		args := []string{"peer", "add", pair[1], "--liveness", "300ms"}
		if pair[0] == "c" {
			args = append(args, n("a").Peering)
		}
		_, err := n(pair[0]).CLI(t.Context(), args...)
		must(t, err)
	}
	offer(t, n("a"), "books", "one")
	offer(t, n("b"), "books", "two")
	both(t, n("c"), "books", "one", "two")
	stop := load(t, n("c"), "books")
	must(t, n("a").Pause())
	t.Cleanup(func() { _ = n("a").Resume() })
	if lab.Patience >= bgpHoldTime {
		t.Fatal("the hold timer alone would do")
	}
	only(t, n("c"), "books", "two")
	prints(t, n("c"), "nothing heard for 900ms", "peer", "show", "a")
	must(t, n("a").Resume())
	both(t, n("c"), "books", "one", "two")
	if total, failed, why := stop(); failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, why)
	}
}
