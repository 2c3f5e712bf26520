package peering

import (
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// What a node says beside routes reaches the peer that reads it, and who reads none says so in its OPEN.
func TestBulletins(t *testing.T) {
	issue := org(t, "acme.example")
	heard := make(chan string, 1)
	a := startWith(t, issue("a"), 1, func(c *Config) {
		c.Bulletin = func(from bgp.NodeID, body []byte) { heard <- from.Name + ": " + string(body) }
	})
	b := start(t, issue("b"), 2)
	b.peer(t, a)
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	b.eventually(t, "session with a", established(a.id))
	b.do(t, speaker.Say{Peer: a.id, Msg: &bgp.Bulletin{Body: []byte("hello")}})
	select {
	case got := <-heard:
		if got != "b: hello" {
			t.Error(got)
		}
	case <-time.After(patience):
		t.Error("a hears nothing")
	}
	if err := b.Query(t.Context(), func(s *speaker.Speaker) {
		if p, _ := s.Peer(a.id); !p.Caps.Bulletins {
			t.Error("a does not say that it reads bulletins")
		}
	}); err != nil {
		t.Error(err)
	}
	if err := a.Query(t.Context(), func(s *speaker.Speaker) {
		if p, _ := s.Peer(b.id); p.Caps.Bulletins {
			t.Error("b says that it reads bulletins")
		}
	}); err != nil {
		t.Error(err)
	}
}
