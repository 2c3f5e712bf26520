//go:build e2e

package e2e

import (
	"syscall"
	"testing"
)

// The direct next hop dies, node and Envoy, while its calls go on: the backup was in the caller's Envoy before it was
// needed, so that no call is lost but those that were under way. When it is back, it serves again.
func TestFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b b-c a-c")
	offer(t, n("a"), "books", "one")
	offer(t, n("b"), "books", "two")
	both(t, n("c"), "books", "one", "two")
	stop := load(t, n("c"), "books")
	must(t, n("a").Stop(syscall.SIGKILL))
	n("a").KillEnvoy()
	only(t, n("c"), "books", "two")
	total, failed, why := stop()
	t.Logf("%d of %d requests failed: %s", failed, total, why)
	if failed > 1 || total == 0 { // one caller, one call at a time: one may have been answered by nobody
		t.Errorf("%d of %d requests failed, want at most the one under way: %s", failed, total, why)
	}
	must(t, n("a").Start(t.Context()))
	both(t, n("c"), "books", "one", "two")
}
