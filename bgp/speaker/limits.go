package speaker

import (
	"cmp"
	"fmt"
)

// What a peer may announce if its operator sets no limit. One node must not be able to fill the memory of all others,
// of its own organisation or not.
const (
	routesInside  = 1_000_000
	routesOutside = 1000
	bytesInside   = 512 << 20
	bytesOutside  = 4 << 20
	routeBytes    = 16 << 10 // 32 tags of 253 characters fit
)

// Limits bound what a peer may announce.
type Limits struct {
	MaxRoutes     int
	MaxBytes      int // names and attributes of all routes
	MaxRouteBytes int // attributes of one route
}

// LimitsOf returns the limits of a peer, with the defaults filled in.
func LimitsOf(p Peer, external bool) Limits {
	l := Limits{routesInside, bytesInside, routeBytes}
	if external {
		l = Limits{routesOutside, bytesOutside, routeBytes}
	}
	return Limits{cmp.Or(p.MaxRoutes, l.MaxRoutes), cmp.Or(p.MaxBytes, l.MaxBytes),
		cmp.Or(p.MaxRouteBytes, l.MaxRouteBytes)}
}

// words says what a peer that is closed for its number of routes went beyond.
func (l Limits) words() string { return fmt.Sprintf("%d routes or %d bytes", l.MaxRoutes, l.MaxBytes) }

func (s *Speaker) limits(p *peer) Limits { return LimitsOf(p.cfg, s.external(p)) }

// tableLimits returns how many routes, and bytes of them, the table takes of a peer; 0 for all.
func (s *Speaker) tableLimits(cfg Peer) (routes, bytes int) {
	l := LimitsOf(cfg, cfg.Node.Org != s.cfg.Self.Org)
	switch cfg.OverLimit {
	case OverLimitWarn:
		return 0, 0
	case OverLimitClose:
		return l.MaxRoutes + 1, l.MaxBytes // the one too many is taken, and closes the session
	}
	return l.MaxRoutes, l.MaxBytes
}

// raised tells whether a peer's new limits leave room for what the old ones left out.
func (s *Speaker) raised(old, cfg Peer) bool {
	routes, bytes := s.tableLimits(old)
	nowRoutes, nowBytes := s.tableLimits(cfg)
	more := func(was, is int) bool { return was > 0 && (is == 0 || is > was) }
	return more(routes, nowRoutes) || more(bytes, nowBytes)
}

// hasRoom tells whether a peer's table has room for more than a few routes.
func (s *Speaker) hasRoom(p *peer) bool {
	l, c := s.limits(p), s.table.PeerCounts(p.id)
	return c.Received < l.MaxRoutes && c.Bytes < l.MaxBytes-l.MaxBytes/8
}
