//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/e2e/stall"
)

// stalled has callers beside a node get stuck with services named slow-KIND, some of each kind that read and some
// that write, and waits until nothing of theirs moves any more.
func stalled(t *testing.T, n *lab.Node, w *stall.Workloads, each int) (release func()) {
	t.Helper()
	var open []io.Closer
	for _, kind := range stall.Kinds() {
		c := stall.Call{Kind: kind, Address: n.Egress, Service: fmt.Sprintf("slow-%s.acme.example", kind)}
		if kind == stall.TCP {
			var err error
			c.Address, err = n.TCPPort(t.Context(), "slow-tcp")
			must(t, err)
		}
		for i := range 2 * each {
			c.Writes = i%2 == 1
			s, err := stall.Open(t.Context(), c)
			must(t, err)
			open = append(open, s)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	must(t, w.Quiet(ctx))
	return func() {
		for _, s := range open {
			_ = s.Close()
		}
	}
}

// offerSlow offers the workloads that stall at a node, and waits until another one knows them.
func offerSlow(t *testing.T, at, seen *lab.Node) *stall.Workloads {
	t.Helper()
	w, err := stall.Start(t.Context())
	must(t, err)
	for kind, addr := range map[stall.Kind]string{stall.HTTP: w.HTTP, stall.WebSocket: w.HTTP, stall.GRPC: w.GRPC,
		stall.TCP: w.TCP} {
		args := []string{"route", "add", "slow-" + string(kind), "--addr", addr}
		if kind == stall.GRPC || kind == stall.TCP {
			args = append(args, "-p", string(kind))
		}
		_, err := at.CLI(t.Context(), args...)
		must(t, err)
	}
	must(t, lab.Eventually(t.Context(), "the slow services arrive", func(ctx context.Context) error {
		_, err := seen.TCPPort(ctx, "slow-tcp")
		for _, kind := range stall.Kinds() {
			if kind == stall.TCP {
				continue
			}
			status, _, failed := seen.Get(ctx, fmt.Sprintf("slow-%s.acme.example", kind), "/nothing")
			if failed == nil && status != http.StatusNotFound {
				failed = fmt.Errorf("%s: status %d", kind, status)
			}
			err = errors.Join(err, failed)
		}
		return err
	}))
	return w
}

// p99 calls a service again and again, each time for at most two seconds.
func p99(t *testing.T, n *lab.Node, service string, calls int) time.Duration {
	t.Helper()
	took := make([]time.Duration, 0, calls)
	for range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		began := time.Now()
		status, _, err := n.Get(ctx, service+".acme.example", "/books")
		cancel()
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s at %s, of which nobody is slow: %d %v", service, n.Name, status, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// Forty callers beside c are stuck with services of a: they stopped reading, or their workloads did. Another service
// of a, over the same connections and the same node in the middle, is as fast as without them, at c and at b.
func TestStalledStreamsCostTheirOwnWindow(t *testing.T) {
	_, n := world(t, "a b c", "a-b c-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	answers(t, n("b"), "books", "one")
	w := offerSlow(t, n("a"), n("c"))
	const calls, tries = 400, 4
	for _, at := range []*lab.Node{n("c"), n("b")} {
		var without, with time.Duration
		for try := range tries { // others use this machine
			without = p99(t, at, "books", calls)
			release := stalled(t, n("c"), w, 5)
			with = p99(t, at, "books", calls)
			release()
			t.Logf("at %s: p99 %s without stalled streams, %s beside 40", at.Name, without, with)
			if with <= without*3/2 {
				break
			}
			if try == tries-1 {
				t.Errorf("at %s: p99 %s without stalled streams, %s beside 40: want at most half as much again", at.Name,
					without, with)
			}
		}
	}
}
