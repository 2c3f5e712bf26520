package peering

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// TestFramesAreFoundHoweverTheyAreCut writes frames of all kinds in pieces of all sizes: what is counted is what DATA frames held.
func TestFramesAreFoundHoweverTheyAreCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // a test
	for piece := 1; piece < 60; piece++ {
		var wire bytes.Buffer
		wire.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		want := int64(0)
		for range 200 {
			kind, size := rnd.IntN(10), rnd.IntN(300)
			wire.Write([]byte{0, byte(size >> 8), byte(size), byte(kind), 0, 0, 0, 0, 1})
			wire.Write(make([]byte, size))
			if kind == 0 {
				want += int64(size)
			}
		}
		s, got := frameScan{skip: clientPreface}, int64(0)
		for wire.Len() > 0 {
			got += s.data(wire.Next(1 + rnd.IntN(piece)))
		}
		if got != want {
			t.Fatalf("pieces of up to %d bytes: got %d bytes of DATA, want %d", piece, got, want)
		}
	}
}

// TestFlowsBalance has gRPC itself write between two nodes: when all has been said, what streams were given is what left, at both ends. If
// another gRPC wrote otherwise, nothing would be idle and every message would take the long way.
func TestFlowsBalance(t *testing.T) {
	issue := org(t, "acme.example")
	a, b := start(t, issue("a"), 1), start(t, issue("b"), 2)
	a.peer(t, b)
	b.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: a.id}})
	a.do(t, local("x.acme.example"))
	b.do(t, local("y.acme.example"))
	a.eventually(t, "knows y", knows("y.acme.example"))
	b.eventually(t, "knows x", knows("x.acme.example"))
	for _, h := range []*host{a, b} {
		h.eventually(t, "has nothing under way", func(*speaker.Speaker) bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, c := range h.conns {
				if c.flow == nil || c.flow.given.Load() == 0 || !c.flow.idle() {
					return false
				}
			}
			return len(h.conns) == 1
		})
	}
}

// stubborn is a stream that must not be given anything.
type stubborn struct {
	rawStream
	t *testing.T
}

func (s stubborn) SendMsg(any) error {
	s.t.Error("a message was given to a stream that might have held the loop up")
	return nil
}

// TestOnlyIdleStreamsAreGivenMessagesAtOnce goes through the reasons not to.
func TestOnlyIdleStreamsAreGivenMessagesAtOnce(t *testing.T) {
	for name, c := range map[string]*conn{
		"unknown flow":         {},
		"something waits":      {flow: waiting(1)},
		"its writer is busy":   {flow: waiting(0), writing: true},
		"something before it":  {flow: waiting(0), queue: []bgp.Message{bgp.Keepalive{}}},
		"the end is announced": {flow: waiting(0), last: true},
	} {
		c.stream = stubborn{t: t}
		if c.sendNow(bgp.Keepalive{}) {
			t.Errorf("%s: the message was taken for sent", name)
		}
	}
}

func waiting(n int64) *flow {
	f := &flow{}
	f.given.Add(n)
	return f
}
