//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// A token of one organisation is refused at another's border that does not believe its issuer, and exchanged by the
// other's identity service, which was told to, for one that is believed: as that of a user of the first organisation.
// The operator of the border sees which of believed, exchanged and refused holds. With the peering ends the new one.
func TestATokenIsExchangedAcrossTheBorder(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	followers, external := t.TempDir(), filepath.Join(t.TempDir(), "external.yaml")
	acme := members(t, "acme.example", "a", []string{"--followers", followers})
	a := acme.Nodes["a"]
	roots := filepath.Join(acme.OrgDir(), "admin", "acme.example.bundle.pem")
	told, err := json.Marshal(map[string]any{"organisations": []map[string]any{{
		"organisation": "acme.example", "address": acme.Auth, "roots": roots, "audience": []string{"mesh"}, "life": "10m",
	}}})
	must(t, err)
	must(t, os.WriteFile(external, told, 0o600))
	bravo := members(t, "bravo.example", "", []string{"--external", external})
	bravoRoots := filepath.Join(bravo.OrgDir(), "admin", "bravo.example.bundle.pem")
	text, err := os.ReadFile(bravoRoots)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(followers, "bravo.example.bundle.pem"), text, 0o600))
	x, err := bravo.Add(ctx, "x", "--policy-enforce", "on", "--policy-egress", "--policy-tokens", "organisation",
		"--policy-audience", "mesh")
	must(t, err)
	_, err = x.CLI(ctx, "policy", "apply", onlyAda(t, "acme.example/ada", "books.bravo.example"))
	must(t, err)
	offer(t, x, "books", "one")
	peered(t, x, a, "acme.example", []string{"--export", "books"}, nil)

	ada, err := acme.OrgCLI(ctx, "token", "mint", "ada", "--audience", "bravo.example,mesh", "--ttl", "1h")
	must(t, err)
	answeredTo(t, a, "books.bravo.example", ada, http.StatusUnauthorized, "not permitted")
	var fresh string
	must(t, lab.Eventually(ctx, "bravo's service knows acme's keys", func(ctx context.Context) error {
		out, err := acme.Run(ctx, "token", "exchange", ada, "--auth", bravo.Auth, "--roots", bravoRoots)
		fresh = strings.TrimSpace(out)
		return err
	}))
	answeredTo(t, a, "books.bravo.example", fresh, http.StatusNotFound, "") // the workload's own answer to /

	out, err := x.CLI(ctx, "peering", "tokens", "acme.example")
	if err != nil || !strings.Contains(out, "exchanged") || !strings.Contains(out, bravo.Auth) {
		t.Errorf("peering tokens: %v\n%s", err, out)
	}
	_, err = x.CLI(ctx, "peering", "end", "acme.example")
	must(t, err)
	if code, text, err := asks(ctx, x, "books.bravo.example", fresh); err != nil || code != http.StatusUnauthorized {
		t.Errorf("after the end of the peering: %s, %v", fmt.Sprint(code, " ", text), err)
	}
}
