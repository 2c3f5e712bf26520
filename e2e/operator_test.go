//go:build e2e

package e2e

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Routes of a session that is lost serve on, and route list says since when and until when.
func TestStaleRoutesAreSaid(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "b-a")
	offer(t, n("a"), "books", "one")
	answers(t, n("b"), "books", "one")
	must(t, n("a").Stop(syscall.SIGKILL))
	prints(t, n("b"), "stale for ", "route", "list")
	prints(t, n("b"), ", kept until ", "route", "list")
	prints(t, n("b"), ", kept until ", "route", "explain", "books")
	answers(t, n("b"), "books", "one")
}

// In a container Envoy ends with the node: SIGTERM moves traffic away first, when it is told so, and no call is lost.
func TestSIGTERMDrainsWhenToldTo(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b", "--stop-sigterm", "drain", "--stop-drain", "15s")
	offer(t, n("a"), "books", "one")
	offer(t, n("c"), "books", "two")
	both(t, n("b"), "books", "one", "two")
	pid := n("a").EnvoyPID()
	stop := load(t, n("b"), "books")
	must(t, n("a").Stop(syscall.SIGTERM))
	only(t, n("b"), "books", "two")
	if total, failed, why := stop(); failed > 0 || total == 0 {
		t.Errorf("%d of %d calls failed: %s", failed, total, why)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("Envoy %d runs still", pid)
	}
}

// A node whose Envoy does not listen where it was configured to is not ready, and says where.
func TestReadyCountsListeners(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	must(t, n("a").Stop(syscall.SIGINT))
	taken, err := net.Listen("tcp", n("a").Egress)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = n("a").Start(ctx)
	if err == nil || !strings.Contains(err.Error(), "Envoy does not listen at "+n("a").Egress) {
		t.Errorf("got %v", err)
	}
	prints(t, n("a"), "Envoy does not listen at "+n("a").Egress, "status")
	must(t, taken.Close())
}
