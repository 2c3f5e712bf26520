//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/envoy"
)

// binary is the catalyst that is tried.
func binary(t *testing.T) string {
	t.Helper()
	path, err := lab.Binary("..")
	must(t, err)
	return path
}

// world starts nodes, all with the same flags, and peers them: "a-b b-c", the first of each pair dials.
func world(t *testing.T, names, links string, flags ...string) (*lab.Lab, func(string) *lab.Node) {
	t.Helper()
	l, err := lab.New(t.Context(), binary(t), "acme.example")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for name, n := range l.Nodes {
				log, _ := os.ReadFile(filepath.Join(n.Dir, "node.log"))
				t.Logf("node %s:\n%s", name, log[max(0, len(log)-6000):])
				access, _ := os.ReadFile(filepath.Join(n.Dir, "access.log"))
				t.Logf("access log of %s:\n%s", name, access[max(0, len(access)-1500):])
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range strings.Fields(names) {
		if _, err := l.Add(t.Context(), name, flags...); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range strings.Fields(links) {
		x, y, _ := strings.Cut(link, "-")
		if err := lab.Peer(t.Context(), l.Nodes[x], l.Nodes[y]); err != nil {
			t.Fatal(err)
		}
	}
	return l, func(name string) *lab.Node { return l.Nodes[name] }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// offer starts an HTTP workload and announces it at a node.
func offer(t *testing.T, n *lab.Node, service, instance string, flags ...string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeHTTP(t.Context(), l, examples.HTTPAPI(instance)) }()
	_, err = n.CLI(t.Context(), append([]string{"route", "add", service, "--addr", l.Addr().String()}, flags...)...)
	must(t, err)
}

// answers waits until a service answers at a node, from the instance that is wanted.
func answers(t *testing.T, n *lab.Node, service, instance string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name, func(ctx context.Context) error {
		status, body, err := n.Get(ctx, service+".acme.example", "/books")
		if err == nil && (status != 200 || !strings.Contains(body, instance)) {
			err = fmt.Errorf("%d %s, want %s", status, body, instance)
		}
		return err
	}))
}

func gone(t *testing.T, n *lab.Node, service string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" is gone at "+n.Name, func(ctx context.Context) error {
		status, _, err := n.Get(ctx, service+".acme.example", "/books")
		if err == nil && status != http.StatusNotFound {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}))
}

// load calls a service all the time; the function that it returns stops that and tells how it went.
func load(t *testing.T, n *lab.Node, service string) func() (total, failed int64, why string) {
	t.Helper()
	var all, bad atomic.Int64
	var why atomic.Value
	why.Store("")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			status, body, err := n.Get(context.WithoutCancel(ctx), service+".acme.example", "/books")
			if all.Add(1); err != nil || status != 200 {
				bad.Add(1)
				why.Store(fmt.Sprint(status, body, err))
			}
		}
	}()
	return func() (int64, int64, string) {
		cancel()
		<-done
		return all.Load(), bad.Load(), why.Load().(string)
	}
}

// Three nodes in a line with their own port pools: every protocol, over the node in the middle.
func TestLine(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
	must(t, err)
	ports := map[string]bool{}
	for _, at := range []string{"b", "c"} {
		must(t, lab.Eventually(t.Context(), "lines at "+at, func(ctx context.Context) error {
			address, err := n(at).TCPPort(ctx, "lines")
			if err != nil {
				return err
			}
			ports[address] = true
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			fmt.Fprintln(conn, "hello")
			if got, err := bufio.NewReader(conn).ReadString('\n'); got != "lines: hello\n" {
				return fmt.Errorf("got %q, %w", got, err)
			}
			return nil
		}))
	}
	if len(ports) < 2 {
		t.Errorf("b and c have the same port: their pools are different")
	}
	_, err = n("a").CLI(t.Context(), "route", "remove", "books")
	must(t, err)
	gone(t, n("c"), "books")
}

// A stream that takes longer than Envoy's default time-outs is not cut, and comes piece by piece.
func TestStreamsAreNotCut(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("b"), "books", "one")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n("b").Egress+"/stream?n=17&every=1s",
		nil)
	must(t, err)
	req.Host = "books.acme.example"
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	began, first, count := time.Now(), time.Duration(0), 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); count++ {
		if count == 0 {
			first = time.Since(began)
		}
	}
	if count != 17 || first > 5*time.Second {
		t.Errorf("%d of 17 lines, the first after %s", count, first)
	}
}

// The direct next hop is killed: traffic goes by the other side of the triangle, and comes back.
func TestTriangleFailsOver(t *testing.T) {
	t.Parallel()
	l, n := world(t, "a b c", "a-b b-c a-c")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	must(t, lab.Eventually(t.Context(), "c has a backup", func(ctx context.Context) error {
		out, err := n("c").CLI(ctx, "route", "explain", "books")
		if err == nil && !strings.Contains(out, "backup 1") {
			err = errors.New(out)
		}
		return err
	}))
	// The same service at b: when a dies altogether, c goes there.
	offer(t, n("b"), "books", "two")
	must(t, n("a").Stop(syscall.SIGKILL))
	n("a").KillEnvoy()
	answers(t, n("c"), "books", "two")
	must(t, l.Nodes["a"].Start(t.Context()))
	must(t, lab.Eventually(t.Context(), "a serves again", func(ctx context.Context) error {
		for range 40 { // both are one hop away now, and share the traffic
			if _, body, err := n("c").Get(ctx, "books.acme.example", "/books"); err == nil && strings.Contains(body, "one") {
				return nil
			}
		}
		return errors.New("a gets no traffic")
	}))
}

// Two nodes that act at the same moment do not wait for each other.
func TestBothEndsAnnounceAtOnce(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b")
	done := make(chan error, 2)
	for _, at := range []string{"a", "b"} {
		go func() {
			for i := range 20 {
				if _, err := n(at).CLI(t.Context(), "route", "add", fmt.Sprintf("%s%d", at, i), "--addr",
					"127.0.0.1:9"); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	must(t, errors.Join(<-done, <-done))
	for _, at := range []string{"a", "b"} {
		must(t, lab.Eventually(t.Context(), at+" has all routes", func(ctx context.Context) error {
			var routes []struct{ Service string }
			err := n(at).JSON(ctx, &routes, "route", "list")
			if err == nil && len(routes) != 40 {
				err = fmt.Errorf("%d of 40", len(routes))
			}
			return err
		}))
	}
}

// kill -9 of any control plane on the way, under load: not one request fails, the Envoy is adopted, and nothing is
// lost.
func TestControlPlaneIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	for _, at := range []string{"a", "b", "c"} {
		pid := n(at).EnvoyPID()
		stop := load(t, n("c"), "books")
		must(t, n(at).Stop(syscall.SIGKILL))
		must(t, n(at).Start(t.Context()))
		must(t, lab.Eventually(t.Context(), at+" has its sessions", func(ctx context.Context) error {
			var peers []struct{ State string }
			err := n(at).JSON(ctx, &peers, "peer", "list")
			for _, p := range peers {
				if err == nil && p.State != "Established" {
					err = errors.New(p.State)
				}
			}
			return err
		}))
		if total, failed, why := stop(); failed > 0 || total == 0 {
			t.Errorf("%s: %d of %d requests failed: %s", at, failed, total, why)
		}
		if now := n(at).EnvoyPID(); now != pid {
			t.Errorf("%s: Envoy was %d and is %d", at, pid, now)
		}
	}
}

// SIGTERM is a restart: traffic does not notice. SIGINT is for good: peers are told at once.
func TestRestartAndFarewell(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("b"), "books", "one")
	stop := load(t, n("b"), "books")
	must(t, n("a").Stop(syscall.SIGTERM))
	must(t, n("a").Start(t.Context()))
	if total, failed, why := stop(); failed > 0 || total == 0 {
		t.Errorf("restart: %d of %d requests failed: %s", failed, total, why)
	}
	must(t, lab.Eventually(t.Context(), "the session is back", func(ctx context.Context) error {
		out, err := n("b").CLI(ctx, "peer", "list")
		if err == nil && !strings.Contains(out, "Established") {
			err = errors.New(out)
		}
		return err
	}))
	must(t, n("a").Stop(syscall.SIGINT))
	gone(t, n("b"), "books")
	out, err := n("b").CLI(t.Context(), "peer", "show", "a")
	must(t, err)
	if !strings.Contains(out, "stopped by the operator") {
		t.Errorf("b is not told why:\n%s", out)
	}
}

// A port that somebody else holds is refused by Envoy: the reason is shown on the service, and no other is touched.
func TestATakenPortTakesNothingElseWithIt(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	offer(t, n("a"), "books", "one")
	answers(t, n("a"), "books", "one")
	first := strings.Trim(strings.Split(n("a").Ports, ",")[0], "[] ")
	taken, err := net.Listen("tcp", "127.0.0.1:"+first)
	must(t, err)
	defer func() { _ = taken.Close() }()
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", "127.0.0.1:9", "-p", "tcp")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "the refusal is shown", func(ctx context.Context) error {
		out, err := n("a").CLI(ctx, "route", "explain", "lines")
		if err == nil && !strings.Contains(out, "Address already in use") && !strings.Contains(out, "cannot bind") {
			err = errors.New(out)
		}
		return err
	}))
	answers(t, n("a"), "books", "one")
}

// The pool is used up: the operator sees which service has no port and why, and the others work.
func TestPortsRunOut(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	for i := range 5 {
		_, err := n("a").CLI(t.Context(), "route", "add", fmt.Sprintf("tcp%d", i), "--addr", "127.0.0.1:9", "-p", "tcp")
		must(t, err)
	}
	must(t, lab.Eventually(t.Context(), "the problem is shown", func(ctx context.Context) error {
		out, err := n("a").CLI(ctx, "route", "list")
		if err == nil && strings.Count(out, "no local port is left for the service") != 1 {
			err = errors.New(out)
		}
		return err
	}))
	_, err := n("a").CLI(t.Context(), "route", "remove", "tcp0")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "the port that is freed goes to the service that had none",
		func(ctx context.Context) error {
			if _, err := n("a").CLI(ctx, "envoy", "ports", "free", "tcp0"); err != nil &&
				!strings.Contains(err.Error(), "has no port") {
				return err
			}
			out, err := n("a").CLI(ctx, "route", "list")
			if err == nil && strings.Contains(out, "no local port") {
				err = errors.New(out)
			}
			return err
		}))
}

// Bad input is refused with the field, the rule and the right exit status.
func TestBadInput(t *testing.T) {
	t.Parallel()
	l, n := world(t, "a", "")
	const wrong, refused = "exit status 2", "exit status 1"
	for _, tt := range []struct {
		args         []string
		want, status string
	}{
		{[]string{"route", "add", "BAD NAME!!", "--addr", "127.0.0.1:1"}, "letters, digits, hyphens and dots", wrong},
		{[]string{"route", "add", "x.bravo.example", "--addr", "127.0.0.1:1"}, "does not lie below acme.example", wrong},
		{[]string{"route", "add", "*.x.acme.example", "--addr", "127.0.0.1:1"}, "exact names only", wrong},
		{[]string{"route", "add", "x", "--addr", "nope"}, "want HOST:PORT", wrong},
		{[]string{"route", "add", "x", "--addr", "127.0.0.1:1", "-p", "udp"}, "want tcp, http, http2, grpc or graphql",
			wrong},
		{[]string{"route", "add", "x", "--addr", "127.0.0.1:1", "--weight", "5000"}, "weight", wrong},
		{[]string{"route", "remove", "x"}, "is not offered by this node", refused},
		{[]string{"peer", "add", "a"}, "is this node itself", wrong},
		{[]string{"peer", "add", "b", "nowhere"}, "want HOST:PORT", wrong},
		{[]string{"peer", "add", "b", "--hold-time", "1"}, "want 3 to 65535", wrong},
		{[]string{"peer", "show", "nobody"}, "is not a peer", refused},
		{[]string{"--socket", filepath.Join(n("a").Dir, "data", "ads.sock"), "status"}, "that is an operator API",
			"exit status 3"},
		{[]string{"--socket", filepath.Join(n("a").Dir, "data", "envoy-admin.sock"), "status"}, "that is an operator API",
			"exit status 3"},
	} {
		if out, err := n("a").CLI(t.Context(), tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) ||
			!strings.Contains(err.Error(), tt.status) {
			t.Errorf("%v: got %v %s, want %q and %s", tt.args, err, out, tt.want, tt.status)
		}
	}
	// Another node over the same data directory, and keys that others may read.
	key := filepath.Join(n("a").Dir, "identity", "key.pem")
	must(t, os.Chmod(key, 0o644))
	_, err := l.Run(t.Context(), "node", "--identity", filepath.Join(n("a").Dir, "identity"), "--data",
		filepath.Join(l.Dir, "other"))
	if err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	must(t, os.Chmod(key, 0o600))
	_, err = l.Run(t.Context(), "node", "--identity", filepath.Join(n("a").Dir, "identity"), "--data",
		filepath.Join(n("a").Dir, "data"), "--peering-listen", "", "--admin", "")
	if err == nil || !strings.Contains(err.Error(), "another node runs") {
		t.Errorf("two nodes over one directory: %v", err)
	}
}

// An Envoy on another machine gets its configuration over mutual TLS, under the name that its certificate has, and no
// other.
func TestRemoteEnvoy(t *testing.T) {
	l, err := lab.New(t.Context(), binary(t), "acme.example")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ads := free.Addr().String()
	must(t, free.Close())
	t.Setenv("CATALYST_ENVOY_ADS", ads)
	t.Setenv("CATALYST_ENVOY_ENABLED", "false")
	a, err := l.Add(t.Context(), "a")
	must(t, err)
	offer(t, a, "books", "one")
	bundle := filepath.Join(l.Dir, "proxy")
	_, err = l.Run(t.Context(), "org", "issue-envoy", "a", "proxy", "--dir", filepath.Join(l.Dir, "org"), "--out", bundle)
	must(t, err)
	admin := filepath.Join(l.Dir, "admin.sock")
	text, err := l.Run(t.Context(), "envoy", "bootstrap", "--remote", ads, "--identity", bundle, "--admin", admin)
	must(t, err)
	stop := runEnvoy(t, l.Dir, text)
	answers(t, a, "books", "one") // the remote Envoy opens the same egress, here on the same machine
	out, err := a.CLI(t.Context(), "envoy", "status")
	must(t, err)
	if !strings.Contains(out, "acme.example/a/proxy") {
		t.Errorf("status does not know it:\n%s", out)
	}
	stop()
	// Under another name than its certificate's it is refused.
	stop = runEnvoy(t, l.Dir, strings.ReplaceAll(text, "acme.example/a/proxy", "acme.example/a/other"))
	defer stop()
	must(t, lab.Eventually(t.Context(), "the refusal", func(context.Context) error {
		log, err := os.ReadFile(filepath.Join(l.Dir, "envoy.log"))
		if err == nil && !strings.Contains(string(log), "its bootstrap names it acme.example/a/other") {
			err = errors.New("nothing yet")
		}
		return err
	}))
}

// runEnvoy runs an Envoy on a bootstrap, as a user would.
func runEnvoy(t *testing.T, dir, bootstrap string) (stop func()) {
	t.Helper()
	path := filepath.Join(dir, "bootstrap.json")
	must(t, os.WriteFile(path, []byte(bootstrap), 0o600))
	binary, err := envoy.Find("")
	must(t, err)
	log, err := os.Create(filepath.Join(dir, "envoy.log"))
	must(t, err)
	cmd := exec.Command(binary, "-c", path, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn")
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	}
}

// An Envoy that dies is started again, and gets all that it had; a workload that fails its health check is left.
func TestEnvoyIsRestartedAndWorkloadsAreChecked(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b")
	offer(t, n("a"), "books", "one", "--health", "/health")
	answers(t, n("b"), "books", "one")
	before := n("a").EnvoyPID()
	n("a").KillEnvoy()
	answers(t, n("b"), "books", "one")
	if now := n("a").EnvoyPID(); now == before {
		t.Errorf("Envoy %d was killed, and is still the one", before)
	}
	// The workload answers, but says that it is not well.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	sick := http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	})
	go func() { _ = examples.ServeHTTP(t.Context(), l, sick) }()
	_, err = n("a").CLI(t.Context(), "route", "update", "books", "--addr", l.Addr().String(), "--health", "/health")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "the workload is left", func(ctx context.Context) error {
		status, body, err := n("b").Get(ctx, "books.acme.example", "/books")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "no path to it answers")) {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	}))
}
