package ads_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/xds"
)

// watches is the figure of Envoy's that tells how many requests it has told the node of.
const watches = "http.mesh-ingress.ext_proc.hold.streams_started"

const partners = `@id("partners") permit (principal in CATALYST::Group::"partners", action, resource is CATALYST::Service);
	@id("no-cellar") forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.path == "/cellar" };`

// inPartners is who is in the group, by the names of nodes.
func inPartners(nodes ...string) policy.Document {
	text := `[{"uid":{"type":"CATALYST::Group","id":"partners"},"attrs":{},"parents":[]}`
	for _, n := range nodes {
		text += fmt.Sprintf(`,{"uid":{"type":"CATALYST::NODE","id":"spiffe://acme.example/node/%s"},"attrs":{},
			"parents":[{"type":"CATALYST::Group","id":"partners"}]}`, n)
	}
	return policy.Document{Name: "e.json", Text: text + "]"}
}

// streaming is a workload: WebSockets that echo, uploads that are read to their end before they are answered, a file
// of a known length that comes slowly, and answers that go on for ever.
func streaming() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", ticking())
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, msg, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	})
	mux.HandleFunc("/up", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10000000")
		ticking().ServeHTTP(w, r)
	})
	return mux
}

// socket opens a WebSocket.
func (p *plane) socket(path string) (alive func() error) {
	p.t.Helper()
	conn, _, err := websocket.Dial(p.t.Context(), "ws://"+p.egress+path, &websocket.DialOptions{Host: string(books)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.CloseNow() })
	return func() error {
		ctx, cancel := context.WithTimeout(p.t.Context(), patience)
		defer cancel()
		if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			return err
		}
		_, _, err := conn.Read(ctx)
		return err
	}
}

// upload sends a body without end.
func (p *plane) upload() (alive func() error) {
	p.t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.egress+"/up", r)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Host = string(books)
	answered := make(chan error, 1)
	go func() {
		resp, err := (&http.Transport{}).RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
			err = fmt.Errorf("answered %d", resp.StatusCode)
		}
		_ = r.CloseWithError(err)
		answered <- err
	}()
	p.t.Cleanup(func() { _ = w.Close(); <-answered })
	block := bytes.Repeat([]byte("x"), 4096)
	return func() error { _, err := w.Write(block); return err }
}

// connection opens one of a TCP service.
func connection(t *testing.T, p *plane, svc bgp.Service) (alive func() error) {
	t.Helper()
	conn, r := dialTCP(t, p, svc)
	t.Cleanup(func() { _ = conn.Close() })
	return func() error { _, err := say(conn, r, "hello"); return err }
}

func (p *plane) file() (alive func() error) {
	return p.streamAs(books, func(r *http.Request) { r.URL.Path = "/file" })
}

// A change of the policies, or of who is in a group, ends what is under way and would not be permitted any more:
// connections, WebSockets, answers and uploads without end, large files, also over a node in the middle. Everything
// else goes on, through changes that do not concern it too. The end is a decision that the operator finds.
func TestOpenStreamsEndWithTheirRight(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, b, c, d := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c"), newPlane(t, org, "d")
	for _, p := range []*plane{b, c, d} {
		p.server.Open()
	}
	j := judged(t, a, partners, inPartners("b", "c"))
	srv := httptest.NewServer(streaming())
	t.Cleanup(srv.Close)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(strings.TrimPrefix(srv.URL, "http://"))}),
		to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	b.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}), to(lines, bgp.TCP, []xds.Target{a.hop()}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}), to(lines, bgp.TCP, []xds.Target{a.hop()}))
	d.apply(to(books, bgp.HTTP, []xds.Target{b.hop()}), to(lines, bgp.TCP, []xds.Target{b.hop()}))
	for _, p := range []*plane{b, c, d} {
		p.eventuallyAt(books, "/cellar", 403)
	}
	open := func(p *plane) map[string]func() error {
		return map[string]func() error{
			"a connection": connection(t, p, lines), "a WebSocket": p.socket("/ws"), "an answer": p.stream(books),
			"an upload": p.upload(), "a file": p.file(),
		}
	}
	all := map[*plane]map[string]func() error{b: open(b), c: open(c), d: open(d)}
	gone := func(what string, p *plane) {
		t.Helper()
		changed := time.Now()
		for name, alive := range all[p] {
			ends(t, fmt.Sprintf("%s: %s of %s", what, name, p.id.Name), alive)
		}
		if took := time.Since(changed); took > 5*time.Second {
			t.Errorf("%s: it took %s", what, took)
		}
		delete(all, p)
	}
	stays := func(what string) {
		t.Helper()
		for p, streams := range all {
			for name, alive := range streams {
				if err := alive(); err != nil {
					t.Errorf("%s: %s of %s: %v", what, name, p.id.Name, err)
				}
			}
		}
	}
	stays("at first")
	watched := a.stat(watches)
	for range 20 {
		if status, _, _ := c.ask("GET", "/up", nil); status != 200 {
			t.Errorf("a short call: %d", status)
		}
		if status, _, _ := c.ask("POST", "/up", nil); status != 200 {
			t.Errorf("a short upload: %d", status)
		}
	}
	if now := a.stat(watches); now != watched || now < 3*5 {
		t.Errorf("%d requests are watched after short ones, %d before", now, watched)
	}
	j.publish(partners+`@id("other") forbid (principal, action, resource == CATALYST::Service::"other.acme.example");`,
		inPartners("b", "c"))
	stays("after a change that concerns nobody")
	j.publish(partners, inPartners("b")) // the group has changed, the policies have not
	gone("c is out of the group", c)
	stays("after c is out")
	if r := j.last(); r.Ends == "" || r.Decision.Allow || r.Call.Peer != "spiffe://acme.example/node/c" {
		t.Errorf("the end is recorded as %+v", r)
	}
	j.publish(`@id("nobody") forbid (principal, action, resource);`)
	gone("nobody may anything", d) // by way of b
	gone("nobody may anything", b)
}

// A restart of the node, which no traffic may notice, ends nothing that it watches.
func TestWatchedConnectionsOutliveARestart(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	j := judged(t, a, partners, inPartners("c"))
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	c.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}))
	alive := connection(t, c, lines)
	waitFor(t, "it is watched", func() bool { return a.stat(watches) == 1 })
	j.stop()
	waitFor(t, "the node is away", func() bool { return a.stat("cluster.hops/policy.upstream_cx_active") == 0 })
	if err := alive(); err != nil {
		t.Errorf("while the node is away: %v", err)
	}
	j.serve(a)
	if err := alive(); err != nil {
		t.Errorf("after the node's restart: %v", err)
	}
}

// eventuallyAt waits until a path is answered like that.
func (p *plane) eventuallyAt(svc bgp.Service, path string, status int) {
	p.t.Helper()
	waitFor(p.t, fmt.Sprintf("%d from %s at %s", status, path, p.id.Name), func() bool {
		got, _, _ := p.ask("GET", path, func(r *http.Request) { r.Host = string(svc) })
		return got == status
	})
}

// A call of gRPC that is watched ends as soon as it is answered: its trailers wait for nothing.
func TestWatchedCallsAreNotLate(t *testing.T) {
	t.Parallel()
	const greeter = bgp.Service("greeter.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	judged(t, a, partners, inPartners("c"))
	a.apply(to(greeter, bgp.GRPC, []xds.Target{backend(grpcWorkload(t))}))
	c.apply(to(greeter, bgp.GRPC, []xds.Target{a.hop()}))
	conn, err := grpc.NewClient(c.egress, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(string(greeter)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	call := func() error {
		_, err := health1.NewHealthClient(conn).Check(t.Context(), &health1.HealthCheckRequest{})
		return err
	}
	waitFor(t, "the call goes through", func() bool { return call() == nil })
	began := time.Now()
	for range 5 {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second { // five timeouts of the filter would be 25 s
		t.Errorf("five calls took %s", took)
	}
}
