//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// partsOf is what catalyst tap --join prints of a call.
type partsOf struct {
	Call  tapped
	Nodes []struct {
		Node, Note string
		Seen       []struct {
			Where, Text, More string
			OK                bool
		}
	}
}

// names are the nodes of a call, those that say nothing of it with "?".
func (p *partsOf) names() string {
	var all []string
	for _, n := range p.Nodes {
		if len(n.Seen) == 0 {
			n.Node += "?"
		}
		all = append(all, n.Node)
	}
	return strings.Join(all, " ")
}

// joinedAt waits until a node shows its newest call of a service as wanted.
func joinedAt(t *testing.T, n *lab.Node, service, want string) (newest partsOf) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "the parts of a call at "+n.Name, func(ctx context.Context) error {
		var calls []partsOf
		err := n.JSON(ctx, &calls, "tap", service, "--recent", "1", "--join")
		if err == nil && (len(calls) != 1 || calls[0].names() != want) {
			err = fmt.Errorf("want %s of %+v", want, calls)
		}
		if err == nil {
			newest = calls[0]
		}
		return err
	}))
	return newest
}

// A call from one organisation into another is one, at either end, where both want it: what each node on its way
// remembers of it is shown together, with the decision that denied it. Where one of them does not want it, each sees
// its own half.
func TestCallsAreJoinedAcrossOrganisations(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a inner", "inner-a", "--tap-enabled", "--tap-join", "bravo.example", "--policy-enforce", "on")
	a, inner := n("a"), n("inner")
	x := organisation(t, "bravo.example", "x", "--tap-enabled", "--tap-join", "acme.example")
	app, err := x.Lab().Add(t.Context(), "app", "--tap-enabled")
	must(t, err)
	must(t, lab.Peer(t.Context(), app, x))
	silent := organisation(t, "delta.example", "y", "--tap-enabled")
	offer(t, inner, "books", "one")
	offer(t, inner, "locked", "one")
	answers(t, a, "books", "one")
	answers(t, a, "locked", "one")
	policies := filepath.Join(t.TempDir(), "locked.cedar")
	must(t, os.WriteFile(policies, []byte(`@id("open") permit (principal, action, resource);
		@id("locked") forbid (principal, action == CATALYST::Action::"REQUEST",
			resource == CATALYST::Service::"locked.acme.example");`), 0o600))
	_, err = inner.CLI(t.Context(), "policy", "apply", policies)
	must(t, err)
	peered(t, a, x, "bravo.example", []string{"--export", "books", "--export", "locked"}, nil)
	peered(t, a, silent, "delta.example", []string{"--export", "books"}, nil)
	status := func(at *lab.Node, service string, want int) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), service, func(ctx context.Context) error {
			got, _, err := at.Get(ctx, service, "/books")
			if err == nil && got != want {
				err = fmt.Errorf("status %d, want %d", got, want)
			}
			return err
		}))
	}
	status(app, "books.acme.example", http.StatusOK)
	status(app, "locked.acme.example", http.StatusForbidden)

	whole := "bravo.example/app bravo.example/x acme.example/a acme.example/inner"
	for _, at := range []*lab.Node{app, x, a, inner} {
		joinedAt(t, at, "books.acme.example", whole)
	}
	denied := joinedAt(t, app, "locked.acme.example", whole)
	last := denied.Nodes[3].Seen
	if !slices.ContainsFunc(last, func(s struct {
		Where, Text, More string
		OK                bool
	}) bool {
		return !s.OK && strings.HasPrefix(s.Text, "denied 403 GET /books") && strings.Contains(s.More, "acme.example/inner")
	}) {
		t.Errorf("the caller does not see who denied its call: %+v", denied)
	}

	status(silent, "books.acme.example", http.StatusOK)
	joinedAt(t, silent, "books.acme.example", "delta.example/y acme.example/a?")
	joinedAt(t, inner, "books.acme.example", "delta.example/y? acme.example/a acme.example/inner")
}

// Someone opens the pages of what was ordered of a node and of its keys: he sees by which keys the node is known and
// believes others, who drained it and by what means, whose order was refused and who looked at calls; and follows a
// call over its nodes.
func TestLookingGlassShowsKeysAndOrders(t *testing.T) {
	t.Parallel()
	l := members(t, "acme.example", "", nil)
	api := free(t)
	flags := []string{"--web", "127.0.0.1:0", "--policy-enforce", "on", "--policy-tokens", "organisation", "--tap-enabled"}
	a, err := l.Add(t.Context(), "a", append(flags, "--api", api)...)
	must(t, err)
	b, err := l.Add(t.Context(), "b", flags...)
	must(t, err)
	must(t, lab.Peer(t.Context(), b, a))
	offer(t, a, "books", "one")
	answers(t, b, "books", "one")
	get(t, b, "books", "/books?one", http.StatusOK)
	must(t, lab.Eventually(t.Context(), "the keys of the organisation arrive", func(ctx context.Context) error {
		out, err := l.Run(ctx, "--api", "https://"+api, "--as", filepath.Join(l.OrgDir(), "admin"), "drain")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}))
	if _, err := l.Run(t.Context(), "--api", "https://"+api, "--as", filepath.Join(b.Dir, "identity"), "peer", "remove",
		"b"); err == nil {
		t.Fatal("a node may remove a peer of another")
	}
	page := openBrowser(t)
	link, err := a.CLI(t.Context(), "web", "--data", filepath.Join(a.Dir, "data"))
	must(t, err)
	page.do("open", chromedp.Navigate(strings.TrimSpace(link)))
	page.reads("Live")

	page.follows("Tokens and keys")
	page.reads("spiffe://acme.example/node/a")
	page.reads("went well")
	page.reads("https://auth.acme.example")
	page.reads("ES384")
	page.reads("believed")
	page.looks("keys")

	page.follows("Overview")
	page.presses("End draining…")
	page.presses("End draining")
	page.reads("Drain…")
	page.follows("Audit")
	page.reads("whoever has the token of the looking glass")
	page.reads("ADMIN ")
	page.reads("removePeer")
	page.looks("audit")
	page.do("refused", chromedp.SetValue(`select[name=outcome]`, "refused"))
	page.presses("Show")
	must(t, lab.Eventually(t.Context(), "orders that were carried out are gone", func(context.Context) error {
		if text := page.text(); !strings.Contains(text, "removePeer\tPeer b") || strings.Contains(text, "setService") {
			return fmt.Errorf("the page says:\n%s", text)
		}
		return nil
	}))

	page.follows("Calls")
	page.reads("b → a")
	page.do("one call", chromedp.Click(`//tr[contains(., "/books?…")]//a[contains(., "→")]`))
	page.reads("Every node on its way remembers it.")
	page.reads("ok 200 GET /books?…")
	page.looks("call")
	page.follows("Audit")
	page.reads("callParts")
	prints(t, a, "the owner of the node's socket", "audit", "node", "--action", "setService")
}
