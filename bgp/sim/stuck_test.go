package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// wedge lets a node do nothing, but for a part of it that goes on sending keepalives: the worst kind of peer, since
// nobody's hold timer notices it.
func (n *Net) wedge(reader, writer bgp.NodeID, d time.Duration) {
	node := n.Node(reader)
	node.up = false
	n.Stall(reader, writer, true)
	for end := n.Now.Add(d); n.Now.Before(end); n.Run(min(10*time.Second, end.Sub(n.Now))) {
		for _, s := range node.ordered() {
			n.send(node, speaker.Send{Conn: s.id, Msg: bgp.Keepalive{}})
		}
	}
}

// unwedge lets it go on.
func (n *Net) unwedge(reader, writer bgp.NodeID) {
	node := n.Node(reader)
	node.up = true
	n.Stall(reader, writer, false)
	n.arm(node)
}

// One of 20 peers is stuck. The others are told as fast as ever, nothing is queued for it but its credits and the set
// of what changed, it is exact as soon as it goes on, and if it does not, it is dropped after two hold times (RFC
// 9687) and exact when it comes back.
func TestStuckReader(t *testing.T) {
	n := New(1)
	hub, stuck := id("hub"), id("p00")
	n.Add(hub, nil)
	for i := range 20 {
		peer := id(fmt.Sprintf("p%02d", i))
		n.Add(peer, nil)
		n.Link(hub, peer, time.Millisecond)
		n.Peer(peer, hub, false)
	}
	n.Run(5 * time.Second)
	const services = 300
	churn := func(round int) {
		for i := range services {
			svc := bgp.Service(fmt.Sprintf("s%d.acme.example", i))
			if (i+round)%10 == 0 {
				n.Withdraw(hub, svc)
			} else {
				n.Announce(hub, svc, bgp.Attributes{Protocol: bgp.HTTP, Region: fmt.Sprint(round)})
			}
		}
	}
	// holds tells how many services of a round a node holds.
	holds := func(at bgp.NodeID, round int) (current int) {
		for _, sel := range n.Node(at).Table {
			if sel.Tiers[0][0].Attrs.Region == fmt.Sprint(round) {
				current++
			}
		}
		return current
	}
	exact := func(at bgp.NodeID, round int) {
		t.Helper()
		if got, all := holds(at, round), len(n.Node(at).Table); got != services*9/10 || all != got {
			t.Errorf("round %d: %s holds %d services, %d of them of this round, want %d", round, at.Name, all, got,
				services*9/10)
		}
	}
	churn(0)
	n.Run(time.Second)
	n.wedge(stuck, hub, time.Second)
	for round := 1; round <= 20; round++ {
		churn(round)
		n.Run(20 * time.Millisecond) // ten times the way there
		for i := 1; i < 20; i++ {
			exact(id(fmt.Sprintf("p%02d", i)), round)
		}
	}
	v, _ := n.Node(hub).Speaker().Peer(stuck)
	if queued := queuedTo(n.Node(hub), stuck); v.State != fsm.Established || v.Pending > services || queued > 4 {
		t.Errorf("the stuck one is %s, %d services wait in %d messages, want at most %d in 4", v.State, v.Pending, queued,
			services)
	}
	n.unwedge(stuck, hub)
	n.Run(time.Second)
	exact(stuck, 20)
	v, _ = n.Node(hub).Speaker().Peer(stuck)
	if v.Counters.Sessions != 1 {
		t.Errorf("%d sessions, want the first to stand", v.Counters.Sessions)
	}

	// Again, and for longer than two hold times.
	n.wedge(stuck, hub, time.Second)
	for round := 21; round <= 30; round++ {
		churn(round)
		n.Run(20 * time.Millisecond)
	}
	n.wedge(stuck, hub, 2*bgp.DefaultHoldTime-5*time.Second)
	if v, _ = n.Node(hub).Speaker().Peer(stuck); v.State != fsm.Established {
		t.Errorf("dropped before two hold times: %s", v.LastError)
	}
	n.wedge(stuck, hub, 5*time.Second)
	v, _ = n.Node(hub).Speaker().Peer(stuck)
	if v.State == fsm.Established || !strings.Contains(v.LastError, "send hold timer expired") {
		t.Errorf("after two hold times it is %s: %s", v.State, v.LastError)
	}
	n.unwedge(stuck, hub)
	n.Run(time.Minute)
	for i := range 20 {
		exact(id(fmt.Sprintf("p%02d", i)), 30)
	}
}

// queuedTo counts the UPDATEs under way from a node to another.
func queuedTo(from *Node, to bgp.NodeID) (all int) {
	for _, s := range from.streams {
		if s.to.ID == to {
			all += s.updates
		}
	}
	return all
}
