//go:build e2e

package leaves

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authserver "github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// world is the network and what is seen of it.
type world struct {
	*lab.Lab
	t     *testing.T
	nodes []*lab.Node // real ones, all peers of each other
	sims  []*sim
	token string // ada's
	owner *authserver.Client
	load  *load
	ages  *ages

	revoked struct{ at, envoys, peers []time.Duration }
	known   func(token string) bool
}

// policy lets ada call the service of a node, and everybody those of streams and connections.
const policy = `@id("ada") permit (principal == CATALYST::USER::"ada", action == CATALYST::Action::"REQUEST",
	resource == CATALYST::Service::%q);
@id("lines") permit (principal, action, resource == CATALYST::Service::%q);
@id("feed") permit (principal, action, resource == CATALYST::Service::%q);
@id("routes") permit (principal, action in [CATALYST::Action::"ROUTE_IMPORT", CATALYST::Action::"ROUTE_EXPORT"], resource);
@id("operators") permit (principal is CATALYST::ADMIN, action, resource);`

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	binary, err := lab.Binary("../..")
	must(t, err)
	l, err := lab.New(ctx, binary, org)
	must(t, err)
	w := &world{Lab: l, t: t, load: &load{n: map[string]int{}}}
	t.Cleanup(func() {
		if t.Failed() {
			w.tail("auth.log")
			for _, n := range w.nodes {
				w.tail(filepath.Join(n.Name, "node.log"))
			}
		}
		must(t, l.Close())
	})
	must(t, l.StartAuth(ctx, "--life", life.String()))
	w.owner = authserver.NewOwnerClient(filepath.Join(l.OrgDir(), "auth.sock"))
	w.known = w.introspecting()
	for i := range *reals {
		n, err := l.Add(ctx, fmt.Sprintf("n%d", i+1), "--policy-enforce", "on", "--policy-tokens", "organisation",
			"--envoy-mesh-stream", stream.String(), "--log-level", "info")
		must(t, err)
		w.furnish(n)
		for _, other := range w.nodes {
			must(t, lab.Peer(ctx, n, other))
		}
		w.nodes = append(w.nodes, n)
	}
	w.token, err = l.OrgCLI(ctx, "token", "mint", "ada", "--ttl", "24h")
	must(t, err)
	for i := range *simulated {
		w.sims = append(w.sims, w.simulate(fmt.Sprintf("s%d", i+1), w.nodes[i%len(w.nodes)]))
	}
	for _, n := range w.nodes {
		for _, other := range w.nodes {
			must(t, lab.Eventually(ctx, "calls of "+other.Name, func(ctx context.Context) error {
				return w.call(ctx, n, service(other), w.token)
			}))
		}
		must(t, lab.Eventually(ctx, "a port", func(ctx context.Context) error {
			_, err := n.TCPPort(ctx, name("lines", w.nodes[0]))
			return err
		}))
	}
	w.ages = newAges(w.nodes)
	return w
}

// furnish gives a node its workloads and its policies.
func (w *world) furnish(n *lab.Node) {
	t, ctx := w.t, w.t.Context()
	path := filepath.Join(n.Dir, "policy.cedar")
	must(t, os.WriteFile(path, fmt.Appendf(nil, policy, service(n), name("lines", n), name("feed", n)), 0o600))
	_, err := n.CLI(ctx, "policy", "apply", path)
	must(t, err)
	calls := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, n.Name)
	}))
	t.Cleanup(calls.Close)
	feed := httptest.NewServer(http.HandlerFunc(trickle))
	t.Cleanup(feed.Close)
	routes := [][]string{
		{service(n), "--addr", calls.Listener.Addr().String()},
		{name("feed", n), "--addr", feed.Listener.Addr().String()},
	}
	if len(w.nodes) == 0 { // one TCP service is enough, and each takes a port of every node's few
		lines, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		done := make(chan struct{})
		run, stop := context.WithCancel(context.Background())
		go func() { defer close(done); _ = examples.ServeLines(run, lines, n.Name) }()
		t.Cleanup(func() { stop(); <-done })
		routes = append(routes, []string{name("lines", n), "--addr", lines.Addr().String(), "--protocol", "tcp"})
	}
	for _, r := range routes {
		_, err := n.CLI(ctx, append([]string{"route", "add"}, r...)...)
		must(t, err)
	}
}

func service(n *lab.Node) string { return name("calls", n) }

func name(what string, n *lab.Node) string { return what + "-" + n.Name + "." + org }

func (w *world) next(i int) *lab.Node { return w.nodes[(i+1)%len(w.nodes)] }

// trickle answers a line a second for twenty.
func trickle(rw http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range 20 {
		_, _ = fmt.Fprintln(rw, i)
		_ = http.NewResponseController(rw).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = fmt.Fprintln(rw, "the end")
}

// begin starts the load and the watch; all ends with ctx.
func (w *world) begin(ctx context.Context, all *sync.WaitGroup) {
	for i, n := range w.nodes {
		to := w.next(i)
		repeat(ctx, all, time.Second, func(ctx context.Context) {
			ctx, cancel := patient(ctx)
			defer cancel()
			if err := w.call(ctx, n, service(to), w.token); err != nil {
				w.load.fail("calls through two Envoys", "%s of %s: %v", n.Name, to.Name, err)
				return
			}
			w.load.done("calls through two Envoys")
		})
		repeat(ctx, all, 5*time.Second, func(ctx context.Context) { w.read(ctx, n, name("feed", to)) })
		if i > 0 {
			all.Go(func() { w.talk(ctx, n, name("lines", w.nodes[0])) })
		}
	}
	for _, s := range w.sims {
		s.begin(ctx, all)
	}
	repeat(ctx, all, 500*time.Millisecond, func(context.Context) { w.ages.look(time.Now()) })
}

// call calls a service through a node's Envoy with a token.
func (w *world) call(ctx context.Context, n *lab.Node, service, token string) error {
	code, body, err := ask(ctx, http.DefaultClient, "http://"+n.Egress, service, token)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d %.200s", code, body)
	}
	return err
}

func ask(ctx context.Context, c *http.Client, base, service, token string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = service
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// read takes an answer of 20 s, which has to come whole though its connection gets too old meanwhile.
func (w *world) read(ctx context.Context, n *lab.Node, service string) {
	const kind = "answers of 20 s through two Envoys"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Egress+"/", nil)
	must(w.t, err)
	req.Host = service
	resp, err := http.DefaultClient.Do(req)
	var b []byte
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		b, err = io.ReadAll(resp.Body)
	}
	switch {
	case ctx.Err() != nil: // the end of the test
	case err != nil || !strings.HasSuffix(string(b), "the end\n"):
		w.load.fail(kind, "%s through %s: %d bytes, %v", service, n.Name, len(b), err)
	default:
		w.load.done(kind)
	}
}

// talk has a connection of a TCP service until it is ended, which is to happen after mesh-stream and not before, and
// then another one.
func (w *world) talk(ctx context.Context, n *lab.Node, service string) {
	for ctx.Err() == nil {
		began := time.Now()
		err := w.lines(ctx, n, service)
		switch took := time.Since(began); {
		case ctx.Err() != nil:
		case took < stream-time.Second:
			w.load.fail("TCP connections", "%s through %s ended after %s: %v", service, n.Name, took, err)
		case took > mayLast:
			w.load.fail("TCP connections", "%s through %s lasted for %s", service, n.Name, took)
		default:
			w.load.done("TCP connections, each until it had lasted for " + stream.String())
		}
	}
}

func (w *world) lines(ctx context.Context, n *lab.Node, service string) error {
	port, err := n.TCPPort(ctx, service)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", port)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	answers := bufio.NewReader(conn)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range tick.C {
		if _, err := fmt.Fprintln(conn, "hello"); err != nil {
			return err
		}
		if _, err := answers.ReadString('\n'); err != nil {
			return err
		}
		w.load.done("lines over TCP connections")
	}
	return errors.New("unreachable")
}

// reportSessions says how long sessions of real nodes have lasted, and that of the simulated ones none ended.
func (w *world) reportSessions() {
	for _, n := range w.nodes {
		text, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
		must(w.t, err)
		if lapses := strings.Count(string(text), "it has shown no other"); lapses > 0 {
			w.t.Errorf("%s ended %d sessions for certificates that had ended", n.Name, lapses)
		}
		var renewals int
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "certificate renewed") {
				renewals++
			}
		}
		w.t.Logf("%s renewed %d times", n.Name, renewals)
	}
	renewals, ended, wanted := 0, 0, 0
	for _, s := range w.sims {
		renewals, ended, wanted = renewals+s.renewals, ended+s.ended, wanted+s.wanted
		if s.ended != s.wanted {
			w.t.Errorf("%d sessions of %s ended, %d by a revocation: %s", s.ended, s.id.Name, s.wanted, s.why)
		}
	}
	w.t.Logf("%d simulated nodes renewed %d times; %d of their sessions ended, %d of them by a revocation", len(w.sims),
		renewals, ended, wanted)
}

func node(n *lab.Node) bgp.NodeID { return bgp.NodeID{Org: org, Name: n.Name} }
