// Package sim runs many speakers in one process, in virtual time: each message takes its link's delay, links can be
// cut and nodes can crash, and nothing depends on the machine or its scheduler. The same seed gives the same run. A
// stream between two nodes does what TCP does: what is sent arrives in order and once, however much is lost on the
// way, or the stream ends.
package sim

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// A Net is a set of nodes, the links between them, and what is under way.
type Net struct {
	Now   time.Time
	rnd   *rand.Rand
	nodes map[bgp.NodeID]*Node
	links map[[2]bgp.NodeID]*link
	queue events
	seq   uint64
	conns speaker.ConnID
	// Tape, if not nil, gives a starting node what records it; nil for nothing.
	Tape func(bgp.NodeID) Tape
	// Steps counts what the speakers were given, for bounds.
	Steps int
}

// A Tape is told of all that a node's speaker takes and does, as bgp/record is.
type Tape interface {
	Begin(now time.Time, cfg speaker.Config, chance *rand.PCG)
	Event(now time.Time, ev speaker.Event)
	Done(now time.Time, sp *speaker.Speaker, effects []speaker.Effect)
	FeedAdded(id uint64)
	FeedTook(id uint64, n int)
}

// A Node is one speaker and what its consumers hold.
type Node struct {
	ID      bgp.NodeID
	sp      *speaker.Speaker
	cursor  *rib.Cursor
	tape    Tape // nil if nothing records it
	cfg     func(*speaker.Config)
	peers   map[bgp.NodeID]speaker.Peer
	local   map[bgp.Service]bgp.Attributes
	streams map[speaker.ConnID]*stream
	boot    uint64
	tickAt  time.Time
	up      bool
	fresh   bool // the next start has lost its data plane
	// Table is what a consumer of the Loc-RIB has been told.
	Table map[bgp.Service]rib.Selected
	// Log holds what sessions did, in words.
	Log []string
	// Heard holds the replies and other words of peers that the shell would be handed.
	Heard []speaker.Heard
	// Sign, if not nil, signs hops of paths as the shell would, and Hops counts them.
	Sign func(hop []byte) []byte
	Hops int
}

type link struct {
	delay  time.Duration
	jitter time.Duration // at most so much more, at random for each message
	down   bool
	held   []*stream // with a backlog, in the order in which it began
}

// stream is one direction of a connection, as its sender sees it.
type stream struct {
	id      speaker.ConnID
	from    *Node
	to      *Node
	other   *stream
	closed  bool
	stalled bool      // the receiver reads nothing
	backlog []func()  // what waits for the link, or the receiver
	last    time.Time // when the newest message under way arrives: none overtakes another
	flying  int       // messages under way
	updates int       // messages that cost a credit and have not arrived
}

// New returns an empty network; chance comes from the seed.
func New(seed uint64) *Net {
	return &Net{
		Now: time.Unix(1_700_000_000, 0), rnd: rand.New(rand.NewPCG(seed, 1)),
		nodes: map[bgp.NodeID]*Node{}, links: map[[2]bgp.NodeID]*link{},
	}
}

// Add starts a node; change, if not nil, adapts its configuration.
func (n *Net) Add(id bgp.NodeID, change func(*speaker.Config)) *Node {
	node := &Node{ID: id, cfg: change, peers: map[bgp.NodeID]speaker.Peer{}, local: map[bgp.Service]bgp.Attributes{}}
	n.nodes[id] = node
	n.start(node, false)
	return node
}

func (n *Net) start(node *Node, restarting bool) {
	node.boot++
	cfg := speaker.Config{
		Self:            node.ID,
		BootID:          n.rnd.Uint64(),
		Ingress:         node.ID.Name + ":8443",
		GracefulRestart: 2 * time.Minute,
		Restarting:      restarting && !node.fresh,
	}
	if node.cfg != nil {
		node.cfg(&cfg)
	}
	chance := rand.NewPCG(n.rnd.Uint64(), 2)
	node.sp = speaker.New(cfg, rand.New(chance))
	node.sp.Start(n.Now)
	if node.tape = nil; n.Tape != nil {
		node.tape = n.Tape(node.ID)
	}
	if node.tape != nil {
		node.tape.Begin(n.Now, cfg, chance)
		node.tape.FeedAdded(0)
	}
	node.cursor = node.sp.Table().Subscribe()
	node.streams, node.Table, node.up, node.tickAt = map[speaker.ConnID]*stream{}, map[bgp.Service]rib.Selected{}, true,
		time.Time{}
	for _, svc := range slices.Sorted(maps.Keys(node.local)) {
		n.step(node, speaker.LocalSet{Service: svc, Attributes: node.local[svc]})
	}
	for _, id := range slices.SortedFunc(maps.Keys(node.peers), bgp.NodeID.Compare) {
		n.step(node, speaker.PeerSet{Peer: node.peers[id]})
	}
	n.step(node, speaker.Restored{})
}

// Link lets two nodes reach each other, with a delay each way.
func (n *Net) Link(a, b bgp.NodeID, delay time.Duration) { n.links[pair(a, b)] = &link{delay: delay} }

func pair(a, b bgp.NodeID) [2]bgp.NodeID {
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return [2]bgp.NodeID{a, b}
}

// Peer makes two linked nodes peers of each other; a dials, and b too if both is set.
func (n *Net) Peer(a, b bgp.NodeID, both bool) {
	n.SetPeer(a, speaker.Peer{Node: b, Addresses: []string{b.Name}})
	back := speaker.Peer{Node: a}
	if both {
		back.Addresses = []string{a.Name}
	}
	n.SetPeer(b, back)
}

// SetPeer configures one side.
func (n *Net) SetPeer(at bgp.NodeID, p speaker.Peer) {
	node := n.nodes[at]
	node.peers[p.Node] = p
	n.step(node, speaker.PeerSet{Peer: p})
}

// Announce lets a node offer a service.
func (n *Net) Announce(at bgp.NodeID, svc bgp.Service, a bgp.Attributes) {
	n.nodes[at].local[svc] = a
	n.step(n.nodes[at], speaker.LocalSet{Service: svc, Attributes: a})
}

// Withdraw takes it back.
func (n *Net) Withdraw(at bgp.NodeID, svc bgp.Service) {
	delete(n.nodes[at].local, svc)
	n.step(n.nodes[at], speaker.LocalRemoved{Service: svc})
}

// Do gives a node any event.
func (n *Net) Do(at bgp.NodeID, ev speaker.Event) { n.step(n.nodes[at], ev) }

// Cut breaks a link: streams over it end, after noticed if the ends are told, never if it is zero.
func (n *Net) Cut(a, b bgp.NodeID, noticed time.Duration) {
	n.links[pair(a, b)].down = true
	if noticed == 0 {
		return
	}
	for _, side := range [][2]bgp.NodeID{{a, b}, {b, a}} {
		node := n.nodes[side[0]]
		for _, s := range node.ordered() {
			if s.to.ID == side[1] && !s.closed {
				n.at(noticed, func() { n.ended(node, s, "connection reset") })
			}
		}
	}
}

// Mend restores a link: what was lost on it is sent again.
func (n *Net) Mend(a, b bgp.NodeID) {
	n.links[pair(a, b)].down = false
	n.release(a, b)
}

// Jitter lets each message on a link take up to so much longer.
func (n *Net) Jitter(a, b bgp.NodeID, most time.Duration) { n.links[pair(a, b)].jitter = most }

// Stall lets a node read nothing of what another sends on the streams that stand, or go on.
func (n *Net) Stall(reader, writer bgp.NodeID, on bool) {
	// the writer may have given a held one up
	for _, s := range append(n.nodes[writer].ordered(), n.links[pair(reader, writer)].held...) {
		if s.to.ID == reader {
			s.stalled = on
		}
	}
	n.release(reader, writer)
}

// carry has a stream bring something to its other end, after all that it carries already.
func (n *Net) carry(s *stream, do func()) {
	if n.holds(s, do) {
		return
	}
	when := n.Now.Add(n.delay(s.from.ID, s.to.ID))
	if when.Before(s.last) {
		when = s.last
	}
	s.last = when
	s.flying++
	n.at(when.Sub(n.Now), func() {
		s.flying--
		if !n.holds(s, do) { // else it was lost on the way, or is not read
			do()
		}
	})
}

// holds puts something into a stream's backlog if it cannot go on now.
func (n *Net) holds(s *stream, do func()) bool {
	l := n.links[pair(s.from.ID, s.to.ID)]
	if !s.stalled && len(s.backlog) == 0 && !l.down {
		return false
	}
	if len(s.backlog) == 0 {
		l.held = append(l.held, s)
	}
	s.backlog = append(s.backlog, do)
	return true
}

// release lets the streams of a link go on.
func (n *Net) release(a, b bgp.NodeID) {
	l := n.links[pair(a, b)]
	held := l.held
	l.held = nil
	for _, s := range held {
		waiting := s.backlog
		s.backlog = nil
		for _, do := range waiting {
			n.carry(s, do)
		}
	}
}

// Quiet tells whether nothing is under way or waits between two nodes.
func (n *Net) Quiet(a, b bgp.NodeID) bool {
	for _, side := range [][2]bgp.NodeID{{a, b}, {b, a}} {
		node := n.nodes[side[0]]
		v, _ := node.sp.Peer(side[1])
		if v.Pending > 0 {
			return false
		}
		for _, s := range node.streams {
			if s.to.ID == side[1] && s.flying+len(s.backlog) > 0 {
				return false
			}
		}
	}
	return true
}

// Crash kills a node's process: its streams end at the other side.
func (n *Net) Crash(id bgp.NodeID) {
	node := n.nodes[id]
	node.up = false
	for _, s := range node.ordered() {
		to, other := s.to, s.other
		s.backlog, s.stalled = nil, false // a dead process sends nothing again, and its kernel answers with a reset
		n.carry(s, func() { n.ended(to, other, "connection reset") })
	}
	node.streams = nil
}

// Restart starts a crashed node again, with what was configured.
func (n *Net) Restart(id bgp.NodeID) { n.start(n.nodes[id], true) }

func (node *Node) ordered() []*stream {
	return slices.SortedFunc(maps.Values(node.streams), func(a, b *stream) int { return int(a.id) - int(b.id) })
}

func (n *Net) delay(a, b bgp.NodeID) time.Duration {
	l := n.links[pair(a, b)]
	switch {
	case l == nil:
		return time.Millisecond
	case l.jitter > 0:
		return l.delay + time.Duration(n.rnd.Int64N(int64(l.jitter)))
	}
	return l.delay
}

func (n *Net) reachable(a, b bgp.NodeID) bool {
	l := n.links[pair(a, b)]
	return l != nil && !l.down && n.nodes[b] != nil && n.nodes[b].up
}

// Run lets time pass.
func (n *Net) Run(d time.Duration) {
	end := n.Now.Add(d)
	for len(n.queue) > 0 && !n.queue[0].when.After(end) {
		e := heap.Pop(&n.queue).(event)
		n.Now = e.when
		e.do()
	}
	n.Now = end
}

func (n *Net) at(d time.Duration, do func()) {
	n.seq++
	heap.Push(&n.queue, event{n.Now.Add(d), n.seq, do})
}

// step gives a node one event and carries the effects out.
func (n *Net) step(node *Node, ev speaker.Event) {
	if !node.up {
		return
	}
	n.Steps++
	if node.tape != nil {
		node.tape.Event(n.Now, ev)
	}
	effects := slices.Clone(node.sp.Step(n.Now, ev))
	if node.tape != nil {
		node.tape.Done(n.Now, node.sp, effects)
	}
	for _, eff := range effects {
		n.carryOut(node, eff)
	}
	for batch := node.take(); len(batch) > 0; batch = node.take() {
		for _, s := range batch {
			if node.Table[s.Service] = s; len(s.Tiers) == 0 {
				delete(node.Table, s.Service)
			}
		}
	}
	n.arm(node)
}

// take takes what the node's consumer has yet to hear of.
func (node *Node) take() []rib.Selected {
	if node.tape != nil {
		node.tape.FeedTook(0, consumerBatch)
	}
	return node.cursor.Next(nil, consumerBatch)
}

// consumerBatch is how much the consumer takes at once.
const consumerBatch = 1000

// arm makes sure that a Tick comes at the speaker's next deadline.
func (n *Net) arm(node *Node) {
	d := node.sp.NextDeadline(n.Now)
	if d.IsZero() || !node.tickAt.IsZero() && !node.tickAt.After(d) && node.tickAt.After(n.Now) {
		return
	}
	node.tickAt = d
	boot := node.boot
	n.at(max(0, d.Sub(n.Now)), func() {
		if node.boot == boot && node.tickAt.Equal(d) {
			node.tickAt = time.Time{}
			n.step(node, speaker.Tick{})
		}
	})
}

func (n *Net) carryOut(node *Node, eff speaker.Effect) {
	switch eff := eff.(type) {
	case speaker.Dial:
		n.dial(node, eff)
	case speaker.Send:
		n.send(node, eff)
	case speaker.CloseConn:
		if s := node.streams[eff.Conn]; s != nil && !s.closed {
			s.closed = true
			delete(node.streams, eff.Conn)
			to, other := s.to, s.other
			n.carry(s, func() { n.ended(to, other, "closed by peer") })
		}
	case speaker.SessionChanged:
		node.Log = append(node.Log, fmt.Sprintf("%s %s→%s %s", eff.Peer.Name, eff.From, eff.To, eff.Reason))
	case speaker.LimitReached:
		node.Log = append(node.Log, fmt.Sprintf("%s announces more than %d routes", eff.Peer.Name, eff.Limit))
	case speaker.SignHop:
		node.Hops++
		if boot := node.boot; node.Sign != nil {
			signed := node.Sign(eff.Hop)
			n.at(time.Millisecond, func() {
				if node.boot == boot {
					n.step(node, speaker.HopSigned{Peer: eff.Peer, Signed: signed})
				}
			})
		}
	case speaker.Heard:
		node.Heard = append(node.Heard, eff)
	case speaker.PublishReady:
		node.Log = append(node.Log, "publish: "+eff.Why)
	}
}

func (n *Net) dial(node *Node, eff speaker.Dial) {
	boot := node.boot
	n.at(n.delay(node.ID, eff.Peer), func() {
		if node.boot != boot || !node.up {
			return
		}
		if !n.reachable(node.ID, eff.Peer) {
			n.step(node, speaker.DialFailed{Peer: eff.Peer, Err: "no route to host"})
			return
		}
		peer := n.nodes[eff.Peer]
		n.conns += 2
		here, there := &stream{id: n.conns - 1, from: node, to: peer}, &stream{id: n.conns, from: peer, to: node}
		here.other, there.other = there, here
		node.streams[here.id], peer.streams[there.id] = here, there
		n.step(peer, speaker.ConnUp{Conn: there.id, Remote: node.ID})
		n.step(node, speaker.ConnUp{Conn: here.id, Remote: peer.ID, Dialled: true})
	})
}

func (n *Net) send(node *Node, eff speaker.Send) {
	s := node.streams[eff.Conn]
	if s == nil || s.closed {
		return
	}
	msg := copied(eff.Msg)
	costs := bgp.Bulk(msg)
	boot := node.boot
	if costs {
		s.updates++
	}
	n.carry(s, func() {
		if costs {
			s.updates--
		}
		if s.to.streams[s.other.id] == s.other {
			n.step(s.to, speaker.Received{Conn: s.other.id, Msg: msg})
		}
		if costs && node.boot == boot && node.up {
			n.step(node, speaker.Writable{Conn: s.id})
		}
	})
}

// copied takes what a wire would take: nothing shared with the sender's tables.
func copied(m bgp.Message) bgp.Message {
	u, ok := m.(*bgp.Update)
	if !ok {
		return m
	}
	c := *u
	c.Withdrawn = slices.Clone(u.Withdrawn)
	c.Announced = slices.Clone(u.Announced)
	for i := range c.Announced {
		c.Announced[i].Attributes = slices.Clone(c.Announced[i].Attributes)
		c.Announced[i].Routes = slices.Clone(c.Announced[i].Routes)
		if _, ok := attr.Check(c.Announced[i].Attributes); !ok {
			panic(fmt.Sprintf("a speaker sent attributes that break a rule: %q", c.Announced[i].Attributes))
		}
	}
	return &c
}

// ended tells a node that a stream is over.
func (n *Net) ended(node *Node, s *stream, why string) {
	if node.streams[s.id] != s {
		return
	}
	s.closed = true
	delete(node.streams, s.id)
	n.step(node, speaker.ConnDown{Conn: s.id, Err: why})
}

// Best returns the peer through which a node reaches a service first; "" if it does not, "self" for its own.
func (n *Net) Best(at bgp.NodeID, svc bgp.Service) string {
	sel, ok := n.nodes[at].Table[svc]
	switch {
	case !ok:
		return ""
	case sel.Tiers[0][0].Local:
		return "self"
	}
	return sel.Tiers[0][0].Peer.Name
}

// Node returns a node.
func (n *Net) Node(id bgp.NodeID) *Node { return n.nodes[id] }

// Speaker returns a node's speaker.
func (node *Node) Speaker() *speaker.Speaker { return node.sp }

type event struct {
	when time.Time
	seq  uint64
	do   func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].when.Before(e[j].when) || e[i].when.Equal(e[j].when) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}
