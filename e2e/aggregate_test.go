//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// getsOf waits until a call of a full name is answered so.
func getsOf(t *testing.T, n *lab.Node, name string, want int, text string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), name+" at "+n.Name, func(ctx context.Context) error {
		status, body, err := n.Get(ctx, name, "/books")
		if err == nil && (status != want || !strings.Contains(body, text)) {
			err = fmt.Errorf("%d %s, want %d %s", status, body, want, text)
		}
		return err
	}))
}

// said runs a command and wants these texts in what it prints, and not those behind "-".
func said(t *testing.T, n *lab.Node, command string, want ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), command+" at "+n.Name, func(ctx context.Context) error {
		out, err := n.CLI(ctx, strings.Fields(command)...)
		for _, text := range want {
			no, not := strings.CutPrefix(text, "-")
			if strings.Contains(out, no) == not {
				return fmt.Errorf("%q, %w\n%s", text, err, out)
			}
		}
		return nil
	}))
}

// An organisation tells a partner of what is below a name in one, and the partner a third. Calls reach the service that
// is called, whichever node has it; a name that no service has is 404 at the border, and one that was not offered is
// 403 whatever the caller says. With the last service the route goes.
func TestServicesToldOfInOne(t *testing.T) {
	_, n := world(t, "a inner", "inner-a")
	a, inner := n("a"), n("inner")
	x, c := organisation(t, "bravo.example", "x"), organisation(t, "carol.example", "c", "--envoy-table", "used")
	const eu, books = "*.eu.acme.example", "books.eu.acme.example"
	const news, lost = "news.eu.acme.example", "lost.eu.acme.example"
	offer(t, a, books, "one")
	offer(t, inner, news, "two")
	offer(t, a, "secret.us.acme.example", "three")
	peered(t, a, x, "bravo.example", []string{"--export", eu, "--aggregate", eu}, nil)
	peered(t, x, c, "carol.example", []string{"--export", eu}, []string{"--import", eu})
	for _, caller := range []*lab.Node{x, c} {
		getsOf(t, caller, books, 200, "one")
		getsOf(t, caller, news, 200, "two")
		getsOf(t, caller, lost, 404, "acme.example has no service of this name")
		getsOf(t, caller, "secret.us.acme.example", 404, "")
		said(t, caller, "route list", eu, "-"+books)
		said(t, caller, "route explain "+books, "calls of "+books+" go by "+eu)
	}
	said(t, x, "trace "+books, "as one of "+eu, "acme.example/a", "-✗")
	said(t, a, "route explain "+books, "told", "as "+eu+", in one with what else is below that")
	said(t, a, "route explain "+eu, "in the place of 2 services")
	said(t, a, "peer routes bravo.example/x --told", eu, "-"+books)
	said(t, a, "peering show bravo.example", "in one: "+eu, "# export rules in force", "aggregates:")
	said(t, a, "peering ledger", eu)

	thief := asNode(t, x)
	for name, want := range map[string]int{
		books: 200, lost: 404, "secret.us.acme.example": 403, "lost.us.acme.example": 403,
	} {
		status, body, _ := forged(t, thief, a.Ingress, name, http.Header{"X-Catalyst-Pattern": {eu}})
		if status != want {
			t.Errorf("%s with x's own certificate: %d %s, want %d", name, status, body, want)
		}
	}
	_, err := a.CLI(t.Context(), "route", "remove", books)
	must(t, err)
	getsOf(t, x, books, 404, "acme.example has no service of this name")
	getsOf(t, x, news, 200, "two")
	_, err = inner.CLI(t.Context(), "route", "remove", news)
	must(t, err)
	said(t, x, "route list", "-"+eu)
	said(t, c, "route list", "-"+eu)
	getsOf(t, c, news, 404, "")
	// Told of by name from now on, and the session stays.
	offer(t, a, books, "one")
	getsOf(t, c, books, 200, "one")
	_, err = a.CLI(t.Context(), "peering", "update", "bravo.example", "--aggregate", "none")
	must(t, err)
	said(t, x, "route list", books, "-"+eu)
	getsOf(t, x, books, 200, "one")
}
