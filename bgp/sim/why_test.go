package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// asks has a node ask a peer why, and returns what it heard, in words.
func asks(n *Net, at, peer bgp.NodeID, svc bgp.Service) string {
	node := n.Node(at)
	node.Heard = nil
	n.Do(at, speaker.Say{Peer: peer, Msg: &bgp.WhyRequest{ID: 7, Service: svc}})
	n.Run(time.Second)
	if len(node.Heard) == 0 {
		return "nothing"
	}
	r := node.Heard[0].Msg.(*bgp.WhyReply)
	if r.Outcome != bgp.WhyAnswered {
		return fmt.Sprintf("outcome %d%+v", r.Outcome, *r)
	}
	return fmt.Sprintf("told %v %q %q; taken %v %q %q %v", r.Told.OK, r.Told.Why, r.Told.Term, r.Taken.OK, r.Taken.Why,
		r.Taken.Term, r.Announced)
}

// A partner asks why it is not told, and why its own is not taken. With consent it hears the rule that decided; without
// consent, the same whatever the name is.
func TestPeersAreAskedWhy(t *testing.T) {
	n := New(1)
	a, b := id("a"), id("b@bravo")
	n.Add(a, func(c *speaker.Config) { c.Explain = speaker.ExplainPeers })
	n.Add(b, nil)
	n.Link(a, b, time.Millisecond)
	only := func(term string, svc string) *filter.Chain {
		return &filter.Chain{Default: filter.Reject, Terms: []filter.Term{
			{Name: term, Match: filter.Match{Services: []string{svc}}, Action: filter.Accept},
		}}
	}
	n.SetPeer(a, speaker.Peer{
		Node: b, Addresses: []string{"b"},
		Export: only("books", "books.acme.example"), Import: only("shop", "shop.bravo.example"),
	})
	n.SetPeer(b, speaker.Peer{Node: a, Export: &filter.Chain{}, Import: &filter.Chain{}})
	n.Announce(a, "books.acme.example", http)
	n.Announce(a, "secret.acme.example", http)
	n.Announce(b, "shop.bravo.example", http)
	n.Announce(b, "toys.bravo.example", http)
	n.Run(3 * time.Second)
	for svc, want := range map[bgp.Service]string{
		"books.acme.example":  `told true "" "books"; taken false "" "" false`,
		"secret.acme.example": `told false "an export rule rejects it" ""; taken false "" "" false`,
		"no.acme.example":     `told false "there is no accepted path to tell of" ""; taken false "" "" false`,
		"shop.bravo.example":  `told false "the best path comes from this peer itself" ""; taken true "" "shop" true`,
		"toys.bravo.example": `told false "there is no accepted path to tell of" ""; ` +
			`taken false "an import rule rejects it" "" true`,
	} {
		if got := asks(n, b, a, svc); got != want {
			t.Errorf("%s: %s\nwant %s", svc, got, want)
		}
	}
	// b explains itself to its own organisation alone: it is not asked, and who asks all the same hears one thing
	if got := asks(n, a, b, "shop.bravo.example"); got != "nothing" {
		t.Errorf("a peer without the capability was asked: %s", got)
	}
	for _, svc := range []bgp.Service{"shop.bravo.example", "no.bravo.example", "secret.bravo.example"} {
		n.Node(a).Heard = nil
		n.Do(b, speaker.Received{Conn: n.Node(b).sp.ConnOf(a), Msg: &bgp.WhyRequest{ID: 9, Service: svc}})
		n.Run(time.Second)
		if h := n.Node(a).Heard; len(h) != 1 || *h[0].Msg.(*bgp.WhyReply) != (bgp.WhyReply{ID: 9}) {
			t.Errorf("%s: %+v, want it declined without a word", svc, h)
		}
	}
}

// Who asks without end is answered so often and no more, and at most as its stream takes it.
func TestQuestionsAreLimited(t *testing.T) {
	n := New(1)
	a, b := id("a"), id("b")
	n.Add(a, nil)
	n.Add(b, nil)
	n.Link(a, b, time.Millisecond)
	n.Peer(a, b, false)
	n.Announce(a, books, http)
	n.Run(3 * time.Second)
	conn := n.Node(a).sp.ConnOf(b)
	for range 1000 {
		for range 3 {
			n.Do(a, speaker.Received{Conn: conn, Msg: &bgp.WhyRequest{ID: 1, Service: books}})
		}
		n.Run(2 * time.Millisecond)
	}
	outcomes := map[bgp.WhyOutcome]int{}
	for _, h := range n.Node(b).Heard {
		outcomes[h.Msg.(*bgp.WhyReply).Outcome]++
	}
	// 200 in a row and 40 a second, for two seconds; no answer waits for a stream that is slow
	if got := outcomes[bgp.WhyAnswered]; got < 200 || got > 300 || outcomes[bgp.WhyTooOften] == 0 {
		t.Errorf("%v, want 200 to 300 answers, and the others refused", outcomes)
	}
	if n.Best(b, books) == "" {
		t.Error("the session is lost")
	}
}
