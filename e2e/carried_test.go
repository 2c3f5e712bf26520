//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

const carries = `terms:
  - {name: carried, match: {services: ["books.acme.example"], transit: true}, action: accept}
  - {name: own, match: {transit: false}, action: accept}
default: reject
`

const takes = "terms:\n  - {name: all, action: accept}\n"

const offersOfAcme = `org: acme.example
validFor: 24h
entries:
  - {names: "*.acme.example", carriers: [bravo.example], neighbours: [bravo.example]}
`

// reads waits until a command of a node says something.
func reads(t *testing.T, n *lab.Node, text string, args ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), text+" at "+n.Name, func(ctx context.Context) error {
		out, err := n.CLI(ctx, args...)
		if !strings.Contains(out, text) {
			return fmt.Errorf("%s: %w", out, err)
		}
		return nil
	}))
}

// Acme's service reaches carol over bravo, through three Envoys, by a path that acme and bravo have signed. Carol asks
// bravo why another one is not there. Once bravo's signature does not count for carol any more, nothing is called.
func TestAServiceIsCarriedByASignedPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	catalyst := func(args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), binary(t), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	catalyst("attestation", "key", file("acme.pem"), file("acme.keys"))
	catalyst("attestation", "key", "--path", file("acme-path.pem"), file("acme-path.keys"))
	catalyst("attestation", "key", "--path", file("bravo-path.pem"), file("bravo-path.keys"))
	must(t, os.WriteFile(file("offers.yaml"), []byte(offersOfAcme), 0o600))
	catalyst("attestation", "sign", file("offers.yaml"), "--key", file("acme.pem"), "--out", file("acme.set"))
	start := func(org, name string, flags ...string) *lab.Node {
		l, err := lab.New(t.Context(), binary(t), org)
		must(t, err)
		t.Cleanup(func() { must(t, l.Close()) })
		n, err := l.Add(t.Context(), name, flags...)
		must(t, err)
		return n
	}
	a := start("acme.example", "a", "--peering-path-key", file("acme-path.pem"))
	b := start("bravo.example", "b", "--peering-path-key", file("bravo-path.pem"), "--peering-explain", "peers")
	c := start("carol.example", "c")
	trusting(t, a, b, "bravo.example")
	trusting(t, b, a, "acme.example")
	trusting(t, b, c, "carol.example")
	trusting(t, c, b, "bravo.example")
	run := func(n *lab.Node, args ...string) {
		t.Helper()
		_, err := n.CLI(t.Context(), args...)
		must(t, err)
	}
	for _, n := range []*lab.Node{a, b, c} {
		run(n, "attestation", "trust", "acme.example", file("acme.keys"), file("acme-path.keys"))
	}
	run(c, "attestation", "trust", "bravo.example", file("bravo-path.keys"))
	run(a, "attestation", "publish", file("acme.set"))
	run(b, "peer", "add", "acme.example/a", "--import", rulesFile(t, takes), "--export", rulesFile(t, takes))
	run(b, "peer", "add", "carol.example/c", "--import", rulesFile(t, takes), "--export", rulesFile(t, carries))
	run(a, "peer", "add", "bravo.example/b", b.Peering, "--import", rulesFile(t, takes), "--export", rulesFile(t, takes))
	run(c, "peer", "add", "bravo.example/b", b.Peering, "--import", rulesFile(t, takes), "--export",
		rulesFile(t, takes), "--namespaces", "*.acme.example", "--attested", "--attested-path")
	offer(t, a, "books", "one")
	offer(t, a, "secret", "two")
	answers(t, c, "books", "one")
	reads(t, c, "its path is signed by every organisation on it", "route", "explain", "books.acme.example")
	reads(t, b, "secret.acme.example", "route", "list")
	reads(t, c, "no: an export rule rejects it", "route", "explain", "secret.acme.example", "--ask")
	gone(t, c, "secret")
	run(c, "attestation", "trust", "bravo.example", "none")
	reads(t, c, "there are no signatures that count of bravo.example acme.example", "peer", "routes", "bravo.example/b")
	gone(t, c, "books")
	answers(t, b, "books", "one")
}
