package ads_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// mute takes connections and never says a word, as a machine does whose process hangs; packets that a firewall drops
// are the same to Envoy, whose time for a connection counts TLS as well.
func mute(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = lis.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
		}
	})
	return lis.Addr().String()
}

// The only next hop there is answers nothing. A call waits for two attempts and is told; the target is not left, which
// would help nobody, so that the first call after it is back is answered.
func TestTheOnlyTargetIsTriedTwiceAndNotLeft(t *testing.T) {
	t.Parallel()
	const dead = bgp.Service("dead.acme.example")
	org := newAuthority(t, "acme.example")
	c := newPlane(t, org, "c")
	c.server.Open()
	hop := func(name, address string) []xds.Target {
		return []xds.Target{{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: name}, Address: address}}}
	}
	back := newStoppable(t, says("back"))
	back.stop()
	c.apply(to(books, bgp.HTTP, hop("mute", mute(t))), to(dead, bgp.HTTP, []xds.Target{backend(back.address)}))
	c.eventually(dead, 503, "") // Envoy is there
	c.acknowledged(books)
	began := time.Now()
	code, body := c.get(books)
	took := time.Since(began)
	t.Logf("a hop that answers nothing: %d after %s", code, took)
	if code != 503 || took < 3*time.Second || took > 7*time.Second {
		t.Errorf("%d %s after %s", code, body, took)
	}
	for range 20 { // over several intervals in which Envoy looks for failures
		c.get(dead)
		<-time.After(60 * time.Millisecond)
	}
	if n := c.ejections(); n != 0 {
		t.Errorf("the only target was left %d times", n)
	}
	back.start()
	if code, body := c.get(dead); code != 200 || body != "back" {
		t.Errorf("the first call after it is back: %d %s", code, body)
	}
}

// However many next hops answer nothing, in one tier, in several, or behind a workload that does not either: a request
// hears so after four short tries. Where one is alive it is answered in that time, and so is a TCP connection.
func TestOneBudgetForDeadTargets(t *testing.T) {
	t.Parallel()
	const (
		tiers = bgp.Service("tiers.acme.example")
		here  = bgp.Service("here.acme.example")
		alive = bgp.Service("alive.acme.example")
		lines = bgp.Service("lines.acme.example")
		limit = 5500 * time.Millisecond // four tries of a second, their pauses, and a busy machine
	)
	org := newAuthority(t, "acme.example")
	b, c := newPlane(t, org, "b"), newPlane(t, org, "c")
	for _, p := range []*plane{b, c} {
		p.server.Open()
	}
	hop := func(name string) xds.Target {
		return xds.Target{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: name}, Address: mute(t)}}
	}
	local, _ := lineServer(t, "127.0.0.1:0", "alive")
	served := workload(t, "one")
	b.apply(to(alive, bgp.HTTP, []xds.Target{backend(served)}), to(lines, bgp.TCP, []xds.Target{backend(local)}))
	one, two, three, four := hop("one"), hop("two"), hop("three"), hop("four")
	stuck := backend(mute(t))
	const ready, readyToo = bgp.Service("ready.acme.example"), bgp.Service("lines-ready.acme.example")
	c.apply(to(ready, bgp.HTTP, []xds.Target{b.hop()}), to(readyToo, bgp.TCP, []xds.Target{b.hop()}))
	b.apply(to(ready, bgp.HTTP, []xds.Target{backend(served)}), to(readyToo, bgp.TCP, []xds.Target{backend(local)}))
	c.eventually(ready, 200, "one")
	conn, _ := dialTCP(t, c, readyToo)
	_ = conn.Close()
	behind := to(here, bgp.HTTP, []xds.Target{one}, []xds.Target{stuck}, []xds.Target{two})
	behind.TLS = &xds.WorkloadTLS{Insecure: true}
	c.apply(behind, to(books, bgp.HTTP, []xds.Target{one, two, three, four}),
		to(tiers, bgp.HTTP, []xds.Target{one}, []xds.Target{two}, []xds.Target{three}, []xds.Target{four}),
		to(alive, bgp.HTTP, []xds.Target{two}, []xds.Target{one}, []xds.Target{b.hop()}),
		to(lines, bgp.TCP, []xds.Target{three, four}, []xds.Target{b.hop()}))
	for _, svc := range []bgp.Service{books, tiers, here, alive, lines} {
		c.acknowledged(svc)
	}
	for _, want := range []struct {
		svc  bgp.Service
		code int
	}{{books, 503}, {tiers, 503}, {here, 503}, {alive, 200}} {
		began := time.Now()
		code, body := c.get(want.svc)
		took := time.Since(began)
		t.Logf("%s: %d after %s", want.svc, code, took)
		if code != want.code || took > limit {
			t.Errorf("%s: %d %s after %s", want.svc, code, body, took)
		}
	}
	began := time.Now()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port(lines)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	got, err := ask(conn, "hello", 40*time.Second)
	t.Logf("TCP: %q after %s", got, time.Since(began))
	// A connection knows no tiers: it is tried again at the first until Envoy has left that. Of two dead tiers the first
	// may be taken up again while the second is tried, so how long that lasts is not said here.
	if err != nil || got != "alive: hello\n" || time.Since(began) > 3*limit {
		t.Errorf("TCP: %q, %v after %s", got, err, time.Since(began))
	}
}

// ask is say with a time of its own.
func ask(conn net.Conn, line string, wait time.Duration) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(wait))
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// A request of another node lasts no longer than mesh-stream says, and a connection takes new requests no longer than
// mesh-connection says; what is under way on it goes on, and no call fails for that.
func TestWhatLastsBetweenNodesIsBounded(t *testing.T) {
	t.Parallel()
	const long = bgp.Service("long.acme.example")
	org := newAuthority(t, "acme.example")
	short := newPlaneConfigured(t, org, "short", func(p *plane) { p.cfg.Limits = xds.Limits{MeshStream: time.Second} })
	young := newPlaneConfigured(t, org, "young", func(p *plane) { p.cfg.Limits = xds.Limits{MeshConnection: time.Second} })
	c := newPlane(t, org, "c")
	for _, p := range []*plane{short, young, c} {
		p.server.Open()
	}
	w := newResetting(t)
	for _, p := range []*plane{short, young} {
		p.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}),
			to(long, bgp.HTTP, []xds.Target{backend(w.address)}))
	}
	c.apply(to(long, bgp.HTTP, []xds.Target{short.hop()}))
	c.eventuallyStreams(long)
	began := time.Now()
	if line := c.stream(long); line() != nil || line() == nil {
		t.Error("a stream did not begin, or went on")
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("a stream that may last for a second was ended after %s", took)
	}
	c.apply(to(long, bgp.HTTP, []xds.Target{young.hop()}), to(books, bgp.HTTP, []xds.Target{young.hop()}))
	c.eventuallyStreams(long)
	c.eventually(books, 200, "one")
	line := c.stream(long)
	if err := line(); err != nil {
		t.Fatal(err)
	}
	const reached = "http.mesh-ingress.downstream_cx_max_duration_reached"
	waitFor(t, "a connection becomes too old, and another takes its place", func() bool {
		if code, body := c.get(books); code != 200 {
			t.Errorf("a call meanwhile: %d %s", code, body)
		}
		return young.stat(reached) > 0 && young.stat("http.mesh-ingress.downstream_cx_total") > 1
	})
	ended := make(chan error, 1)
	go func() { ended <- line() }()
	select {
	case err := <-ended:
		t.Errorf("what was under way ended: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	w.reset()
	<-ended
}

// The end that calls leaves a connection for a new one as well when it is too old for it, whatever the other end takes.
func TestACallerLeavesOldConnections(t *testing.T) {
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	young := newPlaneConfigured(t, org, "young", func(p *plane) { p.cfg.Limits = xds.Limits{MeshConnection: time.Second} })
	for _, p := range []*plane{a, young} {
		p.server.Open()
	}
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	young.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	young.eventually(books, 200, "one")
	waitFor(t, "another connection", func() bool {
		if code, body := young.get(books); code != 200 {
			t.Errorf("a call meanwhile: %d %s", code, body)
		}
		return a.stat("http.mesh-ingress.downstream_cx_total") > 2
	})
	if n := a.stat("http.mesh-ingress.downstream_cx_max_duration_reached"); n > 0 {
		t.Errorf("the other end left %d", n)
	}
}
