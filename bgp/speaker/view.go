package speaker

import (
	"maps"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// Counters are what happened with a peer since it was configured.
type Counters struct {
	Sessions, Dials           uint64
	MessagesIn                uint64
	UpdatesIn, UpdatesOut     uint64
	AnnouncedIn, AnnouncedOut uint64
	WithdrawnIn, WithdrawnOut uint64
	Malformed                 uint64 // routes and messages
	Faults                    map[FaultKind]uint64
	Rejected                  map[int]uint64
	overLimit, crowded        bool
}

func (c *Counters) sent(u *bgp.Update) {
	c.UpdatesOut++
	c.WithdrawnOut += uint64(len(u.Withdrawn))
	for i := range u.Announced {
		c.AnnouncedOut += uint64(len(u.Announced[i].Routes))
	}
}

func (c *Counters) received(u *bgp.Update) {
	c.UpdatesIn++
	c.WithdrawnIn += uint64(len(u.Withdrawn))
	for i := range u.Announced {
		c.AnnouncedIn += uint64(len(u.Announced[i].Routes))
	}
	if c.Rejected == nil {
		c.Rejected = map[int]uint64{}
	}
}

// PeerView is what an operator sees of a peer.
type PeerView struct {
	Config   Peer
	External bool
	State    fsm.State
	Since    time.Time // when the session came up; zero if it is not up
	NextDial time.Time // zero if none is due
	HoldTime time.Duration
	Ingress  string // of the peer's Envoy
	BootID   uint64
	Caps     bgp.Capabilities
	Routes   rib.PeerCounts
	Pending  int // services it has yet to hear of
	Counters Counters
	// LastError is why the last session or attempt ended, "" while all is well; Remote tells that the peer ended it.
	LastError string
	Remote    bool
	// StaleSince is when the session was lost whose routes are stale, StaleUntil how long they are kept; zero if it has
	// none.
	StaleSince, StaleUntil time.Time
	// LastResortUntil is how long they serve as last resort (RFC 9494); zero if they do not.
	LastResortUntil time.Time
	EndOfRIB        bool // it has sent its whole table
	// Liveness is the negotiated interval of fast keepalives; 0 for none.
	Liveness time.Duration
	// Wants are the names that it subscribes to, if Selective; otherwise it wants everything.
	Wants     []bgp.Service
	Selective bool
	// HeldUntil is until when it is neither dialled nor let in, and HeldFor why; zero and "" if it was never held down.
	// It may have passed.
	HeldUntil time.Time
	HeldFor   string
	Losses    int     // sessions lost to silence of late
	Faults    []Fault // the newest, the oldest first
	// Role is what the peer says that this organisation is to it (RFC 9234).
	Role bgp.Role
	// Rules is what the peer says of its own rules for this node; nil if it says nothing.
	Rules *bgp.Rules
	// Notice says in words what an operator would otherwise search for.
	Notice string
}

// staleSince is when the session was lost whose routes are stale; zero if there are none.
func (p *peer) staleSince() time.Time {
	switch {
	case !p.staleUntil.IsZero():
		return p.staleUntil.Add(-p.caps.GracefulRestart)
	case !p.lastUntil.IsZero():
		return p.lastUntil.Add(-p.longLived() - p.caps.GracefulRestart)
	}
	return time.Time{}
}

// Peers returns every peer, sorted by node.
func (s *Speaker) Peers() []PeerView {
	all := make([]PeerView, 0, len(s.order))
	for _, p := range s.order {
		all = append(all, s.view(p))
	}
	return all
}

// Peer returns one peer.
func (s *Speaker) Peer(n bgp.NodeID) (PeerView, bool) {
	p := s.peers[n]
	if p == nil {
		return PeerView{}, false
	}
	return s.view(p), true
}

// MayUse tells whether the export rules let a peer have a service; see rib.Table.MayUse.
func (s *Speaker) MayUse(n bgp.NodeID, svc bgp.Service) bool {
	p := s.peers[n]
	return p != nil && s.table.MayUse(p.id, svc)
}

// Aggregates are the patterns that a peer is told of in the place of what is below them; see rib.Table.Aggregates.
func (s *Speaker) Aggregates(n bgp.NodeID) []bgp.Service {
	p := s.peers[n]
	if p == nil {
		return nil
	}
	return s.table.Aggregates(p.id)
}

// PeerID returns a peer's number in the table.
func (s *Speaker) PeerID(n bgp.NodeID) (rib.PeerID, bool) {
	p := s.peers[n]
	if p == nil {
		return 0, false
	}
	return p.id, true
}

func (s *Speaker) view(p *peer) PeerView {
	v := PeerView{
		Config: p.cfg, External: s.external(p), State: p.state, NextDial: p.dialAt, BootID: p.bootID, Caps: p.caps,
		Routes: s.table.PeerCounts(p.id), Counters: p.count, LastError: p.lastErr, Remote: p.lastErrRemote,
		StaleSince:      p.staleSince(),
		StaleUntil:      p.staleUntil,
		LastResortUntil: p.lastUntil,
		EndOfRIB:        p.eor,
		Notice:          s.notice(p),
		Losses:          p.damping.losses, Faults: slices.Clone(p.faults),
	}
	v.Counters.Faults = maps.Clone(p.count.Faults)
	if p.session == nil {
		v.HeldUntil, v.HeldFor = p.damping.until, p.damping.why
	}
	if p.wants != nil {
		v.Wants, v.Selective = p.wants.Services, true
	}
	v.Counters.Rejected = map[int]uint64{}
	for reason, n := range p.count.Rejected {
		v.Counters.Rejected[reason] = n
	}
	if c := p.session; c != nil {
		v.Since, v.HoldTime, v.Ingress, v.Liveness = p.since, c.fsm.HoldTime(), c.fsm.Peer().Ingress, c.fsm.Liveness()
		v.Pending, v.Role, v.Rules = s.table.Pending(p.id), c.fsm.Peer().Role.Opposite(), p.rules
	}
	return v
}

func (s *Speaker) notice(p *peer) string {
	switch {
	case p.cfg.Disabled:
		return "disabled by the operator"
	case s.external(p) && p.cfg.Import == nil && p.cfg.Export == nil:
		return "no import and no export rule: nothing is taken from or told to another organisation (RFC 8212)"
	case s.external(p) && p.cfg.Import == nil:
		return "no import rule: nothing is taken from another organisation (RFC 8212)"
	case s.external(p) && p.cfg.Export == nil:
		return "no export rule: nothing is told to another organisation (RFC 8212)"
	case p.rules != nil && !p.rules.Import && !p.rules.Export && p.session != nil:
		return "the other side has no import and no export rule: it takes and tells nothing (RFC 8212)"
	case p.rules != nil && !p.rules.Import && p.session != nil:
		return "the other side has no import rule: it takes nothing of this node (RFC 8212)"
	case p.rules != nil && !p.rules.Export && p.session != nil:
		return "the other side has no export rule: it tells this node nothing (RFC 8212)"
	case p.session != nil && s.external(p) && p.cfg.Role != bgp.RoleNone && p.session.fsm.Peer().Role == bgp.RoleNone:
		return "the other side names no role: only this side keeps to " + p.cfg.Role.String() + " (RFC 9234)"
	case p.count.overLimit:
		said := "announces more than it may: raise max-routes or max-bytes, and the rest is asked for"
		if crowd := s.table.Crowd(p.id); crowd != "" {
			said += "; " + crowd
		}
		return said
	case len(p.cfg.Addresses) == 0 && p.session == nil:
		return "has no address: waiting for it to dial"
	}
	return ""
}

// ConnOf returns the stream of a peer's session; 0 if it has none.
func (s *Speaker) ConnOf(n bgp.NodeID) ConnID {
	if p := s.peers[n]; p != nil && p.session != nil {
		return p.session.id
	}
	return 0
}
