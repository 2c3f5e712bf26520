package speaker

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// Config is what a speaker needs to know of its node.
type Config struct {
	Self bgp.NodeID // required
	// BootID tells one start of the process from the next; required, drawn at random.
	BootID uint64
	// Ingress is HOST:PORT of the mesh ingress of this node's Envoy, as its peers reach it; empty to offer no service
	// and no transit.
	Ingress string
	// GracefulRestart is how long peers are asked to keep this node's routes when a session drops; 0 for not at all.
	GracefulRestart time.Duration
	// LongLivedStale is how much longer they may serve as last resort; 0 for not at all.
	LongLivedStale time.Duration
	// Restarting tells that this node's data plane kept running while the process was away: nothing is published before
	// every configured peer has sent End-of-RIB, or Deferral has passed.
	Restarting bool
	// Deferral bounds that wait. Zero means 30s.
	Deferral time.Duration
	// Trace tells that this node answers TRACE-REQUEST.
	Trace bool
	// Bulletins tells that this node reads the BULLETINs of its organisation.
	Bulletins bool
	// PathKey is the id of the key with which this node signs hops of paths for its organisation (SignHop); "" if it signs
	// none.
	PathKey string
	// Explain says whose WHY-REQUESTs this node answers.
	Explain Explain
	// HoldNames ranks a node that begins to offer another's name after whoever has offered it for longest, until an
	// operator agrees.
	HoldNames bool
	// Learned tells that this node has read its peers' first tables before, so that whoever offers another's name from
	// now on is new.
	Learned bool
	// Guards makes what decides on routes of a Guarded; nil to let them all pass.
	Guards func(Guarded) Guards `json:"-"`
	// DialMin and DialMax bound the dialler's back-off. Zero means 1s and 60s.
	DialMin, DialMax time.Duration
}

const (
	credits       = 4                // UPDATEs under way on one stream
	firstRoutes   = 64               // of the first UPDATE on an idle stream
	bulkSlice     = 2000             // paths of bulk work in one step
	flushSlice    = 5000             // services looked at for peers in one step, about
	limitPause    = time.Minute      // without a peer that was closed for its number of routes
	roomPause     = 10 * time.Second // before what was left out is asked for again, once there is room
	maxConns      = 4                // streams with one peer at once; more are refused
	stuckRestarts = 2                // hold times without progress that a peer may take (RFC 9687)
)

// A Speaker is one node's protocol core. It is not safe for concurrent use.
type Speaker struct {
	cfg    Config
	rnd    *rand.Rand
	table  *rib.Table
	peers  map[bgp.NodeID]*peer
	order  []*peer // sorted by node, so that effects come in the same order each time
	conns  map[ConnID]*conn
	nextID rib.PeerID
	freed  []rib.PeerID // numbers of removed peers, until the table lets go of them
	spare  []rib.PeerID

	guards    Guards  // nil for none
	guardedBy Guarded // of which they were made

	reports     reports
	attestAt    time.Time // when a set begins to count, or ends
	renewAt     time.Time // when a hop is to be signed again
	learnUntil  time.Time // zero: the first tables are read
	contestedAt time.Time // not before, newcomers are told of again
	deferUntil  time.Time // zero: published already
	restored    bool
	draining    bool
	stopped     bool
	more        bool // a peer waits whose stream would take more: the step ended first, to stay short
	scratch     []byte
	turn        int // whose turn it is when the next step goes on with that
	effects     []Effect
}

// peer is a configured neighbour.
type peer struct {
	cfg     Peer
	id      rib.PeerID
	state   fsm.State // Idle, Connect or Active; a session's own once it has a stream
	conns   []*conn   // most often one
	session *conn     // the established one; nil if none
	backoff fsm.Backoff
	dialAt  time.Time // zero: no attempt is due
	address int       // index of the next address to dial
	eor     bool      // it has sent End-of-RIB in its newest session
	// Graceful restart as helper: until when its stale routes are kept, and when as last resort.
	staleUntil, lastUntil time.Time
	damping               damping
	imports, exports      filter.Guard     // besides the rules; nil for none
	refreshAt             time.Time        // when to ask for what was left out over the limit; zero for never
	caps                  bgp.Capabilities // of its last OPEN
	rules                 *bgp.Rules       // what it says of its own rules; nil if nothing
	incoming              *attest.Incoming // a set of which chunks are still to come; nil for none
	owes                  []attestOut      // what it is still to be told of what is attested
	hops                  map[string]*hop  // by the path that it was told of; see signHops
	hopsDirty             bool             // of what hops are made something changed
	wants                 *bgp.Subscribe   // what it asks for; nil for everything
	budget                budget           // for what it asks
	faults                []Fault          // the newest, the oldest first
	bootID                uint64
	count                 Counters
	lastErr               string
	lastErrRemote         bool
	since                 time.Time
	// Reports that wait for the stream to take them; the newest of each service and reporter.
	reports     map[reportKey]bgp.Report
	reportOrder []reportKey
}

// conn is one stream.
type conn struct {
	id        ConnID
	peer      *peer
	dialled   bool
	fsm       *fsm.Session
	credits   int
	stuckFrom time.Time // since when the stream has taken nothing of what it was given; zero if nothing is under way
	waiting   bool      // for a SUBSCRIBE, before which it gets nothing
	owesEnd   bool      // of End-of-RIB, to a peer that is told of routes before the deferral is over
}

// spend gives a stream one more message.
func (c *conn) spend(now time.Time) {
	c.credits--
	if c.stuckFrom.IsZero() {
		c.stuckFrom = now
	}
}

// New returns a speaker without peers.
func New(cfg Config, rnd *rand.Rand) *Speaker {
	if cfg.Deferral <= 0 {
		cfg.Deferral = 30 * time.Second
	}
	return &Speaker{
		cfg: cfg, rnd: rnd, table: rib.New(rib.Config{Self: cfg.Self, HoldNames: cfg.HoldNames}),
		peers: map[bgp.NodeID]*peer{}, conns: map[ConnID]*conn{}, nextID: 1,
	}
}

// Table gives read access to the tables, between steps, and cursors on them.
func (s *Speaker) Table() *rib.Table { return s.table }

// Start has to be the first call: the deferral of a restarted node counts from now.
func (s *Speaker) Start(now time.Time) {
	if !s.cfg.Learned {
		s.learnUntil = now.Add(s.cfg.Deferral)
		s.table.SetLearning(true)
	}
	if s.cfg.Restarting {
		s.deferUntil = now.Add(s.cfg.Deferral)
	}
}

// Publishing tells whether the data plane may be given what the tables say.
func (s *Speaker) Publishing() bool { return s.deferUntil.IsZero() }

// Step advances the speaker by one event at the given time and returns what the outside must now do. The effects are
// valid until the next Step; their UPDATEs for as long as they are referred to, and not to be changed: several
// streams may be sent the same.
func (s *Speaker) Step(now time.Time, ev Event) []Effect {
	clear(s.effects)
	s.effects = s.effects[:0]
	s.table.SetTime(now)
	switch ev := ev.(type) {
	case Received:
		s.received(now, ev)
	case Writable:
		s.writable(now, ev.Conn)
	case Tick:
	case Restored:
		s.restored = true
	case LocalSet:
		// The shell has checked the attributes; what fails all the same is not announced.
		_ = s.table.SetLocal(ev.Service, &ev.Attributes, ev.Trace)
		s.table.SetYields(ev.Service, ev.Yields)
	case LocalRemoved:
		s.table.RemoveLocal(ev.Service, ev.Trace)
	case PeerSet:
		s.setPeer(now, ev.Peer)
	case PeerRemoved:
		s.removePeer(now, ev)
	case PeerReset:
		s.resetPeer(now, ev)
	case PeerRefresh:
		if p := s.peers[ev.Node]; p != nil {
			s.askAgain(p)
		}
	case ConnUp:
		s.connUp(now, ev)
	case ConnDown:
		s.connDown(now, ev)
	case DialFailed:
		s.dialFailed(now, ev)
	case Undecodable:
		if c := s.conns[ev.Conn]; c != nil {
			c.peer.fault(Fault{At: now, Degree: SessionReset, Reason: ev.Notification.Error()}, ev.Frame)
			s.fail(now, c, ev.Notification, false)
		}
	case NextHopChanged:
		if p := s.peers[ev.Node]; p != nil {
			s.table.SetNextHop(p.id, ev.Usable, ev.Cost)
		}
	case Say:
		s.say(now, ev)
	case Guarded:
		s.guard(ev)
	case Drain:
		if s.draining != ev.On {
			s.draining = ev.On
			s.table.SetDraining(ev.On)
		}
	case Problem:
		s.problem(now, ev)
	case AttestKeys:
		s.attestKeys(now, ev)
	case AttestSet:
		s.attestSet(now, ev)
	case HopSigned:
		s.hopSigned(ev)
	case AttestPath:
		_, _, _ = s.table.Attested().AddPath(now, s.cfg.Self.Org, ev.Signed, func() error { return nil })
	case Remember:
		s.table.Remember(ev.Offers)
	case Agree:
		s.table.Agree(ev.Service, ev.Node)
	case Shutdown:
		s.shutdown(now, ev)
	}
	_, tick := ev.(Tick)
	s.due(now, tick)
	s.table.Work(bulkSlice)
	s.learn(now)
	s.publish(now)
	s.tellNewcomers(now)
	s.flush(now)
	return s.effects
}

func (s *Speaker) emit(e Effect) { s.effects = append(s.effects, e) }

// due does whatever a deadline has come for. Peers are only judged at a Tick, which the outside gives after all that
// it has read.
func (s *Speaker) due(now time.Time, tick bool) {
	for _, p := range s.order {
		s.connsDue(now, p, tick)
		if !p.dialAt.IsZero() && !now.Before(p.dialAt) {
			s.dial(p)
		}
		if !p.refreshAt.IsZero() && !now.Before(p.refreshAt) {
			s.askAgain(p)
		}
		if !p.staleUntil.IsZero() && !now.Before(p.staleUntil) {
			s.restartExpired(now, p)
		}
		if !p.lastUntil.IsZero() && !now.Before(p.lastUntil) {
			p.lastUntil = time.Time{}
			s.table.Sweep(p.id)
		}
		if reached(now, p.budget.due()) {
			s.serveAsks(now, p)
		}
	}
	s.reportsDue(now)
	s.attestDue(now)
	s.renewDue(now)
	s.freed = slices.DeleteFunc(s.freed, func(id rib.PeerID) bool {
		gone := s.table.Gone(id)
		if gone {
			s.spare = append(s.spare, id)
		}
		return gone
	})
}

// connsDue is due for the streams of a peer. It looks first, because most often nothing is.
func (s *Speaker) connsDue(now time.Time, p *peer, tick bool) {
	if !slices.ContainsFunc(p.conns, func(c *conn) bool { return reached(now, c.fsm.Deadline()) || s.isStuck(now, c) }) {
		return
	}
	for _, c := range slices.Clone(p.conns) {
		switch due := reached(now, c.fsm.Deadline()); {
		case due && tick:
			s.outcome(now, c, c.fsm.Tick(now))
		case due:
			s.outcome(now, c, c.fsm.Beat(now))
		}
		if s.conns[c.id] == nil {
			continue // it is over, and is not to end twice
		}
		if s.isStuck(now, c) {
			s.fail(now, c, bgp.Notify(bgp.SendHoldExpired, 0, "nothing could be sent for %s", s.sendHold(c)), false)
		}
	}
}

// reached tells whether a deadline, if there is one, has come.
func reached(now, deadline time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// isStuck tells whether a stream has taken nothing for too long.
func (s *Speaker) isStuck(now time.Time, c *conn) bool {
	limit := s.sendHold(c)
	return limit > 0 && !c.stuckFrom.IsZero() && now.Sub(c.stuckFrom) >= limit
}

// sendHold returns how long a stream may take nothing (RFC 9687); 0 for ever.
func (s *Speaker) sendHold(c *conn) time.Duration { return stuckRestarts * c.fsm.HoldTime() }

// NextDeadline returns when Tick is due: now or earlier while bulk work is left; zero for never.
func (s *Speaker) NextDeadline(now time.Time) time.Time {
	if s.more || s.table.Working() {
		return now
	}
	d := fsm.Earliest(fsm.Earliest(s.deferUntil, s.learnUntil), fsm.Earliest(s.reportDeadline(), s.newcomersDue()))
	d = fsm.Earliest(d, fsm.Earliest(s.attestAt, s.renewAt))
	for _, p := range s.order {
		for _, c := range p.conns {
			d = fsm.Earliest(d, c.fsm.Deadline())
			if limit := s.sendHold(c); limit > 0 && !c.stuckFrom.IsZero() {
				d = fsm.Earliest(d, c.stuckFrom.Add(limit))
			}
		}
		d = fsm.Earliest(d, fsm.Earliest(fsm.Earliest(p.dialAt, p.refreshAt), fsm.Earliest(p.staleUntil, p.lastUntil)))
		d = fsm.Earliest(d, p.budget.due())
	}
	return d
}

// flush gives every established peer what it has to hear, as far as its stream takes it: a message for each in turn,
// so that the last hears of a change soon after the first. A restarted node says nothing before its own tables are
// complete: its End-of-RIB would make peers sweep what it has not learned again yet (RFC 4724 §4.1). A peer without
// graceful restart has nothing to sweep, and hears of each route at once, with End-of-RIB when the tables are
// complete.
func (s *Speaker) flush(now time.Time) {
	s.more = false
	began, first, cut := s.table.Effort(), s.turn, false
	for again := true; again; {
		again = false
		for i := range s.order {
			turn := (first + i) % len(s.order)
			p := s.order[turn]
			if !s.hears(p) {
				continue
			}
			s.signHops(now, p)
			s.flushAttested(now, p)
			if c := p.session; c.owesEnd && s.deferUntil.IsZero() {
				c.owesEnd = false
				s.table.OweEndOfRIB(p.id)
			}
			if p.session.credits == 0 || s.table.Pending(p.id) == 0 {
				continue
			}
			if s.table.Effort()-began <= flushSlice {
				again = s.tell(now, p) || again
				continue
			}
			if s.more = true; !cut {
				cut, s.turn = true, turn
			}
		}
	}
	for _, p := range s.order {
		if s.hears(p) {
			s.flushReports(now, p)
		}
	}
}

// hears tells whether a peer may be told of routes.
func (s *Speaker) hears(p *peer) bool {
	return p.session != nil && !p.session.waiting && (s.deferUntil.IsZero() || p.caps.GracefulRestart == 0)
}

// tell gives a peer one message, and tells whether it did. The first on an idle stream is short: it leaves at once,
// and everybody's first is before anybody's second.
func (s *Speaker) tell(now time.Time, p *peer) bool {
	c := p.session
	most := bgp.MaxUpdateRoutes
	if c.credits == credits {
		most = firstRoutes
	}
	u := s.table.UpdateAtMost(p.id, most)
	if u == nil {
		s.more = s.more || s.table.Pending(p.id) > 0
		return false
	}
	if !s.deferUntil.IsZero() && u.Marker == bgp.EndOfRIB {
		c.owesEnd = true
		u = &bgp.Update{Withdrawn: u.Withdrawn, Announced: u.Announced, Trace: u.Trace} // others may be sent the same
		if len(u.Announced)+len(u.Withdrawn) == 0 {
			return true
		}
	}
	s.noteTold(p, u)
	p.count.sent(u)
	c.spend(now)
	s.emit(Send{c.id, u})
	return true
}

func (s *Speaker) writable(now time.Time, id ConnID) {
	if c := s.conns[id]; c != nil {
		c.credits = min(c.credits+1, credits)
		if c.stuckFrom = now; c.credits == credits {
			c.stuckFrom = time.Time{}
		}
	}
}

// publish ends the deferral of a restarted node.
func (s *Speaker) publish(now time.Time) {
	if s.deferUntil.IsZero() {
		return
	}
	why := "the deferral time has passed"
	if now.Before(s.deferUntil) {
		if !s.restored {
			return
		}
		for _, p := range s.order {
			// A peer that restarts as well waits for us: to wait for it would be to wait for the time-out.
			waits := p.session != nil && p.caps.Restarting
			if !p.eor && !p.cfg.Disabled && !waits {
				return
			}
		}
		why = "every peer has sent its table"
	}
	s.deferUntil = time.Time{}
	s.emit(PublishReady{why})
}

func (s *Speaker) shutdown(now time.Time, ev Shutdown) {
	s.stopped = true
	for _, p := range s.order {
		p.dialAt = time.Time{}
		for _, c := range slices.Clone(p.conns) {
			if !ev.Restart {
				s.fail(now, c, bgp.Notify(bgp.Cease, bgp.AdminShutdown, "%s", ev.Text), false)
				continue
			}
			s.emit(CloseConn{c.id})
			s.drop(c)
		}
		p.dialAt = time.Time{}
	}
}
