package ondemand_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/ondemand"
	"github.com/catalyst-router/catalyst/e2e/free"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

const patience = 20 * time.Second

// mesh is a control plane that knows services s0, s1 and so on of another node, and what Envoys use of them. The other
// node's ingress is a server of net/http.
type mesh struct {
	t      *testing.T
	dir    string
	self   bgp.NodeID
	hop    xds.Target
	other  xds.Target // the same as another next hop
	dead   xds.Target // one where nobody listens
	id     xds.Identity
	looked atomic.Int64
	stop   func() // ends the control plane as a crash would; Envoys go on

	room   *ondemand.Room
	server *ads.Server

	mu       sync.Mutex
	compiler *xds.Compiler                  // guarded by mu
	table    map[bgp.Service]xds.Forwarding // guarded by mu
	looking  func(bgp.Service)              // called when a service is looked up; guarded by mu
	publish  func(xds.Delta)                // guarded by mu
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serviceN(n int) bgp.Service { return bgp.Service(fmt.Sprintf("s%d.acme.example", n)) }

func newMesh(t *testing.T, services int) *mesh {
	t.Helper()
	dir, err := os.MkdirTemp("", "demand") // short: it holds Unix sockets
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, disk.InitCA(filepath.Join(dir, "ca"), "acme.example"))
	authority, err := disk.LoadCA(filepath.Join(dir, "ca"))
	must(t, err)
	m := &mesh{t: t, dir: dir, table: map[bgp.Service]xds.Forwarding{}, looking: func(bgp.Service) {}}
	bundle := func(name string) *identity.Material {
		_, _, err := disk.IssueNode(authority, filepath.Join(dir, name), name, time.Hour)
		must(t, err)
		src, err := identity.Open(filepath.Join(dir, name))
		must(t, err)
		return src.Material()
	}
	own := bundle("a")
	m.self, m.id = own.Node, xds.Identity{Chain: own.Chain, Key: own.Key, Roots: own.Roots}
	m.hop, m.other = ingress(t, bundle("b")), ingress(t, bundle("c"))
	m.dead = xds.Target{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: "d"}, Address: "127.0.0.1:1"}}
	for n := range services {
		m.announce(serviceN(n), m.hop)
	}
	m.begin()
	return m
}

// ingress serves everything, and says where it was asked, for what, and how long the body was.
func ingress(t *testing.T, id *identity.Material) xds.Target {
	t.Helper()
	cert, err := tls.X509KeyPair(id.Chain, id.Key)
	must(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %d", id.Node.Name, r.Host, n)
	}))
	s.EnableHTTP2, s.TLS = true, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	t.Cleanup(s.Close)
	return xds.Target{NextHop: bgp.NextHop{Node: id.Node, Address: s.Listener.Addr().String()}}
}

// announce has a service lead to next hops; to none withdraws it.
func (m *mesh) announce(svc bgp.Service, hops ...xds.Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := xds.Forwarding{Service: svc, Protocol: bgp.HTTP}
	if m.table[svc] = f; len(hops) > 0 {
		f.Tiers = [][]xds.Target{hops}
		m.table[svc] = f
	} else {
		delete(m.table, svc)
	}
	if m.compiler != nil {
		m.compile(f)
	}
}

// compile does what the forwarder does. The caller holds mu.
func (m *mesh) compile(all ...xds.Forwarding) {
	var change xds.Change
	for _, f := range all {
		used, watched := m.room.Wants(f.Service)
		if f.Watched = watched; !used {
			f.Tiers = nil
		}
		if used || m.compiler.Has(f.Service) {
			change.Services = append(change.Services, f)
		}
	}
	d, problems := m.compiler.Apply(change)
	for _, p := range problems {
		m.t.Error(p)
	}
	m.publish(d)
}

// compileAll compiles what is known of services. The caller holds mu.
func (m *mesh) compileAll(services []bgp.Service) {
	var all []xds.Forwarding
	for _, svc := range services {
		if f, ok := m.table[svc]; ok {
			all = append(all, f)
		}
	}
	if len(all) > 0 {
		m.compile(all...)
	}
}

// begin starts a control plane that knows what the file says.
func (m *mesh) begin() {
	m.t.Helper()
	m.beginWith(time.Hour, 100_000)
}

func (m *mesh) beginWith(idle time.Duration, most int) {
	m.t.Helper()
	room, err := ondemand.Open(ondemand.Config{
		Path: filepath.Join(m.dir, "used.json"), Idle: idle, Most: most, Kept: func() []bgp.Service { return nil },
		Log: slog.New(slog.DiscardHandler), Meter: noop.Meter{},
	})
	must(m.t, err)
	m.room = room
	m.server = ads.NewServer(ads.Config{Log: slog.New(slog.DiscardHandler), Uses: room.Uses, Register: room.Register})
	room.Connect(m.server)
	compiler := xds.NewCompiler(xds.Config{Self: m.self, Egress: m.egress(), OnDemand: true})
	start, err := compiler.Start(m.id)
	must(m.t, err)
	m.server.Publish(start)
	m.mu.Lock()
	m.compiler, m.publish = compiler, m.server.Publish
	for _, f := range m.table {
		m.compile(f)
	}
	m.mu.Unlock()
	m.server.Open()
	socket := filepath.Join(m.dir, "ads.sock")
	_ = os.Remove(socket)
	lis, err := net.Listen("unix", socket)
	must(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = m.server.Serve(ctx, lis) })
	tasks.Go(func() { _ = room.Run(ctx) })
	tasks.Go(func() { m.follow(ctx, room) })
	m.stop = sync.OnceFunc(func() { cancel(); tasks.Wait() })
	m.t.Cleanup(m.stop)
}

// follow looks up what is asked for.
func (m *mesh) follow(ctx context.Context, room *ondemand.Room) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-room.Asked():
		}
		asked, again := room.Next(500)
		m.looked.Add(int64(len(asked)))
		m.mu.Lock()
		look := m.looking
		m.mu.Unlock()
		for _, svc := range asked {
			look(svc)
		}
		m.mu.Lock()
		known := slices.DeleteFunc(slices.Clone(asked), func(svc bgp.Service) bool { return m.table[svc].Tiers == nil })
		for _, svc := range known {
			room.Grant(svc, false)
		}
		m.compileAll(known)
		m.compileAll(again)
		m.mu.Unlock()
		room.Done(asked)
	}
}

// egress is where the mesh's first Envoy listens.
func (m *mesh) egress() string {
	at, err := os.ReadFile(filepath.Join(m.dir, "egress"))
	if err == nil {
		return string(at)
	}
	text := fmt.Sprintf("127.0.0.1:%d", free.Port(m.t))
	must(m.t, os.WriteFile(filepath.Join(m.dir, "egress"), []byte(text), 0o600))
	return text
}

// envoy starts an Envoy and waits until it serves.
func (m *mesh) envoy(workers int, stateOfTheWorld bool) *envoy.Supervisor {
	m.t.Helper()
	binary, err := envoy.Find("")
	must(m.t, err)
	sup := envoy.NewSupervisor(envoy.SupervisorConfig{
		Binary: binary, Dir: m.dir, Log: slog.New(slog.DiscardHandler), Concurrency: workers,
		Bootstrap: envoy.BootstrapConfig{
			NodeID: "a", ADS: filepath.Join(m.dir, "ads.sock"), Admin: filepath.Join(m.dir, "admin.sock"),
			StateOfTheWorld: stateOfTheWorld,
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sup.Run(ctx) }()
	m.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = sup.Stop(ctx)
		if m.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(m.dir, "envoy.log"))
			m.t.Logf("Envoy:\n%s", log[max(0, len(log)-5000):])
		}
	})
	m.eventually("Envoy serves", func() bool {
		status, _ := m.get("nobody.acme.example", nil)
		return status == http.StatusNotFound
	})
	return sup
}

func (m *mesh) eventually(what string, ok func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			m.t.Fatalf("not so after %s: %s", patience, what)
		}
		<-tick.C
	}
}

var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

// get calls a service; with a body it is a POST.
func (m *mesh) get(svc bgp.Service, body []byte) (int, string) {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(m.t.Context(), method, "http://"+m.egress()+"/", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Host = string(svc)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// wants fails unless a service answers from a next hop.
func (m *mesh) wants(svc bgp.Service, hop string) {
	m.t.Helper()
	if status, text := m.get(svc, nil); status != http.StatusOK || text != hop+" "+string(svc)+" 0" {
		m.t.Errorf("%s: %d %q, want 200 from %s", svc, status, text, hop)
	}
}

// No call is lost on its way into the table, whoever else comes or goes at the same time: 50 callers, four workers,
// each service called for the first time, none of them looked up twice, and of more than Envoy may have the oldest
// forgotten.
func TestColdCallsAreNotLost(t *testing.T) {
	services, most := 3000, 1000
	if all, err := strconv.Atoi(os.Getenv("CATALYST_COLD_CALLS")); err == nil {
		services = all // 100,000 in the record of the decision
	}
	m := newMesh(t, services)
	m.stop()
	m.beginWith(time.Hour, most)
	m.envoy(4, false)
	var next, lost atomic.Int64
	var callers sync.WaitGroup
	before := m.looked.Load()
	for range 50 {
		callers.Go(func() {
			for n := next.Add(1) - 1; n < int64(services); n = next.Add(1) - 1 {
				if status, text := m.get(serviceN(int(n)), nil); status != http.StatusOK {
					if lost.Add(1) < 10 {
						t.Errorf("service %d: %d %s", n, status, text)
					}
				}
			}
		})
	}
	callers.Wait()
	if lost.Load() > 0 {
		t.Errorf("%d of %d calls lost", lost.Load(), services)
	}
	if looked := m.looked.Load() - before; looked != int64(services) {
		t.Errorf("%d look-ups for %d services", looked, services)
	}
	if used := m.room.Len(); used != most {
		t.Errorf("%d in use, want %d", used, most)
	}
	m.eventually("Envoy has no more than that", func() bool { return m.server.Using()[""] == most })
}

// A thousand services called at once, each for the first time, are all answered, and an Envoy that asks for the state
// of the world has them like any other.
func TestManyColdCallsAtOnce(t *testing.T) {
	for name, sotw := range map[string]bool{"delta": false, "state of the world": true} {
		t.Run(name, func(t *testing.T) {
			services := 1000
			if sotw {
				services = 200 // each change sends all of them
			}
			m := newMesh(t, services)
			m.envoy(2, sotw)
			var callers sync.WaitGroup
			for n := range services {
				callers.Go(func() { m.wants(serviceN(n), "b") })
			}
			callers.Wait()
		})
	}
}

// What a caller sends while its call is cold arrives whole, however much it is.
func TestABodyOfAColdCallArrives(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2)
	m.envoy(1, false)
	sent := make(chan struct{})
	m.mu.Lock()
	m.looking = func(bgp.Service) { <-sent }
	m.mu.Unlock()
	const size = 8 << 20
	body := &reported{Reader: bytes.NewReader(make([]byte, size)), after: 512 << 10, reached: sent}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+m.egress()+"/", body)
	must(t, err)
	req.Host, req.ContentLength = string(serviceN(0)), size
	resp, err := client.Do(req)
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	_ = resp.Body.Close()
	if want := fmt.Sprintf("b %s %d", serviceN(0), size); resp.StatusCode != http.StatusOK || string(text) != want {
		t.Errorf("got %d %q, want %q", resp.StatusCode, text, want)
	}
}

// reported is a body that tells when so much of it was read.
type reported struct {
	io.Reader
	after   int
	reached chan struct{}
}

func (r *reported) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.after > 0 {
		if r.after -= n; r.after <= 0 {
			close(r.reached)
		}
	}
	return n, err
}

// Names that nobody announces are answered every time, and leave nothing behind, in the node or in Envoy.
func TestUnknownNamesLeaveNothing(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 1)
	m.envoy(2, false)
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 50 {
				name := bgp.Service(fmt.Sprintf("x%d.acme.example", rand.Int64()))
				if status, text := m.get(name, nil); status != 404 || !strings.Contains(text, "no service of this name") {
					t.Errorf("%s: %d %q, want 404", name, status, text)
				}
			}
		})
	}
	callers.Wait()
	if m.room.Len() != 0 || m.server.Using()[""] != 0 || m.room.Waiting() != 0 {
		t.Errorf("%d in use, %d at Envoy, %d waiting, want none", m.room.Len(), m.server.Using()[""], m.room.Waiting())
	}
	m.wants(serviceN(0), "b")
}

// A service that is withdrawn while it is being made ready is not there, at once and in plain words; announced again,
// it is.
func TestWithdrawnBetweenAskAndAnswer(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 100)
	m.envoy(2, false)
	for n := range 100 {
		svc := serviceN(n)
		var withdrawn sync.WaitGroup
		m.mu.Lock()
		m.looking = func(bgp.Service) { withdrawn.Go(func() { m.announce(svc) }) }
		m.mu.Unlock()
		if status, text := m.get(svc, nil); status != http.StatusOK && status != http.StatusNotFound {
			t.Errorf("%s: %d %q, want 200 or 404", svc, status, text)
		}
		withdrawn.Wait()
	}
	m.mu.Lock()
	m.looking = func(bgp.Service) {}
	m.mu.Unlock()
	for n := range 100 {
		if status, _ := m.get(serviceN(n), nil); status != http.StatusNotFound {
			t.Errorf("withdrawn service %d: %d, want 404", n, status)
		}
	}
	m.announce(serviceN(0), m.other)
	m.wants(serviceN(0), "c")
}

// A next hop that changes while a service is being made ready is the one that the call goes to, or the one before it.
func TestFailoverWhileCold(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 50)
	m.envoy(2, false)
	for n := range 50 {
		svc := serviceN(n)
		var moved sync.WaitGroup
		m.mu.Lock()
		m.looking = func(bgp.Service) { moved.Go(func() { m.announce(svc, m.other) }) }
		m.mu.Unlock()
		if status, text := m.get(svc, nil); status != http.StatusOK {
			t.Errorf("%s: %d %q, want 200", svc, status, text)
		}
		moved.Wait()
		m.eventually("c is the next hop", func() bool { _, text := m.get(svc, nil); return strings.HasPrefix(text, "c ") })
	}
}

// A service that nobody calls is forgotten, and is there again when it is called; one that is called stays.
func TestForgottenAndCalledAgain(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2)
	m.stop()
	m.beginWith(time.Second, 100)
	m.envoy(1, false)
	m.wants(serviceN(0), "b")
	m.wants(serviceN(1), "b")
	before := m.looked.Load()
	m.eventually("service 1 is forgotten", func() bool {
		m.wants(serviceN(0), "b")
		return !m.room.Used(serviceN(1))
	})
	if n := m.looked.Load(); n != before || !m.room.Used(serviceN(0)) {
		t.Errorf("a service in use was forgotten, and looked up again %d times", n-before)
	}
	m.eventually("service 1 is looked up again", func() bool { // Envoy may have it a moment longer
		m.wants(serviceN(1), "b")
		return m.looked.Load() == before+1
	})
}

// What was in use is there again when node and Envoy start anew: nobody has to ask for it, nor for what an Envoy has
// that runs on. While the node is away, calls of what is in use go on; those of anything else wait for it, for seconds.
func TestRestarts(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 20)
	sup := m.envoy(2, false)
	for n := range 10 {
		m.wants(serviceN(n), "b")
	}
	m.stop()
	m.wants(serviceN(0), "b")
	answered := make(chan struct{})
	go func() { defer close(answered); m.wants(serviceN(15), "b") }()
	select {
	case <-answered:
		t.Error("a cold call was answered while the node was away")
	case <-time.After(300 * time.Millisecond): // long enough for it to have been tried
	}
	m.looked.Store(0)
	m.begin()
	<-answered
	for n := range 10 {
		m.wants(serviceN(n), "b")
	}
	if n := m.looked.Load(); n != 1 {
		t.Errorf("%d look-ups, want one: what Envoy had is still in use", n)
	}
	m.stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, sup.Stop(ctx))
	m.looked.Store(0)
	m.begin()
	m.envoy(2, false)
	for n := range 10 {
		m.eventually("in use from the start", func() bool { return m.server.Using()[""] == 11 })
		m.wants(serviceN(n), "b")
	}
	if n := m.looked.Load(); n != 1 { // of nobody, by which Envoy was found to serve
		t.Errorf("%d look-ups after both had started, want one", n)
	}
}

// hasty answers before Envoy can have anything: the first question of each call. It stands for a worker that hears the
// answer before it is given what Envoy has acknowledged.
type hasty struct {
	ondemand.Envoys
	mu    sync.Mutex
	asked map[bgp.Service]bool // guarded by mu
}

func (h *hasty) Await(ctx context.Context, seat string, svc bgp.Service, all bool) error {
	h.mu.Lock()
	first := !h.asked[svc]
	h.asked[svc] = true
	h.mu.Unlock()
	if first {
		return nil
	}
	return h.Envoys.Await(ctx, seat, svc, all)
}

// A worker that does not have yet what it is told that Envoy has asks once more.
func TestAWorkerAsksUntilItHasTheService(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 100)
	m.room.Connect(&hasty{Envoys: m.server, asked: map[bgp.Service]bool{}})
	m.envoy(2, false)
	for n := range 100 {
		m.wants(serviceN(n), "b")
	}
}

// A cluster that is not ready when the scope that leads to it is, as one whose hosts are still looked up, is waited
// for.
func TestAClusterIsWaitedFor(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 1)
	m.envoy(2, false)
	late := make(chan xds.Delta, 1)
	m.mu.Lock()
	m.publish = func(d xds.Delta) {
		var clusters, rest xds.Delta
		for _, r := range d.Set {
			if r.Type == xds.TypeCluster {
				clusters.Set = append(clusters.Set, r)
				continue
			}
			r.Needs = slices.DeleteFunc(slices.Clone(r.Needs), func(n string) bool {
				return xds.Needed(n).Type == xds.TypeCluster
			})
			rest.Set = append(rest.Set, r)
		}
		if m.server.Publish(rest); len(clusters.Set) > 0 {
			late <- clusters
		}
	}
	m.mu.Unlock()
	answered := make(chan struct{})
	go func() { defer close(answered); m.wants(serviceN(0), "b") }()
	clusters := <-late
	m.eventually("Envoy has the scope", func() bool { return m.server.Using()[""] == 1 })
	m.server.Publish(clusters)
	<-answered
}

// An Envoy that dies while it asks is given what it asked for when it is back, and nothing is left of the question.
func TestEnvoyRestartsWhileItAsks(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 1)
	sup := m.envoy(1, false)
	asked, answer := make(chan struct{}), make(chan struct{})
	m.mu.Lock()
	m.looking = func(bgp.Service) { close(asked); <-answer }
	m.mu.Unlock()
	called := make(chan struct{})
	go func() { defer close(called); m.get(serviceN(0), nil) }()
	<-asked
	m.mu.Lock()
	m.looking = func(bgp.Service) {}
	m.mu.Unlock()
	must(t, syscall.Kill(sup.Running(), syscall.SIGKILL))
	close(answer)
	<-called // with an error: its connection is gone
	before := m.looked.Load()
	m.eventually("it is answered", func() bool { status, _ := m.get(serviceN(0), nil); return status == http.StatusOK })
	if n := m.looked.Load() - before; n != 0 || m.room.Waiting() != 0 {
		t.Errorf("%d look-ups more and %d that wait, want none", n, m.room.Waiting())
	}
}

// A service that is not in use cannot be had while the node stays away: the caller is told so, in words and by when to
// try again, after the seconds that a restart may take. What is in use goes on.
func TestTheNodeStaysAway(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2)
	m.envoy(1, false)
	m.wants(serviceN(0), "b")
	m.stop()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.egress()+"/", nil)
	must(t, err)
	req.Host = string(serviceN(1))
	resp, err := client.Do(req)
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	must(t, errors.Join(err, resp.Body.Close()))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
		!strings.Contains(string(text), "the node did not answer") {
		t.Errorf("got %d %v %q, want 503 that says why and when to try again", resp.StatusCode, resp.Header, text)
	}
	m.wants(serviceN(0), "b")
}
