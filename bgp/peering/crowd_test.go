package peering

import (
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Behind one peer, one node announces five times what that peer may, and another one its ten services: these arrive,
// over real sessions, and the operator reads whose routes were left out.
func TestANodeBehindAPeerCrowdsOutNobody(t *testing.T) {
	issue := org(t, "acme.example")
	hub, mid := start(t, issue("hub"), 1), start(t, issue("mid"), 2)
	crowd, books := start(t, issue("crowd"), 3), start(t, issue("books"), 4)
	hub.do(t, speaker.PeerSet{Peer: speaker.Peer{Node: mid.id, MaxRoutes: 200}})
	mid.peer(t, hub)
	mid.peer(t, crowd)
	mid.peer(t, books)
	crowd.peer(t, mid)
	books.peer(t, mid)
	for i := range 1000 {
		crowd.do(t, local(bgp.Service(fmt.Sprintf("flood-%d.acme.example", i))))
	}
	hub.eventually(t, "is full", func(sp *speaker.Speaker) bool {
		v, _ := sp.Peer(mid.id)
		return v.Routes.Received == 200
	})
	for i := range 10 {
		books.do(t, local(bgp.Service(fmt.Sprintf("books-%d.acme.example", i))))
	}
	for i := range 10 {
		svc := bgp.Service(fmt.Sprintf("books-%d.acme.example", i))
		hub.eventually(t, "has "+string(svc), func(sp *speaker.Speaker) bool {
			_, ok := sp.Table().Selected(svc)
			return ok
		})
	}
	hub.eventually(t, "says whose routes were left out", func(sp *speaker.Speaker) bool {
		v, _ := sp.Peer(mid.id)
		return v.Routes.Received == 200 && strings.Contains(v.Notice, "most of its routes are acme.example/crowd's")
	})
}
