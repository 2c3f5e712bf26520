package peering

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

const patience = 20 * time.Second

// orgCA makes an organisation's CA, and a directory for its nodes.
func orgCA(t *testing.T, name bgp.Org) (dir string, authority *ca.Authority) {
	t.Helper()
	dir = t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), name); err != nil {
		t.Fatal(err)
	}
	authority, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, authority
}

// org makes an organisation's CA and returns a function that issues nodes.
func org(t *testing.T, name bgp.Org) func(node string) *identity.Source {
	t.Helper()
	dir, authority := orgCA(t, name)
	return func(node string) *identity.Source {
		t.Helper()
		at := filepath.Join(dir, node)
		if _, _, err := disk.IssueNode(authority, at, node, time.Hour); err != nil {
			t.Fatal(err)
		}
		src, err := identity.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
}

// host is a running router.
type host struct {
	*Router
	id   bgp.NodeID
	addr string
	stop context.CancelFunc
	done chan struct{}
}

func start(t *testing.T, src *identity.Source, boot uint64) *host {
	t.Helper()
	return startWith(t, src, boot, func(*Config) {})
}

// startWith is start with a configuration that change adapts.
func startWith(t *testing.T, src *identity.Source, boot uint64, change func(*Config)) *host {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	id := src.Material().Node
	cfg := Config{
		Speaker: speaker.Config{
			Self:            id,
			BootID:          boot,
			Ingress:         "127.0.0.1:1",
			GracefulRestart: time.Minute,
			DialMin:         20 * time.Millisecond,
			DialMax:         200 * time.Millisecond,
		},
		Identity: src, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	change(&cfg)
	r := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{Router: r, id: id, addr: lis.Addr().String(), stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		if err := r.Run(ctx, lis); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}()
	t.Cleanup(h.halt)
	return h
}

func (h *host) halt() { h.stop(); <-h.done }

func (h *host) do(t *testing.T, ev speaker.Event) {
	t.Helper()
	if err := h.Do(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
}

func (h *host) peer(t *testing.T, other *host) {
	t.Helper()
	h.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: other.id, Addresses: []string{other.addr}}})
}

// eventually waits until the speaker is as wanted.
func (h *host) eventually(t *testing.T, what string, ok func(*speaker.Speaker) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		good := false
		if err := h.Query(ctx, func(s *speaker.Speaker) { good = ok(s) }); err != nil {
			t.Fatalf("%s: %s: %v", h.id, what, err)
		}
		if good {
			return
		}
		<-tick.C
	}
}

func established(n bgp.NodeID) func(*speaker.Speaker) bool {
	return func(s *speaker.Speaker) bool {
		v, ok := s.Peer(n)
		return ok && v.State == fsm.Established && v.EndOfRIB
	}
}

func knows(svc bgp.Service) func(*speaker.Speaker) bool {
	return func(s *speaker.Speaker) bool {
		all := s.Table().Explain(svc)
		return len(all) > 0 && all[0].Reject == rib.Accepted
	}
}

func not(f func(*speaker.Speaker) bool) func(*speaker.Speaker) bool {
	return func(s *speaker.Speaker) bool { return !f(s) }
}

func local(svc bgp.Service) speaker.LocalSet {
	return speaker.LocalSet{Service: svc, Attributes: bgp.Attributes{Protocol: bgp.HTTP}}
}

// Both ends dial and announce at the same moment: one stream survives and both hear of both.
func TestBothEndsAtOnce(t *testing.T) {
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	a.do(t, local("x.acme.example"))
	b.do(t, local("y.acme.example"))
	a.peer(t, b)
	b.peer(t, a)
	a.eventually(t, "knows y", knows("y.acme.example"))
	b.eventually(t, "knows x", knows("x.acme.example"))
	a.eventually(t, "is established", established(b.id))
	b.eventually(t, "is established", established(a.id))
}

func TestLineAndRestart(t *testing.T) {
	issue := org(t, "acme.example")
	srcA := issue("a")
	a, b, c := start(t, srcA, 1), start(t, issue("b"), 2), start(t, issue("c"), 3)
	a.do(t, local("books.acme.example"))
	b.peer(t, a)
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	c.peer(t, b)
	b.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: c.id}})
	c.eventually(t, "knows books", knows("books.acme.example"))
	a.halt()
	b.eventually(t, "marks it stale", func(s *speaker.Speaker) bool {
		all := s.Table().Explain("books.acme.example")
		return len(all) == 1 && all[0].Stale
	})
	// Another process with the same identity, elsewhere, and without the service: it is swept at End-of-RIB.
	again := start(t, srcA, 4)
	b.peer(t, again)
	again.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	c.eventually(t, "forgets books", not(knows("books.acme.example")))
}

func TestStrangersAreTurnedAwayByName(t *testing.T) {
	issue, foreign := org(t, "acme.example"), org(t, "bravo.example")
	a := start(t, issue("a"), 1)
	stranger := start(t, issue("stranger"), 2)
	stranger.peer(t, a)
	stranger.eventually(t, "is told why", func(s *speaker.Speaker) bool {
		v, _ := s.Peer(a.id)
		return strings.Contains(v.LastError, "is not a peer of acme.example/a")
	})
	// Nobody has this organisation's roots: the handshake fails.
	alien := start(t, foreign("x"), 3)
	alien.peer(t, a)
	alien.eventually(t, "fails", func(s *speaker.Speaker) bool {
		v, _ := s.Peer(a.id)
		return v.LastError != "" && v.State != fsm.Established
	})
	// A node that answers under another name is not spoken to.
	b := start(t, issue("b"), 4)
	wrong := bgp.NodeID{Org: "acme.example", Name: "c"}
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: wrong, Addresses: []string{b.addr}}})
	a.eventually(t, "refuses", func(s *speaker.Speaker) bool {
		v, _ := s.Peer(wrong)
		return strings.Contains(v.LastError, "want spiffe://acme.example/node/c")
	})
}

// raw opens a stream by hand, as a hostile peer would.
func raw(t *testing.T, src *identity.Source, to *host) grpc.ClientStream {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+to.addr,
		grpc.WithTransportCredentials(credentials.NewTLS(src.ClientTLS(to.id))),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	s, err := cc.NewStream(t.Context(), &grpc.StreamDesc{
		StreamName:    "Session",
		ServerStreams: true,
		ClientStreams: true,
	}, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func say(t *testing.T, s grpc.ClientStream, m bgp.Message) {
	t.Helper()
	if err := s.SendMsg(&rawFrame{b: wire.Append(nil, m)}); err != nil {
		t.Fatal(err)
	}
}

// hear reads until a message satisfies ok, and returns the last one.
func hear(t *testing.T, s grpc.ClientStream, ok func(bgp.Message) bool) bgp.Message {
	t.Helper()
	for {
		var f rawFrame
		if err := s.RecvMsg(&f); err != nil {
			t.Fatalf("stream ended: %v", err)
		}
		m, n := wire.Decode(f.b)
		if n != nil {
			t.Fatal(n)
		}
		if ok(m) {
			return m
		}
	}
}

func isNotification(m bgp.Message) bool { _, ok := m.(*bgp.Notification); return ok }

func TestHostileFramesCostOnlyTheirSession(t *testing.T) {
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	a.peer(t, b)
	b.peer(t, a)
	evil := issue("evil")
	evilID := evil.Material().Node
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: evilID}})
	open := &bgp.Open{Version: 1, Node: evilID, HoldTime: 90 * time.Second}
	for name, attack := range map[string]func(grpc.ClientStream){
		"garbage":           func(s grpc.ClientStream) { _ = s.SendMsg(&rawFrame{b: []byte("\xff\xff garbage")}) },
		"UPDATE first":      func(s grpc.ClientStream) { say(t, s, &bgp.Update{Marker: bgp.EndOfRIB}) },
		"another's name":    func(s grpc.ClientStream) { o := *open; o.Node = b.id; say(t, s, &o) },
		"hold time of 1 ms": func(s grpc.ClientStream) { o := *open; o.HoldTime = time.Millisecond; say(t, s, &o) },
		"two OPENs": func(s grpc.ClientStream) {
			say(t, s, open)
			say(t, s, bgp.Keepalive{})
			say(t, s, open)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := raw(t, evil, a)
			attack(s)
			hear(t, s, isNotification)
			_ = s.CloseSend()
		})
	}
	a.eventually(t, "still has b", established(b.id))
}

// A peer that reads nothing costs a bounded amount of memory, and the others nothing.
func TestSlowReader(t *testing.T) {
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	a.peer(t, b)
	b.peer(t, a)
	slow := issue("slow")
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: slow.Material().Node}})
	s := raw(t, slow, a)
	say(t, s, &bgp.Open{Version: 1, Node: slow.Material().Node, HoldTime: 90 * time.Second})
	say(t, s, bgp.Keepalive{})
	a.eventually(t, "has the slow one", func(sp *speaker.Speaker) bool {
		v, _ := sp.Peer(slow.Material().Node)
		return v.State == fsm.Established
	})
	routes := 2000
	if testing.Short() {
		routes = 500
	}
	for round := range 20 {
		for i := range routes {
			ev := local(bgp.Service(fmt.Sprintf("s%d.acme.example", i)))
			ev.Attributes.Region = fmt.Sprintf("round-%d-%s", round, strings.Repeat("x", 100))
			a.do(t, ev)
		}
	}
	b.eventually(t, "has the last round", func(sp *speaker.Speaker) bool {
		all := sp.Table().Explain(bgp.Service(fmt.Sprintf("s%d.acme.example", routes-1)))
		return len(all) > 0 && strings.HasPrefix(all[0].Attrs.Region, "round-19")
	})
	// When it reads at last, it ends up with exactly the newest state.
	holds := map[bgp.Service]string{}
	hear(t, s, func(m bgp.Message) bool {
		u, ok := m.(*bgp.Update)
		if !ok {
			return false
		}
		for _, g := range u.Announced {
			for _, n := range g.Routes {
				holds[bgp.Service(strings.Clone(string(n.Service)))] = string(g.Attributes)
			}
		}
		newest := 0
		for _, set := range holds {
			if strings.Contains(set, "round-19") {
				newest++
			}
		}
		return newest == routes
	})
}

// A dial that gets no answer holds nothing else up.
func TestHangingDial(t *testing.T) {
	issue := org(t, "acme.example")
	lis, err := net.Listen("tcp", "127.0.0.1:0") // accepts into its backlog, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	a.do(t, speaker.PeerSet{
		Peer: speaker.Peer{Node: bgp.NodeID{Org: "acme.example", Name: "hung"}, Addresses: []string{lis.Addr().String()}},
	})
	a.peer(t, b)
	b.peer(t, a)
	a.eventually(t, "is established", established(b.id))
}

// A feed gives the dump, says so, and then every change.
func TestFeed(t *testing.T) {
	issue := org(t, "acme.example")
	a := start(t, issue("a"), 1)
	for i := range 1200 {
		a.do(t, local(bgp.Service(fmt.Sprintf("s%d.acme.example", i))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	feed, err := a.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := map[bgp.Service]bool{}
	for synced := false; !synced; {
		b, ok := next(t.Context(), feed)
		if !ok {
			t.Fatal("feed ended")
		}
		for _, s := range b.Changed {
			got[s.Service] = true
		}
		synced = b.Synced
	}
	if len(got) != 1200 {
		t.Fatalf("the dump has %d services, want 1200", len(got))
	}
	a.do(t, speaker.LocalRemoved{Service: "s7.acme.example"})
	b, ok := next(t.Context(), feed)
	if !ok || len(b.Changed) != 1 || b.Changed[0].Service != "s7.acme.example" || len(b.Changed[0].Tiers) != 0 {
		t.Errorf("got %+v", b)
	}
	cancel()
	if _, ok := next(t.Context(), feed); ok {
		t.Error("the feed goes on without its consumer")
	}
}

// next is the next batch of a feed; false if it has ended, or ctx is over.
func next(ctx context.Context, f *Feed) (Batch, bool) {
	select {
	case b, ok := <-f.Batches():
		return b, ok
	case <-ctx.Done():
		return Batch{}, false
	}
}

// What is waited for is told at once if it holds, and with the step that makes it hold.
func TestWhen(t *testing.T) {
	a := start(t, org(t, "acme.example")("a"), 1)
	offers := func(n int) func(*speaker.Speaker) bool {
		return func(s *speaker.Speaker) bool { return s.Table().Counts().Services >= n }
	}
	now, err := a.When(t.Context(), offers(0))
	if err != nil {
		t.Fatal(err)
	}
	<-now
	later, err := a.When(t.Context(), offers(2))
	if err != nil {
		t.Fatal(err)
	}
	given, giveUp := context.WithCancel(t.Context())
	never, err := a.When(given, offers(2))
	if err != nil {
		t.Fatal(err)
	}
	a.do(t, local("s1.acme.example"))
	select {
	case <-later:
		t.Fatal("told before it holds")
	default:
	}
	giveUp()
	a.do(t, local("s2.acme.example"))
	<-later
	select {
	case <-never:
		t.Error("somebody who had given up is told")
	default:
	}
}

// Nothing that a router started outlives Run.
func TestRunLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	a.peer(t, b)
	b.peer(t, a)
	a.eventually(t, "is established", established(b.id))
	a.halt()
	b.halt()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}
