//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

type ledgerView struct {
	Problem string
	Lines   []struct {
		Node, Service, Since, Until, Calls, First, Last string
		May                                             bool
	}
}

// The ledger of what others use is equal to what they did, call by call, while the exporter is killed and started again
// under the load; and it says what an order would hit before it is given.
func TestTheLedgerIsWhatTheyDid(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	a := n("a")
	x := organisation(t, "bravo.example", "x")
	y := organisation(t, "delta.example", "y")
	services := []string{"books", "prices", "unused"}
	for _, svc := range services {
		offer(t, a, svc, svc+"-1")
	}
	peered(t, a, x, "bravo.example", []string{"--export", "books,prices,unused"}, nil)
	peered(t, a, y, "delta.example", []string{"--export", "books"}, nil)
	did := map[string]int{}
	for _, c := range []struct {
		n   *lab.Node
		svc string
	}{{x, "books"}, {x, "prices"}, {y, "books"}} {
		must(t, lab.Eventually(t.Context(), c.svc+" at "+c.n.Name, func(ctx context.Context) error {
			status, _, err := c.n.Get(ctx, c.svc+".acme.example", "/books")
			if err == nil && status == 200 {
				did[c.n.Name+" "+c.svc]++
				return nil
			}
			return fmt.Errorf("%d, %w", status, err)
		}))
	}
	var mu sync.Mutex
	load := func(calls int) {
		t.Helper()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range calls {
					from, svc := x, services[rand.IntN(2)]
					if rand.IntN(3) == 0 {
						from, svc = y, "books"
					}
					status, body, err := from.Get(t.Context(), svc+".acme.example", "/books")
					if err != nil || status != 200 {
						t.Errorf("%s: %d %s, %v", svc, status, body, err)
					}
					mu.Lock()
					did[from.Name+" "+svc]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
	}
	agrees := func(when string) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), "the ledger agrees "+when, func(ctx context.Context) error {
			var l ledgerView
			if err := a.JSON(ctx, &l, "peering", "ledger"); err != nil {
				return err
			}
			got := map[string]string{}
			for _, e := range l.Lines {
				node := e.Node[strings.IndexByte(e.Node, '/')+1:]
				got[node+" "+strings.TrimSuffix(e.Service, ".acme.example")] = e.Calls
				if !e.May || e.Since == "" || e.Until != "" {
					return fmt.Errorf("%+v", e)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for k, n := range did {
				if got[k] != fmt.Sprint(n) {
					return fmt.Errorf("%s: %s, and it were %d: %+v", k, got[k], n, l)
				}
			}
			if len(got) != 4 || got["x unused"] != "0" {
				return fmt.Errorf("%v", got)
			}
			return nil
		}))
	}
	load(100)
	agrees("after a load")
	must(t, a.Stop(syscall.SIGKILL))
	load(50) // Envoy goes on
	must(t, a.Start(t.Context()))
	load(50)
	agrees("after the exporter was killed")

	hits := func(want, not string, args ...string) {
		t.Helper()
		out, err := a.Said(t.Context(), args...)
		if err != nil || !strings.Contains(out, want) || strings.Contains(out, not) {
			t.Errorf("%s: %v, want %q and no %q:\n%s", strings.Join(args, " "), err, want, not, out)
		}
	}
	hits("bravo.example/x, which may call prices.acme.example and did", "books", "route", "remove", "prices", "--dry-run")
	hits("bravo.example/x, which may call unused.acme.example and never did", "delta", "peering", "end", "bravo.example",
		"--dry-run")
	hits("delta.example/y, which may call books.acme.example and did", "bravo", "peering", "end", "delta.example")
	var l ledgerView
	must(t, a.JSON(t.Context(), &l, "peering", "ledger", "delta.example"))
	if len(l.Lines) != 1 || l.Lines[0].May || l.Lines[0].Until == "" || l.Lines[0].Calls != fmt.Sprint(did["y books"]) {
		t.Errorf("after the end: %+v", l)
	}
}
