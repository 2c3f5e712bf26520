package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

func id(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }

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
		if v.State != fsm.Established {
			t.Errorf("%s is %s", at, v.State)
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

// A node in the middle restarts: it must not send End-of-RIB before it has learned the routes again that it passes on, or its
// peers sweep them.
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
	if !strings.Contains(v.LastError, "peer de-configured: contract ended") && !strings.Contains(v.LastError, "not a peer") {
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

// After any storm of cuts and crashes, every node's tables agree with the graph as an onlooker sees it, and every peer holds
// exactly what the other's books say that it was sent.
func TestStormsHeal(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { storm(t, seed, 30) })
	}
}

func storm(t *testing.T, seed uint64, size int) {
	rnd := rand.New(rand.NewPCG(seed, 9))
	n := New(seed)
	var nodes []bgp.NodeID
	var edges [][2]bgp.NodeID
	for i := range size {
		nodes = append(nodes, id(fmt.Sprintf("n%03d", i)))
		n.Add(nodes[i], nil)
		for range min(i, 2) {
			other := nodes[rnd.IntN(i)]
			if n.links[pair(nodes[i], other)] == nil {
				n.Link(nodes[i], other, time.Duration(1+rnd.IntN(50))*time.Millisecond)
				n.Peer(nodes[i], other, rnd.IntN(2) == 0)
				edges = append(edges, [2]bgp.NodeID{nodes[i], other})
			}
		}
	}
	origins := map[bgp.Service]bgp.NodeID{}
	for i := range 40 {
		svc := bgp.Service(fmt.Sprintf("s%d.acme.example", i))
		origins[svc] = nodes[rnd.IntN(size)]
		n.Announce(origins[svc], svc, http)
	}
	for range 60 {
		n.Run(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		e := edges[rnd.IntN(len(edges))]
		switch rnd.IntN(5) {
		case 0:
			n.Cut(e[0], e[1], time.Duration(1+rnd.IntN(100))*time.Millisecond)
		case 1:
			n.Mend(e[0], e[1])
		case 2:
			if n.Node(e[0]).up {
				n.Crash(e[0])
			}
		case 3:
			if !n.Node(e[0]).up {
				n.Restart(e[0])
			}
		case 4:
			for svc, at := range origins {
				if n.Node(at).up {
					n.Withdraw(at, svc)
					n.Announce(at, svc, http)
					break
				}
			}
		}
	}
	for _, e := range edges {
		n.Mend(e[0], e[1])
	}
	for _, at := range nodes {
		if !n.Node(at).up {
			n.Restart(at)
		}
	}
	n.Run(5 * time.Minute)
	checkAgainstGraph(t, n, nodes, edges, origins)
	checkBooks(t, n, nodes)
}

// checkAgainstGraph compares every node's best path length with the shortest way in the graph.
func checkAgainstGraph(t *testing.T, n *Net, nodes []bgp.NodeID, edges [][2]bgp.NodeID, origins map[bgp.Service]bgp.NodeID) {
	t.Helper()
	near := map[bgp.NodeID][]bgp.NodeID{}
	for _, e := range edges {
		near[e[0]] = append(near[e[0]], e[1])
		near[e[1]] = append(near[e[1]], e[0])
	}
	for svc, origin := range origins {
		hops := map[bgp.NodeID]int{origin: 0}
		for todo := []bgp.NodeID{origin}; len(todo) > 0; todo = todo[1:] {
			for _, next := range near[todo[0]] {
				if _, seen := hops[next]; !seen {
					hops[next] = hops[todo[0]] + 1
					todo = append(todo, next)
				}
			}
		}
		for _, at := range nodes {
			sel, ok := n.Node(at).Table[svc]
			if !ok {
				t.Fatalf("%s has no route to %s of %s", at.Name, svc, origin.Name)
			}
			if got := len(sel.Tiers[0][0].Attrs.NodePath); got != hops[at] {
				t.Fatalf("%s reaches %s in %d hops, the graph allows %d", at.Name, svc, got, hops[at])
			}
		}
	}
}

// checkBooks compares each Adj-RIB-Out with the Adj-RIB-In at its other end.
func checkBooks(t *testing.T, n *Net, nodes []bgp.NodeID) {
	t.Helper()
	for _, at := range nodes {
		for _, v := range n.Node(at).Speaker().Peers() {
			sent, got := map[bgp.Service]string{}, map[bgp.Service]string{}
			from, to := n.Node(at).sp, n.Node(v.Config.Node).sp
			out, _ := from.PeerID(v.Config.Node)
			in, _ := to.PeerID(at)
			from.Table().AdvertisedTo(out, func(s bgp.Service, a bgp.Attributes) bool { sent[s] = fmt.Sprint(a); return true })
			to.Table().Announced(in, func(s bgp.Service, c rib.Candidate) bool { got[s] = fmt.Sprint(c.Attrs); return true })
			if fmt.Sprint(sent) != fmt.Sprint(got) {
				t.Fatalf("%s sent %s\n%v\nwhich holds\n%v", at.Name, v.Config.Node.Name, sent, got)
			}
		}
	}
}
