package ads_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/free"
	"github.com/catalyst-router/catalyst/xds"
)

// resetting is a workload that begins every answer and resets it when it is told to.
type resetting struct {
	address string
	mu      sync.Mutex
	now     chan struct{} // guarded by mu
}

func newResetting(t *testing.T) *resetting {
	t.Helper()
	r := &resetting{now: make(chan struct{})}
	r.address = newStoppable(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		now := r.now
		r.mu.Unlock()
		fmt.Fprintln(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-now
		panic(http.ErrAbortHandler)
	})).address
	t.Cleanup(r.reset)
	return r
}

// reset resets all answers that have begun.
func (r *resetting) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.now)
	r.now = make(chan struct{})
}

// ejections is how often the plane's Envoy has left a target.
func (p *plane) ejections() (n int) {
	p.t.Helper()
	stats := p.admin("/stats?filter=" + `outlier_detection\.ejections_enforced_total$`)
	for _, line := range regexp.MustCompile(`: (\d+)`).FindAllStringSubmatch(stats, -1) {
		var one int
		if _, err := fmt.Sscan(line[1], &one); err != nil {
			p.t.Fatal(err)
		}
		n += one
	}
	return n
}

// Streams that a workload resets, however many and at whatever moment, say nothing of its node: other services behind
// the same next hop go on being answered, and by it. So it is where there is no other way, and where there are others.
// It runs alone: on a full machine a connection that is not made in time ejects a next hop as well.
func TestResetsOfAServiceEjectNoNextHop(t *testing.T) {
	const bad, lone = bgp.Service("bad.acme.example"), bgp.Service("lone.acme.example")
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{a, b, c} {
		p.server.Open()
	}
	w := newResetting(t)
	one := backend(workload(t, "one"))
	a.apply(to(books, bgp.HTTP, []xds.Target{one}), to(lone, bgp.HTTP, []xds.Target{one}),
		to(bad, bgp.HTTP, []xds.Target{backend(w.address)}))
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "backup"))}))
	only, both := [][]xds.Target{{a.hop()}}, [][]xds.Target{{a.hop()}, {b.hop()}}
	c.apply(to(lone, bgp.HTTP, only...), to(books, bgp.HTTP, both...))
	for _, way := range [][][]xds.Target{only, both} {
		c.apply(to(bad, bgp.HTTP, way...))
		for _, svc := range []bgp.Service{books, lone} {
			c.eventually(svc, 200, "one saw")
		}
		c.eventuallyStreams(bad)
		before := c.ejections() // a next hop that did not listen yet when it was first asked was rightly left
		var asked, wrong atomic.Int64
		stop := every(t, 10*time.Millisecond, func() {
			for _, svc := range []bgp.Service{books, lone} {
				asked.Add(1)
				if code, body := c.get(svc); code != 200 || !strings.HasPrefix(body, "one") {
					wrong.Add(1)
					t.Errorf("%s: %d %s", svc, code, body)
				}
			}
		})
		for range 3 {
			var streams []func() error
			for range 20 {
				streams = append(streams, c.stream(bad))
			}
			for _, line := range streams {
				if err := line(); err != nil {
					t.Fatal(err)
				}
			}
			w.reset()
			for _, line := range streams {
				if line() == nil {
					t.Error("a stream was not reset")
				}
			}
		}
		stop()
		t.Logf("%d of %d calls of the others failed", wrong.Load(), asked.Load())
		if n := c.ejections() - before; n > 0 || asked.Load() < 20 {
			t.Errorf("%d ejections, %d calls", n, asked.Load())
		}
	}
}

// eventuallyStreams waits until a service's answer begins.
func (p *plane) eventuallyStreams(svc bgp.Service) {
	p.t.Helper()
	waitFor(p.t, "answers of "+string(svc)+" begin", func() bool {
		req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.egress+"/", nil)
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

// every calls f again and again until it is stopped.
func every(t *testing.T, pause time.Duration, f func()) (stop func()) {
	t.Helper()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			f()
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(end); <-done })
	t.Cleanup(stop)
	return stop
}

// A TCP service whose workload takes no connections is a CONNECT that its node answers 503: that node is not left for
// it, so that its other services are reached.
func TestADeadTCPWorkloadEjectsNoNextHop(t *testing.T) {
	t.Parallel()
	const dead = bgp.Service("dead.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	for _, p := range []*plane{a, c} {
		p.server.Open()
	}
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}),
		to(dead, bgp.TCP, []xds.Target{backend(fmt.Sprintf("127.0.0.1:%d", free.Port(t)))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}), to(dead, bgp.TCP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "one")
	waitFor(t, "the listener is there", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port(dead)))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for range 2 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port(dead)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := say(conn, bufio.NewReader(conn), "hello"); err == nil {
			t.Errorf("nobody answered %q", got)
		}
		_ = conn.Close()
		if code, body := c.get(books); code != 200 {
			t.Errorf("another service of the same node: %d %s", code, body)
		}
	}
}

// A next hop that takes no connections costs no call and no TCP connection where there is another, from the first on,
// and is left after that.
func TestADeadNextHopCostsNoCall(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	b, c := newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{b, c} {
		p.server.Open()
	}
	local, _ := lineServer(t, "127.0.0.1:0", "backup")
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "backup"))}),
		to(lines, bgp.TCP, []xds.Target{backend(local)}))
	c.apply(to(books, bgp.HTTP, []xds.Target{b.hop()}), to(lines, bgp.TCP, []xds.Target{b.hop()}))
	c.eventually(books, 200, "backup")
	conn, _ := dialTCP(t, c, lines)
	_ = conn.Close()
	dead := func(name string) []xds.Target {
		return []xds.Target{{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: name},
			Address: fmt.Sprintf("127.0.0.1:%d", free.Port(t))}}}
	}
	c.apply(to(books, bgp.HTTP, dead("dead"), []xds.Target{b.hop()}),
		to(lines, bgp.TCP, dead("gone"), []xds.Target{b.hop()}))
	c.acknowledged(books)
	c.acknowledged(lines)
	for n := range 30 {
		if code, body := c.get(books); code != 200 {
			t.Errorf("call %d: %d %s", n, code, body)
		}
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port(lines)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	if got, err := say(conn, bufio.NewReader(conn), "hello"); err != nil || got != "backup: hello\n" {
		t.Errorf("TCP: %q, %v", got, err)
	}
	t.Logf("the TCP connection took %s", time.Since(began))
	waitFor(t, "the dead next hops are left", func() bool { c.get(books); return c.ejections() >= 2 })
}
