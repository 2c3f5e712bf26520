//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// everybody permits a user of another organisation to call everything.
const everybody = `@id("all") permit (principal, action == CATALYST::Action::"REQUEST", resource);`

// Tokens of another organisation are believed as far as the peering with it says: for no service unless it names some,
// and for none at all from the moment when it ends, also after a restart, until there is a peering again. A request
// that goes on by right of such a token ends with the peering.
func TestTokensEndWithThePeering(t *testing.T) {
	t.Parallel()
	followers := t.TempDir()
	acme := members(t, "acme.example", "a", []string{"--followers", followers})
	a := acme.Nodes["a"]
	bravo := members(t, "bravo.example", "", nil)
	roots, err := os.ReadFile(filepath.Join(bravo.OrgDir(), "admin", "bravo.example.bundle.pem"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(followers, "bravo.example.bundle.pem"), roots, 0o600))
	x, err := bravo.Add(t.Context(), "x", "--policy-enforce", "on", "--policy-egress", "--policy-audience", "mesh",
		"--policy-issuers", "[acme.example="+acme.Auth+"]")
	must(t, err)
	policy := filepath.Join(t.TempDir(), "all.cedar")
	must(t, os.WriteFile(policy, []byte(everybody), 0o600))
	_, err = x.CLI(t.Context(), "policy", "apply", policy)
	must(t, err)
	offer(t, x, "books", "one")
	offer(t, x, "prices", "two")
	peered(t, x, a, "acme.example", []string{"--export", "books,prices"}, nil)
	mint := func(name string) string {
		t.Helper()
		token, err := acme.OrgCLI(t.Context(), "token", "mint", name, "--audience", "mesh", "--ttl", "1h")
		must(t, err)
		return token
	}
	ada := mint("ada")
	terms := func(services string) {
		t.Helper()
		_, err := x.CLI(t.Context(), "peering", "update", "acme.example", "--tokens", services)
		must(t, err)
	}
	answeredTo(t, a, "books.bravo.example", ada, http.StatusUnauthorized, "not permitted") // no service is named yet
	terms("books")
	answeredTo(t, a, "books.bravo.example", ada, http.StatusNotFound, "") // the workload's own answer to /
	answeredTo(t, a, "prices.bravo.example", ada, http.StatusUnauthorized, "not permitted")
	terms("*.bravo.example")
	answeredTo(t, a, "prices.bravo.example", ada, http.StatusNotFound, "")
	answeredTo(t, x, "books.bravo.example", ada, http.StatusNotFound, "") // an application beside x
	out, err := x.CLI(t.Context(), "peering", "show", "acme.example")
	if err != nil || !strings.Contains(out, "believes the other's tokens for *.bravo.example") {
		t.Errorf("peering show: %v\n%s", err, out)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+x.Egress+"/stream?n=600&every=50ms", nil)
	must(t, err)
	req.Host = "books.bravo.example"
	req.Header.Set("Authorization", "Bearer "+ada)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	if resp.StatusCode != http.StatusOK || !lines.Scan() {
		t.Fatalf("the stream: %d, %v", resp.StatusCode, lines.Err())
	}
	_, err = x.CLI(t.Context(), "peering", "end", "acme.example")
	must(t, err)
	if code, text, err := asks(t.Context(), x, "books.bravo.example", ada); err != nil || code != http.StatusUnauthorized {
		t.Errorf("the first call after the end: %d %s, %v, want 401", code, text, err)
	}
	count := 0
	for lines.Scan() {
		count++
	}
	if count > 300 {
		t.Errorf("the stream went on to its end: %d lines", count)
	}

	must(t, x.Stop(syscall.SIGTERM))
	must(t, x.Start(t.Context()))
	answeredTo(t, x, "books.bravo.example", ada, http.StatusUnauthorized, "not permitted")
	answeredTo(t, x, "books.bravo.example", mint("joe"), http.StatusUnauthorized, "not permitted")
	must(t, lab.Eventually(t.Context(), "policy log", func(ctx context.Context) error {
		out, err := x.CLI(ctx, "policy", "decisions", "--denied", "-o", "json")
		if err == nil && !strings.Contains(out, "has ended at") {
			err = fmt.Errorf("the operator is not told why: %s", out)
		}
		return err
	}))
	peered(t, x, a, "acme.example", []string{"--export", "books", "--tokens", "books"}, nil)
	answeredTo(t, a, "books.bravo.example", ada, http.StatusNotFound, "")
}
