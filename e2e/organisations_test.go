//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// trusting gives a node the roots of another organisation, by hand.
func trusting(t *testing.T, n *lab.Node, other *lab.Node, org string) {
	t.Helper()
	file := org + ".bundle.pem"
	roots, err := os.ReadFile(filepath.Join(other.Dir, "identity", file))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(n.Dir, "identity", file), roots, 0o600))
}

// rules writes a file of rules that take these services.
func rules(t *testing.T, pattern string) string {
	t.Helper()
	return rulesFile(t, fmt.Sprintf(
		"terms:\n  - name: offered\n    match: {services: [%q]}\n    action: accept\ndefault: reject\n", pattern,
	))
}

func rulesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// asNode speaks to a mesh ingress with a node's own certificate, whatever it was offered.
func asNode(t *testing.T, n *lab.Node) *http.Client {
	t.Helper()
	cert, err := disk.Own(filepath.Join(n.Dir, "identity")).Pair()
	must(t, err)
	cfg := &tls.Config{ //nolint:gosec // it is the attacker
		Certificates:       []tls.Certificate{cert},
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
	}
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

func askAs(t *testing.T, c *http.Client, ingress, service string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+ingress+"/books", nil)
	must(t, err)
	req.Host = service
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// Two organisations with CAs of their own: a call for what was offered arrives, nothing else is reached, whoever
// asks, and nothing at all after the peer was removed, on a connection that is there already.
func TestACallBetweenTwoOrganisations(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a stranger", "")
	bravo, err := lab.New(t.Context(), binary(t), "bravo.example")
	must(t, err)
	t.Cleanup(func() { must(t, bravo.Close()) })
	x, err := bravo.Add(t.Context(), "x")
	must(t, err)
	a := n("a")
	trusting(t, a, x, "bravo.example")
	trusting(t, x, a, "acme.example")
	_, err = a.CLI(
		t.Context(), "peer", "add", "bravo.example/x", "--export", rules(t, "books.acme.example"), "--import",
		rules(t, "*.bravo.example"),
	)
	must(t, err)
	_, err = x.CLI(
		t.Context(), "peer", "add", "acme.example/a", a.Peering, "--import", rules(t, "*.acme.example"), "--export",
		rules(t, "*.bravo.example"),
	)
	must(t, err)
	offer(t, a, "books", "one")
	offer(t, a, "secret", "two")
	answers(t, x, "books", "one")
	if out, err := x.CLI(t.Context(), "trace", "books.acme.example"); err != nil {
		t.Errorf("the trace says that something is broken: %v\n%s", err, out)
	}
	thief := asNode(t, x)
	for svc, want := range map[string]int{
		"books.acme.example": 200, "secret.acme.example": 403, "none.acme.example": 403,
	} {
		if got, err := askAs(t, thief, a.Ingress, svc); got != want {
			t.Errorf("%s with x's own certificate: %d, %v, want %d", svc, got, err, want)
		}
	}
	if got, err := askAs(t, asNode(t, n("stranger")), a.Ingress, "books.acme.example"); got != 403 {
		t.Errorf("a node of the organisation that is no peer: %d, %v", got, err)
	}
	_, err = a.CLI(t.Context(), "peer", "remove", "bravo.example/x")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "x is refused", func(context.Context) error {
		if got, err := askAs(t, thief, a.Ingress, "books.acme.example"); got != 403 {
			return fmt.Errorf("%d, %w", got, err)
		}
		return nil
	}))
}
