package speaker

import (
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

func (s *Speaker) setPeer(now time.Time, cfg Peer) {
	p := s.peers[cfg.Node]
	if p == nil {
		p = &peer{cfg: cfg, id: s.takeID(), backoff: fsm.Backoff{Min: s.cfg.DialMin, Max: s.cfg.DialMax}}
		p.imports, p.exports = s.guardsOf(cfg.Node)
		s.peers[cfg.Node] = p
		s.order = append(s.order, p)
		slices.SortFunc(s.order, func(a, b *peer) int { return a.cfg.Node.Compare(b.cfg.Node) })
		s.table.AddPeer(p.id, s.ribConfig(p))
		s.dialNow(now, p)
		return
	}
	old := p.cfg
	p.cfg = cfg
	s.table.UpdatePeer(p.id, s.ribConfig(p))
	raised := p.count.overLimit && s.raised(old, cfg)
	if raised {
		p.count.overLimit = p.session != nil
		p.damping = damping{}
	}
	switch {
	case cfg.Disabled && !old.Disabled:
		s.closeAll(now, p, bgp.Notify(bgp.Cease, bgp.AdminShutdown, "disabled at %s", s.cfg.Self))
		p.dialAt = time.Time{}
		p.state = fsm.Idle
	case p.session != nil && (old.HoldTime != cfg.HoldTime || old.Role != cfg.Role || old.AddPath != cfg.AddPath ||
		old.Liveness != cfg.Liveness || old.Client != cfg.Client):
		s.closeAll(now, p, bgp.Notify(bgp.Cease, bgp.ConfigChange, "configuration changed at %s", s.cfg.Self))
		s.dialNow(now, p)
	case p.session == nil:
		p.backoff.Reset()
		s.dialNow(now, p)
	default:
		if raised {
			s.askAgain(p)
		}
		if (old.Import == nil) != (cfg.Import == nil) || (old.Export == nil) != (cfg.Export == nil) {
			s.sayRules(p)
		}
		s.resubscribe(p, old.Subscribe)
	}
}

// askAgain asks an established peer for what was left out over its limit (RFC 2918).
func (s *Speaker) askAgain(p *peer) {
	p.refreshAt = time.Time{}
	if p.session == nil {
		return
	}
	p.count.overLimit = false
	s.table.ResetBlocked(p.id)
	s.emit(Send{p.session.id, &bgp.Refresh{}})
}

// resubscribe tells an established peer what is wanted of it, if that is not what it was.
func (s *Speaker) resubscribe(p *peer, old []bgp.Service) {
	if slices.Equal(p.cfg.Subscribe, old) && (p.cfg.Subscribe == nil) == (old == nil) {
		return
	}
	s.emit(Send{p.session.id, &bgp.Subscribe{Services: p.cfg.Subscribe, Everything: p.cfg.Subscribe == nil}})
}

// subscribed takes what a peer wants to hear of; the difference goes out (after RFC 4684). It tells whether that
// takes a look at every service. Nil names are made of the message.
func (s *Speaker) subscribed(p *peer, m *bgp.Subscribe, names *filter.Names) (all bool) {
	p.session.waiting = false
	if m.Everything {
		p.wants = nil
		return s.table.SetWanted(p.id, nil)
	}
	p.wants = m
	if names == nil {
		names = filter.NewNames(m.Services)
	}
	return s.table.SetWanted(p.id, names)
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

func (s *Speaker) external(p *peer) bool { return p.cfg.Node.Org != s.cfg.Self.Org }

func (s *Speaker) ribConfig(p *peer) rib.PeerConfig {
	routes, bytes := s.tableLimits(p.cfg)
	imports, exports := s.guardedRules(p)
	return rib.PeerConfig{
		Node: p.cfg.Node, External: s.external(p), Role: p.cfg.Role, Client: p.cfg.Client,
		Namespaces: p.cfg.Namespaces, Attested: p.cfg.Attested, PathAttested: p.cfg.PathAttested, Pins: p.cfg.Pins,
		Hub: p.caps.Client && !s.external(p), Import: imports, Export: exports,
		MaxLocalPref: p.cfg.MaxLocalPref, MaxRoutes: routes, MaxBytes: bytes, MaxRouteBytes: s.limits(p).MaxRouteBytes,
		AddPath: int(p.caps.AddPath), PathsIn: max(1, int(p.cfg.AddPath)),
		NoPatterns: p.session != nil && !p.caps.Patterns,
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
		p.damping = damping{}
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
		p.dialAt = p.damping.after(now)
	}
}

// retry makes the next attempt due after the back-off, and tells whether there will be one.
func (s *Speaker) retry(now time.Time, p *peer) bool {
	if len(p.cfg.Addresses) == 0 || p.cfg.Disabled || s.stopped {
		return false
	}
	p.dialAt = p.damping.after(now.Add(p.backoff.Next(s.rnd)))
	return true
}

func (s *Speaker) dial(p *peer) {
	p.dialAt = time.Time{}
	// what was due may have been configured away
	if p.session != nil || s.stopped || p.cfg.Disabled || len(p.cfg.Addresses) == 0 {
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
