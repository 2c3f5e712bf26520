//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/xds"
)

// headersSeen are those with which a request came to a workload of examples.HTTPAPI.
func headersSeen(body string) (http.Header, error) {
	var seen struct{ Headers http.Header }
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		return nil, fmt.Errorf("%w: %.200s", err, body)
	}
	return seen.Headers, nil
}

// forged asks a mesh ingress with headers of one's own choice, and returns the status, the body, and the headers that
// the workload saw.
func forged(t *testing.T, c *http.Client, ingress, service string, add http.Header) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+ingress+"/headers", nil)
	must(t, err)
	req.Host = service
	for name, values := range add {
		req.Header[name] = values
	}
	resp, err := c.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, string(body), nil
	}
	seen, err := headersSeen(string(body))
	must(t, err)
	return resp.StatusCode, string(body), seen
}

// A workload behind the border is told by the border which organisation calls, whatever the caller says: nothing of
// what a foreign node claims of the caller is left, also one node further on. Nodes inside an organisation are not
// named to another, and a request that has crossed too many nodes ends.
func TestTheBorderSaysWhoCalls(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a inner", "inner-a")
	a, inner := n("a"), n("inner")
	x := organisation(t, "bravo.example", "x")
	app, err := x.Lab().Add(t.Context(), "app")
	must(t, err)
	must(t, lab.Peer(t.Context(), app, x))
	offer(t, inner, "books", "one")
	answers(t, a, "books", "one")
	peered(t, a, x, "bravo.example", []string{"--export", "books"}, nil)
	answers(t, app, "books", "one")

	only := func(h http.Header, name, want string) {
		t.Helper()
		if got := strings.Join(h.Values(name), "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	_, body, err := app.Get(t.Context(), "books.acme.example", "/headers")
	must(t, err)
	seen, err := headersSeen(body)
	must(t, err)
	only(seen, "X-Catalyst-Organisation", "bravo.example")
	only(seen, "X-Catalyst-Border", "bravo.example/x")
	only(seen, "X-Catalyst-Path", "<bravo.example/x>|<acme.example/a>|<acme.example/inner>") // app is not named

	// An application of the same organisation, which claims to be of another one.
	must(t, lab.Eventually(t.Context(), "a reaches books", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Egress+"/headers", nil)
		if err != nil {
			return err
		}
		req.Host = "books.acme.example"
		req.Header.Set("X-Catalyst-Organisation", "bravo.example")
		req.Header.Set("X-Catalyst-Border", "bravo.example/x")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		h, err := headersSeen(string(b))
		if err == nil {
			only(h, "X-Catalyst-Organisation", "acme.example")
			only(h, "X-Catalyst-Border", "")
		}
		return err
	}))

	thief := asNode(t, x)
	lies := http.Header{
		"X-Catalyst-Organisation": {"acme.example", "delta.example"},
		"x-Catalyst-Border":       {"acme.example/a"},
		"X-Catalyst-Principal":    {`CATALYST::USER::"root"`},
		"X-Catalyst-Peer":         {"spiffe://acme.example/node/inner"},
		"X-Catalyst-Decision":     {"none"},
		"X-Forwarded-Client-Cert": {"URI=spiffe://acme.example/node/inner"},
		"X-Catalyst-Path":         {"<delta.example/d>"},
	}
	status, text, seen := forged(t, thief, a.Ingress, "books.acme.example", lies)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	only(seen, "X-Catalyst-Organisation", "bravo.example")
	only(seen, "X-Catalyst-Border", "bravo.example/x")
	for _, name := range []string{"X-Catalyst-Principal", "X-Catalyst-Peer", "X-Catalyst-Decision"} {
		only(seen, name, "")
	}
	if got := seen.Get("X-Forwarded-Client-Cert"); strings.Contains(got, "URI=spiffe://acme.example/node/inner") {
		t.Errorf("a claimed certificate goes on: %s", got)
	}

	path := func(nodes int) http.Header {
		return http.Header{"X-Catalyst-Path": {
			strings.Repeat("<delta.example/d>", nodes/2), strings.Repeat("<echo.example/e>", nodes-nodes/2),
		}}
	}
	if status, text, _ := forged(t, thief, a.Ingress, "books.acme.example", path(xds.MaxHops-2)); status != 200 {
		t.Errorf("%d nodes crossed: %d %s", xds.MaxHops-2, status, text)
	}
	for _, nodes := range []int{xds.MaxHops, 20 * xds.MaxHops} {
		status, text, _ := forged(t, thief, a.Ingress, "books.acme.example", path(nodes))
		if status != http.StatusLoopDetected || !strings.Contains(text, "loop detected") {
			t.Errorf("%d nodes crossed: %d %s, want 508", nodes, status, text)
		}
	}
	loop := http.Header{"X-Catalyst-Path": {"<acme.example/a><bravo.example/x>"}}
	if status, text, _ := forged(t, thief, a.Ingress, "books.acme.example", loop); status != http.StatusLoopDetected {
		t.Errorf("a request that has been at a: %d %s, want 508", status, text)
	}
}
