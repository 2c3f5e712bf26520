// Package fsm is the session machine of RFC 4271 §8 for one stream, and the back-off of a peer's dialler. Both are
// values: the caller passes the time in and carries the outcome out.
//
//	s := fsm.NewSession(now, cfg)
//	send(s.Open())
//	out := s.Receive(now, msg)     // OPEN and KEEPALIVE move it on, the rest is for the caller
//	out = s.Tick(now)              // no later than s.Deadline()
//
// What an UPDATE says, which of two streams to one peer survives, and what becomes of routes is not its concern:
// bgp/speaker decides.
package fsm

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// State is where a session stands.
type State uint8

// The states of RFC 4271 §8.2.2. Idle, Connect and Active belong to a peer without a stream.
const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

var stateNames = [...]string{"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// openHold is how long a peer may take for its OPEN (RFC 4271 §8.2.2 suggests four minutes; a stream that is up has
// no reason to).
const openHold = 30 * time.Second

// lostAfter is how many liveness intervals a peer may miss (RFC 5880's detect multiplier).
const lostAfter = 3

// Config is what a session needs to know.
type Config struct {
	Open   bgp.Open   // what this node says; HoldTime 0 or at least bgp.MinHoldTime
	Remote bgp.NodeID // the peer, as its certificate names it
}

// Session is the machine of one stream.
type Session struct {
	cfg       Config
	state     State
	peer      bgp.Open // from OpenConfirm on
	hold      time.Duration
	holdUntil time.Time     // zero: no hold timer
	keepAt    time.Time     // zero: no keepalives
	live      time.Duration // negotiated liveness interval; 0 for none
	liveUntil time.Time     // zero: not watched
	upSince   time.Time
}

// Outcome is what an event did.
type Outcome struct {
	Send []bgp.Message
	Up   bool              // the session is Established now
	Fail *bgp.Notification // the session is over; to be sent if Send does not hold it already and the peer did not send it
}

// NewSession begins in OpenSent: the stream stands and OPEN goes out.
func NewSession(now time.Time, cfg Config) *Session {
	return &Session{cfg: cfg, state: OpenSent, holdUntil: now.Add(openHold)}
}

// Open returns the OPEN to send.
func (s *Session) Open() *bgp.Open { open := s.cfg.Open; return &open }

// State returns where the session stands: OpenSent, OpenConfirm or Established.
func (s *Session) State() State { return s.state }

// Peer returns what the peer said in its OPEN; the zero Open before OpenConfirm.
func (s *Session) Peer() bgp.Open { return s.peer }

// HoldTime returns the negotiated hold time, 0 for none; valid from OpenConfirm on.
func (s *Session) HoldTime() time.Duration { return s.hold }

// Since returns when the session was established; zero before.
func (s *Session) Since() time.Time { return s.upSince }

// Receive takes one message. Every message counts as life (RFC 4271 §6.5).
func (s *Session) Receive(now time.Time, m bgp.Message) Outcome {
	if n, ok := m.(*bgp.Notification); ok {
		return Outcome{Fail: n}
	}
	switch s.state {
	case OpenSent:
		open, ok := m.(*bgp.Open)
		if !ok {
			return fail(bgp.FSMError, 1, "want OPEN before %T", m)
		}
		return s.open(now, open)
	case OpenConfirm:
		if _, ok := m.(bgp.Keepalive); !ok {
			return fail(bgp.FSMError, 2, "want KEEPALIVE before %T", m)
		}
		s.state, s.upSince = Established, now
		s.alive(now)
		return Outcome{Up: true}
	}
	if _, ok := m.(*bgp.Open); ok {
		return fail(bgp.FSMError, 3, "OPEN in an established session")
	}
	s.alive(now)
	return Outcome{}
}

func (s *Session) open(now time.Time, o *bgp.Open) Outcome {
	switch {
	case o.Version != bgp.Version:
		return fail(bgp.OpenMessageError, bgp.UnsupportedVersion, "version %d: this node speaks %d", o.Version, bgp.Version)
	case o.Node.Org != s.cfg.Remote.Org:
		return fail(bgp.OpenMessageError, bgp.BadPeerOrg, "OPEN names %s, the certificate %s", o.Node, s.cfg.Remote)
	case o.Node != s.cfg.Remote:
		return fail(bgp.OpenMessageError, bgp.BadNodeID, "OPEN names %s, the certificate %s", o.Node, s.cfg.Remote)
	case o.Node == s.cfg.Open.Node:
		return fail(bgp.OpenMessageError, bgp.BadNodeID, "%s is this node's own id", o.Node)
	case o.HoldTime != 0 && o.HoldTime < bgp.MinHoldTime:
		return fail(bgp.OpenMessageError, bgp.UnacceptableHoldTime, "hold time %s: want 0 or at least %s", o.HoldTime,
			bgp.MinHoldTime)
	case !rolesFit(s.cfg.Open.Role, o.Role):
		return fail(bgp.OpenMessageError, bgp.RoleMismatch, "role: %s says it is %s, and %s that it is %s: provider meets "+
			"customer, and peer meets peer", s.cfg.Open.Node,
			s.cfg.Open.Role, o.Node, o.Role)
	}
	s.peer = *o
	s.hold = min(s.cfg.Open.HoldTime, o.HoldTime)
	s.state = OpenConfirm
	if own, other := s.cfg.Open.Capabilities.Liveness, o.Capabilities.Liveness; own > 0 && other > 0 {
		s.live = max(own, other, bgp.MinLiveness)
	}
	s.alive(now)
	if every := s.every(); every > 0 {
		s.keepAt = now.Add(every)
	}
	return Outcome{Send: []bgp.Message{bgp.Keepalive{}}}
}

// rolesFit applies RFC 9234 §4.2: provider meets customer, peer meets peer, and a side that names none meets all.
func rolesFit(own, other bgp.Role) bool {
	switch {
	case own == bgp.RoleNone || other == bgp.RoleNone:
		return true
	case own == bgp.RolePeer:
		return other == bgp.RolePeer
	case own == bgp.RoleProvider:
		return other == bgp.RoleCustomer
	}
	return other == bgp.RoleProvider
}

// every is the interval of keepalives; 0 for none.
func (s *Session) every() time.Duration {
	if s.live > 0 && (s.hold == 0 || s.live < s.hold/3) {
		return s.live
	}
	return s.hold / 3
}

// Liveness returns the negotiated liveness interval, 0 for none; valid from OpenConfirm on.
func (s *Session) Liveness() time.Duration { return s.live }

func (s *Session) alive(now time.Time) {
	s.holdUntil = time.Time{}
	if s.hold > 0 {
		s.holdUntil = now.Add(s.hold)
	}
	if s.live > 0 && s.state == Established {
		s.liveUntil = now.Add(lostAfter * s.live)
	}
}

// Beat sends a keepalive if one is due, and judges nobody: what the peer said may still be waiting to be read.
func (s *Session) Beat(now time.Time) Outcome {
	if s.keepAt.IsZero() || now.Before(s.keepAt) {
		return Outcome{}
	}
	s.keepAt = now.Add(s.every())
	return Outcome{Send: []bgp.Message{bgp.Keepalive{}}}
}

// Tick does what is due at now. All that was read of the peer before has to have been given to Receive.
func (s *Session) Tick(now time.Time) Outcome {
	if !s.holdUntil.IsZero() && !now.Before(s.holdUntil) {
		if s.state == OpenSent {
			return fail(bgp.HoldTimerExpired, 0, "no OPEN within %s", openHold)
		}
		return fail(bgp.HoldTimerExpired, 0, "nothing heard for %s", s.hold)
	}
	if late := now.Sub(s.liveUntil); !s.liveUntil.IsZero() && late >= 0 {
		if late < s.live {
			return fail(bgp.Cease, bgp.LivenessLost, "nothing heard for %s", lostAfter*s.live)
		}
		// It is this node that was away for so long: whoever slept through a peer's words is no judge of its silence.
		s.liveUntil = now.Add(s.live)
	}
	return s.Beat(now)
}

// Deadline returns when Tick is due; zero for never.
func (s *Session) Deadline() time.Time {
	return Earliest(s.holdUntil, Earliest(s.keepAt, s.liveUntil))
}

func fail(c bgp.Code, sub bgp.Subcode, format string, args ...any) Outcome {
	n := bgp.Notify(c, sub, format, args...)
	return Outcome{Send: []bgp.Message{n}, Fail: n}
}

// Earliest returns the earlier of two deadlines, of which zero means never.
func Earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Survives decides a collision (RFC 4271 §6.8): of two streams between this node and a peer, the one survives that
// the node with the higher id dialled. It tells whether a stream, which this node dialled or not, is that one.
func Survives(self, peer bgp.NodeID, dialled bool) bool {
	return (self.Compare(peer) > 0) == dialled
}

// Backoff spaces the attempts to dial: 1 s, doubling to 60 s, each lengthened at random by up to a quarter, so that
// nodes that lost each other at once do not come back at once.
type Backoff struct {
	Min, Max time.Duration // zero: 1 s and 60 s
	failures int
}

// Next returns how long to wait after one more failure.
func (b *Backoff) Next(rnd *rand.Rand) time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = time.Second
	}
	if hi <= 0 {
		hi = time.Minute
	}
	d := min(lo<<min(b.failures, 16), hi)
	b.failures++
	return d + time.Duration(rnd.Int64N(int64(d)/4+1))
}

// Reset forgets the failures.
func (b *Backoff) Reset() { b.failures = 0 }

// HoldDeadline returns when the hold timer expires; zero if there is none.
func (s *Session) HoldDeadline() time.Time { return s.holdUntil }

// KeepDeadline returns when the next keepalive is due, and how long after the one before; zero if there are none.
func (s *Session) KeepDeadline() (at time.Time, every time.Duration) {
	if s.keepAt.IsZero() {
		return time.Time{}, 0
	}
	return s.keepAt, s.every()
}
