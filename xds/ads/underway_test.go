package ads_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/underway"
)

// watched makes a plane whose node says which requests of others may not go on.
func watched(t *testing.T, org authority, name string, change func(*plane)) (*plane, *underway.Server) {
	t.Helper()
	s := underway.New(underway.Config{Org: "acme.example", Log: slog.New(slog.DiscardHandler)})
	p := newPlaneConfigured(t, org, name, func(p *plane) {
		p.cfg.Underway = filepath.Join(p.dir, "underway.sock")
		change(p)
		l, err := net.Listen("unix", p.cfg.Underway)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
	s.Admit(p.cfg.Admission)
	return p, s
}

// admit has others come in than before, as the forwarder does.
func (p *plane) admit(s *underway.Server, a xds.Admission) {
	p.t.Helper()
	d, err := p.compiler.Admit(a)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server.Publish(d)
	s.Admit(a)
}

// lasting is everything that lasts, from one node: an HTTP stream, a WebSocket and a TCP connection.
type lasting struct {
	name string
	tick func() error
	web  *websocket.Conn
	conn net.Conn
	r    *bufio.Reader
}

const (
	ticks  = bgp.Service("ticks.acme.example")
	talk   = bgp.Service("talk.acme.example")
	tcpSvc = bgp.Service("lines.acme.example")
)

func (p *plane) lasting() *lasting {
	p.t.Helper()
	p.answers(ticks)
	out := &lasting{name: p.id.Name, tick: p.stream(ticks)}
	waitFor(p.t, "the WebSocket is there", func() bool {
		var err error
		out.web, _, err = websocket.Dial(p.t.Context(), "ws://"+p.egress+"/", &websocket.DialOptions{Host: string(talk)})
		return err == nil
	})
	p.t.Cleanup(func() { _ = out.web.CloseNow() })
	out.conn, out.r = dialTCP(p.t, p, tcpSvc)
	p.t.Cleanup(func() { _ = out.conn.Close() })
	return out
}

// alive says what of it goes on.
func (l *lasting) alive(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{"HTTP": l.tick() == nil}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := l.web.Write(ctx, websocket.MessageText, []byte("hello"))
	if err == nil {
		_, _, err = l.web.Read(ctx)
	}
	out["WebSocket"] = err == nil
	got, err := say(l.conn, l.r, "hello")
	out["TCP"] = err == nil && got == "one: hello\n"
	return out
}

func (l *lasting) want(t *testing.T, after string, want bool) {
	t.Helper()
	for what, is := range l.alive(t) {
		if is != want {
			t.Errorf("%s: %s of %s goes on: %t, want %t", after, what, l.name, is, want)
		}
	}
}

// What is under way of a peer that is removed, of a node that is revoked, and of a caller whose right to a service
// ends, ends with it: connections, WebSockets and streams. What others have under way goes on, also over a restart of
// the node, and so do their connections.
func TestWhatIsUnderWayEndsWithItsRight(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	id := func(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }
	full := func(name string) xds.Admitted { return xds.Admitted{Node: id(name), Everything: true} }
	part := func(name string, services ...bgp.Service) xds.Admitted {
		return xds.Admitted{Node: id(name), Services: services}
	}
	all := xds.Admission{Peers: []xds.Admitted{full("c"), part("d", tcpSvc, talk, ticks), full("e")}}
	a, s := watched(t, org, "a", func(p *plane) { p.cfg.Admission = all })
	planes := map[string]*plane{}
	for _, name := range []string{"c", "d", "e"} {
		planes[name] = newPlane(t, org, name)
		planes[name].server.Open()
	}
	a.server.Open()
	talking := newStoppable(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}))
	lines, _ := lineServer(t, "127.0.0.1:0", "one")
	a.apply(to(ticks, bgp.HTTP, []xds.Target{backend(newStoppable(t, ticking()).address)}),
		to(talk, bgp.HTTP, []xds.Target{backend(talking.address)}), to(tcpSvc, bgp.TCP, []xds.Target{backend(lines)}))
	under := map[string]*lasting{}
	for name, p := range planes {
		p.apply(to(ticks, bgp.HTTP, []xds.Target{a.hop()}), to(talk, bgp.HTTP, []xds.Target{a.hop()}),
			to(tcpSvc, bgp.TCP, []xds.Target{a.hop()}))
		under[name] = p.lasting()
	}
	waitFor(t, "what lasts is watched", func() bool { open, _ := s.Counts(); return open >= 9 })
	connections := a.stat("listener.mesh-ingress.downstream_cx_total")
	began := time.Now()
	a.admit(s, xds.Admission{Peers: []xds.Admitted{part("d", tcpSvc, talk, ticks), full("e")}}) // c is removed
	waitFor(t, "its three end", func() bool { _, ended := s.Counts(); return ended >= 3 })
	t.Logf("ended after %s", time.Since(began))
	ended := func(name, after string) {
		t.Helper()
		waitFor(t, after, func() bool { return under[name].tick() != nil })
		under[name].want(t, after, false)
	}
	ended("c", "c was removed")
	under["d"].want(t, "c was removed", true)
	under["e"].want(t, "c was removed", true)
	a.admit(s, xds.Admission{Peers: []xds.Admitted{part("d", talk), full("e")}}) // d may have talk alone
	waitFor(t, "d's stream ends", func() bool { return under["d"].tick() != nil })
	waitFor(t, "d's connection ends", func() bool { return !under["d"].alive(t)["TCP"] })
	if !under["d"].alive(t)["WebSocket"] {
		t.Error("d may have talk, and what it had under way of it ended")
	}
	under["e"].want(t, "d lost a service", true)
	a.admit(s, xds.Admission{Organisation: true, Refused: []bgp.NodeID{id("e")}}) // e is revoked
	ended("e", "e was revoked")
	planes["e"].eventually(ticks, 403, "")
	if now := a.stat("listener.mesh-ingress.downstream_cx_total"); now != connections {
		t.Errorf("%d connections were made anew", now-connections)
	}
}

// A certificate that is revoked by its serial number, or its hash, comes in no more, and what is under way by it ends;
// the node that has another comes in with that. What another organisation says of the same number means nothing.
func TestRevokedCertificatesAtEnvoy(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	id := func(name string) xds.Admitted {
		return xds.Admitted{Node: bgp.NodeID{Org: "acme.example", Name: name}, Everything: true}
	}
	in := xds.Admission{Peers: []xds.Admitted{id("c"), id("d")}}
	a, s := watched(t, org, "a", func(p *plane) { p.cfg.Admission = in })
	c, d := newPlane(t, org, "c"), newPlane(t, org, "d")
	for _, p := range []*plane{a, c, d} {
		p.server.Open()
	}
	a.apply(to(ticks, bgp.HTTP, []xds.Target{backend(newStoppable(t, ticking()).address)}),
		to(books, bgp.HTTP, []xds.Target{backend(newStoppable(t, says("one")).address)}))
	open := map[*plane]func() error{}
	for _, p := range []*plane{c, d} {
		p.apply(to(ticks, bgp.HTTP, []xds.Target{a.hop()}), to(books, bgp.HTTP, []xds.Target{a.hop()}))
		p.eventually(books, 200, "one")
		p.answers(ticks)
		open[p] = p.stream(ticks)
	}
	waitFor(t, "what lasts is watched", func() bool { open, _ := s.Counts(); return open >= 2 })
	pair, err := disk.Own(c.bundle).Pair()
	if err != nil {
		t.Fatal(err)
	}
	leaf := pair.Leaf
	sum := sha256.Sum256(leaf.Raw)
	serial := xds.Leaf{Org: "acme.example", Serial: revoke.SerialText(leaf)}
	in.Leaves = []xds.Leaf{{Org: "bravo.example", Serial: serial.Serial}}
	a.admit(s, in)
	c.eventually(books, 200, "one")
	if err := open[c](); err != nil {
		t.Errorf("what another organisation says of the number: %v", err)
	}
	for _, one := range []xds.Leaf{serial, {Org: "acme.example", SHA256: hex.EncodeToString(sum[:])}} {
		in.Leaves = []xds.Leaf{one}
		a.admit(s, in)
		c.eventually(books, 403, "")
		d.eventually(books, 200, "one")
		waitFor(t, "what is under way ends", func() bool { return open[c]() != nil })
		if err := open[d](); err != nil {
			t.Errorf("another node's: %v", err)
		}
		in.Leaves = nil
		a.admit(s, in)
		c.eventually(books, 200, "one")
		open[c] = c.stream(ticks)
	}
}

// Short calls cost the node nothing, and gRPC calls that set a short time-out neither.
func TestShortCallsAreNotWatched(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, s := watched(t, org, "a", func(*plane) {})
	c := newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	var most atomic.Int64
	w := newStoppable(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "application/grpc" {
			_ = http.NewResponseController(w).Flush() // without a length
		}
		open, _ := s.Counts()
		most.Store(max(most.Load(), open))
		_, _ = io.WriteString(w, "one")
	}))
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(w.address)}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "one")
	for range 20 {
		c.get(books)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.egress+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = string(books)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Grpc-Timeout", "2500m")
		if code, body := do(req); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	}
	if n := a.stat("cluster.hops/underway.upstream_rq_total"); n > 0 || most.Load() > 0 {
		t.Errorf("the node was told of %d short calls", n)
	}
}
