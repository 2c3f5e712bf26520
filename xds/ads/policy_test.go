package ads_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
	"github.com/catalyst-router/catalyst/policy/extproc"
	"github.com/catalyst-router/catalyst/xds"
)

// judge is a node's policy: an engine behind the socket that its Envoy asks.
type judge struct {
	t      *testing.T
	engine policy.Engine
	tokens *believer // nil if it looks at none
	stop   func()

	mu      sync.Mutex
	records []policy.Record // guarded by mu
}

// judged puts a plane under a policy before Envoy has anything.
func judged(t *testing.T, p *plane, policies string, entities ...policy.Document) *judge {
	t.Helper()
	return judgedBy(t, p, nil, policies, entities...)
}

// judgedBy is judged with tokens that callers may show.
func judgedBy(t *testing.T, p *plane, tokens *believer, policies string, entities ...policy.Document) *judge {
	t.Helper()
	j := &judge{t: t, tokens: tokens}
	j.publish(policies, entities...)
	p.stopADS()
	p.cfg.Policy = &xds.PolicyCheck{
		Socket: filepath.Join(p.dir, "policy.sock"), Ingress: true, Hold: true,
	}
	j.serve(p)
	p.startADS()
	p.server.Open()
	return j
}

func (j *judge) publish(policies string, entities ...policy.Document) {
	j.t.Helper()
	s, err := policy.Compile(policy.Source{
		Policies: []policy.Document{{Name: "test.cedar", Text: policies}},
		Entities: entities,
	})
	if err != nil {
		j.t.Fatal(err)
	}
	j.engine.Publish(s)
}

func (j *judge) serve(p *plane) {
	j.t.Helper()
	_ = os.Remove(p.cfg.Policy.Socket)
	l, err := net.Listen("unix", p.cfg.Policy.Socket)
	if err != nil {
		j.t.Fatal(err)
	}
	cfg := extauthz.Config{
		Engine:        &j.engine,
		Log:           slog.New(slog.DiscardHandler),
		ServiceHeader: xds.ServiceHeader,
		Headers:       []string{"x-tenant"},
		Record:        func(r policy.Record) { j.mu.Lock(); j.records = append(j.records, r); j.mu.Unlock() },
		Hold:          true,
	}
	watch := extproc.Config{Policies: j.engine.Changed, Log: cfg.Log}
	if j.tokens != nil {
		cfg.Tokens, watch.Tokens = j.tokens, j.tokens.Changed
	}
	cfg.Also = func(srv *grpc.Server) { extproc.New(watch).Register(srv) }
	srv := extauthz.New(cfg)
	watch.Judge = srv
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, l) }()
	j.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			j.t.Error(err)
		}
	})
	j.t.Cleanup(func() { j.stop() })
}

// last returns the newest decision.
func (j *judge) last() policy.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.records) == 0 {
		return policy.Record{}
	}
	return j.records[len(j.records)-1]
}

// seen answers with the headers that reach a workload.
func seen(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Catalyst-Principal", "X-Catalyst-Peer", "X-Catalyst-Decision", "Authorization"} {
			fmt.Fprintf(w, "%s=%s\n", name, r.Header.Values(name))
		}
		fmt.Fprintf(w, "path=%s\n", r.URL.EscapedPath())
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// ask sends a request through a plane's egress.
func (p *plane) ask(method, path string, change func(*http.Request)) (int, string, http.Header) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.egress+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Host = string(books)
	if change != nil {
		change(req)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = resp.Body.Close() }()
	var body strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		body.WriteString(lines.Text() + "\n")
	}
	return resp.StatusCode, body.String(), resp.Header
}

const onlyGet = `@id("c-reads") permit (principal == CATALYST::NODE::"spiffe://acme.example/node/c", action == CATALYST::Action::"REQUEST",
	resource == CATALYST::Service::"books.acme.example") when { context.method == "GET" };
	@id("no-admin") forbid (principal, action == CATALYST::Action::"REQUEST", resource) when { context.path like "/admin*" };`

// What the policies of the node that takes a call in say is what happens to it, over a real Envoy and mutual TLS: the
// caller is who its certificate says.
func TestPolicyAtTheIngress(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	b.server.Open()
	c.server.Open()
	j := judged(t, a, onlyGet)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}))
	for _, p := range []*plane{b, c} {
		p.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	}
	c.eventually(books, 200, "path=/")
	b.eventually(books, 403, "not permitted")
	spoofed := func(r *http.Request) {
		r.Header.Set("X-Catalyst-Principal", `ADMIN::"root"`)
		r.Header.Set("X-Catalyst-Peer", "spiffe://acme.example/node/root")
		r.Header.Set("X-Catalyst-Decision", "0")
		r.Header.Set("X-Catalyst-Service", "other.acme.example")
		r.Header.Set("Authorization", "Basic eA==")
	}
	status, body, _ := c.ask("GET", "/a", spoofed)
	record := j.last()
	want := fmt.Sprintf("X-Catalyst-Principal=[NODE::%q]\nX-Catalyst-Peer=[spiffe://acme.example/node/c]\n"+
		"X-Catalyst-Decision=[%s]\nAuthorization=[Basic eA==]\npath=/a\n",
		"spiffe://acme.example/node/c", record.ID)
	if status != 200 || body != want || !slices.Equal(record.Decision.Policies, []string{"c-reads"}) ||
		record.Call.Service != string(books) {
		t.Errorf("got %d %s, want %s; decision %+v", status, body, want, record)
	}
	for name, tt := range map[string]struct {
		from         *plane
		method, path string
		status       int
		policies     []string
	}{
		"another method":    {c, "POST", "/a", 403, nil},
		"another node":      {b, "GET", "/a", 403, nil},
		"what is forbidden": {c, "GET", "/admin/x", 403, []string{"no-admin"}},
		"dot segments":      {c, "GET", "/public/../admin", 403, []string{"no-admin"}},
		"encoded dots":      {c, "GET", "/public/%2e%2e/admin", 403, []string{"no-admin"}},
		"two slashes":       {c, "GET", "//admin", 403, []string{"no-admin"}},
		"encoded letters":   {c, "GET", "/%61dmin", 403, []string{"no-admin"}},
		"a parameter":       {c, "GET", "/admin;v=1", 403, nil},
		"encoded twice":     {c, "GET", "/%2561dmin", 403, nil},
		"an encoded slash":  {c, "GET", "/public%2f..%2fadmin", 400, nil},
	} {
		status, body, header := tt.from.ask(tt.method, tt.path, spoofed)
		record := j.last()
		if status != tt.status {
			t.Errorf("%s: got %d %q, want %d", name, status, body, tt.status)
			continue
		}
		if status == 403 && (header.Get("X-Catalyst-Decision") != record.ID || strings.Contains(body, "polic") ||
			!slices.Equal(record.Decision.Policies, tt.policies)) {
			t.Errorf("%s: %s %v; decision %+v", name, body, header, record)
		}
	}
}

// Who decides is gone, or has nothing to decide by: nothing gets through, and it is no denial that callers see but a
// failure. A change is in force for the next call.
func TestPolicyFailsClosed(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	j := judged(t, a, onlyGet)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "path=/")
	j.publish(`@id("nobody") forbid (principal, action, resource);`)
	if status, body, _ := c.ask("GET", "/", nil); status != 403 {
		t.Errorf("after the change: %d %s", status, body)
	}
	j.publish(onlyGet)
	if status, body, _ := c.ask("GET", "/", nil); status != 200 {
		t.Errorf("after the next one: %d %s", status, body)
	}
	j.engine.Publish(nil)
	if status, body, _ := c.ask("GET", "/", nil); status != 503 {
		t.Errorf("without policies: %d %s", status, body)
	}
	j.stop()
	if status, body, _ := c.ask("GET", "/", nil); status != 503 {
		t.Errorf("with nobody to ask: %d %s", status, body)
	}
}

// The node is restarted while calls come in: they wait for it, and none fails.
func TestPolicyWaitsForARestart(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	j := judged(t, a, onlyGet)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "path=/")
	j.stop()
	got := make(chan int, 20)
	for range cap(got) {
		go func() {
			status, _, _ := c.ask("GET", "/", nil)
			got <- status
		}()
	}
	<-time.After(300 * time.Millisecond) // the restart
	j.serve(a)
	for range cap(got) {
		if status := <-got; status != 200 {
			t.Errorf("a call during the restart: %d", status)
		}
	}
}

// Connections of TCP services are decided when they are opened, before a byte of either side has passed.
func TestPolicyOfConnections(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	b.server.Open()
	c.server.Open()
	j := judged(t,
		a, `@id("c") permit (principal == CATALYST::NODE::"spiffe://acme.example/node/c", action == CATALYST::Action::"CONNECT", resource == CATALYST::Service::"lines.acme.example");`)
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	for _, p := range []*plane{b, c} {
		p.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}))
	}
	conn, _ := dialTCP(t, c, lines)
	_ = conn.Close()
	if r := j.last(); !r.Call.Connect || !slices.Equal(r.Decision.Policies, []string{"c"}) ||
		r.Call.Service != string(lines) {
		t.Errorf("decision %+v", r)
	}
	deadline := time.Now().Add(patience)
	for j.last().Call.Peer != "spiffe://acme.example/node/b" { // its listener takes a moment
		if time.Now().After(deadline) {
			t.Fatal("nobody decided on b's connection")
		}
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port(lines)))
		if err != nil {
			<-time.After(10 * time.Millisecond)
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprintln(conn, "hello")
		if got, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			t.Fatalf("b, which may not, got %q", got)
		}
		_ = conn.Close()
	}
	if r := j.last(); r.Decision.Allow || len(r.Decision.Policies) > 0 {
		t.Errorf("decision %+v", r)
	}
}
