//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// The life of a policy, as its operator lives it: three nodes, one service; a policy permits one of the two callers,
// the other is denied and told an id, by which the operator finds what came closest; a simulation says who would lose
// what, and is right; a bad set is refused as a whole; a restart and a rollback keep their word.
func TestLifeOfAPolicy(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b c-a", "--policy-enforce", "on", "--policy-sample", "100")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "one for", r.Header.Get("X-Catalyst-Peer"))
	}))
	t.Cleanup(srv.Close)
	a, b, c := n("a"), n("b"), n("c")
	_, err := a.CLI(t.Context(), "route", "add", "books", "--addr", srv.Listener.Addr().String())
	must(t, err)
	for _, caller := range []*lab.Node{b, c} { // the defaults are open
		says(t, caller, "books", 200, "one for spiffe://acme.example/node/"+caller.Name)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	only := file("only.cedar",
		`@id("c-reads") permit (principal == CATALYST::NODE::"spiffe://acme.example/node/c", action == CATALYST::Action::"REQUEST",
		resource == CATALYST::Service::"books.acme.example") when { context.method == "GET" };`)
	bad := file("bad.cedar",
		`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.metod == "GET" };`)
	// The calls of both are on the disk when a simulation finds them.
	must(t, lab.Eventually(t.Context(), "a simulation", func(ctx context.Context) error {
		out, err := a.CLI(ctx, "policy", "simulate", only, "--last", "1h")
		if err == nil && (!strings.Contains(out, `NODE::"spiffe://acme.example/node/b" loses books.acme.example`) ||
			strings.Contains(out, "node/c\" loses")) {
			err = fmt.Errorf("got %s", out)
		}
		return err
	}))
	says(t, b, "books", 200, "one") // nothing has changed yet
	if out, err := a.CLI(t.Context(), "policy", "apply", bad); err == nil ||
		!strings.Contains(err.Error(), "bad.cedar:1:1") || !strings.Contains(err.Error(), "metod") {
		t.Errorf("a bad set: %s %v", out, err)
	}
	says(t, b, "books", 200, "one")
	if out, err := a.CLI(t.Context(), "policy", "diff", only); err != nil || !strings.Contains(out, "+ c-reads") ||
		!strings.Contains(out, "- open-mesh") {
		t.Errorf("diff: %s %v", out, err)
	}
	_, err = a.CLI(t.Context(), "policy", "apply", only, "--note", "only c")
	must(t, err)
	status, body, err := b.Get(t.Context(), "books.acme.example", "/books")
	must(t, err)
	id := regexp.MustCompile(`decision (\w+)`).FindStringSubmatch(body)
	if status != 403 || id == nil {
		t.Fatalf("the very next call: %d %s", status, body)
	}
	says(t, c, "books", 200, "one")
	prints(t, a, "principal == CATALYST::NODE::\"spiffe://acme.example/node/c\"", "policy", "why", id[1])
	prints(t, a, "the principal is CATALYST::NODE::\"spiffe://acme.example/node/b\"", "policy", "why", id[1])
	prints(t, a, id[1], "policy", "decisions", "--denied")
	must(t, a.Stop(9))
	must(t, a.Start(t.Context()))
	says(t, c, "books", 200, "one")
	says(t, b, "books", 403, "not permitted")
	prints(t, a, "only c", "policy", "list")
	_, err = a.CLI(t.Context(), "policy", "rollback", "0")
	must(t, err)
	says(t, b, "books", 200, "one")
	prints(t, a, "back to version 0", "policy", "list")
}

// A policy that forbids a peer's routes takes them out of use at once and puts them back, with the session up all the
// while; explain names it.
func TestPolicyOnRoutes(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b", "--policy-enforce", "on")
	a, b := n("a"), n("b")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "one") }))
	t.Cleanup(srv.Close)
	_, err := b.CLI(t.Context(), "route", "add", "books", "--addr", srv.Listener.Addr().String())
	must(t, err)
	says(t, a, "books", 200, "one")
	file := filepath.Join(t.TempDir(), "no.cedar")
	must(t, os.WriteFile(file, []byte(`@id("open") permit (principal, action == CATALYST::Action::"REQUEST", resource);
		@id("no-books") forbid (principal, action == CATALYST::Action::"ROUTE_IMPORT", resource == CATALYST::Service::"books.acme.example");`),
		0o600))
	_, err = a.CLI(t.Context(), "policy", "apply", file)
	must(t, err)
	says(t, a, "books", 404, "")
	must(t, lab.Eventually(t.Context(), "an explanation", func(ctx context.Context) error {
		out, err := a.CLI(ctx, "route", "explain", "books")
		if err == nil && !strings.Contains(out, "policy no-books") {
			err = fmt.Errorf("got %s", out)
		}
		return err
	}))
	_, err = a.CLI(t.Context(), "policy", "rollback", "0")
	must(t, err)
	says(t, a, "books", 200, "one")
}
