package ads_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// A service whose workload is down is answered with that word and with who says so, by HTTP and by CONNECT; it comes
// back.
func TestDownIsSaidInTheAnswer(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	const lines = bgp.Service("lines.acme.example")
	up := to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))})
	down := func(svc bgp.Service, p bgp.Protocol) xds.Forwarding {
		return xds.Forwarding{Service: svc, Protocol: p, Down: []bgp.NodeID{a.id}}
	}
	const word = "the service is known, but no path to it answers at acme.example/"
	a.apply(up, down(lines, bgp.TCP))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}), to(lines, bgp.TCP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "one")
	a.apply(down(books, bgp.HTTP))
	c.eventually(books, 503, word+"a. Its workload is down, says acme.example/a.\n") // the last node's word comes through
	c.apply(down(books, bgp.HTTP))
	c.eventually(books, 503, word+"c. Its workload is down, says acme.example/a.\n")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port(lines)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a TCP service that is down answers %d bytes", n)
	}
	_ = conn.Close()
	a.apply(up)
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "one")
}

// port returns the port of a TCP service.
func (p *plane) port(svc bgp.Service) uint16 {
	port, err := p.ports.Take(time.Now(), svc)
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

// stoppable is a workload that can be killed and started again at the same address.
type stoppable struct {
	t       *testing.T
	address string
	srv     *httptest.Server
	handler http.Handler
}

func newStoppable(t *testing.T, handler http.Handler) *stoppable {
	s := &stoppable{t: t, handler: handler, address: "127.0.0.1:0"}
	s.start()
	t.Cleanup(func() { s.srv.Close() })
	return s
}

func (s *stoppable) start() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.srv = httptest.NewUnstartedServer(s.handler)
	_ = s.srv.Listener.Close()
	s.srv.Listener = l
	s.srv.Start()
}

func (s *stoppable) stop() {
	s.srv.CloseClientConnections()
	s.srv.Close()
}

func says(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
}

// A workload beside the node that dies is left for the paths through others by the data plane itself: not one request
// fails, before anybody has checked anything.
func TestLocalWorkloadFailsOverAtOnce(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	here := newStoppable(t, says("here"))
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(here.address)}, []xds.Target{b.hop()}))
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "there"))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	for _, p := range []*plane{b, a, c} {
		p.eventually(books, 200, map[bool]string{true: "there", false: "here"}[p == b])
	}
	here.stop()
	for n := range 30 {
		for _, p := range []*plane{a, c} {
			if code, body := p.get(books); code != 200 || !strings.Contains(body, "there") {
				t.Errorf("request %d at %s: %d %q", n, p.id.Name, code, body)
			}
		}
	}
	here.start()
	a.eventually(books, 200, "here")
}

// stream opens a response of a service that lasts, and returns a function that tells whether it is still alive.
func (p *plane) stream(svc bgp.Service) (alive func() error) {
	p.t.Helper()
	return p.streamAs(svc, func(*http.Request) {})
}

// streamAs is stream for a request that change has changed.
func (p *plane) streamAs(svc bgp.Service, change func(*http.Request)) (alive func() error) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.egress+"/", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Host = string(svc)
	change(req)
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatal(resp, err)
	}
	p.t.Cleanup(func() { _ = resp.Body.Close() })
	r := bufio.NewReader(resp.Body)
	return func() error {
		_, err := r.ReadString('\n')
		return err
	}
}

// ticking answers with a line every few milliseconds, for as long as the client stays.
func ticking() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintln(w, n)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// Changes of a service's way are make-before-break: streams on the old way go on, whether the next hop changes, a
// backup comes or goes, the clusters of the old way are removed, or the old next hop drains.
func TestStreamsOutliveChangesOfTheWay(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	w := newStoppable(t, ticking())
	local := to(books, bgp.HTTP, []xds.Target{backend(w.address)})
	a.apply(local)
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(w.address)}))
	draining := a.hop()
	draining.Draining = true
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.answers(books)
	far, near := c.stream(books), a.stream(books)
	for _, step := range []struct {
		name string
		at   *plane
		way  xds.Forwarding
	}{
		{"a backup at a", a, to(books, bgp.HTTP, []xds.Target{backend(w.address)}, []xds.Target{b.hop()})},
		{"a backup at c", c, to(books, bgp.HTTP, []xds.Target{a.hop()}, []xds.Target{b.hop()})},
		{"draining at c", c, to(books, bgp.HTTP, []xds.Target{b.hop()}, []xds.Target{draining})},
		{"only b at c", c, to(books, bgp.HTTP, []xds.Target{b.hop()})},
		{"no backup at a", a, local},
	} {
		step.at.apply(step.way)
		for _, p := range []*plane{a, c} {
			p.acknowledged(books)
		}
		for range 50 { // a quarter of a second of lines
			if err := far(); err != nil {
				t.Fatalf("%s: the stream through c is cut: %v", step.name, err)
			}
			if err := near(); err != nil {
				t.Fatalf("%s: the stream at a is cut: %v", step.name, err)
			}
		}
	}
	// what is left: the way to b, and to workloads beside the node
	waitFor(t, "the old next hops are removed", func() bool {
		clusters := regexp.MustCompile(`(?m)^hops/\S+?::added_via_api`).FindAllString(c.admin("/clusters"), -1)
		return len(clusters) == 2
	})
	for range 50 {
		if err := far(); err != nil {
			t.Fatalf("after the old cluster is gone: %v", err)
		}
	}
}

// A service that moves to next hops to which no other leads costs no request: Envoy asks for the routes there because
// of a scope that serves nobody.
func TestNewWaysCostNoRequest(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("state of the world %t", whole), func(t *testing.T) {
			org := newAuthority(t, "acme.example")
			a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlaneWith(t, org, "c", whole)
			work := backend(workload(t, "one"))
			for _, p := range []*plane{a, b} {
				p.server.Open()
				p.apply(to(books, bgp.HTTP, []xds.Target{work}))
			}
			c.server.Open()
			heavy := func(p *plane, weight uint32) xds.Target {
				h := p.hop()
				h.Weight = weight
				return h
			}
			for _, p := range []*plane{b, a} {
				c.apply(to(books, bgp.HTTP, []xds.Target{p.hop()}))
				c.acknowledged(books)
				c.eventually(books, 200, "one")
			}
			stop := c.steadily(books)
			for i := range uint32(20) {
				c.apply(to(books, bgp.HTTP, []xds.Target{heavy(a, 1+i), heavy(b, 100-i)}))
				c.acknowledged(books)
			}
			if asked, failed, why := stop(); failed > 0 || asked == 0 {
				t.Errorf("%d of %d requests failed: %s", failed, asked, why)
			}
			waitFor(t, "the old next hops are removed", func() bool {
				return len(regexp.MustCompile(`(?m)^hops/\S+?::added_via_api`).FindAllString(c.admin("/clusters"), -1)) == 2
			})
		})
	}
}

// acknowledged waits until Envoy has taken what was compiled last for a service.
func (p *plane) acknowledged(svc bgp.Service) {
	p.t.Helper()
	waitFor(p.t, string(svc)+" is acknowledged", func() bool {
		return !slices.ContainsFunc(p.server.Service(svc), func(s ads.ServiceStatus) bool { return s.Acked != s.Current })
	})
}

// answers waits for the head of an answer that never ends.
func (p *plane) answers(svc bgp.Service) {
	p.t.Helper()
	waitFor(p.t, string(svc)+" answers", func() bool {
		ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.egress+"/", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		req.Host = string(svc)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (p *plane) admin(path string) string {
	p.t.Helper()
	text, err := p.sup.Admin().Get(p.t.Context(), path)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// The endpoint of a next hop that drains is DRAINING in Envoy: nothing new goes there while another is in use.
func TestDrainingNextHop(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "a"))}))
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "b"))}))
	draining := a.hop()
	draining.Draining = true
	c.apply(to(books, bgp.HTTP, []xds.Target{draining, b.hop()})) // even where they would share the traffic
	c.eventually(books, 200, "b saw")
	for range 20 {
		if code, body := c.get(books); code != 200 || !strings.HasPrefix(body, "b") {
			t.Errorf("got %d %q, want b", code, body)
		}
	}
	var all struct {
		Statuses []struct {
			Hosts []struct {
				Address struct {
					Socket struct {
						Port int `json:"port_value"`
					} `json:"socket_address"`
				}
				Health struct {
					EDS string `json:"eds_health_status"`
				} `json:"health_status"`
			} `json:"host_statuses"`
		} `json:"cluster_statuses"`
	}
	if err := json.Unmarshal([]byte(c.admin("/clusters?format=json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, cl := range all.Statuses {
		for _, h := range cl.Hosts {
			if at := fmt.Sprintf("127.0.0.1:%d", h.Address.Socket.Port); at == a.ingress && h.Health.EDS != "DRAINING" ||
				at == b.ingress && h.Health.EDS != "HEALTHY" {
				t.Errorf("%s is %s", at, h.Health.EDS)
			}
		}
	}
}

// A TCP workload beside the node that takes no connections is left for the one at another node, by connections from
// here and from elsewhere, before any message; and it is used again when it is back. Connections and the listener
// stay over all of it. Two nodes whose workloads are both dead do not hand a stream to and fro.
func TestTCPWorkloadsHaveBackups(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	local, stop := lineServer(t, "127.0.0.1:0", "one")
	far, stopFar := lineServer(t, "127.0.0.1:0", "two")
	b.apply(to(lines, bgp.TCP, []xds.Target{backend(far)}, []xds.Target{a.hop()}))
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(local)}))
	c.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}))
	conn, r := dialTCP(t, a, lines)
	defer func() { _ = conn.Close() }()
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(local)}, []xds.Target{b.hop()})) // a backup appears
	waitFor(t, "a has the backup", func() bool {
		all := a.server.Service(lines)
		return len(a.kept("local/")) == 1 && !slices.ContainsFunc(all,
			func(s ads.ServiceStatus) bool { return s.Acked != s.Current })
	})
	from := func(p *plane) string {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port(lines)))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = conn.Close() }()
		got, err := say(conn, bufio.NewReader(conn), "hello")
		if err != nil {
			return err.Error()
		}
		return got
	}
	waitFor(t, "c reaches a, and b its own", func() bool { return from(c) == "one: hello\n" && from(b) == "two: hello\n" })
	if got, err := say(conn, r, "still here"); err != nil || got != "one: still here\n" {
		t.Errorf("a live connection, when a backup appears: %q, %v", got, err)
	}
	stop()
	for _, p := range []*plane{a, c} {
		for range 3 {
			if got := from(p); got != "two: hello\n" {
				t.Errorf("from %s with a dead workload: %q", p.id, got)
			}
		}
	}
	if got, err := say(conn, r, "still here"); err != nil || got != "one: still here\n" {
		t.Errorf("a live connection to a workload that takes no new ones: %q, %v", got, err)
	}
	_, stop = lineServer(t, local, "three")
	waitFor(t, "the workload is used again",
		func() bool { return from(a) == "three: hello\n" && from(c) == "three: hello\n" })
	stop()
	stopFar()
	waitFor(t, "nothing answers", func() bool {
		got := from(a)
		return !strings.Contains(got, "hello") && !strings.Contains(got, "timeout")
	})
}

// lineServer answers lines at an address with its name; stop ends the listener, not the connections.
func lineServer(t *testing.T, address, name string) (at string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() { _ = l.Close() }
	t.Cleanup(stop)
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
	return l.Addr().String(), stop
}
