package peering

import (
	"context"
	"errors"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// A node asks its peer why over a real session; a peer that declines is named, and is not asked.
func TestWhy(t *testing.T) {
	issue := org(t, "acme.example")
	a := start(t, issue("a"), 1)
	b := startWith(t, issue("b"), 2, func(c *Config) { c.Speaker.Explain = speaker.ExplainNobody })
	b.peer(t, a)
	a.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: b.id}})
	b.eventually(t, "session with a", established(a.id))
	a.eventually(t, "session with b", established(b.id))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := b.Why(ctx, a.id, "books.acme.example")
	if err != nil || r.Told.Why != "there is no accepted path to tell of" || r.Announced {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := a.Why(ctx, b.id, "books.acme.example"); !errors.Is(err, ErrDeclines) {
		t.Errorf("a peer that declines: %v", err)
	}
	if _, err := b.Why(ctx, bgp.NodeID{Org: "acme.example", Name: "d"}, "books.acme.example"); err == nil {
		t.Error("a node that is no peer answers")
	}
}
