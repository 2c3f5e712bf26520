package peering

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
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
	mail := r.in.newBox()
	for range 2 {
		if !mail.put(t.Context(), speaker.Restored{}) || r.takeNow(speaker.Restored{}) {
			t.Fatal("an event has overtaken those before it")
		}
	}
	r.turn.Lock()
	if mail.put(t.Context(), speaker.Restored{}); r.takeNow(speaker.Restored{}) {
		t.Fatal("an event was taken while another one is")
	}
	r.drain()
	r.turn.Unlock()
	if !r.takeNow(speaker.Restored{}) {
		t.Error("nobody is at it, and all the same it was left for the loop")
	}
}

// A stream that sends all the time has one message taken where one that sends now and then has one taken too.
func TestStreamsTakeTurns(t *testing.T) {
	in := newInbox()
	noisy, quiet := in.newBox(), in.newBox()
	for i := range boxRoom {
		if !noisy.tryPut(speaker.Received{Conn: 1, Msg: &bgp.Report{Hops: uint8(i)}}) {
			t.Fatal("there is room for more")
		}
	}
	if noisy.tryPut(speaker.Received{Conn: 1}) {
		t.Error("more than its room was taken of one stream")
	}
	if !noisy.tryPut(speaker.Writable{Conn: 1}) {
		t.Error("what is no message was kept waiting")
	}
	quiet.tryPut(speaker.Received{Conn: 2})
	in.take()
	if ev := in.take(); ev.(speaker.Received).Conn != 2 {
		t.Errorf("after one message of the noisy stream came %+v, want the quiet one's", ev)
	}
	for i := range boxRoom - 1 {
		ev := in.take()
		if m := ev.(speaker.Received).Msg.(*bgp.Report); int(m.Hops) != i+1 {
			t.Errorf("message %d of a stream came as number %d", m.Hops, i+1)
		}
	}
}

// Whoever gives up before his turn has come has changed nothing, then or later: a Watch that failed is not
// registered, and an event that was not taken in time is never taken.
func TestACallThatIsGivenUpIsNeverMade(t *testing.T) {
	r := start(t, org(t, "acme.example")("a"), 1)
	busy, entered := make(chan struct{}), make(chan struct{})
	over := make(chan error, 1)
	go func() { over <- r.Query(t.Context(), func(*speaker.Speaker) { close(entered); <-busy }) }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	go func() { _, err := r.Watch(ctx); failed <- err }()
	go func() { failed <- r.Do(ctx, speaker.Drain{On: true}) }()
	cancel()
	for range 2 {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("a call whose caller has given up: %v", err)
		}
	}
	close(busy)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if err := r.Query(t.Context(), func(*speaker.Speaker) {
		if len(r.watchers) != 0 {
			t.Error("the watch that failed is registered")
		}
	}); err != nil {
		t.Fatal(err)
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

// from is a connection of an address.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.address))
}

// Who leaves makes room, and nobody is turned out for him. When there is no room, one of the source with most
// connections goes, and one that has said nothing before one that has.
func TestDoor(t *testing.T) {
	d := door{limit: 4}
	now := time.Now()
	out := map[string]bool{}
	enter := func(address string) *guest {
		return d.enter(from{address: address}, func() { out[address] = true })
	}
	left := enter("10.0.0.1:1")
	d.leave(now, left, true)
	clear(out)
	d.speaks(now, enter("10.0.0.1:2"))
	enter("10.0.0.1:3")
	enter("10.0.0.1:4")
	enter("10.0.0.2:1")
	if len(out) != 0 {
		t.Errorf("%v had to go while there was room", out)
	}
	enter("10.0.0.3:1")
	if len(out) != 1 || !out["10.0.0.1:3"] {
		t.Errorf("%v had to go; want the first of 10.0.0.1 that has said nothing", out)
	}
	enter("10.0.0.4:1")
	if len(out) != 2 || !out["10.0.0.1:4"] || len(d.here) != 4 {
		t.Errorf("%v had to go, %d are here; want the other silent one of 10.0.0.1", out, len(d.here))
	}
}

// A source that begins more handshakes than come to anything is refused before the next, and others are not. One
// whose handshakes succeed is not held back.
func TestHandshakesOfASource(t *testing.T) {
	d := door{limit: 10}
	now := time.Now()
	knock := func(address string, known bool) bool {
		g := d.enter(from{address: address}, func() {})
		ok := d.speaks(now, g)
		d.leave(now, g, ok && known)
		return ok
	}
	for range 10 * knockBurst {
		if !knock("[2001:db8::1]:1", true) {
			t.Fatal("a source whose handshakes succeed was refused")
		}
	}
	refused := 0
	for range 2 * knockBurst {
		if !knock("10.0.0.1:1", false) {
			refused++
		}
	}
	if refused != knockBurst || !knock("10.0.0.2:1", false) {
		t.Errorf("%d of %d were refused of one source, want half of them, and none of another", refused, 2*knockBurst)
	}
	if now = now.Add(time.Second); !knock("10.0.0.1:1", false) {
		t.Error("a second later the source is still refused")
	}
}
