package peering

import (
	"testing"

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
