package speaker

import (
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

func (s *Speaker) setPeer(now time.Time, cfg Peer) {
	p := s.peers[cfg.Node]
	if p == nil {
		p = &peer{cfg: cfg, id: s.takeID(), backoff: fsm.Backoff{Min: s.cfg.DialMin, Max: s.cfg.DialMax}}
		s.peers[cfg.Node] = p
		s.order = append(s.order, p)
		slices.SortFunc(s.order, func(a, b *peer) int { return a.cfg.Node.Compare(b.cfg.Node) })
		s.table.AddPeer(p.id, s.ribConfig(p))
		s.dialNow(now, p)
		return
	}
	old := p.cfg
	p.cfg = cfg
	raised := cfg.MaxRoutes > old.MaxRoutes && p.count.overLimit
	s.table.UpdatePeer(p.id, s.ribConfig(p))
	switch {
	case cfg.Disabled && !old.Disabled:
		s.closeAll(now, p, bgp.Notify(bgp.Cease, bgp.AdminShutdown, "disabled at %s", s.cfg.Self))
		p.dialAt = time.Time{}
		p.state = fsm.Idle
	case p.session != nil && (old.HoldTime != cfg.HoldTime || old.Role != cfg.Role || old.AddPath != cfg.AddPath):
		s.closeAll(now, p, bgp.Notify(bgp.Cease, bgp.ConfigChange, "configuration changed at %s", s.cfg.Self))
		s.dialNow(now, p)
	case p.session != nil && raised:
		p.count.overLimit = false
		s.emit(Send{p.session.id, &bgp.Refresh{}})
	case p.session == nil:
		p.backoff.Reset()
		s.dialNow(now, p)
	}
}

// takeID returns a number that the table does not use.
func (s *Speaker) takeID() rib.PeerID {
	if n := len(s.spare); n > 0 {
		id := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return id
	}
	s.nextID++
	return s.nextID - 1
}

func (s *Speaker) maxRoutes(p *peer) int {
	if p.cfg.MaxRoutes == 0 && s.external(p) {
		return defaultLimit
	}
	return p.cfg.MaxRoutes
}

func (s *Speaker) external(p *peer) bool { return p.cfg.Node.Org != s.cfg.Self.Org }

func (s *Speaker) ribConfig(p *peer) rib.PeerConfig {
	limit := s.maxRoutes(p)
	if p.cfg.OverLimit == OverLimitClose && limit > 0 {
		limit++ // the one too many is taken, and closes the session
	}
	return rib.PeerConfig{
		Node: p.cfg.Node, External: s.external(p), Role: p.cfg.Role, Client: p.cfg.Client,
		Import: p.cfg.Import, Export: p.cfg.Export, MaxRoutes: limit, AddPath: int(p.caps.AddPath),
	}
}

func (s *Speaker) removePeer(now time.Time, ev PeerRemoved) {
	p := s.peers[ev.Node]
	if p == nil {
		return
	}
	delete(s.peers, ev.Node)
	s.order = slices.DeleteFunc(s.order, func(o *peer) bool { return o == p })
	s.closeAll(now, p, bgp.Notify(bgp.Cease, bgp.PeerDeconfigured, "%s", ev.Text))
	s.table.RemovePeer(p.id)
	s.freed = append(s.freed, p.id)
	s.emit(SessionChanged{Peer: ev.Node, From: p.state, To: fsm.Idle, Reason: "removed"})
}

func (s *Speaker) resetPeer(now time.Time, ev PeerReset) {
	if p := s.peers[ev.Node]; p != nil {
		s.closeAll(now, p, bgp.Notify(bgp.Cease, bgp.AdminReset, "%s", ev.Text))
		p.backoff.Reset()
		s.dialNow(now, p)
	}
}

func (s *Speaker) closeAll(now time.Time, p *peer, n *bgp.Notification) {
	for _, c := range slices.Clone(p.conns) {
		s.fail(now, c, n, false)
	}
}

// dialNow makes a first attempt due, if the peer is to be dialled.
func (s *Speaker) dialNow(now time.Time, p *peer) {
	if len(p.cfg.Addresses) > 0 && !p.cfg.Disabled && !s.stopped && p.session == nil {
		p.dialAt = now
	}
}

// retry makes the next attempt due after the back-off, and tells whether there will be one.
func (s *Speaker) retry(now time.Time, p *peer) bool {
	if len(p.cfg.Addresses) == 0 || p.cfg.Disabled || s.stopped {
		return false
	}
	p.dialAt = now.Add(p.backoff.Next(s.rnd))
	return true
}

func (s *Speaker) dial(p *peer) {
	p.dialAt = time.Time{}
	if p.session != nil || s.stopped || p.cfg.Disabled || len(p.cfg.Addresses) == 0 { // what was due may have been configured away
		return
	}
	address := p.cfg.Addresses[p.address%len(p.cfg.Addresses)]
	p.address++
	p.count.Dials++
	s.setState(p, fsm.Connect)
	s.emit(Dial{Peer: p.cfg.Node, Address: address})
}

func (s *Speaker) dialFailed(now time.Time, ev DialFailed) {
	p := s.peers[ev.Peer]
	if p == nil || p.session != nil {
		return
	}
	first := p.lastErr != ev.Err
	p.lastErr, p.lastErrRemote = ev.Err, false
	if len(p.conns) > 0 || !s.retry(now, p) {
		return
	}
	from := p.state
	p.state = fsm.Active
	if first {
		s.emit(SessionChanged{Peer: ev.Peer, From: from, To: fsm.Active, Reason: ev.Err})
	}
}
