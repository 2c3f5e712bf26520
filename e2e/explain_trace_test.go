//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/envoy"
)

// traced is what catalyst trace -o json says.
type traced struct {
	OK, Complete bool
	Hops         []struct {
		Node, Note string
		Steps      []struct{ Name, State, Text, Advice string }
	}
	Broken *struct{ Node, Step, Text, Advice string }
}

func trace(ctx context.Context, n *lab.Node, service string) (*traced, error) {
	out, err := n.CLI(ctx, "trace", service, "-o", "json")
	w := &traced{}
	if jsonErr := json.Unmarshal([]byte(out), w); jsonErr != nil {
		return nil, errors.Join(err, jsonErr)
	}
	if (err != nil) == w.OK {
		return nil, fmt.Errorf("exit status %w, and ok is %t", err, w.OK)
	}
	return w, nil
}

// breaks waits until a trace at c names the node and the step, in words that hold says.
func breaks(t *testing.T, c *lab.Node, service, node, step, says string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "the trace names "+node+" "+step, func(ctx context.Context) error {
		w, err := trace(ctx, c, service)
		switch {
		case err != nil:
			return err
		case w.Broken == nil:
			return fmt.Errorf("nothing is broken: %+v", w)
		case w.Broken.Node != "acme.example/"+node || w.Broken.Step != step ||
			!strings.Contains(w.Broken.Text+w.Broken.Advice, says):
			return fmt.Errorf("names %+v, want it to say %q", *w.Broken, says)
		case w.Broken.Advice == "":
			return fmt.Errorf("%+v advises nothing", *w.Broken)
		}
		return nil
	}))
}

// whole waits until a trace finds nothing broken and nothing unknown.
func whole(t *testing.T, c *lab.Node, service string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "the trace finds nothing", func(ctx context.Context) error {
		w, err := trace(ctx, c, service)
		if err == nil && (!w.OK || !w.Complete || len(w.Hops) != 3) {
			err = fmt.Errorf("%+v", *w)
		}
		return err
	}))
}

// Three real nodes in a line. Each thing that can break is broken on purpose; the trace from the far end names the
// right node and step, and after the repair finds nothing. One trace goes against the direction in which a session
// was dialled.
func TestTraceNamesWhatIsBroken(t *testing.T) {
	link := filepath.Join(t.TempDir(), "envoy") // an Envoy that can be taken away
	real, err := envoy.Find("")
	must(t, err)
	must(t, os.Symlink(real, link))
	t.Setenv("CATALYST_ENVOY", link)
	l, n := world(t, "a b c", "a-b c-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	whole(t, n("c"), "books")

	t.Run("wrong port of the workload", func(t *testing.T) {
		_, err := n("a").CLI(t.Context(), "route", "add", "films", "--addr", "127.0.0.1:1")
		must(t, err)
		breaks(t, n("c"), "films", "a", "backend", "127.0.0.1:1")
	})

	t.Run("workload ends", func(t *testing.T) {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = examples.ServeHTTP(ctx, lis, examples.HTTPAPI("short")) }()
		_, err = n("a").CLI(t.Context(), "route", "add", "short", "--addr", lis.Addr().String())
		must(t, err)
		answers(t, n("c"), "short", "short")
		whole(t, n("c"), "short")
		stop()
		<-done
		breaks(t, n("c"), "short", "a", "backend", "refused")
	})

	t.Run("import rule in the middle", func(t *testing.T) {
		rules := filepath.Join(t.TempDir(), "import.yaml")
		must(t, os.WriteFile(rules, []byte("terms:\n  - name: no-books\n    match: {services: [books.acme.example]}\n   "+
			" action: reject\n"), 0o600))
		_, err := n("b").CLI(t.Context(), "peer", "update", "a", "--import", rules)
		must(t, err)
		breaks(t, n("c"), "books", "b", "filter", "no-books")
		_, err = n("b").CLI(t.Context(), "peer", "update", "a", "--import", "none")
		must(t, err)
		whole(t, n("c"), "books")
	})

	t.Run("session in the middle", func(t *testing.T) {
		_, err := n("b").CLI(t.Context(), "peer", "update", "a", "--disabled")
		must(t, err)
		breaks(t, n("c"), "books", "b", "session", "disabled")
		_, err = n("b").CLI(t.Context(), "peer", "update", "a", "--disabled=false")
		must(t, err)
		whole(t, n("c"), "books")
	})

	t.Run("Envoy refuses", func(t *testing.T) {
		for _, port := range strings.Split(strings.Trim(n("c").Ports, "[]"), ", ") {
			taken, err := net.Listen("tcp", "127.0.0.1:"+port)
			must(t, err)
			defer func() { _ = taken.Close() }()
		}
		lines, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
		_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
		must(t, err)
		breaks(t, n("c"), "lines", "c", "acknowledged", "bind")
		_, err = n("a").CLI(t.Context(), "route", "remove", "lines")
		must(t, err)
	})

	t.Run("next hop's Envoy is gone", func(t *testing.T) {
		must(t, os.Remove(link))
		n("b").KillEnvoy()
		breaks(t, n("c"), "books", "b", "listener", "acme.example/b says")
		must(t, os.Symlink(real, link))
		whole(t, n("c"), "books")
	})

	t.Run("certificate of another CA", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "org")
		_, err := l.Run(t.Context(), "org", "init", "acme.example", "--dir", other)
		must(t, err)
		_, err = l.Run(t.Context(), "org", "issue-node", "b", "--dir", other, "--out", filepath.Join(n("b").Dir, "identity"))
		must(t, err)
		breaks(t, n("c"), "books", "b", "tls", "certificate")
		_, err = l.Run(t.Context(), "org", "issue-node", "b", "--dir", filepath.Join(l.Dir, "org"), "--out",
			filepath.Join(n("b").Dir, "identity"))
		must(t, err)
		whole(t, n("c"), "books")
	})

	t.Run("the node in the middle is away, its Envoy is not", func(t *testing.T) {
		must(t, n("b").Stop(syscall.SIGKILL))
		must(t, lab.Eventually(t.Context(), "nothing is broken, and b is said to be away", func(ctx context.Context) error {
			w, err := trace(ctx, n("c"), "books")
			if err == nil && (!w.OK || w.Complete || !strings.Contains(w.Hops[1].Note, "no session") ||
				w.Hops[1].Steps[1].State != "ok") {
				err = fmt.Errorf("%+v", *w)
			}
			return err
		}))
	})

	t.Run("the node in the middle declines", func(t *testing.T) {
		t.Setenv("CATALYST_PEERING_TRACE", "off")
		must(t, n("b").Start(t.Context()))
		must(t, lab.Eventually(t.Context(), "b declines, and its ingress was tried all the same",
			func(ctx context.Context) error {
				w, err := trace(ctx, n("c"), "books")
				if err == nil && (!w.OK || w.Complete || !strings.Contains(w.Hops[1].Note, "peering.trace") ||
					w.Hops[1].Steps[1].State != "ok") {
					err = fmt.Errorf("%+v", *w)
				}
				return err
			}))
	})
}
