//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// contested waits until a node says of a name who contests it ("" for nobody), in every place in which it says so.
func contested(t *testing.T, n *lab.Node, service, by string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), n.Name+" knows who contests "+service, func(ctx context.Context) error {
		var r struct {
			Contested bool
			Offerers  []struct {
				Node   string
				Agreed bool
			}
		}
		if err := n.JSON(ctx, &r, "route", "show", service); err != nil {
			return err
		}
		got := ""
		for _, o := range r.Offerers {
			if !o.Agreed {
				got += o.Node
			}
		}
		if got != by || r.Contested != (by != "") {
			return fmt.Errorf("want %q, got %+v", by, r)
		}
		list, err := n.CLI(ctx, "route", "list", "--contested")
		if err != nil {
			return err
		}
		explained, err := n.CLI(ctx, "route", "explain", service)
		if err != nil {
			return err
		}
		measured, err := metricsOf(ctx, n)
		if err != nil {
			return err
		}
		count := regexp.MustCompile(`(?m)^catalyst_names_contested(\{.*\})? (\d+)$`).FindStringSubmatch(measured)
		if count == nil || (count[2] == "1") != (by != "") {
			return fmt.Errorf("the metrics have %q", count)
		}
		for what, text := range map[string]string{"list": list, "explain": explained} {
			says := strings.Contains(text, "contested by "+by) || strings.Contains(text, by+" began to offer it")
			if says != (by != "") {
				return fmt.Errorf("route %s: %s", what, text)
			}
		}
		return nil
	}))
}

// A node that begins to offer another's name gets none of its calls, is told of wherever an operator looks, and
// neither of these ends with a restart of the node, but with the operator's word.
func TestANameIsHeldForWhoeverHadIt(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "c-a c-b", "--peering-hold-names")
	offer(t, n("a"), "books", "rightful")
	answers(t, n("c"), "books", "rightful")
	contested(t, n("c"), "books", "")
	offer(t, n("b"), "books", "newcomer")
	contested(t, n("c"), "books", "acme.example/b")
	only := func(instance string) {
		t.Helper()
		for range 20 {
			status, body, err := n("c").Get(t.Context(), "books.acme.example", "/books")
			if must(t, err); status != 200 || !strings.Contains(body, instance) {
				t.Fatalf("%d %s, want %s", status, body, instance)
			}
		}
	}
	only("rightful")
	must(t, n("c").Stop(syscall.SIGTERM))
	must(t, n("c").Start(t.Context()))
	contested(t, n("c"), "books", "acme.example/b")
	only("rightful")

	out, err := n("c").CLI(t.Context(), "route", "agree", "books", "b")
	must(t, err)
	if !strings.Contains(out, "b may offer books") {
		t.Errorf("route agree says %q", out)
	}
	contested(t, n("c"), "books", "")
	answers(t, n("c"), "books", "newcomer")
	if _, err := n("c").CLI(t.Context(), "route", "agree", "books", "b"); err == nil {
		t.Error("who is agreed to already can be agreed to again")
	}
}

// A node's own workload comes first at that node, whatever others announce, until its operator lets it give way.
func TestAServiceThatYields(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "")
	_, err := n("a").CLI(t.Context(), "peer", "add", "b", n("b").Peering, "--max-local-pref", "300", "--import",
		rulesFile(t, `terms: [{name: nearer, set: {localPref: 200}, action: accept}]`))
	must(t, err)
	_, err = n("b").CLI(t.Context(), "peer", "add", "a")
	must(t, err)
	offer(t, n("a"), "books", "own")
	offer(t, n("b"), "books", "learned")
	must(t, lab.Eventually(t.Context(), "a knows both", func(ctx context.Context) error {
		var r struct{ Paths []struct{} }
		err := n("a").JSON(ctx, &r, "route", "show", "books")
		if err == nil && len(r.Paths) != 2 {
			err = fmt.Errorf("%d paths", len(r.Paths))
		}
		return err
	}))
	answers(t, n("a"), "books", "own")
	_, err = n("a").CLI(t.Context(), "route", "update", "books", "--yields")
	must(t, err)
	answers(t, n("a"), "books", "learned")
	must(t, n("a").Stop(syscall.SIGTERM))
	must(t, n("a").Start(t.Context()))
	answers(t, n("a"), "books", "learned")
	_, err = n("a").CLI(t.Context(), "route", "update", "books", "--yields=false")
	must(t, err)
	answers(t, n("a"), "books", "own")
}
