package speaker

import (
	"maps"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// Timed is an event and when it happened.
type Timed struct {
	At    time.Time
	Event Event
}

// strayConn numbers streams that exist in a checkpoint alone.
const strayConn = ConnID(1) << 63

// Config returns what a speaker has to be made with for Checkpoint to apply.
func (s *Speaker) Config() Config {
	c := s.cfg
	c.Restarting = !s.deferUntil.IsZero()
	c.Learned = s.learnUntil.IsZero()
	return c
}

// Checkpoint calls yield for events that bring a new speaker of Config, started now, to the tables, sessions and
// deadlines of this one. While it takes them, whoever replays gives each UPDATE's credit back at once. What it does
// not restore is what nobody outside can hold it to: counters, the numbers of paths, the time of the next attempt to
// dial, how far a peer that does not read has got, and an order among services.
func (s *Speaker) Checkpoint(now time.Time, yield func(Timed)) {
	s.table.Raw(rib.Local, func(svc bgp.Service, _ uint32, set []byte, _ bool) {
		if a, err := attr.Parse(set); err == nil {
			yield(Timed{now, LocalSet{Service: svc, Attributes: a, Yields: s.table.Yields(svc)}})
		}
	})
	s.checkpointOffers(now, yield)
	s.checkpointAttested(now, yield)
	if s.guardedBy.Set != "" {
		yield(Timed{now, s.guardedBy})
	}
	stray := strayConn
	for _, p := range s.order {
		yield(Timed{now, PeerSet{Peer: p.cfg}})
		if s.table.PeerCounts(p.id).Stale > 0 && !s.table.Refreshing(p.id) {
			stray++
			s.checkpointStale(now, p, stray, yield)
		}
		for _, c := range p.conns {
			s.checkpointConn(now, c, yield)
		}
		if usable, cost := s.table.NextHop(p.id); !usable || cost != 0 {
			yield(Timed{now, NextHopChanged{Node: p.cfg.Node, Usable: usable, Cost: cost}})
		}
	}
	for _, svc := range slices.Sorted(maps.Keys(s.reports.own)) {
		r := s.reports.own[svc]
		yield(Timed{now, Problem{Service: svc, Kind: r.Kind, Text: r.Text}})
	}
	if s.draining {
		yield(Timed{now, Drain{On: true}})
	}
	if s.restored {
		yield(Timed{now, Restored{}})
	}
}

// checkpointConn brings one stream to where it stands.
func (s *Speaker) checkpointConn(now time.Time, c *conn, yield func(Timed)) {
	began := now
	if at, every := c.fsm.KeepDeadline(); !at.IsZero() {
		began = at.Add(-every)
	}
	yield(Timed{began, ConnUp{Conn: c.id, Remote: c.peer.cfg.Node, Dialled: c.dialled}})
	if c.fsm.State() == fsm.OpenSent {
		return
	}
	open := c.fsm.Peer()
	yield(Timed{began, Received{Conn: c.id, Msg: &open}})
	if c.fsm.State() != fsm.Established {
		return
	}
	yield(Timed{began, Received{Conn: c.id, Msg: bgp.Keepalive{}}})
	if c.peer.rules != nil {
		yield(Timed{began, Received{Conn: c.id, Msg: c.peer.rules}})
	}
	if c.peer.wants != nil {
		yield(Timed{began, Received{Conn: c.id, Msg: c.peer.wants}})
	}
	refreshing := s.table.Refreshing(c.peer.id)
	if refreshing {
		s.checkpointPaths(began, c.peer, c.id, true, yield)
	}
	if c.peer.eor {
		yield(Timed{began, Received{Conn: c.id, Msg: &bgp.Update{Marker: bgp.EndOfRIB}}})
	}
	if refreshing {
		yield(Timed{began, Received{Conn: c.id, Msg: &bgp.Update{Marker: bgp.BeginOfRefresh}}})
	}
	s.checkpointPaths(began, c.peer, c.id, false, yield)
	if d := c.fsm.HoldDeadline(); !d.IsZero() {
		yield(Timed{d.Add(-c.fsm.HoldTime()), Received{Conn: c.id, Msg: bgp.Keepalive{}}})
	}
}

// checkpointStale enters the paths that are kept of a peer that is away, or is back and has not sent all of them
// again, over a stream that never was.
func (s *Speaker) checkpointStale(now time.Time, p *peer, id ConnID, yield func(Timed)) {
	lost := now
	switch {
	case !p.staleUntil.IsZero():
		lost = p.staleUntil.Add(-p.caps.GracefulRestart)
	case !p.lastUntil.IsZero():
		lost = p.lastUntil.Add(-p.caps.LongLivedStale - p.caps.GracefulRestart)
	}
	open := &bgp.Open{
		Version:      bgp.Version,
		Node:         p.cfg.Node,
		HoldTime:     0,
		BootID:       p.bootID,
		Capabilities: p.caps,
		Ingress:      s.table.IngressOf(p.id),
	}
	yield(Timed{lost, ConnUp{Conn: id, Remote: p.cfg.Node}})
	yield(Timed{lost, Received{Conn: id, Msg: open}})
	yield(Timed{lost, Received{Conn: id, Msg: bgp.Keepalive{}}})
	s.checkpointPaths(lost, p, id, true, yield)
	if p.eor {
		yield(Timed{lost, Received{Conn: id, Msg: &bgp.Update{Marker: bgp.EndOfRIB}}})
	}
	yield(Timed{lost, ConnDown{Conn: id, Err: p.lastErr}})
	if !p.lastUntil.IsZero() {
		yield(Timed{p.lastUntil.Add(-p.caps.LongLivedStale), Tick{}})
	}
}

// checkpointPaths announces again what a peer has announced, the old paths or the others.
func (s *Speaker) checkpointPaths(at time.Time, p *peer, id ConnID, wantOld bool, yield func(Timed)) {
	var u *bgp.Update
	routes, size := 0, 0
	flush := func() {
		if u != nil {
			yield(Timed{at, Received{Conn: id, Msg: u}})
		}
		u, routes, size = nil, 0, 0
	}
	s.table.Raw(p.id, func(svc bgp.Service, pathID uint32, set []byte, old bool) {
		if old != wantOld {
			return
		}
		if u == nil || routes >= bgp.MaxUpdateRoutes || size >= bgp.MaxUpdateSize {
			flush()
			u = &bgp.Update{}
		}
		n := bgp.NLRI{Service: svc, PathID: pathID}
		if g := len(u.Announced) - 1; g >= 0 && string(u.Announced[g].Attributes) == string(set) {
			u.Announced[g].Routes = append(u.Announced[g].Routes, n)
		} else {
			u.Announced = append(u.Announced, bgp.Group{Attributes: append([]byte(nil), set...), Routes: []bgp.NLRI{n}})
		}
		routes++
		size += len(svc) + len(set) + 16
	})
	flush()
}
