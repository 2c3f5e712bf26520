//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// tapped is what the test reads of a call.
type tapped struct {
	Seen, Service, Path, Outcome, Caller, Decision, Reason string
	Status                                                 int
	Flags, Way                                             []string
}

// recent are the calls that a node remembers, newest first.
func recent(ctx context.Context, n *lab.Node, args ...string) ([]tapped, error) {
	var calls []tapped
	return calls, n.JSON(ctx, &calls, append([]string{"tap", "--recent", "1000"}, args...)...)
}

// A call over three nodes is one line at each of them, with the nodes that it crossed; a denied one leads to its
// reason, a failed one says what failed, and one to a TCP service is seen as well. A node that is told of no share
// still hears of what went wrong.
func TestTap(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b b-c", "--tap-enabled", "--policy-enforce", "on")
	a, b, c := n("a"), n("b"), n("c")
	offer(t, a, "books", "one")
	offer(t, a, "locked", "one")
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer broken.Close()
	_, err := a.CLI(t.Context(), "route", "add", "broken", "--addr", broken.Listener.Addr().String())
	must(t, err)
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	_, err = a.CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
	must(t, err)
	for _, service := range []string{"books", "locked"} {
		answers(t, c, service, "one")
	}
	policies := filepath.Join(t.TempDir(), "locked.cedar")
	must(t, os.WriteFile(policies, []byte(`@id("open") permit (principal, action, resource);
		@id("locked") forbid (principal, action == CATALYST::Action::"REQUEST",
			resource == CATALYST::Service::"locked.acme.example");`), 0o600))
	_, err = a.CLI(t.Context(), "policy", "apply", policies)
	must(t, err)

	watched := watchCalls(t, c)
	get(t, c, "books", "/books?token=secret", http.StatusOK)
	get(t, c, "locked", "/", http.StatusForbidden)
	get(t, c, "broken", "/", http.StatusInternalServerError)
	var port string
	must(t, lab.Eventually(t.Context(), "the TCP service arrives", func(ctx context.Context) error {
		var err error
		port, err = c.TCPPort(ctx, "lines")
		return err
	}))
	if got := raw(t, port, "hello\n"); got != "lines: hello\n" {
		t.Fatalf("over TCP: %q", got)
	}
	way := []string{"acme.example/c", "acme.example/b", "acme.example/a"}
	for what, want := range map[string]struct {
		at   *lab.Node
		args []string
		is   func(tapped) bool
	}{
		"the call at its own node": {c, []string{"books"}, func(k tapped) bool {
			return k.Seen == "http-egress" && slices.Equal(k.Way, way) && k.Path == "/books?…" && k.Status == 200
		}},
		"the call on its way": {b, []string{"books", "--from", "c"}, func(k tapped) bool {
			return k.Seen == "mesh-ingress" && slices.Equal(k.Way, way) && k.Caller == "spiffe://acme.example/node/c"
		}},
		"the call where it ends": {a, []string{"books", "--from", "acme.example"}, func(k tapped) bool {
			return slices.Equal(k.Way, way) && k.Caller == "spiffe://acme.example/node/b"
		}},
		"the denial, with its decision": {a, []string{"--denied"}, func(k tapped) bool {
			return k.Service == "locked.acme.example" && k.Status == 403 && k.Decision != ""
		}},
		"the failure": {b, []string{"--code", "5xx", "--last", "10m"}, func(k tapped) bool {
			return k.Service == "broken.acme.example" && k.Outcome == "failed"
		}},
		"the connection": {c, []string{"lines"}, func(k tapped) bool { return k.Seen == "tcp" && k.Outcome == "ok" }},
	} {
		must(t, lab.Eventually(t.Context(), what, func(ctx context.Context) error {
			calls, err := recent(ctx, want.at, want.args...)
			if err == nil && !slices.ContainsFunc(calls, want.is) {
				err = fmt.Errorf("not among %+v", calls)
			}
			return err
		}))
	}
	edges, err := c.CLI(t.Context(), "tap", "books", "--edges")
	must(t, err)
	if !regexp.MustCompile(`(?m)^acme.example/b +acme.example/a +[1-9]`).MatchString(edges) {
		t.Errorf("the calls between nodes are\n%s", edges)
	}
	line := <-watched
	if !strings.Contains(line, "c → b → a: GET books.acme.example/books?…") || strings.Contains(line, "secret") {
		t.Errorf("the line is %q", line)
	}
	calls, err := recent(t.Context(), a, "--denied")
	must(t, err)
	why, err := a.CLI(t.Context(), "policy", "why", calls[0].Decision)
	must(t, err)
	if !strings.Contains(why, "locked") {
		t.Errorf("the reason of the denial is %s", why)
	}
}

// get asks a service until it answers as wanted: policies and routes take a moment.
func get(t *testing.T, at *lab.Node, service, path string, want int) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service, func(ctx context.Context) error {
		status, _, err := at.Get(ctx, service+".acme.example", path)
		if err == nil && status != want {
			err = fmt.Errorf("status %d, want %d", status, want)
		}
		return err
	}))
}

// watchCalls gives the first line of catalyst tap books that has a query, which the calls before have not: Envoy may
// tell of those later. It is at work when watchCalls returns.
func watchCalls(t *testing.T, n *lab.Node) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, n.Lab().Binary, "--socket", filepath.Join(n.Dir, "data", "catalyst.sock"),
		"tap", "books")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line := make(chan string, 1)
	go func() {
		text := ""
		for lines := bufio.NewScanner(out); !strings.Contains(text, "?") && lines.Scan(); {
			text = lines.Text()
		}
		_ = cmd.Cancel()
		_ = cmd.Wait() // it was killed
		line <- text
	}()
	must(t, lab.Eventually(t.Context(), "calls are watched", func(context.Context) error {
		log, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
		if err == nil && !strings.Contains(string(log), "calls are watched") {
			err = errors.New("nobody has said so")
		}
		return err
	}))
	return line
}

// Where no share of calls is told, those that failed are.
func TestTapOfWhatWentWrong(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "", "--tap-enabled", "--tap-share", "0")
	a := n("a")
	offer(t, a, "books", "one")
	answers(t, a, "books", "one")
	get(t, a, "nobody", "/", http.StatusNotFound)
	must(t, lab.Eventually(t.Context(), "the call of nobody", func(ctx context.Context) error {
		calls, err := recent(ctx, a)
		if err == nil && len(calls) == 0 {
			err = fmt.Errorf("none")
		}
		for _, k := range calls {
			if k.Outcome == "ok" {
				t.Errorf("a call that went well is told of: %+v", k)
			}
		}
		return err
	}))
}
