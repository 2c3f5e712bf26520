package sim

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// The size of the storms; make storms has 200 speakers.
//
//nolint:gochecknoglobals // flags
var (
	stormNodes = flag.Int("nodes", 30, "speakers of a storm")
	stormFirst = flag.Uint64("seed", 0, "first seed")
	stormSeeds = flag.Uint64("seeds", 4, "how many seeds")
)

// After any storm of cuts, partitions, crashes and flaps, every node's tables agree with those of an onlooker that
// sees the whole graph, and every peer holds exactly what the other's books say that it was sent.
func TestStormsHeal(t *testing.T) {
	for i := range *stormSeeds {
		seed := *stormFirst + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newStorm(seed, *stormNodes)
			for range 2 * *stormNodes {
				s.n.Run(time.Duration(s.rnd.IntN(2000)) * time.Millisecond)
				s.blow()
			}
			blown := s.n.Steps
			s.heal()
			t.Logf("%d steps in %s, %d more to heal", blown, s.n.Now.Sub(time.Unix(1_700_000_000, 0)).Round(time.Second),
				s.n.Steps-blown)
			s.checkQuiet(t)
			s.checkTables(t)
			s.checkBooks(t)
		})
	}
}

// storm is a network and the one that sees all of it.
type storm struct {
	n        *Net
	rnd      *rand.Rand
	nodes    []bgp.NodeID
	edges    []edge
	services []bgp.Service
}

// edge is a link; hub tells that its first end reflects to its second.
type edge struct {
	a, b bgp.NodeID
	hub  bool
}

// newStorm builds a network: of each ten nodes, six are clients of two hubs, which are peers of each other, and the
// rest transit nodes, all linked at random, so that there are ways around anything.
func newStorm(seed uint64, size int) *storm {
	s := &storm{n: New(seed), rnd: rand.New(rand.NewPCG(seed, 9))}
	for i := range size {
		s.nodes = append(s.nodes, id(fmt.Sprintf("n%03d", i)))
		s.n.Add(s.nodes[i], nil)
	}
	for i := range size {
		first := i - i%10
		switch kind := i % 10; {
		case i == 0:
		case kind >= 4: // a client, of one hub or both, and some with a way of its own
			s.link(s.nodes[first], s.nodes[i], true)
			if s.rnd.IntN(3) > 0 {
				s.link(s.nodes[first+1], s.nodes[i], true)
			}
			if s.rnd.IntN(4) == 0 {
				s.link(s.nodes[i], s.nodes[s.rnd.IntN(i)], false)
			}
		case kind == 1:
			s.link(s.nodes[i], s.nodes[first], false)
			s.link(s.nodes[i], s.nodes[s.rnd.IntN(first+1)], false)
		default:
			for range 2 {
				s.link(s.nodes[i], s.nodes[s.rnd.IntN(i)], false)
			}
		}
	}
	for i := range min(size, 40) {
		s.services = append(s.services, bgp.Service(fmt.Sprintf("s%d.acme.example", i)))
		for range 1 + i%2 {
			s.n.Announce(s.any(), s.services[i], http)
		}
	}
	return s
}

func (s *storm) link(a, b bgp.NodeID, hub bool) {
	if a == b || s.n.links[pair(a, b)] != nil {
		return
	}
	s.n.Link(a, b, time.Duration(1+s.rnd.IntN(50))*time.Millisecond)
	s.n.Peer(a, b, s.rnd.IntN(2) == 0)
	if hub {
		p := s.n.Node(a).peers[b]
		p.Client = true
		s.n.SetPeer(a, p)
	}
	s.edges = append(s.edges, edge{a, b, hub})
}

func (s *storm) any() bgp.NodeID { return s.nodes[s.rnd.IntN(len(s.nodes))] }

// blow does one thing that may go wrong.
func (s *storm) blow() {
	n, e := s.n, s.edges[s.rnd.IntN(len(s.edges))]
	node := n.Node(e.a)
	switch s.rnd.IntN(13) {
	case 0:
		n.Cut(e.a, e.b, time.Duration(1+s.rnd.IntN(100))*time.Millisecond)
	case 1: // nobody is told: what is sent is lost until it is mended
		n.Cut(e.a, e.b, 0)
	case 2, 3:
		n.Mend(e.a, e.b)
	case 4:
		if node.up {
			n.Crash(e.a)
		}
	case 5, 6:
		if !node.up {
			node.fresh = s.rnd.IntN(3) == 0
			n.Restart(e.a)
		}
	case 7:
		s.flap(s.services[s.rnd.IntN(len(s.services))])
	case 8:
		n.Jitter(e.a, e.b, time.Duration(s.rnd.IntN(500))*time.Millisecond)
	case 9:
		if node.up {
			n.Stall(e.b, e.a, s.rnd.IntN(2) == 0)
		}
	case 10: // a partition, of which half is noticed
		side := map[bgp.NodeID]bool{}
		for _, at := range s.nodes {
			side[at] = s.rnd.IntN(8) == 0
		}
		for _, e := range s.edges {
			if side[e.a] != side[e.b] {
				n.Cut(e.a, e.b, time.Duration(s.rnd.IntN(2))*time.Millisecond)
			}
		}
	case 11:
		if node.up {
			n.Do(e.a, speaker.Drain{On: s.rnd.IntN(2) == 0})
		}
	case 12:
		if node.up && s.rnd.IntN(2) == 0 {
			n.Do(e.a, speaker.PeerReset{Node: e.b, Text: "storm"})
		} else if node.up {
			n.Do(e.a, speaker.PeerRefresh{Node: e.b})
		}
	}
}

// flap lets a service come and go faster than it is told, and perhaps move.
func (s *storm) flap(svc bgp.Service) {
	at := s.any()
	for range 1 + s.rnd.IntN(5) {
		if !s.n.Node(at).up {
			return
		}
		if _, has := s.n.Node(at).local[svc]; has {
			s.n.Withdraw(at, svc)
		} else {
			s.n.Announce(at, svc, bgp.Attributes{Protocol: bgp.HTTP, Region: fmt.Sprint(s.rnd.IntN(3))})
		}
		s.n.Run(time.Duration(s.rnd.IntN(20)) * time.Millisecond)
	}
}

// heal mends all that is broken and lets the network come to rest.
func (s *storm) heal() {
	for _, e := range s.edges {
		s.n.Mend(e.a, e.b)
		s.n.Jitter(e.a, e.b, 0)
		for _, side := range [][2]bgp.NodeID{{e.a, e.b}, {e.b, e.a}} {
			if s.n.Node(side[1]).up {
				s.n.Stall(side[0], side[1], false)
			}
		}
	}
	for _, at := range s.nodes {
		if !s.n.Node(at).up {
			s.n.Restart(at)
		}
		s.n.Do(at, speaker.Drain{On: false})
	}
	s.n.Run(6 * time.Minute)
}

// checkQuiet wants each session up, nothing under way, nothing stale, and nothing sent any more.
func (s *storm) checkQuiet(t *testing.T) {
	t.Helper()
	for _, e := range s.edges {
		for tries := 0; !s.n.Quiet(e.a, e.b); tries++ { // a keepalive may be under way
			if s.n.Run(100 * time.Millisecond); tries == 20 {
				t.Errorf("something waits between %s and %s", e.a.Name, e.b.Name)
				break
			}
		}
		for _, side := range [][2]bgp.NodeID{{e.a, e.b}, {e.b, e.a}} {
			if v, _ := s.n.Node(side[0]).sp.Peer(side[1]); v.State != fsm.Established || !v.EndOfRIB || v.Routes.Stale > 0 {
				t.Errorf("%s→%s is %s, end of RIB %v, %d stale: %s", side[0].Name, side[1].Name, v.State, v.EndOfRIB,
					v.Routes.Stale, v.LastError)
			}
		}
	}
	before := s.sent()
	s.n.Run(2 * time.Minute)
	if more := s.sent() - before; more > 0 {
		t.Errorf("%d routes are sent in a network at rest", more)
	}
}

// sent counts the routes that all nodes have announced and withdrawn.
func (s *storm) sent() (all uint64) {
	for _, at := range s.nodes {
		for _, v := range s.n.Node(at).sp.Peers() {
			all += v.Counters.AnnouncedOut + v.Counters.WithdrawnOut
		}
	}
	return all
}

// way is a route as the onlooker sees it.
type way struct {
	from bgp.NodeID   // the peer that announced it; the node itself for its own
	path []bgp.NodeID // the node's own services have none
	hubs []bgp.NodeID
}

func (w *way) text() string {
	return fmt.Sprintf("from %s by %v, hubs %v", w.from.Name, w.path, w.hubs)
}

// better is the ladder, as far as routes in a storm differ.
func (w *way) better(o *way) bool {
	switch {
	case len(w.path) != len(o.path):
		return len(w.path) < len(o.path)
	case len(w.hubs) != len(o.hubs):
		return len(w.hubs) < len(o.hubs)
	}
	return w.from.Compare(o.from) < 0
}

// graph is what the onlooker knows: who is whose peer, and who reflects to whom.
type graph struct {
	peers   map[bgp.NodeID][]bgp.NodeID
	clients map[[2]bgp.NodeID]bool // hub, client
	hubs    map[bgp.NodeID]bool
}

func (s *storm) graph() *graph {
	g := &graph{peers: map[bgp.NodeID][]bgp.NodeID{}, clients: map[[2]bgp.NodeID]bool{}, hubs: map[bgp.NodeID]bool{}}
	for _, e := range s.edges {
		g.peers[e.a] = append(g.peers[e.a], e.b)
		g.peers[e.b] = append(g.peers[e.b], e.a)
		if e.hub {
			g.clients[[2]bgp.NodeID{e.a, e.b}] = true
			g.hubs[e.a] = true
		}
	}
	return g
}

// told is what a node whose best way is w tells a peer; nil for nothing.
func (g *graph) told(at, to bgp.NodeID, w *way) *way {
	if w == nil || w.from == to || slices.Contains(w.path, to) {
		return nil
	}
	own := w.from == at
	if own || !g.hubs[at] {
		if !own && g.clients[[2]bgp.NodeID{w.from, at}] && g.clients[[2]bgp.NodeID{to, at}] {
			return nil // hubs tell each other
		}
		return &way{at, append([]bgp.NodeID{at}, w.path...), nil}
	}
	if !g.clients[[2]bgp.NodeID{at, w.from}] && !g.clients[[2]bgp.NodeID{at, to}] ||
		g.clients[[2]bgp.NodeID{w.from, at}] && g.clients[[2]bgp.NodeID{to, at}] {
		return nil
	}
	return &way{at, w.path, append([]bgp.NodeID{at}, w.hubs...)}
}

// solve lets routes spread over the graph in rounds until nothing changes, and returns each node's best.
func (g *graph) solve(origins map[bgp.NodeID]bool, nodes []bgp.NodeID) map[bgp.NodeID]*way {
	best := map[bgp.NodeID]*way{}
	for {
		next := map[bgp.NodeID]*way{}
		for _, at := range nodes {
			if origins[at] {
				next[at] = &way{from: at}
				continue
			}
			for _, peer := range g.peers[at] {
				w := g.told(peer, at, best[peer])
				if w != nil && !slices.Contains(w.hubs, at) && (next[at] == nil || w.better(next[at])) {
					next[at] = w
				}
			}
		}
		same := maps.EqualFunc(best, next, func(a, b *way) bool { return a.text() == b.text() })
		if best = next; same {
			return best
		}
	}
}

// checkTables compares every node's best path of every service with the onlooker's.
func (s *storm) checkTables(t *testing.T) {
	t.Helper()
	g := s.graph()
	for _, svc := range s.services {
		origins := map[bgp.NodeID]bool{}
		for _, at := range s.nodes {
			if _, ok := s.n.Node(at).local[svc]; ok {
				origins[at] = true
			}
		}
		for at, best := range g.solve(origins, s.nodes) {
			sel, ok := s.n.Node(at).Table[svc]
			if !ok {
				t.Errorf("%s does not reach %s, which it can: %s", at.Name, svc, best.text())
				continue
			}
			p := &sel.Tiers[0][0]
			if got := (&way{p.Peer, p.Attrs.NodePath, p.Attrs.ClusterList}).text(); got != best.text() {
				t.Errorf("%s reaches %s %s, best is %s", at.Name, svc, got, best.text())
			}
		}
		reached := len(g.solve(origins, s.nodes))
		for _, at := range s.nodes {
			if _, ok := s.n.Node(at).Table[svc]; ok {
				reached--
			}
		}
		if reached < 0 {
			t.Errorf("%d nodes have a route to %s that leads nowhere", -reached, svc)
		}
	}
}

// checkBooks compares each Adj-RIB-Out with the Adj-RIB-In at its other end.
func (s *storm) checkBooks(t *testing.T) {
	t.Helper()
	for _, at := range s.nodes {
		for _, v := range s.n.Node(at).Speaker().Peers() {
			sent, got := map[bgp.Service]string{}, map[bgp.Service]string{}
			from, to := s.n.Node(at).sp, s.n.Node(v.Config.Node).sp
			out, _ := from.PeerID(v.Config.Node)
			in, _ := to.PeerID(at)
			from.Table().AdvertisedTo(out, func(s bgp.Service, a bgp.Attributes) bool { sent[s] = fmt.Sprint(a); return true })
			to.Table().Announced(in, func(s bgp.Service, c rib.Candidate) bool { got[s] = fmt.Sprint(c.Attrs); return true })
			if !maps.Equal(sent, got) {
				t.Errorf("%s sent %s\n%v\nwhich holds\n%v", at.Name, v.Config.Node.Name, sent, got)
			}
		}
	}
}

// A route that goes in a full mesh is hunted along longer and longer paths. Without timers that slow it down, what
// bounds it is that nobody is told of a path that leads through himself: the cube of the mesh's size, and not its
// factorial.
func TestHuntingIsBounded(t *testing.T) {
	const size = 8
	s := &storm{n: New(1), rnd: rand.New(rand.NewPCG(1, 1))}
	for i := range size {
		s.nodes = append(s.nodes, id(fmt.Sprint("n", i)))
		s.n.Add(s.nodes[i], nil)
		for _, other := range s.nodes[:i] {
			s.link(s.nodes[i], other, false)
		}
	}
	s.n.Run(5 * time.Second)
	s.n.Announce(s.nodes[0], books, http)
	s.n.Run(5 * time.Second)
	before := s.sent()
	s.n.Withdraw(s.nodes[0], books)
	s.n.Run(5 * time.Second)
	if sent := s.sent() - before; sent > size*size*size*3/2 {
		t.Errorf("%d messages for one withdrawal among %d nodes", sent, size)
	}
	s.n.Run(time.Minute)
	s.checkQuiet(t)
	for _, at := range s.nodes {
		s.n.want(t, at.Name, books, "")
	}
}
