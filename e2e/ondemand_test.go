//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// Three nodes whose Envoys have what is used alone. The first call of a service crosses all three, the one in the
// middle among them, which has nothing of it either; the others are not there. It stays so over the crash of a node,
// and a call of something new that comes meanwhile waits for it.
func TestServicesOnDemand(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a b c", "a-b c-b", "--envoy-table", "used")
	a, b, c := node("a"), node("b"), node("c")
	const all = 12
	for n := range all {
		offer(t, a, fmt.Sprintf("s%d", n), "one")
	}
	routed(t, c, all)
	var callers sync.WaitGroup
	for n := range all / 2 {
		callers.Go(func() { first(t, c, n) })
	}
	callers.Wait()
	for _, n := range []*lab.Node{b, c} {
		used(t, n, all/2, all)
	}
	if status, body, err := c.Get(t.Context(), "nobody.acme.example", "/"); status != http.StatusNotFound || err != nil {
		t.Errorf("a name that nobody announces: %d %s %v, want 404", status, body, err)
	}

	must(t, lab.Eventually(t.Context(), "c has written down what is in use", func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(c.Dir, "data", "used.json"))
		if n := strings.Count(string(text), `"service"`); err == nil && n < all/2 {
			err = fmt.Errorf("%d", n)
		}
		return err
	}))
	must(t, c.Stop(syscall.SIGKILL))
	if status, _, err := c.Get(t.Context(), "s0.acme.example", "/books"); status != 200 || err != nil {
		t.Errorf("a service in use while its node is away: %d %v", status, err)
	}
	callers.Go(func() { first(t, c, all-1) }) // comes while the node is away

	must(t, c.Start(t.Context()))
	callers.Wait()
	used(t, c, all/2+1, all)
}

// first calls a service once.
func first(t *testing.T, n *lab.Node, service int) {
	t.Helper()
	status, body, err := n.Get(t.Context(), fmt.Sprintf("s%d.acme.example", service), "/books")
	if err != nil || status != http.StatusOK {
		t.Errorf("service %d: %d %s %v, want 200 at the first call", service, status, body, err)
	}
}

// routed waits until a node knows so many services.
func routed(t *testing.T, n *lab.Node, services int) {
	t.Helper()
	what := fmt.Sprintf("%d services at %s", services, n.Name)
	must(t, lab.Eventually(t.Context(), what, func(ctx context.Context) error {
		var routes []json.RawMessage
		err := n.JSON(ctx, &routes, "route", "list")
		if err == nil && len(routes) < services {
			err = fmt.Errorf("%d", len(routes))
		}
		return err
	}))
}

// used fails unless a node says that its Envoy uses so many of the services that it knows.
func used(t *testing.T, n *lab.Node, some, all int) {
	t.Helper()
	text, err := n.CLI(t.Context(), "envoy", "status")
	if want := fmt.Sprintf("%d of %d services", some, all); err != nil || !strings.Contains(text, want) {
		t.Errorf("%s says of its Envoy:\n%s(%v)\nwant %q in it", n.Name, text, err, want)
	}
}

// A node's setting is changed while its Envoy runs: what is called goes on being answered, in both directions.
func TestTheTableIsChanged(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a b", "a-b")
	a, b := node("a"), node("b")
	for n := range 3 {
		offer(t, a, fmt.Sprintf("s%d", n), "one")
	}
	answers(t, b, "s2", "one")
	for _, table := range []string{"used", "all"} {
		must(t, b.Stop(syscall.SIGTERM))
		b.Flags = append(b.Flags, "--envoy-table", table)
		must(t, b.Start(t.Context()))
		for n := range 3 {
			answers(t, b, fmt.Sprintf("s%d", n), "one")
		}
		var shown struct{ Mode string }
		must(t, b.JSON(t.Context(), &shown, "envoy", "table"))
		if shown.Mode != table {
			t.Errorf("the table is %q, want %q", shown.Mode, table)
		}
	}
}

// A TCP service that nobody asked for has no port; once an operator asks for it, it has one, and it is reached over a
// node in the middle that has nothing of it before. It keeps it over a restart, until an operator takes it away.
func TestTCPOnDemand(t *testing.T) {
	t.Parallel()
	_, node := world(t, "a b c", "a-b c-b", "--envoy-table", "used", "--envoy-tcp", "[]")
	a, b, c := node("a"), node("b"), node("c")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), l, "lines") }()
	_, err = a.CLI(t.Context(), "route", "add", "lines", "-p", "tcp", "--addr", l.Addr().String())
	must(t, err)
	routed(t, c, 1)
	if at, err := c.TCPPort(t.Context(), "lines"); err == nil {
		t.Errorf("lines has port %s before anybody asked for it", at)
	}
	_, err = c.CLI(t.Context(), "envoy", "table", "use", "lines")
	must(t, err)
	linesAt(t, c, "lines")
	if at, err := b.TCPPort(t.Context(), "lines"); err != nil {
		t.Errorf("at b, over which a connection went: %s %v", at, err)
	}
	must(t, c.Stop(syscall.SIGTERM))
	must(t, c.Start(t.Context()))
	linesAt(t, c, "lines")
	_, err = c.CLI(t.Context(), "envoy", "table", "forget", "lines")
	must(t, err)
	used(t, c, 0, 1)
}

// A TCP service that nobody asked for is listened for once its name is asked for, and the answer to that very question
// leads to it. Its name is not answered any more when it has been taken away, until it is asked for again.
func TestTCPOnDemandByName(t *testing.T) {
	t.Parallel()
	server := nameserver()
	l, n := world(t, "a", "")
	c, err := l.Add(t.Context(), "c", "--dns", server+":5353", "--envoy-table", "used", "--envoy-tcp", "[]")
	must(t, err)
	must(t, lab.Peer(t.Context(), c, n("a")))
	for _, name := range []string{"woken", "asleep"} {
		greeter(t, n("a"), name, "--service-port", "7432")
	}
	routed(t, c, 2)
	for _, when := range []string{"first", "taken away"} {
		state := func(name string) string {
			var page struct {
				Names []struct{ Service, State string }
			}
			must(t, c.JSON(t.Context(), &page, "dns", "list"))
			for _, n := range page.Names {
				if n.Service == name+".acme.example" {
					return n.State
				}
			}
			return "unknown"
		}
		must(t, lab.Eventually(t.Context(), "nothing is listened for", func(context.Context) error {
			if got := state("woken") + ", " + state("asleep"); got != "waiting, waiting" {
				return errors.New(got)
			}
			return nil
		}))
		at := dig(t, server, 5353, "+short", "woken.acme.example")
		if got := greeting(t.Context(), net.JoinHostPort(at, "7432")); got != "woken" {
			t.Errorf("%s: woken.acme.example is %s, which says %q", when, at, got)
		}
		if got := state("asleep"); got != "waiting" {
			t.Errorf("%s: the other name is %s", when, got)
		}
		used(t, c, 1, 2)
		_, err = c.CLI(t.Context(), "envoy", "table", "forget", "woken")
		must(t, err)
		used(t, c, 0, 2)
	}
}

// linesAt connects to a line server once, at the port that it has.
func linesAt(t *testing.T, n *lab.Node, service string) {
	t.Helper()
	at, err := n.TCPPort(t.Context(), service)
	must(t, err)
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name, func(context.Context) error {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprintln(conn, "hello")
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != service+": hello\n" {
			return fmt.Errorf("got %q, %w", got, err)
		}
		return nil
	}))
}
