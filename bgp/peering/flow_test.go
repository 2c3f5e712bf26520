package peering

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// bubble is a router whose peer is the test itself, in a bubble with a clock of its own: what is done without waiting
// takes no time at all there.
type bubble struct {
	r      *Router
	peer   bgp.NodeID
	stream grpc.ClientStream
}

// inBubble runs a test against a router that has an established session with it.
func inBubble(t *testing.T, change func(*Config), test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		issue := org(t, "acme.example")
		src, evil := issue("a"), issue("b")
		lis := bufconn.Listen(64 << 10)
		cfg := Config{
			Speaker:  speaker.Config{Self: src.Material().Node, BootID: 1, Ingress: "127.0.0.1:1", GracefulRestart: time.Minute},
			Identity: src,
			Log:      slog.New(slog.DiscardHandler),
		}
		if change != nil {
			change(&cfg)
		}
		b := &bubble{r: New(cfg), peer: evil.Material().Node}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.r.Run(ctx, lis) }()
		b.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.peer}})
		cc, err := grpc.NewClient("passthrough:///a",
			grpc.WithTransportCredentials(credentials.NewTLS(evil.ClientTLS(src.Material().Node))),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
		if err != nil {
			t.Fatal(err)
		}
		if b.stream, err = cc.NewStream(ctx, &grpc.StreamDesc{
			StreamName:    "Session",
			ServerStreams: true,
			ClientStreams: true,
		}, method); err != nil {
			t.Fatal(err)
		}
		say(t, b.stream, &bgp.Open{Version: 1, Node: b.peer, HoldTime: 90 * time.Second})
		say(t, b.stream, bgp.Keepalive{})
		hear(t, b.stream, func(m bgp.Message) bool { u, ok := m.(*bgp.Update); return ok && u.Marker == bgp.EndOfRIB })
		test(t, b)
		_ = cc.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

func (b *bubble) do(t *testing.T, ev speaker.Event) {
	t.Helper()
	if err := b.r.Do(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
}

// A change goes out as soon as it is there: not one nanosecond is spent on waiting for more of them.
func TestNothingIsDebounced(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		for i := range 100 {
			began := time.Now()
			b.do(t, local(bgp.Service(fmt.Sprintf("s%d.acme.example", i))))
			m := hear(t, b.stream, func(m bgp.Message) bool { _, ok := m.(*bgp.Update); return ok })
			if took := time.Since(began); took > 0 || len(m.(*bgp.Update).Announced) != 1 {
				t.Fatalf("change %d took %s on an idle machine: %+v", i, took, m)
			}
		}
	})
}

// One bad route costs itself alone, by degree (RFC 7606): an optional attribute is dropped, a route is withdrawn, and
// only a frame that is none ends the session. Each is counted by kind and kept with its bytes, and the other operator
// reads what was wrong.
func TestMalformedByDegreeInASession(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		group := func(name bgp.Service, change func(*bgp.Attributes)) bgp.Group {
			a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{b.peer}}
			change(&a)
			return bgp.Group{Attributes: attr.Append(nil, &a), Routes: []bgp.NLRI{{Service: name}}}
		}
		fine := func(*bgp.Attributes) {}
		say(t, b.stream, &bgp.Update{
			Announced: []bgp.Group{group("odd.acme.example", fine), group("gone.acme.example", fine)},
		})
		say(t, b.stream, &bgp.Update{Announced: []bgp.Group{
			group("fine.acme.example", fine),
			group("odd.acme.example", func(a *bgp.Attributes) { a.Weight = 5000 }),
			group("gone.acme.example", func(a *bgp.Attributes) { a.Protocol = 99 }),
			group("also-fine.acme.example", fine),
		}})
		synctest.Wait()
		got := map[bgp.Service]bool{}
		var v speaker.PeerView
		look := func() {
			clear(got)
			if err := b.r.Query(t.Context(), func(s *speaker.Speaker) {
				s.Table().Scan(0, 100, func(sel rib.Selected) { got[sel.Service] = true })
				v, _ = s.Peer(b.peer)
			}); err != nil {
				t.Fatal(err)
			}
		}
		look()
		if len(got) != 3 || got["gone.acme.example"] || v.State != fsm.Established {
			t.Errorf("%v are left of a session that is %s", got, v.State)
		}
		degrees := map[speaker.Degree]int{}
		for _, f := range v.Faults {
			degrees[f.Degree]++
			if len(f.Bytes) == 0 || f.Reason == "" {
				t.Errorf("kept without its bytes or reason: %+v", f)
			}
		}
		if degrees[speaker.AttributeDropped] != 1 || degrees[speaker.TreatedAsWithdrawn] != 1 || v.Counters.Malformed != 2 {
			t.Errorf("faults %v, %d in sum", degrees, v.Counters.Malformed)
		}
		if err := b.stream.SendMsg(&rawFrame{b: []byte("\xff\xff garbage")}); err != nil {
			t.Fatal(err)
		}
		if n := hear(t, b.stream, isNotification).(*bgp.Notification); n.Code != bgp.MessageHeaderError {
			t.Errorf("told %v", n)
		}
		look()
		if v.State == fsm.Established || v.Counters.Faults[speaker.FaultKind{Degree: speaker.SessionReset}] != 1 {
			t.Errorf("after a frame that is none it is %s: %v", v.State, v.Counters.Faults)
		}
	})
}

// A peer that sends faster than this node works is pushed back: what is read and not yet taken is bounded by a number
// of messages and a window of bytes, and when the node comes to it, all of it is taken.
func TestFloodIsPushedBack(t *testing.T) {
	var taken atomic.Int64
	observe := func(c *Config) {
		c.Observe = func(ev speaker.Event, _ time.Duration, _ int) {
			if r, ok := ev.(speaker.Received); ok {
				if u, ok := r.Msg.(*bgp.Update); ok && len(u.Announced) > 0 {
					taken.Add(1)
				}
			}
		}
	}
	inBubble(t, observe, func(t *testing.T, b *bubble) {
		const flood = 3000
		blocked := make(chan struct{})
		busy := make(chan error, 1)
		go func() { busy <- b.r.Query(t.Context(), func(*speaker.Speaker) { <-blocked }) }()
		synctest.Wait()
		var sent atomic.Int64
		size := 0
		go func() {
			for i := range flood {
				set := attr.Append(nil, &bgp.Attributes{
					Protocol:    bgp.HTTP,
					NodePath:    []bgp.NodeID{b.peer},
					Attestation: []byte(strings.Repeat("x", 30_000)),
				})
				u := &bgp.Update{
					Announced: []bgp.Group{{
						Attributes: set,
						Routes:     []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i%10))}},
					}},
				}
				size = len(set)
				if b.stream.SendMsg(&rawFrame{b: encode(u)}) != nil {
					return
				}
				sent.Add(1)
			}
		}()
		<-time.After(10 * time.Second) // what is only put off comes by then
		synctest.Wait()                // until nothing moves any more
		const window = 1 << 20         // of bgp/stream
		most := int64(boxRoom + 4*window/size + 10)
		if n := sent.Load(); n < boxRoom || n > most {
			t.Errorf("%d messages are taken from a peer while nobody works on them, want %d to %d", n, boxRoom, most)
		}
		close(blocked)
		if err := <-busy; err != nil {
			t.Fatal(err)
		}
		for range 1000 { // its first messages count as those of somebody who sends little, for whom it is put off a little
			if synctest.Wait(); taken.Load() == flood {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		if sent.Load() != flood || taken.Load() != flood {
			t.Errorf("%d are sent and %d taken in the end, want %d", sent.Load(), taken.Load(), flood)
		}
	})
}

// A peer that sends and takes nothing any more loses its session after two hold times, and its stream with it, though
// its side stays open.
func TestAStuckStreamEnds(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		for i := range 5000 { // more than the stream's windows
			ev := local(bgp.Service(fmt.Sprintf("s%d.acme.example", i)))
			ev.Attributes.Attestation = []byte(strings.Repeat("x", 200))
			b.do(t, ev)
		}
		streams := func() int {
			b.r.mu.Lock()
			defer b.r.mu.Unlock()
			return len(b.r.conns)
		}
		began := time.Now()
		for streams() > 0 && time.Since(began) < 10*time.Minute {
			time.Sleep(10 * time.Second) // of the bubble's clock
			_ = b.stream.SendMsg(&rawFrame{b: encode(bgp.Keepalive{})})
			synctest.Wait()
		}
		if took := time.Since(began); took < 2*90*time.Second || took > 2*90*time.Second+15*time.Second {
			t.Errorf("%d streams are left after %s", streams(), took)
		}
	})
}

// Keepalives, and all that is said about the session itself, go ahead of the UPDATEs that wait; those keep their order.
func TestKeepalivesGoAheadOfBulk(t *testing.T) {
	c := newConn(nil)
	updates := []*bgp.Update{{Marker: bgp.BeginOfRefresh}, {}, {Marker: bgp.EndOfRefresh}}
	for _, u := range updates {
		c.send(u)
	}
	c.send(bgp.Keepalive{})
	c.send(&bgp.Refresh{})
	batch, _ := c.next()
	if _, ok := batch[0].(bgp.Keepalive); !ok || len(batch) != 5 {
		t.Fatalf("%T is first of %d", batch[0], len(batch))
	}
	if _, ok := batch[1].(*bgp.Refresh); !ok {
		t.Errorf("%T is second", batch[1])
	}
	for i, u := range updates {
		if batch[2+i] != bgp.Message(u) {
			t.Errorf("UPDATE %d is not where it was", i)
		}
	}
}
