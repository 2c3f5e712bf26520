//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// preferring is a file of import rules that take a name and prefer whoever is told of it by this much.
func preferring(t *testing.T, pref int) string {
	t.Helper()
	return rulesFile(t, fmt.Sprintf("terms:\n  - name: preferred\n    match: {services: [\"*.acme.example\"]}\n"+
		"    set: {localPref: %d}\n    action: accept\ndefault: reject\n", pref))
}

// entersBy waits until a node's calls of books come into acme.example at a border, and are answered by an instance.
func entersBy(t *testing.T, n *lab.Node, border, instance string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "books by way of "+border, func(ctx context.Context) error {
		status, body, err := n.Get(ctx, "books.acme.example", "/headers")
		if err != nil || status != 200 {
			return fmt.Errorf("%d %s, %w", status, body, err)
		}
		seen, err := headersSeen(body)
		if err != nil {
			return err
		}
		if path := strings.Join(seen.Values("X-Catalyst-Path"), ""); !strings.Contains(path, "<acme.example/"+border+">") {
			return fmt.Errorf("it goes by %s", path)
		}
		if status, body, err = n.Get(ctx, "books.acme.example", "/books"); err != nil || !strings.Contains(body, instance) {
			return fmt.Errorf("%d %s, %w: want instance %s", status, body, err, instance)
		}
		return nil
	}))
}

// An organisation has two borders, a replica of a service at each and one behind them. A partner is told by both, and a
// third organisation carries it as well. What the operator prefers is used; a workload that is down, a border that is
// drained and one that dies with its Envoy move the calls, and none of them fails: GET may be sent again.
func TestBordersAndReplicas(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b inner", "a-b inner-a inner-b")
	a, b := n("a"), n("b")
	offer(t, n("inner"), "books", "inner")
	x, d := organisation(t, "bravo.example", "x"), organisation(t, "delta.example", "d")
	for _, border := range []*lab.Node{a, b} {
		peered(t, border, x, "bravo.example", []string{"--export", "books"}, []string{"--import", "books.acme.example"})
	}
	peered(t, a, d, "delta.example", []string{"--export", "books"}, []string{"--import", "books.acme.example"})
	peered(t, d, x, "bravo.example", []string{"--export", "books.acme.example"},
		[]string{"--import", "books.acme.example"})
	must(t, lab.Eventually(t.Context(), "x has three ways", func(ctx context.Context) error {
		out, err := x.CLI(ctx, "route", "explain", "books.acme.example")
		for _, hop := range []string{"acme.example/a", "acme.example/b", "delta.example/d"} {
			if err == nil && !strings.Contains(out, hop) {
				err = fmt.Errorf("%s is missing:\n%s", hop, out)
			}
		}
		return err
	}))
	stop := load(t, x, "books")
	for _, border := range []string{"a", "b", "a"} { // as the operator prefers
		for _, node := range []string{"a", "b"} {
			pref := 100
			if node == border {
				pref = 200
			}
			_, err := x.CLI(t.Context(), "peer", "update", "acme.example/"+node, "--import", preferring(t, pref))
			must(t, err)
		}
		entersBy(t, x, border, "inner")
	}
	address, well := sick(t, "beside a")
	_, err := a.CLI(t.Context(), "route", "add", "books", "--addr", address, "--health", "/healthz",
		"--health-interval", "100ms")
	must(t, err)
	answers(t, x, "books", "beside a") // the replica beside the border before the one behind it
	well.Store(false)                  // its workload is sick: the one behind takes over
	entersBy(t, x, "a", "inner")
	_, err = a.CLI(t.Context(), "drain")
	must(t, err)
	entersBy(t, x, "b", "inner")
	_, err = a.CLI(t.Context(), "drain", "--off")
	must(t, err)
	entersBy(t, x, "a", "inner")
	must(t, a.Stop(syscall.SIGKILL))
	a.KillEnvoy()
	entersBy(t, x, "b", "inner")
	total, failed, why := stop()
	t.Logf("%d of %d requests failed: %s", failed, total, why)
	if failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed, want none: %s", failed, total, why)
	}
	must(t, b.Stop(syscall.SIGKILL)) // and by the third organisation no way is left either, since its border was a
	b.KillEnvoy()
	status, body, err := x.Get(t.Context(), "books.acme.example", "/books")
	if err != nil || !slices.Contains([]int{503, 504}, status) {
		t.Errorf("with both borders gone: %d %s, %v", status, body, err)
	}
}
