package peering

import "github.com/catalyst-router/catalyst/bgp"

// A portion is what the speaker takes at one go from a peer that sends much: so many routes, or those whose
// attributes come to so many bytes. Without portions, an UPDATE of a thousand routes, which is the most that a
// message may have, would keep two nodes and their Envoys busy for 140 ms (on the machine of docs/benchmarks.md), and
// a change that another peer announces meanwhile would wait for most of that.
const (
	portionRoutes = 100
	portionBytes  = 32 << 10
)

// portions cuts an UPDATE into several that together say the same: withdrawals first, a marker last. Each has at most
// the given routes and bytes of attributes; one group of attributes that is larger goes alone.
func portions(u *bgp.Update, routes, bytes int) []*bgp.Update {
	part := &bgp.Update{Trace: u.Trace, Malformed: u.Malformed}
	parts, room, size := []*bgp.Update{part}, routes, 0
	take := func(most, attributes int) int {
		if room == 0 || size > 0 && size+attributes > bytes {
			part, room, size = &bgp.Update{Trace: u.Trace}, routes, 0
			parts = append(parts, part)
		}
		n := min(room, most)
		room, size = room-n, size+attributes
		return n
	}
	for rest := u.Withdrawn; len(rest) > 0; {
		n := take(len(rest), 0)
		part.Withdrawn, rest = rest[:n:n], rest[n:]
	}
	for _, g := range u.Announced {
		for rest := g.Routes; len(rest) > 0; {
			n := take(len(rest), len(g.Attributes))
			part.Announced = append(part.Announced, bgp.Group{Attributes: g.Attributes, Routes: rest[:n:n]})
			rest = rest[n:]
		}
	}
	part.Marker = u.Marker
	return parts
}

// routesOf counts the routes that an UPDATE withdraws or announces.
func routesOf(u *bgp.Update) int {
	n := len(u.Withdrawn)
	for i := range u.Announced {
		n += len(u.Announced[i].Routes)
	}
	return n
}
