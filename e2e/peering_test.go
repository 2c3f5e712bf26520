//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// organisation makes another organisation with one node.
func organisation(t *testing.T, org, node string, flags ...string) *lab.Node {
	t.Helper()
	l, err := lab.New(t.Context(), binary(t), org)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for name, n := range l.Nodes {
				log, _ := os.ReadFile(filepath.Join(n.Dir, "node.log"))
				t.Logf("node %s of %s:\n%s", name, org, log[max(0, len(log)-6000):])
			}
		}
		must(t, l.Close())
	})
	n, err := l.Add(t.Context(), node, flags...)
	must(t, err)
	return n
}

// invite makes an invitation and returns its text.
func invite(t *testing.T, n *lab.Node, with string, flags ...string) string {
	t.Helper()
	out, err := n.CLI(t.Context(), append([]string{"peering", "offer", "--with", with}, flags...)...)
	must(t, err)
	return strings.TrimSpace(out)
}

// peered makes a peering by offer and accept, with nothing copied but the invitation.
func peered(t *testing.T, a, b *lab.Node, with string, offer, accept []string) {
	t.Helper()
	text := invite(t, a, with, offer...)
	_, err := b.CLI(t.Context(), append([]string{"peering", "accept", text, "--yes"}, accept...)...)
	must(t, err)
}

type peeringView struct {
	Organisation string
	Nodes        []struct {
		Node, State, LastError string
	}
	Theirs *struct{ Take, Offer []string }
	Trust  struct {
		State, Sequence, By, Refused, CheckedAt string
		Pins                                    []string
	}
	Faults []struct{ Kind, Severity, Text, Advice, SeenBy string }
}

// Two organisations peer with two commands, nothing copied by hand but the invitation: one service of three is
// offered and answers, the others are absent with the reason; when it ends, everything ends at once.
func TestOfferAndAccept(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	a := n("a")
	x := organisation(t, "bravo.example", "x")
	for _, svc := range []string{"books", "secret", "prices"} {
		offer(t, a, svc, svc+"-1")
	}
	text := invite(t, a, "bravo.example", "--export", "books")
	if out, err := x.CLI(t.Context(), "peering", "accept", text); err == nil {
		t.Errorf("accepted without a yes:\n%s", out)
	}
	if _, err := x.CLI(t.Context(), "peering", "accept", text, "--yes"); err != nil {
		t.Fatal(err)
	}
	answers(t, x, "books", "books-1")
	for _, svc := range []string{"secret", "prices"} {
		if status, _, err := x.Get(t.Context(), svc+".acme.example", "/books"); err != nil || status != 404 {
			t.Errorf("%s: %d, %v, want 404", svc, status, err)
		}
		out, _ := a.CLI(t.Context(), "route", "explain", svc)
		if !strings.Contains(out, "bravo.example/x") || !strings.Contains(out, "export") {
			t.Errorf("a does not say why %s is not told to x:\n%s", svc, out)
		}
	}
	thief := asNode(t, x)
	if got, err := askAs(t, thief, a.Ingress, "secret.acme.example"); got != 403 {
		t.Errorf("x reaches what it is not offered: %d, %v", got, err)
	}
	for _, c := range []struct {
		n   *lab.Node
		org string
	}{{a, "bravo.example"}, {x, "acme.example"}} {
		var p peeringView
		must(t, c.n.JSON(t.Context(), &p, "peering", "show", c.org))
		if p.Trust.State != "held" || len(p.Trust.Pins) != 1 || len(p.Nodes) != 1 || p.Nodes[0].State != "Established" {
			t.Errorf("%s shows %+v", c.n.Name, p)
		}
	}
	_, err := a.CLI(t.Context(), "peering", "update", "bravo.example", "--export", "books,prices")
	must(t, err)
	answers(t, x, "prices", "prices-1")

	_, err = a.CLI(t.Context(), "peering", "end", "bravo.example", "--text", "no more business")
	must(t, err)
	if _, err := os.Stat(filepath.Join(a.Dir, "identity", "bravo.example.bundle.pem")); !os.IsNotExist(err) {
		t.Errorf("the roots of bravo are still there: %v", err)
	}
	must(t, lab.Eventually(t.Context(), "x is refused in the handshake", func(context.Context) error {
		if got, err := askAs(t, asNode(t, x), a.Ingress, "books.acme.example"); err == nil {
			return fmt.Errorf("it is answered %d", got)
		}
		return nil
	}))
	must(t, lab.Eventually(t.Context(), "the route is gone at x", func(ctx context.Context) error {
		if status, _, err := x.Get(ctx, "books.acme.example", "/books"); err != nil || status != 404 {
			return fmt.Errorf("%d, %w", status, err)
		}
		return nil
	}))
	if _, err := x.CLI(t.Context(), "peering", "accept", text, "--yes"); err == nil ||
		!strings.Contains(err.Error(), "used") {
		t.Errorf("a spent invitation: %v", err)
	}
	audit, err := os.ReadFile(filepath.Join(a.Dir, "data", "trust-audit.jsonl"))
	must(t, err)
	for _, want := range []string{`"offer"`, `"redeem"`, `"end"`, `"kind":"used"`} {
		if !strings.Contains(string(audit), want) {
			t.Errorf("the audit has no %s:\n%s", want, audit)
		}
	}
}

// A CA rotation at one organisation needs nobody at the other: the next root is trusted before anything is signed by
// it, the former goes when nothing is, and no call fails meanwhile.
func TestRotationNeedsNobodyElse(t *testing.T) {
	t.Parallel()
	l, n := world(t, "a", "")
	a := n("a")
	x := organisation(t, "bravo.example", "x")
	offer(t, a, "books", "one")
	peered(t, a, x, "bravo.example", []string{"--export", "books"}, nil)
	answers(t, x, "books", "one")

	ctx, stop := context.WithCancel(t.Context())
	calls, failed := make(chan int, 1), make(chan error, 1)
	go func() {
		count := 0
		for ctx.Err() == nil {
			if status, _, err := x.Get(ctx, "books.acme.example", "/books"); ctx.Err() == nil && (err != nil || status != 200) {
				select {
				case failed <- fmt.Errorf("call %d: %d, %w", count, status, err):
				default:
				}
			}
			count++
		}
		calls <- count
	}()
	identity := filepath.Join(a.Dir, "identity")
	bundleFile := filepath.Join(identity, "acme.example.bundle.pem")
	next := filepath.Join(l.Dir, "org2")
	_, err := l.Run(t.Context(), "org", "init", "acme.example", "--dir", next)
	must(t, err)
	former, err := os.ReadFile(bundleFile)
	must(t, err)
	root, err := os.ReadFile(filepath.Join(next, "ca.pem"))
	must(t, err)
	must(t, os.WriteFile(bundleFile+".new", append(root, former...), 0o600))
	must(t, os.Rename(bundleFile+".new", bundleFile))
	holds := func(roots int) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), fmt.Sprintf("x holds %d roots of acme", roots), func(ctx context.Context) error {
			var p peeringView
			if err := x.JSON(ctx, &p, "peering", "show", "acme.example"); err != nil || len(p.Trust.Pins) != roots {
				return fmt.Errorf("%+v, %w", p, err)
			}
			return nil
		}))
	}
	holds(2)
	_, err = l.Run(t.Context(), "org", "issue-node", "a", "--dir", next, "--out", identity)
	must(t, err)
	holds(1)
	answers(t, x, "books", "one")
	stop()
	select {
	case err := <-failed:
		t.Error(err)
	default:
	}
	t.Logf("%d calls, none failed", <-calls)
	var p peeringView
	must(t, x.JSON(t.Context(), &p, "peering", "show", "acme.example"))
	for _, f := range p.Faults {
		if f.Severity == "error" {
			t.Errorf("after the rotation: %+v", f)
		}
	}
}
