package peering

import "github.com/catalyst-router/catalyst/bgp"

// portionRoutes is the most routes of a portion: what the speaker does at one go for whoever sends much. A thousand
// routes, as many as a message may have, keep two nodes and their Envoys busy for 140 ms on the machine of
// docs/benchmarks.md; what somebody else announces meanwhile waits behind much of that.
const portionRoutes = 100

// portions cuts an UPDATE into several that say the same one after the other: withdrawals first, a marker last. One
// that has no more than so many routes is returned as it is.
func portions(u *bgp.Update, most int) []*bgp.Update {
	if routesOf(u) <= most {
		return []*bgp.Update{u}
	}
	part := &bgp.Update{Trace: u.Trace, Malformed: u.Malformed}
	parts, room := []*bgp.Update{part}, most
	next := func() {
		if room == 0 {
			part, room = &bgp.Update{Trace: u.Trace}, most
			parts = append(parts, part)
		}
	}
	for rest := u.Withdrawn; len(rest) > 0; {
		next()
		n := min(room, len(rest))
		part.Withdrawn, rest, room = rest[:n:n], rest[n:], room-n
	}
	for _, g := range u.Announced {
		for rest := g.Routes; len(rest) > 0; {
			next()
			n := min(room, len(rest))
			part.Announced = append(part.Announced, bgp.Group{Attributes: g.Attributes, Routes: rest[:n:n]})
			rest, room = rest[n:], room-n
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
