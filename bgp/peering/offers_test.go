package peering

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// shelf keeps what KeepOffers gives, and refuses once what names two offerers.
type shelf struct {
	mu      sync.Mutex
	refused bool
	books   map[bgp.Service]rib.Offers
}

func (s *shelf) keep(_ context.Context, all []rib.Offers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	two := func(o rib.Offers) bool { return len(o.Offerers) == 2 }
	if !s.refused && slices.ContainsFunc(all, two) {
		s.refused = true
		return errors.New("the disk is full")
	}
	for _, o := range all {
		s.books[o.Service] = o
	}
	return nil
}

func (s *shelf) of(svc bgp.Service) rib.Offers {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books[svc]
}

func (s *shelf) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// What a router knows of who offers a name is given away to be kept, again where that failed, and what was kept makes
// another process know the newcomer, although that one is heard of first.
func TestOffersAreKept(t *testing.T) {
	const shop = bgp.Service("shop.acme.example")
	issue := org(t, "acme.example")
	onlooker := issue("c")
	hold := func(c *Config) { c.Speaker.HoldNames = true }
	first, second := start(t, issue("a"), 1), start(t, issue("b"), 2)
	c := startWith(t, onlooker, 3, hold)
	books := &shelf{books: map[bgp.Service]rib.Offers{}}
	keeping := make(chan error, 1)
	go func() { keeping <- c.KeepOffers(context.Background(), books.keep) }()

	c.do(t, speaker.Restored{})
	connect := func(h *host) {
		h.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: c.id}})
		c.peer(t, h)
	}
	connect(first)
	first.do(t, local(shop))
	c.eventually(t, "a offers it", knows(shop))
	connect(second)
	second.do(t, local(shop))
	contested := func(s *speaker.Speaker) bool { return s.Table().Contested() == 1 }
	c.eventually(t, "b contests it", contested)
	books.eventually(t, "both are kept", func() bool { return len(books.of(shop).Offerers) == 2 })
	if o := books.of(shop).Offerers; o[0].Node != first.id || !o[0].Agreed || o[1].Node != second.id || o[1].Agreed {
		t.Fatalf("kept: %+v", o)
	}
	c.halt()
	if err := <-keeping; !errors.Is(err, ErrStopped) {
		t.Errorf("after the router has stopped: %v", err)
	}

	c = startWith(t, onlooker, 4, hold)
	c.do(t, speaker.Remember{Offers: books.of(shop)})
	connect(second)
	c.do(t, speaker.Restored{})
	c.eventually(t, "the newcomer comes first, and is one still", contested)
	connect(first)
	c.eventually(t, "whoever was there before wins", func(s *speaker.Speaker) bool {
		all := s.Table().Explain(shop)
		return len(all) == 2 && all[0].Attrs.Origin() == first.id && all[1].Tier > 0
	})
	c.do(t, speaker.Agree{Service: shop, Node: second.id})
	c.eventually(t, "both serve once an operator has agreed", func(s *speaker.Speaker) bool {
		all := s.Table().Explain(shop)
		return s.Table().Contested() == 0 && len(all) == 2 && all[1].Tier == 0
	})
}
