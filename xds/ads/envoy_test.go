package ads_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/free"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/envoy/ports"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

const patience = 20 * time.Second

// authority is one organisation's CA.
type authority struct {
	*ca.Authority
	dir string
}

func newAuthority(t *testing.T, org bgp.Org) authority {
	t.Helper()
	dir := t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), org); err != nil {
		t.Fatal(err)
	}
	a, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	return authority{a, dir}
}

// plane is a node's data plane: a compiler, an ADS server and a real Envoy.
type plane struct {
	t               *testing.T
	id              bgp.NodeID
	ingress         string
	egress          string
	dir             string
	bundle          string // of its node
	stateOfTheWorld bool
	identity        xds.Identity
	cfg             xds.Config
	linger          time.Duration // of clusters
	ports           *ports.Table
	compiler        *xds.Compiler
	server          *ads.Server
	sup             *envoy.Supervisor
	stopADS         func()

	mu    sync.Mutex
	acks  []ads.Acknowledged // guarded by mu
	nacks []ads.Refused      // guarded by mu
}

func newPlane(t *testing.T, a authority, name string) *plane {
	t.Helper()
	return newPlaneWith(t, a, name, false)
}

func newPlaneWith(t *testing.T, a authority, name string, stateOfTheWorld bool) *plane {
	t.Helper()
	return newPlaneConfigured(t, a, name, func(p *plane) { p.stateOfTheWorld = stateOfTheWorld })
}

// newPlaneConfigured makes a plane that change has changed before it starts.
func newPlaneConfigured(t *testing.T, a authority, name string, change func(*plane)) *plane {
	t.Helper()
	bundle := filepath.Join(a.dir, name)
	id, _, err := disk.IssueNode(a.Authority, bundle, name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	src, err := identity.Open(bundle)
	if err != nil {
		t.Fatal(err)
	}
	m := src.Material()
	dir, err := os.MkdirTemp("", "plane") // short: it holds Unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &plane{
		t:        t,
		id:       id,
		dir:      dir,
		bundle:   bundle,
		ingress:  fmt.Sprintf("127.0.0.1:%d", free.Port(t)),
		egress:   fmt.Sprintf("127.0.0.1:%d", free.Port(t)),
		identity: xds.Identity{Chain: m.Chain, Key: m.Key, Roots: m.Roots},
	}
	p.ports = ports.New([]uint16{uint16(free.Port(t)), uint16(free.Port(t))}, nil, time.Now())
	p.cfg = xds.Config{
		Admission: xds.Admission{Organisation: true}, Self: id, Ingress: p.ingress, Egress: p.egress,
		Socket: filepath.Join(dir, "tcp.sock"),
	}
	change(p)
	p.startADS()
	binary, err := envoy.Find("")
	if err != nil {
		t.Fatal(err)
	}
	p.sup = envoy.NewSupervisor(envoy.SupervisorConfig{
		Binary:      binary,
		Dir:         dir,
		Log:         slog.New(slog.DiscardHandler),
		Concurrency: 1 + 3*len(p.cfg.TunnelsFrom),
		Bootstrap: envoy.BootstrapConfig{
			NodeID: name, ADS: filepath.Join(dir, "ads.sock"), Admin: filepath.Join(dir, "admin.sock"),
			StateOfTheWorld: p.stateOfTheWorld, Pings: p.cfg.Pings, Tunnels: len(p.cfg.TunnelsTo)+len(p.cfg.TunnelsFrom) > 0,
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.sup.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.sup.Stop(ctx)
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "envoy.log"))
			t.Logf("Envoy %s:\n%s", name, log)
		}
	})
	return p
}

// stat reads one of Envoy's counters or gauges.
func (p *plane) stat(name string) int {
	p.t.Helper()
	text, err := p.sup.Admin().Get(p.t.Context(), "/stats?filter="+url.QueryEscape("^"+regexp.QuoteMeta(name)+"$"))
	if err != nil {
		p.t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(text)), ": ")
	n, err := strconv.Atoi(value)
	if err != nil {
		p.t.Fatalf("%s: %q", name, text)
	}
	return n
}

// startADS begins a control plane; stopADS ends it as a crash would, with everything that it knew.
func (p *plane) startADS() {
	p.t.Helper()
	p.compiler = xds.NewCompiler(p.cfg)
	p.server = ads.NewServer(ads.Config{Log: slog.New(slog.DiscardHandler), Pings: p.cfg.Pings, Linger: p.linger,
		OnAck:  func(a ads.Acknowledged) { p.mu.Lock(); p.acks = append(p.acks, a); p.mu.Unlock() },
		OnNack: func(r ads.Refused) { p.mu.Lock(); p.nacks = append(p.nacks, r); p.mu.Unlock() }})
	d, err := p.compiler.Start(p.identity)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server.Publish(d)
	_ = os.Remove(filepath.Join(p.dir, "ads.sock"))
	lis, err := net.Listen("unix", filepath.Join(p.dir, "ads.sock"))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.server.Serve(ctx, lis) }()
	p.stopADS = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(func() { p.stopADS() })
}

func (p *plane) apply(fs ...xds.Forwarding) {
	p.t.Helper()
	for i := range fs {
		if fs[i].Protocol == bgp.TCP {
			fs[i].Port = p.port(fs[i].Service)
		}
	}
	d, problems := p.compiler.Apply(xds.Change{Services: fs})
	if len(problems) > 0 {
		p.t.Fatalf("problems: %+v", problems)
	}
	p.server.Publish(d)
}

func (p *plane) hop() xds.Target {
	return xds.Target{NextHop: bgp.NextHop{Node: p.id, Address: p.ingress}}
}

func backend(address string) xds.Target { return xds.Target{Backend: xds.Backend{Address: address}} }

func to(svc bgp.Service, proto bgp.Protocol, tiers ...[]xds.Target) xds.Forwarding {
	return xds.Forwarding{Service: svc, Protocol: proto, Tiers: tiers}
}

// get asks a service through the plane's egress.
func (p *plane) get(svc bgp.Service) (int, string) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.egress+"/", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Host = string(svc) + ":9999"
	return do(req)
}

func do(req *http.Request) (int, string) {
	resp, err := (&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func (p *plane) eventually(svc bgp.Service, status int, body string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		code, got := p.get(svc)
		if code == status && strings.Contains(got, body) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s asks for %s: got %d %q, want %d with %q", p.id, svc, code, got, status, body)
		}
		<-tick.C
	}
}

func workload(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s saw %s", name, r.Header.Values("X-Catalyst-Path"))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

const books = bgp.Service("books.acme.example")

// The whole way: egress at c, transit at b, ingress and workload at a; over mutual TLS, each by the same table.
func TestHTTPOverTransit(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	b.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.apply(to(books, bgp.HTTP, []xds.Target{b.hop()}))
	c.eventually(books, 200, "<acme.example/c>")
	_, body := c.get(books)
	if want := "one saw [<acme.example/c> <acme.example/b> <acme.example/a>]"; body != want &&
		body != strings.ReplaceAll(want, "> <", ">,<") {
		t.Errorf("path is %q, want %q", body, want)
	}
	c.eventually("unknown.acme.example", 404, "no service of this name is known at acme.example/c")
	// Withdrawn: gone at once, and 404 again.
	c.apply(xds.Forwarding{Service: books})
	c.eventually(books, 404, "no service of this name")
	// And back, by another way: no warming, no wait.
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	began := time.Now()
	c.eventually(books, 200, "one")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the new way took %s", took)
	}
}

// echo answers lines until it is stopped.
func echo(t *testing.T, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintf(conn, "%s: %s\n", name, lines.Text())
				}
			}()
		}
	}()
	return l.Addr().String()
}

// dialTCP opens a connection through a service's loopback port and says a line.
func dialTCP(t *testing.T, p *plane, svc bgp.Service) (net.Conn, *bufio.Reader) {
	t.Helper()
	port := p.port(svc)
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			r := bufio.NewReader(conn)
			if _, err = say(conn, r, "hello"); err == nil {
				return conn, r
			}
			_ = conn.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", svc, err)
		}
		<-tick.C
	}
}

func say(conn net.Conn, r *bufio.Reader, line string) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	return r.ReadString('\n')
}

// TCP rides in CONNECT streams, also over a node in the middle, and a live connection survives that its service's way
// changes.
func TestTCPOverTransit(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	b.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}))
	c.apply(to(lines, bgp.TCP, []xds.Target{b.hop()}))
	conn, r := dialTCP(t, c, lines)
	defer func() { _ = conn.Close() }()
	c.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}, []xds.Target{b.hop()}))
	other, or := dialTCP(t, c, lines)
	defer func() { _ = other.Close() }()
	for _, x := range []struct {
		net.Conn
		r *bufio.Reader
	}{{conn, r}, {other, or}} {
		if got, err := say(x.Conn, x.r, "still here"); err != nil || got != "one: still here\n" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// A next hop that does not answer is left by the data plane itself, before any message.
func TestFailoverToTheBackup(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "first"))}))
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "second"))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}, []xds.Target{b.hop()}))
	c.eventually(books, 200, "first")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.sup.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	c.eventually(books, 200, "second")
}

// Two nodes that back each other up must not hand a request to and fro.
func TestLoopsEndAtOnce(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b := newPlane(t, org, "a"), newPlane(t, org, "b")
	a.server.Open()
	b.server.Open()
	a.apply(to(books, bgp.HTTP, []xds.Target{b.hop()}))
	b.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	a.eventually(books, 508, "has been at acme.example/a before")
}

// A next hop is believed by the certificate of its node alone.
func TestOnlyTheRightCertificateIsBelieved(t *testing.T) {
	t.Parallel()
	org, foreign := newAuthority(t, "acme.example"), newAuthority(t, "bravo.example")
	a, c, alien := newPlane(t, org, "a"), newPlane(t, org, "c"), newPlane(t, foreign, "x")
	for _, p := range []*plane{a, c, alien} {
		p.server.Open()
	}
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	c.apply(to("good.acme.example", bgp.HTTP, []xds.Target{a.hop()}))
	a.apply(to("good.acme.example", bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	c.eventually("good.acme.example", 200, "one")
	impostor := xds.Target{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: "other"}, Address: a.ingress}}
	c.apply(to(books, bgp.HTTP, []xds.Target{impostor}))
	c.eventually(books, 503, "")
	// A node of an organisation whose roots nobody gave us gets nowhere.
	alien.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	alien.eventually(books, 503, "")
}

// Names of Envoy's own clusters are no names of services.
func TestInternalClustersCannotBeReached(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	a.server.Open()
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	a.eventually(books, 200, "one")
	for _, name := range []bgp.Service{"catalyst-ads", "local/books.acme.example", "admin", "localhost", "127.0.0.1"} {
		if code, body := a.get(name); code != 404 && code != 400 {
			t.Errorf("%s answers %d %q", name, code, body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "http://"+a.egress, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = string(books)
	if code, _ := do(req); code == 200 {
		t.Error("CONNECT to an HTTP service succeeds")
	}
}

// A control plane that restarts re-sends nothing, and until it knows everything it takes nothing away.
func TestReconnectingEnvoyLosesNothing(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	a.server.Open()
	state := []xds.Forwarding{to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}),
		to("gone.acme.example", bgp.HTTP, []xds.Target{backend(workload(t, "two"))})}
	a.apply(state...)
	a.eventually(books, 200, "one")
	a.eventually("gone.acme.example", 200, "two")
	a.stopADS()
	a.eventually(books, 200, "one") // without a control plane
	a.startADS()                    // it answers nobody yet
	waitFor(t, "Envoy is back", func() bool { return len(a.server.Status()) == 1 && len(a.server.Status()[0].Types) >= 2 })
	if code, body := a.get(books); code != 200 {
		t.Errorf("before it knows everything: %d %q", code, body)
	}
	a.apply(state[:1]...)
	a.server.Open()
	a.eventually("gone.acme.example", 404, "")
	if code, body := a.get(books); code != 200 {
		t.Errorf("after: %d %q", code, body)
	}
	if got := a.server.Status()[0].Bytes; got > 0 {
		t.Errorf("%d bytes of resources were sent again", got)
	}
}

// One resource that Envoy refuses takes no other with it, and Envoy's words are kept.
func TestARefusedResourceIsAlone(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	a.server.Open()
	bad := to("bad.acme.example", bgp.TCP, []xds.Target{backend(echo(t, "x"))})
	a.cfg.EgressIP = "not-an-ip"
	a.compiler = xds.NewCompiler(a.cfg)
	d, err := a.compiler.Start(a.identity)
	if err != nil {
		t.Fatal(err)
	}
	a.server.Publish(d)
	a.apply(bad, to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	a.eventually(books, 200, "one")
	waitFor(t, "the refusal is kept", func() bool {
		all := a.server.Service("bad.acme.example")
		for _, s := range all {
			if strings.Contains(s.Error, "malformed IP address: not-an-ip") {
				return true
			}
		}
		return false
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.nacks {
		if n.Service != "bad.acme.example" {
			t.Errorf("%s is blamed too: %s", n.Resource.Name, n.Error)
		}
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		<-tick.C
	}
}

// A WebSocket goes over a node in the middle: the upgrade is an extended CONNECT between Envoys.
func TestWebSocketOverTransit(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		kind, msg, err := conn.Read(r.Context())
		if err == nil {
			_ = conn.Write(r.Context(), kind, append([]byte("echo "), msg...))
		}
	}))
	defer s.Close()
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(strings.TrimPrefix(s.URL, "http://"))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	var got []byte
	waitFor(t, "the WebSocket answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, "ws://"+c.egress+"/", &websocket.DialOptions{Host: string(books)})
		if err != nil {
			return false
		}
		defer func() { _ = conn.CloseNow() }()
		if conn.Write(ctx, websocket.MessageText, []byte("hello")) != nil {
			return false
		}
		_, got, err = conn.Read(ctx)
		return err == nil
	})
	if string(got) != "echo hello" {
		t.Errorf("got %q", got)
	}
}

// A renewed certificate is used for new connections, and costs no live one.
func TestCertificatesRotateWithoutADrop(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	c.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}))
	conn, r := dialTCP(t, c, lines)
	defer func() { _ = conn.Close() }()
	bundle := filepath.Join(org.dir, "a")
	if _, _, err := disk.IssueNode(org.Authority, bundle, "a", 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	src, err := identity.Open(bundle)
	if err != nil {
		t.Fatal(err)
	}
	m := src.Material()
	d, err := a.compiler.Identity(xds.Identity{Chain: m.Chain, Key: m.Key, Roots: m.Roots})
	if err != nil || len(d.Set) != 1 {
		t.Fatalf("%d secrets changed, want the certificate alone; %v", len(d.Set), err)
	}
	a.server.Publish(d)
	waitFor(t, "Envoy presents the new certificate", func() bool {
		cfg := src.ClientTLS(a.id)
		cfg.NextProtos = []string{"h2"}
		x, err := tls.Dial("tcp", a.ingress, cfg)
		if err != nil {
			return false
		}
		defer func() { _ = x.Close() }()
		state := x.ConnectionState()
		if state.CurveID != tls.X25519MLKEM768 {
			t.Errorf("key exchange is %s, want the post-quantum one", state.CurveID)
		}
		return state.PeerCertificates[0].NotAfter.Equal(m.Expires)
	})
	if got, err := say(conn, r, "still here"); err != nil || got != "one: still here\n" {
		t.Errorf("the live connection: %q, %v", got, err)
	}
}

// An Envoy that asks for the state of the world gets it, on each change, refusals and reconnection included.
func TestStateOfTheWorld(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlaneWith(t, org, "c", true)
	a.server.Open()
	c.server.Open()
	work := workload(t, "one")
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(work)}), to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	state := []xds.Forwarding{to(books, bgp.HTTP, []xds.Target{a.hop()}), to(lines, bgp.TCP, []xds.Target{a.hop()})}
	c.apply(state...)
	c.eventually(books, 200, "one")
	conn, r := dialTCP(t, c, lines)
	defer func() { _ = conn.Close() }()
	c.apply(xds.Forwarding{Service: books})
	c.eventually(books, 404, "no service of this name")
	c.apply(state[0])
	c.eventually(books, 200, "one")
	waitFor(t, "everything is acknowledged", func() bool {
		all := c.server.Service(books)
		// next hops, the routes there, and who takes them
		return len(all) == 3 && !slices.ContainsFunc(all,
			func(s ads.ServiceStatus) bool { return s.Acked != s.Current || s.AckedAt.IsZero() })
	})
	c.stopADS()
	c.startADS()
	c.apply(state...)
	c.server.Open()
	waitFor(
		t, "Envoy is back",
		func() bool { return len(c.server.Status()) == 1 && len(c.server.Status()[0].Types) == len(xds.Types()) },
	)
	if code, body := c.get(books); code != 200 {
		t.Errorf("after a restart: %d %q", code, body)
	}
	if got, err := say(conn, r, "still here"); err != nil || got != "one: still here\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
