//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// only waits until all of a service's answers at a node come from one instance.
func only(t *testing.T, n *lab.Node, service, instance string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name+" from "+instance+" alone", func(ctx context.Context) error {
		// Three at a time: one at a time could keep step with another caller, and always get the same of two that take turns.
		const calls = 3
		answers := make(chan error, calls)
		for range 10 {
			for range calls {
				go func() {
					status, body, err := n.Get(ctx, service+".acme.example", "/books")
					if err == nil && (status != 200 || !strings.Contains(body, instance)) {
						err = fmt.Errorf("%d %s", status, body)
					}
					answers <- err
				}()
			}
			var err error
			for range calls {
				err = errors.Join(err, <-answers)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// both waits until two instances share a service's answers at a node.
func both(t *testing.T, n *lab.Node, service string, instances ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name+" from all", func(ctx context.Context) error {
		seen := ""
		for range 40 {
			_, body, err := n.Get(ctx, service+".acme.example", "/books")
			if err != nil {
				return err
			}
			seen += body
		}
		for _, i := range instances {
			if !strings.Contains(seen, i) {
				return fmt.Errorf("%s gives no answer", i)
			}
		}
		return nil
	}))
}

// Maintenance: a node is drained under load, all of its traffic moves, and then it stops for good. Not one request
// fails. Undrained after it has come back, it has its share again.
func TestDrainLosesNothing(t *testing.T) {
	_, n := world(t, "a b c d", "a-b d-b c-b")
	offer(t, n("a"), "books", "one")
	offer(t, n("d"), "books", "two")
	both(t, n("c"), "books", "one", "two")
	stop := load(t, n("c"), "books")
	_, err := n("a").CLI(t.Context(), "drain")
	must(t, err)
	only(t, n("c"), "books", "two")
	must(t, n("a").Stop(syscall.SIGINT))
	only(t, n("c"), "books", "two")
	if total, failed, why := stop(); failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, why)
	}
	must(t, n("a").Start(t.Context()))
	_, err = n("a").CLI(t.Context(), "drain", "--off")
	must(t, err)
	both(t, n("c"), "books", "one", "two")
}
