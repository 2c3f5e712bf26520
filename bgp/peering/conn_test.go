package peering

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// stubborn is a stream that must not be given anything.
type stubborn struct{ t *testing.T }

func (s stubborn) TrySend([]byte) bool {
	s.t.Error("a message was given to the stream before what has to go first")
	return true
}
func (s stubborn) Send([]byte) error      { return nil }
func (s stubborn) End(codes.Code, string) {}

// The loop sends nothing itself while something waits for the writer, or the writer has it, or the end was announced.
func TestOnlyIdleStreamsAreGivenMessagesAtOnce(t *testing.T) {
	for name, c := range map[string]*conn{
		"its writer is busy":   {writing: true},
		"something before it":  {queue: []bgp.Message{bgp.Keepalive{}}},
		"the end is announced": {last: true},
	} {
		c.link = stubborn{t: t}
		if c.sendNow(bgp.Keepalive{}) {
			t.Errorf("%s: the message was taken for sent", name)
		}
	}
}

// While something that a reader left for the loop has not been taken, what follows is left for the loop as well.
func TestNothingIsOvertaken(t *testing.T) {
	r := New(Config{Speaker: speaker.Config{Self: bgp.NodeID{Org: "acme.example", Name: "a"}}})
	r.ctx, r.running = t.Context(), true
	for range 2 {
		if !r.post(speaker.Restored{}) || !r.take(speaker.Restored{}) {
			t.Fatal("not taken")
		}
	}
	if len(r.in) != 4 {
		t.Fatalf("%d of 4 events wait", len(r.in))
	}
	first := <-r.in // the loop has taken it out, and has not come to it
	if !r.take(speaker.Restored{}) || len(r.in) != 4 {
		t.Fatal("an event has overtaken those before it")
	}
	r.turn.Lock()
	r.stepPosted(first)
	r.drainPosted()
	r.turn.Unlock()
	if !r.take(speaker.Restored{}) || len(r.in) != 0 {
		t.Error("nobody is at it, and all the same it was left for the loop")
	}
}

// Connections that say nothing are few, however many are opened, and keep no peer out.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	var silent []net.Conn
	for range newcomers + 50 {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		silent = append(silent, c)
	}
	_ = silent[0].SetReadDeadline(time.Now().Add(dialTimeout / 2))
	if _, err := silent[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the one that has waited longest: %v, want it closed", err)
	}
	b.peer(t, a)
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	b.eventually(t, "is established", established(a.id))
}

// Who leaves makes room, and nobody is turned out for him.
func TestDoor(t *testing.T) {
	d := door{limit: 2}
	var out []int
	enter := func(i int) func() {
		ctx, cancel := context.WithCancel(t.Context())
		leave := d.enter(func() {
			if ctx.Err() == nil {
				out = append(out, i)
			}
			cancel()
		})
		return func() { cancel(); leave() }
	}
	enter(1)
	leave := enter(2)
	leave()
	enter(3)
	if len(out) != 0 {
		t.Errorf("%v had to go while there was room", out)
	}
	enter(4)
	if len(out) != 1 || out[0] != 1 || len(d.here) != 2 {
		t.Errorf("%v had to go, %d are here; want the oldest", out, len(d.here))
	}
}
