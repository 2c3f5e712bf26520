package speaker

import (
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// connUp begins a session on a stream, if the peer is one that we know.
func (s *Speaker) connUp(now time.Time, ev ConnUp) {
	p := s.peers[ev.Remote]
	refuse := func(sub bgp.Subcode, format string, args ...any) {
		s.emit(Send{ev.Conn, bgp.Notify(bgp.Cease, sub, format, args...)})
		s.emit(CloseConn{ev.Conn})
	}
	switch {
	case s.stopped:
		refuse(bgp.AdminShutdown, "%s is shutting down", s.cfg.Self)
		return
	case p == nil:
		refuse(bgp.ConnectionRejected, "%s is not a peer of %s: add it there first", ev.Remote, s.cfg.Self)
		return
	case p.cfg.Disabled:
		refuse(bgp.ConnectionRejected, "%s is disabled at %s", ev.Remote, s.cfg.Self)
		return
	case p.damping.holds(now):
		refuse(bgp.ConnectionRejected, "%s holds it down until %s: %s", s.cfg.Self,
			p.damping.until.UTC().Format(time.TimeOnly), p.damping.why)
		return
	case ev.Dialled && p.session != nil:
		refuse(bgp.CollisionResolution, "another stream with %s is established", p.cfg.Node)
		return
	case len(p.conns) >= maxConns:
		refuse(bgp.ConnectionRejected, "%d streams between %s and %s already", len(p.conns), ev.Remote, s.cfg.Self)
		return
	}
	c := &conn{id: ev.Conn, peer: p, dialled: ev.Dialled, credits: credits}
	c.fsm = fsm.NewSession(now, fsm.Config{Remote: ev.Remote, Open: s.open(p)})
	p.conns = append(p.conns, c)
	s.conns[c.id] = c
	if ev.Dialled {
		p.dialAt = time.Time{}
	}
	if p.session == nil {
		s.setState(p, fsm.OpenSent)
	}
	s.emit(Send{c.id, c.fsm.Open()})
}

// open is what this node says to a peer.
func (s *Speaker) open(p *peer) bgp.Open {
	hold := p.cfg.HoldTime
	if hold == 0 {
		hold = bgp.DefaultHoldTime
	}
	return bgp.Open{
		Version:  bgp.Version,
		Node:     s.cfg.Self,
		HoldTime: hold,
		Ingress:  s.cfg.Ingress,
		Role:     p.cfg.Role.Opposite(),
		BootID:   s.cfg.BootID,
		Capabilities: bgp.Capabilities{
			GracefulRestart: s.cfg.GracefulRestart, Restarting: !s.deferUntil.IsZero(), LongLivedStale: s.cfg.LongLivedStale,
			AddPath:   p.cfg.AddPath,
			Refresh:   true,
			Client:    p.cfg.Client,
			Subscribe: p.cfg.Subscribe != nil,
			Liveness:  p.cfg.Liveness,
			Reports:   true,
			Trace:     s.cfg.Trace,
			Rules:     true,
			Attest:    true,
			Bulletins: s.cfg.Bulletins,
			Why:       s.explains(p),
			Hops:      true,
			Patterns:  true,
		},
	}
}

func (s *Speaker) received(now time.Time, ev Received) {
	c := s.conns[ev.Conn]
	if c == nil {
		return
	}
	p := c.peer
	p.count.MessagesIn++
	before := c.fsm.State()
	s.outcome(now, c, c.fsm.Receive(now, ev.Msg))
	if s.conns[ev.Conn] == nil {
		return
	}
	if before == fsm.OpenSent && c.fsm.State() == fsm.OpenConfirm {
		s.collide(now, c)
		return
	}
	if before != fsm.Established {
		return
	}
	switch m := ev.Msg.(type) {
	case *bgp.Update:
		s.update(now, c, m)
	case *bgp.Refresh:
		s.ask(now, p, nil, nil, true)
	case *bgp.Subscribe:
		s.ask(now, p, m, ev.Names, false)
	case *bgp.Rules:
		p.rules = m
	case *bgp.Attest:
		s.attest(now, p, m)
	case *bgp.Hops:
		s.takeHops(now, p, m)
	case *bgp.Report:
		s.report(now, c, m)
	case *bgp.TraceRequest:
		if s.cfg.Trace {
			s.emit(Heard{p.cfg.Node, m})
		}
	case *bgp.TraceReply:
		s.emit(Heard{p.cfg.Node, m})
	case *bgp.WhyRequest:
		s.why(now, c, m)
	case *bgp.WhyReply:
		s.emit(Heard{p.cfg.Node, m})
	case *bgp.Bulletin:
		if s.cfg.Bulletins && p.cfg.Node.Org == s.cfg.Self.Org {
			s.emit(Heard{p.cfg.Node, m})
		}
	}
}

// say sends a message of a trace, a question or a bulletin, if the peer takes it now.
func (s *Speaker) say(now time.Time, ev Say) {
	p := s.peers[ev.Peer]
	if p == nil || p.session == nil || p.session.credits == 0 {
		return
	}
	if _, ask := ev.Msg.(*bgp.TraceRequest); ask && !p.caps.Trace {
		return
	}
	if _, ask := ev.Msg.(*bgp.WhyRequest); ask && !p.caps.Why {
		return
	}
	if _, own := ev.Msg.(*bgp.Bulletin); own && (!p.caps.Bulletins || p.cfg.Node.Org != s.cfg.Self.Org) {
		return
	}
	c := p.session
	c.spend(now)
	s.emit(Send{c.id, ev.Msg})
}

// outcome carries on what the machine of a stream says.
func (s *Speaker) outcome(now time.Time, c *conn, out fsm.Outcome) {
	if out.Fail != nil {
		s.fail(now, c, out.Fail, len(out.Send) == 0)
		return
	}
	for _, m := range out.Send {
		s.emit(Send{c.id, m})
	}
	if out.Up {
		s.established(now, c)
	}
	if c.peer.session == nil {
		s.setState(c.peer, c.fsm.State())
	}
}

// collide leaves one stream with a peer (RFC 4271 §6.8), now that c's OPEN says who it is.
func (s *Speaker) collide(now time.Time, c *conn) {
	p := c.peer
	for _, other := range slices.Clone(p.conns) {
		if other == c || other.fsm.State() == fsm.OpenSent {
			continue
		}
		if other == p.session && c.dialled == other.dialled && !c.dialled && c.fsm.Peer().BootID == other.fsm.Peer().BootID {
			// Who dials again has lost the stream that this side still takes for alive.
			s.lose(now, other, bgp.Notify(bgp.Cease, bgp.CollisionResolution, "%s has dialled again", p.cfg.Node))
			continue
		}
		if boot := c.fsm.Peer().BootID; boot != other.fsm.Peer().BootID {
			s.reborn(now, c, other)
			return
		}
		loser := c
		if fsm.Survives(s.cfg.Self, p.cfg.Node, c.dialled) && !fsm.Survives(s.cfg.Self, p.cfg.Node, other.dialled) {
			loser = other
		}
		s.fail(now, loser, bgp.Notify(bgp.Cease, bgp.CollisionResolution, "another stream with %s survives", p.cfg.Node),
			false)
		if loser == c {
			return
		}
	}
}

// reborn handles a second stream whose OPEN has another boot id: the peer has restarted, or its configuration was
// cloned. A session that was heard within its keepalive interval is alive, so the newcomer is a clone and is refused
// by name.
func (s *Speaker) reborn(now time.Time, c, old *conn) {
	hold := old.fsm.HoldTime()
	deadline := old.fsm.HoldDeadline()
	heard := deadline.Add(-hold)
	if hold > 0 && now.Sub(heard) < hold/2 {
		s.fail(now, c, bgp.Notify(bgp.OpenMessageError, bgp.BadNodeID,
			"%s is connected already, from another process: two nodes with one id?", c.peer.cfg.Node), false)
		return
	}
	s.lose(now, old, bgp.Notify(bgp.Cease, bgp.ConnectionRejected, "%s has restarted", old.peer.cfg.Node))
}

func (s *Speaker) established(now time.Time, c *conn) {
	p := c.peer
	if p.session != nil { // its OPEN has been through collide, so this cannot stay
		s.lose(now, p.session, bgp.Notify(bgp.Cease, bgp.CollisionResolution, "superseded"))
	}
	open := c.fsm.Peer()
	if open.BootID != p.bootID && !open.Capabilities.Restarting || open.Capabilities.GracefulRestart == 0 {
		s.forgetStale(p) // its data plane did not outlive it, or it has no graceful restart any more (RFC 4724 §4.2)
	}
	p.session, p.caps, p.bootID, p.since = c, open.Capabilities, open.BootID, now
	p.rules, p.incoming = nil, nil
	p.eor, p.wants, p.refreshAt, c.waiting = false, nil, time.Time{}, open.Capabilities.Subscribe
	p.backoff.Reset()
	p.dialAt = time.Time{}
	p.lastErr = ""
	p.count.Sessions++
	s.table.UpdatePeer(p.id, s.ribConfig(p))
	s.table.Established(p.id, open.Ingress)
	s.setState(p, fsm.Established)
	s.sayRules(p)
	s.oweAttested(p)
	if p.cfg.Subscribe != nil {
		s.emit(Send{c.id, &bgp.Subscribe{Services: p.cfg.Subscribe}})
	}
}

// sayRules tells an established peer of another organisation whether there are rules for it, so that its operator sees
// why nothing is taken or told (RFC 8212).
func (s *Speaker) sayRules(p *peer) {
	if p.session != nil && p.caps.Rules && s.external(p) {
		s.emit(Send{p.session.id, &bgp.Rules{Import: p.cfg.Import != nil, Export: p.cfg.Export != nil}})
	}
}

func (s *Speaker) update(now time.Time, c *conn, u *bgp.Update) {
	p := c.peer
	p.count.received(u)
	if p.cfg.AddPath < 2 && hasPathIDs(u) {
		s.fail(now, c, bgp.Notify(bgp.UpdateMessageError, bgp.MalformedAttributes,
			"UPDATE: path ids, and add-path was not asked for (RFC 7911)"), false)
		return
	}
	if u.Marker == bgp.BeginOfRefresh {
		s.table.BeginRefresh(p.id)
	}
	res := s.table.Apply(p.id, u)
	for reason, n := range res.Rejected {
		if n > 0 {
			p.count.Rejected[reason] += uint64(n)
			s.emit(Rejected{Peer: p.cfg.Node, Reason: rib.Reject(reason), Count: n})
		}
	}
	if len(u.Malformed) > 0 {
		for i := range u.Malformed {
			p.malformed(now, &u.Malformed[i])
		}
		s.emit(Rejected{Peer: p.cfg.Node, Reason: rib.RejectDraft, Malformed: u.Malformed})
	}
	switch u.Marker {
	case bgp.EndOfRIB:
		p.eor = true
		s.repeat(p)
		s.forgetStale(p)
	case bgp.EndOfRefresh:
		s.table.EndRefresh(p.id)
	}
	limit, received := s.limits(p).MaxRoutes, s.table.PeerCounts(p.id).Received
	switch {
	case res.OverLimit, p.cfg.OverLimit == OverLimitWarn && received > limit:
		s.overLimit(now, c)
	case p.count.overLimit && p.cfg.OverLimit == OverLimitWarn:
		p.count.overLimit = false
	case p.count.overLimit && len(u.Withdrawn) > 0 && s.hasRoom(p) && p.refreshAt.IsZero():
		p.refreshAt = now.Add(roomPause)
	}
}

// hasPathIDs tells whether an UPDATE numbers the paths of a service.
func hasPathIDs(u *bgp.Update) bool {
	numbered := func(n bgp.NLRI) bool { return n.PathID != 0 }
	return slices.ContainsFunc(u.Withdrawn, numbered) ||
		slices.ContainsFunc(u.Announced, func(g bgp.Group) bool { return slices.ContainsFunc(g.Routes, numbered) })
}

func (s *Speaker) overLimit(now time.Time, c *conn) {
	p := c.peer
	limit := s.limits(p)
	closing := p.cfg.OverLimit == OverLimitClose
	crowd := s.table.Crowd(p.id)
	if !p.count.overLimit || closing || crowd != "" && !p.count.crowded {
		s.emit(LimitReached{
			Peer: p.cfg.Node, Limit: limit.MaxRoutes, Bytes: limit.MaxBytes, Most: crowd, Closed: closing,
		})
	}
	p.count.overLimit, p.count.crowded = true, crowd != ""
	if closing {
		p.damping.until, p.damping.why = now.Add(limitPause), fmt.Sprintf("it announced more than %s", limit.words())
		s.fail(now, c, bgp.Notify(bgp.Cease, bgp.MaxRoutesReached, "more than %s", limit.words()), false)
	}
}

// fail ends a session with a reason, which goes to the peer unless it came from there.
func (s *Speaker) fail(now time.Time, c *conn, n *bgp.Notification, remote bool) {
	if !remote {
		s.emit(Send{c.id, n})
	}
	s.emit(CloseConn{c.id})
	// Only what was not said on purpose leaves the routes in place (RFC 4724 §4, with RFC 8538 for an expired hold timer).
	kept := n.Code == bgp.HoldTimerExpired || n.Code == bgp.SendHoldExpired ||
		n.Code == bgp.Cease && n.Subcode == bgp.LivenessLost
	broken := !remote && (n.Code == bgp.UpdateMessageError || n.Code == bgp.MessageHeaderError)
	if (kept || broken) && c == c.peer.session {
		c.peer.damping.lost(now)
	}
	s.ended(now, c, n.Error(), remote, kept)
}

// lose ends a session whose peer has come back on another stream: its routes stay, as if the first had broken.
func (s *Speaker) lose(now time.Time, c *conn, n *bgp.Notification) {
	s.emit(Send{c.id, n})
	s.emit(CloseConn{c.id})
	s.ended(now, c, n.Error(), false, true)
}

func (s *Speaker) connDown(now time.Time, ev ConnDown) {
	if c := s.conns[ev.Conn]; c != nil {
		s.ended(now, c, ev.Err, true, true)
	}
}

// ended does what follows when a stream is over, however it ended.
func (s *Speaker) ended(now time.Time, c *conn, reason string, remote, keepRoutes bool) {
	p := c.peer
	was := p.session == c
	s.drop(c)
	if was {
		s.table.Down(p.id)
		if keepRoutes && p.caps.GracefulRestart > 0 {
			s.keepStale(now, p)
		} else {
			p.staleUntil, p.lastUntil = time.Time{}, time.Time{}
			s.table.Clear(p.id)
		}
	}
	if p.session != nil {
		return // another stream of the peer lives
	}
	p.lastErr, p.lastErrRemote = reason, remote
	if s.peers[p.cfg.Node] != p {
		return
	}
	from := p.state
	to := fsm.Idle
	for _, other := range p.conns {
		to = max(to, other.fsm.State())
	}
	if to == fsm.Idle && s.retry(now, p) {
		to = fsm.Active
	}
	p.state = to
	if was || from != to {
		s.emit(SessionChanged{Peer: p.cfg.Node, From: from, To: to, Reason: reason, Remote: remote})
	}
}

// drop forgets a stream.
func (s *Speaker) drop(c *conn) {
	p := c.peer
	delete(s.conns, c.id)
	p.conns = slices.DeleteFunc(p.conns, func(o *conn) bool { return o == c })
	if p.session == c {
		p.session, p.reports, p.reportOrder, p.owes = nil, nil, nil, nil
	}
}

// keepStale lets a peer's routes serve on. One that fails again before it has sent its table has no more time than
// the first failure gave it, so that nothing is stale for ever (RFC 4724 §4.2 would have it removed, and cut off a
// data plane that runs).
func (s *Speaker) keepStale(now time.Time, p *peer) {
	s.table.MarkStale(p.id)
	switch {
	case !p.lastUntil.IsZero():
		s.table.MarkLongLived(p.id)
	case p.staleUntil.IsZero():
		p.staleUntil = now.Add(p.caps.GracefulRestart)
	}
}

func (s *Speaker) forgetStale(p *peer) {
	p.staleUntil, p.lastUntil = time.Time{}, time.Time{}
	s.table.Sweep(p.id)
}

// restartExpired ends the time for which a peer's stale routes are kept.
func (s *Speaker) restartExpired(now time.Time, p *peer) {
	p.staleUntil = time.Time{}
	if d := p.longLived(); d > 0 && p.session == nil {
		p.lastUntil = now.Add(d)
		s.table.MarkLongLived(p.id)
		return
	}
	s.table.Sweep(p.id)
}

// longLived is how long a peer's routes serve as last resort: as it asks, within what the operator allows (RFC 9494
// §4.3).
func (p *peer) longLived() time.Duration {
	switch {
	case p.cfg.LongLivedStale < 0:
		return 0
	case p.cfg.LongLivedStale > 0:
		return min(p.cfg.LongLivedStale, p.caps.LongLivedStale)
	}
	return p.caps.LongLivedStale
}

func (s *Speaker) setState(p *peer, to fsm.State) {
	if p.state == to {
		return
	}
	from := p.state
	p.state = to
	s.emit(SessionChanged{Peer: p.cfg.Node, From: from, To: to})
}
