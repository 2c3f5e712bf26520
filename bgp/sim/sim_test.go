package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// id is the node NAME of acme.example, or NAME@ORG of ORG.example.
func id(name string) bgp.NodeID {
	name, org, foreign := strings.Cut(name, "@")
	if !foreign {
		org = "acme"
	}
	return bgp.NodeID{Org: bgp.Org(org + ".example"), Name: name}
}

// word is what id reads.
func word(n bgp.NodeID) string {
	if org, _, _ := strings.Cut(string(n.Org), "."); org != "acme" {
		return n.Name + "@" + org
	}
	return n.Name
}

const books = bgp.Service("books.acme.example")

var http = bgp.Attributes{Protocol: bgp.HTTP}

// build starts nodes and peers, given as "a-b b-c"; both sides dial.
func build(t *testing.T, links string) *Net {
	t.Helper()
	n := New(1)
	for _, l := range strings.Fields(links) {
		x, y, _ := strings.Cut(l, "-")
		for _, name := range []string{x, y} {
			if n.Node(id(name)) == nil {
				n.Add(id(name), nil)
			}
		}
		n.Link(id(x), id(y), 5*time.Millisecond)
		n.Peer(id(x), id(y), true)
	}
	n.Run(5 * time.Second)
	return n
}

func (n *Net) want(t *testing.T, at string, svc bgp.Service, via string) {
	t.Helper()
	if got := n.Best(id(at), svc); got != via {
		t.Errorf("%s reaches %s via %q, want %q", at, svc, got, via)
	}
}

func TestLine(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.want(t, "a", books, "self")
	n.want(t, "b", books, "a")
	n.want(t, "c", books, "b")
	path := n.Node(id("c")).Table[books].Tiers[0][0]
	if got := fmt.Sprint(path.Attrs.NodePath); got != "[acme.example/b acme.example/a]" {
		t.Errorf("node path at c is %s", got)
	}
	if path.NextHop != (bgp.NextHop{Node: id("b"), Address: "b:8443"}) {
		t.Errorf("next hop at c is %+v", path.NextHop)
	}
	n.Withdraw(id("a"), books)
	n.Run(time.Second)
	n.want(t, "c", books, "")
}

// A withdrawal in a ring must not leave a ghost that the nodes hand to each other for ever.
func TestRingWithoutGhosts(t *testing.T) {
	n := build(t, "a-b b-c c-d d-a")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.want(t, "b", books, "a")
	n.want(t, "d", books, "a")
	if tiers := n.Node(id("c")).Table[books].Tiers; len(tiers[0]) != 2 {
		t.Errorf("c uses %d paths, want both sides of the ring", len(tiers[0]))
	}
	n.Withdraw(id("a"), books)
	n.Run(time.Second)
	for _, at := range []string{"a", "b", "c", "d"} {
		n.want(t, at, books, "")
		if c := n.Node(id(at)).Speaker().Table().Counts(); c.Paths != 0 {
			t.Errorf("%s still holds %d paths", at, c.Paths)
		}
	}
}

func TestTriangleFailsOver(t *testing.T) {
	n := build(t, "a-b b-c a-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.want(t, "c", books, "a")
	if tiers := n.Node(id("c")).Table[books].Tiers; len(tiers) != 2 || tiers[1][0].Peer != id("b") {
		t.Fatalf("c has no backup by b: %+v", tiers)
	}
	n.Cut(id("a"), id("c"), 10*time.Millisecond)
	n.Run(time.Second)
	n.want(t, "c", books, "b")
	n.Mend(id("a"), id("c"))
	n.Run(time.Minute)
	n.want(t, "c", books, "a")
}

func TestLateJoinerGetsTheWholeTable(t *testing.T) {
	n := build(t, "a-b")
	for i := range 3000 {
		n.Announce(id("a"), bgp.Service(fmt.Sprintf("s%d.acme.example", i)), http)
	}
	n.Run(time.Second)
	n.Add(id("c"), nil)
	n.Link(id("b"), id("c"), time.Millisecond)
	n.Peer(id("c"), id("b"), false)
	n.Run(2 * time.Second)
	if got := len(n.Node(id("c")).Table); got != 3000 {
		t.Errorf("c has %d services, want 3000", got)
	}
	v, _ := n.Node(id("c")).Speaker().Peer(id("b"))
	if !v.EndOfRIB {
		t.Error("c has not seen End-of-RIB")
	}
}

// Announce, withdraw and announce again within one message's way has to end announced, with the last attributes.
func TestFlapWithinOneBatch(t *testing.T) {
	n := build(t, "a-b b-c")
	for i := range 20 {
		n.Announce(id("a"), books, bgp.Attributes{Protocol: bgp.HTTP, Region: fmt.Sprintf("r%d", i)})
		n.Withdraw(id("a"), books)
	}
	n.Announce(id("a"), books, bgp.Attributes{Protocol: bgp.HTTP, Region: "last"})
	n.Run(time.Second)
	if got := n.Node(id("c")).Table[books]; len(got.Tiers) == 0 || got.Tiers[0][0].Attrs.Region != "last" {
		t.Errorf("c has %+v", got)
	}
}

// Two nodes that act at the same moment must not wait for each other.
func TestBothEndsAnnounceAtOnce(t *testing.T) {
	n := build(t, "a-b")
	n.Announce(id("a"), "x.acme.example", http)
	n.Announce(id("b"), "y.acme.example", http)
	n.Run(time.Second)
	n.want(t, "b", "x.acme.example", "a")
	n.want(t, "a", "y.acme.example", "b")
}

// Both dial at once: exactly one stream survives, and both agree which.
func TestCollision(t *testing.T) {
	n := build(t, "a-b")
	for _, at := range []string{"a", "b"} {
		if got := len(n.Node(id(at)).streams); got != 1 {
			t.Errorf("%s has %d streams, want 1", at, got)
		}
		v, _ := n.Node(id(at)).Speaker().Peer(id(map[string]string{"a": "b", "b": "a"}[at]))
		if v.State != fsm.Established || v.Counters.Sessions != 1 {
			t.Errorf("%s is %s after %d sessions", at, v.State, v.Counters.Sessions)
		}
	}
}

func TestSameNodeIDIsNamed(t *testing.T) {
	n := build(t, "a-b")
	// A clone of b connects to a from elsewhere.
	clone := &Node{ID: id("b"), peers: map[bgp.NodeID]speaker.Peer{}, local: map[bgp.Service]bgp.Attributes{}}
	n.start(clone, false)
	clone.peers[id("a")] = speaker.Peer{Node: id("a"), Addresses: []string{"a"}}
	n.step(clone, speaker.PeerSet{Peer: clone.peers[id("a")]})
	n.Run(2 * time.Second)
	if v, _ := n.Node(id("a")).Speaker().Peer(id("b")); v.State != fsm.Established {
		t.Errorf("the first b lost its session: %s", v.State)
	}
	v, _ := clone.sp.Peer(id("a"))
	if !strings.Contains(v.LastError, "two nodes with one id") {
		t.Errorf("the clone is told %q", v.LastError)
	}
}

func TestHoldTimerNoticesASilentPeer(t *testing.T) {
	n := build(t, "a-b b-c a-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Cut(id("a"), id("c"), 0)
	n.Run(80 * time.Second) // it was last heard a few seconds before
	n.want(t, "c", books, "a")
	n.Run(12 * time.Second)
	n.want(t, "c", books, "b")
	v, _ := n.Node(id("c")).Speaker().Peer(id("a"))
	if !strings.Contains(v.LastError, "hold timer expired") && v.State == fsm.Established {
		t.Errorf("c says of a: %s %q", v.State, v.LastError)
	}
}

// A crashed node's routes stay, marked stale, for the time that it asked for, and no longer.
func TestGracefulRestartExpires(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Crash(id("a"))
	n.Run(time.Minute)
	n.want(t, "c", books, "b")
	if !n.Node(id("b")).Table[books].Tiers[0][0].Stale {
		t.Error("b does not mark the route as stale")
	}
	n.Run(61 * time.Second)
	n.want(t, "c", books, "")
}

// What a restarted node does not announce again goes at its End-of-RIB; what it does, never went.
func TestGracefulRestartSweepsAtEndOfRIB(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Announce(id("a"), "gone.acme.example", http)
	n.Run(time.Second)
	n.Crash(id("a"))
	n.Run(time.Second)
	delete(n.Node(id("a")).local, "gone.acme.example")
	n.Restart(id("a"))
	if n.Node(id("a")).Speaker().Publishing() {
		t.Error("a publishes before it has heard its peers")
	}
	for range 100 {
		n.Run(100 * time.Millisecond)
		n.want(t, "c", books, "b")
	}
	n.want(t, "c", "gone.acme.example", "")
	if n.Node(id("b")).Table[books].Tiers[0][0].Stale {
		t.Error("the route is still marked as stale")
	}
	if log := n.Node(id("a")).Log; !slices.Contains(log, "publish: every peer has sent its table") {
		t.Errorf("a did not hold its publication until End-of-RIB: %q", log)
	}
}

// A node in the middle restarts: it must not send End-of-RIB before it has learned the routes again that it passes
// on, or its peers sweep them.
func TestRestartInTheMiddleIsNotNoticed(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Cut(id("a"), id("b"), time.Millisecond) // a comes back to b later than c does
	n.Crash(id("b"))
	n.Run(time.Second)
	n.Restart(id("b"))
	n.Run(2 * time.Second)
	n.Mend(id("a"), id("b"))
	for range 200 {
		n.Run(50 * time.Millisecond)
		n.want(t, "c", books, "b")
	}
	if n.Node(id("c")).Table[books].Tiers[0][0].Stale {
		t.Error("the route is still stale at c")
	}
}

// All nodes restart at once: none waits for the others until the time-out.
func TestAllRestartAtOnce(t *testing.T) {
	n := build(t, "a-b b-c c-a")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	for _, x := range []string{"a", "b", "c"} {
		n.Crash(id(x))
	}
	for _, x := range []string{"a", "b", "c"} {
		n.Restart(id(x))
	}
	n.Run(10 * time.Second)
	n.want(t, "c", books, "a")
}

func TestSecondFailureDuringRestart(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	for range 3 {
		n.Crash(id("a"))
		n.Run(30 * time.Second)
		n.Restart(id("a"))
		n.Run(5 * time.Second)
		n.want(t, "c", books, "b")
	}
	n.Crash(id("a"))
	n.Run(3 * time.Minute)
	n.want(t, "c", books, "")
}

func TestShutdownTextReachesTheOtherOperator(t *testing.T) {
	n := build(t, "a-b")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Do(id("a"), speaker.Shutdown{Text: "maintenance until noon"})
	n.Run(100 * time.Millisecond)
	v, _ := n.Node(id("b")).Speaker().Peer(id("a"))
	if !strings.Contains(v.LastError, "administrative shutdown: maintenance until noon") || !v.Remote {
		t.Errorf("b is told %q", v.LastError)
	}
	n.want(t, "b", books, "") // said on purpose: nothing is kept
}

func TestPeerRemoved(t *testing.T) {
	n := build(t, "a-b b-c")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Do(id("b"), speaker.PeerRemoved{Node: id("a"), Text: "contract ended"})
	n.Run(time.Second)
	n.want(t, "c", books, "")
	v, _ := n.Node(id("a")).Speaker().Peer(id("b"))
	if !strings.Contains(v.LastError, "peer de-configured: contract ended") &&
		!strings.Contains(v.LastError, "not a peer") {
		t.Errorf("a is told %q", v.LastError)
	}
}

func TestMaximumRoutes(t *testing.T) {
	n := build(t, "a-b")
	n.SetPeer(id("b"), speaker.Peer{Node: id("a"), MaxRoutes: 10})
	for i := range 30 {
		n.Announce(id("a"), bgp.Service(fmt.Sprintf("s%d.acme.example", i)), http)
	}
	n.Run(time.Second)
	if got := len(n.Node(id("b")).Table); got != 10 {
		t.Errorf("b took %d routes, want 10", got)
	}
	// Raising the limit recovers what was left out, without a reset.
	n.SetPeer(id("b"), speaker.Peer{Node: id("a"), MaxRoutes: 100})
	n.Run(time.Second)
	if got := len(n.Node(id("b")).Table); got != 30 {
		t.Errorf("b has %d routes after the limit was raised, want 30", got)
	}
	if v, _ := n.Node(id("b")).Speaker().Peer(id("a")); v.Counters.Sessions != 1 {
		t.Errorf("the session was reset: %d sessions", v.Counters.Sessions)
	}
}

func TestDrainMovesTraffic(t *testing.T) {
	n := build(t, "a-b a-c b-d c-d")
	n.Announce(id("a"), books, http)
	n.Run(time.Second)
	n.Do(id("b"), speaker.Drain{On: true})
	n.Run(time.Second)
	sel := n.Node(id("d")).Table[books]
	if len(sel.Tiers) != 2 || sel.Tiers[0][0].Peer != id("c") || sel.Tiers[1][0].Peer != id("b") {
		t.Errorf("d does not prefer c: %+v", sel.Tiers)
	}
}

// Between organisations nothing goes without a rule, and both sides say so.
func TestDefaultDenyBetweenOrganisations(t *testing.T) {
	n := New(1)
	a, b := id("a"), bgp.NodeID{Org: "bravo.example", Name: "b"}
	n.Add(a, nil)
	n.Add(b, nil)
	n.Link(a, b, time.Millisecond)
	n.Peer(a, b, false)
	n.Announce(a, books, http)
	n.Run(time.Second)
	n.want(t, "a", books, "self")
	if got := n.Best(b, books); got != "" {
		t.Errorf("b reaches books via %q without a rule", got)
	}
	for _, side := range []struct{ at, of bgp.NodeID }{{a, b}, {b, a}} {
		v, _ := n.Node(side.at).Speaker().Peer(side.of)
		if v.State != fsm.Established || !strings.Contains(v.Notice, "RFC 8212") {
			t.Errorf("%s says of %s: %s %q", side.at, side.of, v.State, v.Notice)
		}
	}
}
