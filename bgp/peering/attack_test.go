package peering

import (
	"context"
	"flag"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"golang.org/x/time/rate"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/stream"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// A stage is a hub in the middle, two honest peers of it, and the identity of a third that attacks. What one honest
// node announces the other has to hear of through the hub, whatever the attacker does meanwhile.
type stage struct {
	hub, from, to *host
	evil          *identity.Source
	seen          chan bgp.Service // what the listener's consumer was told of
	stall         atomic.Int64     // nanoseconds of the hub's longest step
	round         int
	known         []bgp.Service // what the honest node announces
}

func newStage(t *testing.T, peer speaker.Peer) *stage {
	t.Helper()
	issue := org(t, "acme.example")
	s := &stage{evil: issue("evil"), seen: make(chan bgp.Service, 1024)}
	s.hub = startWith(t, issue("hub"), 1, func(c *Config) {
		c.Observe = func(_ speaker.Event, took time.Duration, _ int) {
			for old := s.stall.Load(); int64(took) > old && !s.stall.CompareAndSwap(old, int64(took)); old = s.stall.Load() {
			}
		}
	})
	s.from, s.to = start(t, issue("from"), 2), start(t, issue("to"), 3)
	for _, h := range []*host{s.from, s.to} {
		s.hub.peer(t, h)
		h.peer(t, s.hub)
	}
	peer.Node = s.evil.Material().Node
	s.hub.do(t, speaker.PeerSet{Peer: peer})
	s.to.eventually(t, "up", established(s.hub.id))
	s.from.eventually(t, "up", established(s.hub.id))
	feed, err := s.to.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for b := range feed.Batches() {
			for _, sel := range b.Changed {
				if len(sel.Tiers) > 0 && sel.Tiers[0][0].Attrs.Origin() == s.from.id {
					s.seen <- sel.Service
				}
			}
		}
	}()
	return s
}

// figures are latencies from the announcement at one node to the consumer at the other.
type figures struct{ median, p99, most time.Duration }

// measure announces so many services, one after the other.
func (s *stage) measure(t *testing.T, n int, atLeast time.Duration) figures {
	t.Helper()
	s.round++
	s.stall.Store(0)
	var all []time.Duration
	start := time.Now()
	for i := 0; i < n || time.Since(start) < atLeast; i++ {
		svc := bgp.Service(fmt.Sprintf("new-%d-%d.acme.example", s.round, i))
		began := time.Now()
		s.from.do(t, local(svc))
		s.known = append(s.known, svc)
		for got := bgp.Service(""); got != svc; {
			select {
			case got = <-s.seen:
			case <-time.After(2 * time.Minute):
				t.Fatalf("%s was not heard of within two minutes", svc)
			}
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	n = len(all)
	return figures{all[n/2], all[n*99/100], all[n-1]}
}

// attacker is a session that keeps the rules just far enough to stay up.
type attacker struct {
	*stream.Stream
	node bgp.NodeID
	wg   sync.WaitGroup
	end  chan error // what its reader ended with
	note chan *bgp.Notification
}

func (s *stage) attack(t *testing.T, caps bgp.Capabilities) *attacker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	x, err := stream.Dial(ctx, s.hub.addr, transport(s.evil.ClientTLS(s.hub.id)))
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{
		Stream: x,
		node:   s.evil.Material().Node,
		end:    make(chan error, 1),
		note:   make(chan *bgp.Notification, 1),
	}
	a.wg.Go(func() {
		for {
			b, err := x.Receive()
			if err != nil {
				x.Close() // so that whoever sends comes back
				a.end <- err
				return
			}
			if m, _ := wire.Decode(b); m != nil {
				if n, ok := m.(*bgp.Notification); ok {
					select {
					case a.note <- n:
					default:
					}
				}
			}
		}
	})
	t.Cleanup(func() { a.Close(); a.wg.Wait() })
	caps.GracefulRestart = 0
	for _, m := range []bgp.Message{&bgp.Open{
		Version:      1,
		Node:         a.node,
		HoldTime:     0,
		BootID:       9,
		Ingress:      "127.0.0.1:1",
		Capabilities: caps,
	}, bgp.Keepalive{}} {
		if err := a.Send(wire.Append(nil, m)); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// routes makes frames that announce n routes of so many bytes of attributes each.
func (a *attacker) routes(n, per, size int, pathIDs bool) [][]byte {
	set := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{a.node}}
	var frames [][]byte
	u := &bgp.Update{}
	flush := func() {
		if len(u.Announced) > 0 {
			frames = append(frames, wire.Append(nil, u))
		}
		u = &bgp.Update{}
	}
	for i := range n {
		own := set
		if size > 0 {
			own.Attestation = fmt.Appendf(make([]byte, 0, size), "%0*d", size, i)
		}
		nlri := bgp.NLRI{Service: bgp.Service(fmt.Sprintf("flood-%d.acme.example", i))}
		if pathIDs {
			nlri = bgp.NLRI{Service: "flood.acme.example", PathID: uint32(i + 1)}
		}
		if g := len(u.Announced) - 1; g >= 0 && size == 0 {
			u.Announced[g].Routes = append(u.Announced[g].Routes, nlri)
		} else {
			u.Announced = append(u.Announced, bgp.Group{Attributes: attr.Append(nil, &own), Routes: []bgp.NLRI{nlri}})
		}
		if (i+1)%per == 0 {
			flush()
		}
	}
	flush()
	return frames
}

// subscriptions makes two SUBSCRIBE frames of as many names as may be, none of which the other has.
func subscriptions() [][]byte {
	var frames [][]byte
	for k := range 2 {
		sub := &bgp.Subscribe{}
		for i := range bgp.MaxSubscriptions {
			sub.Services = append(sub.Services, bgp.Service(fmt.Sprintf("want-%d-%d.acme.example", k, i)))
		}
		sub.Services[0] = bgp.Service(fmt.Sprintf("*.w%d.acme.example", k))
		frames = append(frames, wire.Append(nil, sub))
	}
	return frames
}

// flood sends frames, once or again and again, until it is stopped or the session is over.
func (a *attacker) flood(frames [][]byte, again bool) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	a.wg.Go(func() {
		defer close(done)
		for {
			for _, f := range frames {
				select {
				case <-quit:
					return
				default:
				}
				if a.Send(f) != nil {
					return
				}
			}
			if !again {
				return
			}
		}
	})
	return func() { close(quit); <-done }
}

func heapNow() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

//nolint:gochecknoglobals // a flag
var full = flag.Bool("full", false, "attacks of the size that docs/benchmarks.md gives figures of")

// size is of an attack: small enough for every run, or that of the figures.
func size(small, large int) int {
	if *full {
		return large
	}
	return small
}

// Whatever a peer floods this node with, what an honest peer announces meanwhile is heard of in a moment, and memory
// comes back.
func TestFloodsHoldNobodyUp(t *testing.T) {
	for name, x := range map[string]struct {
		caps   bgp.Capabilities
		again  bool
		frames func(a *attacker) [][]byte
		check  func(t *testing.T, s *stage, a *attacker)
	}{
		"path ids that were not asked for": {
			frames: func(a *attacker) [][]byte { return a.routes(size(20_000, 200_000), 1000, 0, true) },
			check: func(t *testing.T, _ *stage, a *attacker) {
				if n := <-a.note; n.Code != bgp.UpdateMessageError || !strings.Contains(n.Text, "add-path was not asked for") {
					t.Errorf("the session ended with %v", n)
				}
			},
		},
		"subscriptions": {
			caps: bgp.Capabilities{Subscribe: true}, again: true,
			frames: func(*attacker) [][]byte { return subscriptions() },
			check:  func(*testing.T, *stage, *attacker) {},
		},
		"large routes": {
			frames: func(a *attacker) [][]byte { return a.routes(size(2000, 50_000), 8, 29<<10, false) },
			check: func(t *testing.T, s *stage, a *attacker) {
				s.hub.eventually(t, "has said why", func(sp *speaker.Speaker) bool {
					v, _ := sp.Peer(a.node)
					return v.Counters.Rejected[int(rib.RejectSize)] > 0 && v.Routes.Received == 0
				})
			},
		},
		"many routes": {
			frames: func(a *attacker) [][]byte { return a.routes(size(50_000, 900_000), 1000, 0, false) },
			check: func(t *testing.T, s *stage, a *attacker) {
				s.hub.eventually(t, "has them all", func(sp *speaker.Speaker) bool {
					v, _ := sp.Peer(a.node)
					return v.Routes.Received == size(50_000, 900_000)
				})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, speaker.Peer{})
			before := heapNow()
			calm := s.measure(t, size(20, 100), 0)
			a := s.attack(t, x.caps)
			stop := a.flood(x.frames(a), x.again)
			storm := s.measure(t, size(20, 100), time.Duration(size(0, 5))*time.Second)
			stall := time.Duration(s.stall.Load())
			x.check(t, s, a)
			stop()
			during := heapNow()
			a.Close()
			only := func(sp *speaker.Speaker) bool { return sp.Table().Counts().Services == len(s.known) }
			s.hub.eventually(t, "has the honest routes only", only)
			s.to.eventually(t, "has the honest routes only", only)
			t.Logf("announced here, heard there: median %s, p99 %s, most %s; under attack %s, %s, %s; longest step %s; "+
				"heap %d, %d, %d MiB",
				calm.median, calm.p99, calm.most, storm.median, storm.p99, storm.most, stall, before, during, heapNow())
			if storm.most > patience/2 || during-before > size(64, 1024) {
				t.Errorf("an honest route took up to %s, and %d MiB were used", storm.most, during-before)
			}
		})
	}
}

// Somebody opens connections all the time and says nothing; the network of an honest peer is slow. Its handshake is
// not cut off for the others' sake.
func TestEmptyConnectionsKeepNobodyOut(t *testing.T) {
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var opened atomic.Int64
	pace := rate.NewLimiter(3000, 1) // a second: as many as kept a peer away for 24 s before the door was there
	for range 2 * newcomers {
		wg.Go(func() {
			for pace.Wait(ctx) == nil {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", a.addr)
				if err != nil {
					continue
				}
				opened.Add(1)
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = c.Read(make([]byte, 1))
				stop()
				_ = c.Close()
			}
		})
	}
	began := time.Now()
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	b.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: a.id, Addresses: []string{slowly(t, a.addr)}}})
	b.eventually(t, "is established", established(a.id))
	t.Logf("established after %s, while %d empty connections were opened", time.Since(began).Round(time.Millisecond),
		opened.Load())
}

// slowly returns an address in front of another, each way to which takes 50 ms.
func slowly(t *testing.T, address string) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = lis.Close(); wg.Wait() })
	late := func(to, from net.Conn) {
		defer func() { _ = to.Close(); _ = from.Close() }()
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			<-time.After(50 * time.Millisecond)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				_ = in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
			wg.Go(func() { late(out, in) })
			wg.Go(func() { late(in, out) })
		}
	})
	return lis.Addr().String()
}
