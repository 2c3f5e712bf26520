//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// crash kills a node's process and its Envoy at once.
func crash(t *testing.T, n *lab.Node) {
	t.Helper()
	must(t, n.Stop(syscall.SIGKILL))
	n.KillEnvoy()
}

// ready tells whether a node has its tables together.
func ready(ctx context.Context, n *lab.Node) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/readyz", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusOK, nil
}

// bytesSent is what a node's Envoy was sent on its connection.
func bytesSent(t *testing.T, n *lab.Node) int {
	t.Helper()
	var envoys []struct{ Bytes int }
	must(t, n.JSON(t.Context(), &envoys, "envoy", "status"))
	if len(envoys) != 1 {
		t.Fatalf("%d Envoys are connected to %s", len(envoys), n.Name)
	}
	return envoys[0].Bytes
}

// Everything at c is killed, and so is the control plane of its only peer: c's Envoy gets at once what it had, and
// traffic flows. When the peer is back nothing is sent again, nothing fails, and what was withdrawn meanwhile goes.
func TestARestartWithoutPeersForwardsAtOnce(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "c-a", "--peering-deferral", "28s")
	offer(t, n("a"), "books", "one")
	offer(t, n("a"), "gone", "one")
	offer(t, n("c"), "own", "two")
	for svc, from := range map[string]string{"books": "one", "gone": "one", "own": "two"} {
		answers(t, n("c"), svc, from)
	}
	kept(t, n("c"), "route/books.acme.example", "route/gone.acme.example", "route/own.acme.example")
	must(t, n("a").Stop(syscall.SIGKILL)) // its Envoy stays
	crash(t, n("c"))

	started := make(chan error, 1)
	go func() { started <- n("c").Start(t.Context()) }()
	for svc, from := range map[string]string{"books": "one", "gone": "one", "own": "two"} {
		answers(t, n("c"), svc, from)
	}
	if is, err := ready(t.Context(), n("c")); is || err != nil {
		t.Fatalf("the tables of c are complete without its peer: %t, %v", is, err)
	}
	before := bytesSent(t, n("c"))

	stop := load(t, n("c"), "books")
	must(t, n("a").Start(t.Context()))
	must(t, <-started)
	_, err := n("a").CLI(t.Context(), "route", "remove", "gone")
	must(t, err)
	gone(t, n("c"), "gone")
	if total, failed, why := stop(); failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, why)
	}
	if after := bytesSent(t, n("c")); after != before {
		t.Errorf("%d bytes were sent again although nothing has changed", after-before)
	}
}

// kept waits until a node's file has resources of these names.
func kept(t *testing.T, n *lab.Node, names ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "kept at "+n.Name, func(context.Context) error {
		raw, err := os.ReadFile(filepath.Join(n.Dir, "data", "fib"))
		if err != nil {
			return err
		}
		if bytes.Contains(raw, []byte("PRIVATE KEY")) {
			t.Error("the file has a private key")
		}
		for _, name := range names {
			if !bytes.Contains(raw, []byte(name)) {
				return fmt.Errorf("%s is not there", name)
			}
		}
		return nil
	}))
}

// A file that is damaged is reported, put aside and not used: the node comes up as it would without one.
func TestADamagedForwardingStateIsIgnored(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "c-a")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	kept(t, n("c"), "route/books.acme.example")
	crash(t, n("c"))
	path := filepath.Join(n("c").Dir, "data", "fib")
	raw, err := os.ReadFile(path)
	must(t, err)
	raw[len(raw)/2] ^= 0x40
	must(t, os.WriteFile(path, raw, 0o600))
	must(t, n("c").Start(t.Context()))
	answers(t, n("c"), "books", "one")
	log, err := os.ReadFile(filepath.Join(n("c").Dir, "node.log"))
	must(t, err)
	if !strings.Contains(string(log), "the last forwarding state is not used") {
		t.Error("nothing is said about the file")
	}
	if _, err := os.Stat(path + ".bad"); err != nil {
		t.Errorf("the file is not put aside: %v", err)
	}
	kept(t, n("c"), "route/books.acme.example")
}

// A TCP workload that nobody checks dies: connections made beside its node and from elsewhere reach the other
// instance, and the first of them is not lost.
func TestATCPWorkloadFallsOverInEnvoy(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-a")
	serve := func(name string) (string, func()) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = examples.ServeLines(ctx, l, name) }()
		return l.Addr().String(), func() { stop(); _ = l.Close() }
	}
	near, stop := serve("one")
	far, _ := serve("two")
	for at, address := range map[string]string{"a": near, "b": far} {
		_, err := n(at).CLI(t.Context(), "route", "add", "lines", "--addr", address, "-p", "tcp")
		must(t, err)
	}
	ask := func(ctx context.Context, at string) error {
		port, err := n(at).TCPPort(ctx, "lines")
		if err != nil {
			return err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", port)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintln(conn, "hello")
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.HasSuffix(got, ": hello\n") {
			err = errors.New(got)
		}
		return err
	}
	for _, at := range []string{"a", "b", "c"} {
		must(t, lab.Eventually(t.Context(), "lines at "+at, func(ctx context.Context) error { return ask(ctx, at) }))
	}
	kept(t, n("a"), "local/lines.acme.example") // with a backup
	prints(t, n("a"), "backup 1", "route", "show", "lines")
	stop()
	for _, at := range []string{"a", "c", "a", "c"} {
		if err := ask(t.Context(), at); err != nil {
			t.Errorf("from %s: %v", at, err)
		}
	}
}
