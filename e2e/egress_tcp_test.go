//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// With policy.egress a node decides on the TCP connections of its own applications as well, before they reach a
// workload: of this node (greets, which speaks first, so that a byte of it would be a leak) and of another (lines).
// A connection ends when its right does.
func TestTCPIsAskedAboutAtTheEgress(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b", "--policy-enforce", "on", "--policy-egress")
	a, b := n("a"), n("b")
	serve := func(n *lab.Node, service string, handle func(net.Listener)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go handle(l)
		_, err = n.CLI(t.Context(), "route", "add", service, "--addr", l.Addr().String(), "-p", "tcp")
		must(t, err)
	}
	serve(a, "lines", func(l net.Listener) { _ = examples.ServeLines(t.Context(), l, "lines") })
	serve(b, "greets", func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello\n"))
			_ = conn.Close()
		}
	})
	open := hold(t, b, "lines")
	greets := func(ctx context.Context) (string, error) {
		at, err := b.TCPPort(ctx, "greets")
		if err != nil {
			return "", err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		got := make([]byte, 16)
		k, err := conn.Read(got)
		return string(got[:k]), err
	}
	must(t, lab.Eventually(t.Context(), "greets speaks first", func(ctx context.Context) error {
		if got, err := greets(ctx); got != "hello\n" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	}))
	path := filepath.Join(t.TempDir(), "http.cedar")
	must(t, os.WriteFile(path, []byte(`@id("http") permit (principal, action == CATALYST::Action::"REQUEST", resource);`), 0o600))
	_, err := b.CLI(t.Context(), "policy", "apply", path)
	must(t, err)
	open.ends(t, "nothing permits CONNECT at b any more")
	if got, err := greets(t.Context()); got != "" || err == nil {
		t.Errorf("%q, %v came over a connection that is not permitted", got, err)
	}
	out, err := b.CLI(t.Context(), "policy", "decisions", "--denied")
	must(t, err)
	for _, want := range []string{"lines.acme.example", "greets.acme.example"} {
		if !strings.Contains(out, want) {
			t.Errorf("no denial for %s in\n%s", want, out)
		}
	}
	must(t, os.WriteFile(path, []byte(`@id("lines") permit (principal, action == CATALYST::Action::"CONNECT",
resource == CATALYST::Service::"lines.acme.example");`), 0o600))
	_, err = b.CLI(t.Context(), "policy", "apply", path)
	must(t, err)
	hold(t, b, "lines")
}
