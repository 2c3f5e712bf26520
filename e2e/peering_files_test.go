//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// Both sides of a peering stand in files, with nothing exchanged but bundles: applied twice nothing changes, what is
// exported is what was applied, an older bundle in a file takes nothing back, and what a file has no more is ended.
func TestPeeringsFromFiles(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	a := n("a")
	x := organisation(t, "bravo.example", "x")
	offer(t, a, "books", "one")
	offer(t, a, "prices", "two")
	dir := t.TempDir()
	file := func(name string, spec any) string {
		t.Helper()
		text, err := json.Marshal(spec) // which is YAML
		must(t, err)
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, text, 0o600))
		return path
	}
	type m map[string]any
	side := func(other *lab.Node, org string, terms m) m {
		t.Helper()
		bundle, err := other.CLI(t.Context(), "peering", "bundle")
		must(t, err)
		return m{"label": "partners", "peerings": []m{{
			"organisation": org, "terms": terms, "bundle": bundle,
			"nodes": []m{{"node": org + "/" + other.Name, "addresses": []string{other.Peering}}},
		}}}
	}
	ofA := file("a.yaml", side(x, "bravo.example", m{"offer": []string{"books.acme.example"}}))
	ofX := file("x.yaml", side(a, "acme.example", m{"take": []string{"*.acme.example"}}))
	type applied []struct{ Kind, Name, Action string }
	apply := func(at *lab.Node, want string, args ...string) {
		t.Helper()
		var all applied
		must(t, at.JSON(t.Context(), &all, append([]string{"apply"}, args...)...))
		if len(all) != 1 || all[0].Kind != "peering" || all[0].Action != want {
			t.Errorf("apply %s at %s: %+v, want one peering %s", strings.Join(args, " "), at.Name, all, want)
		}
	}
	apply(a, "created", "-f", ofA, "--dry-run")
	if out, err := a.CLI(t.Context(), "peering", "list", "-o", "json"); err != nil || strings.Contains(out, "bravo") {
		t.Errorf("a dry run made it: %v %s", err, out)
	}
	apply(a, "created", "-f", ofA)
	apply(x, "created", "-f", ofX)
	answers(t, x, "books", "one")
	apply(a, "unchanged", "-f", ofA, "--prune")
	apply(x, "unchanged", "-f", ofX, "--prune") // its peer has the label too, and is the peering's

	exported, err := a.CLI(t.Context(), "config", "export", "--label", "partners")
	must(t, err)
	if strings.Contains(exported, "peers:") || !strings.Contains(exported, "books.acme.example") {
		t.Errorf("exported:\n%s", exported)
	}
	again := filepath.Join(dir, "again.yaml")
	must(t, os.WriteFile(again, []byte(exported), 0o600))
	apply(a, "unchanged", "-f", again)

	wider := file("wider.yaml", side(x, "bravo.example", m{
		"offer": []string{"books.acme.example", "prices.acme.example"},
	}))
	apply(a, "updated", "-f", wider)
	answers(t, x, "prices", "two")
	both := file("both.yaml", m{"label": "partners", "peers": []m{{"node": "bravo.example/x"}}})
	if _, err := a.CLI(t.Context(), "apply", "-f", both); err == nil || !strings.Contains(err.Error(), "say so there") {
		t.Errorf("a peer that is the peering's: %v", err)
	}

	apply(a, "removed", "-f", file("none.yaml", m{"label": "partners", "peerings": []m{}}), "--prune")
	must(t, lab.Eventually(t.Context(), "x is refused", func(context.Context) error {
		if got, err := askAs(t, asNode(t, x), a.Ingress, "books.acme.example"); err == nil && got == 200 {
			return fmt.Errorf("it is answered %d", got)
		}
		return nil
	}))
}
