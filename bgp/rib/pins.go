package rib

import (
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// pins say through which neighbouring organisations names may arrive, by pattern. Most nodes have none.
type pins map[string][]bgp.Org

// findPins works out what the peers' pins say together, and has routes judged again if that changed.
func (t *Table) findPins(was, is []string) {
	if slices.Equal(was, is) {
		return
	}
	t.pins = nil
	for _, p := range t.peers[1:] {
		if p == nil || !p.cfg.External {
			continue
		}
		for _, pattern := range p.cfg.Pins {
			if t.pins == nil {
				t.pins = pins{}
			}
			if !slices.Contains(t.pins[pattern], p.cfg.Node.Org) {
				t.pins[pattern] = append(t.pins[pattern], p.cfg.Node.Org)
			}
		}
	}
	t.Revalidate()
}

// of returns the organisations through which a name may arrive, sorted; none if it is not pinned. Of several patterns
// the closest decides: books.acme.example before *.acme.example, and "*" last. It costs a look-up a label.
func (ps pins) of(svc bgp.Service) []bgp.Org {
	if len(ps) == 0 {
		return nil
	}
	for key := string(svc); ; {
		if orgs := ps[key]; orgs != nil && filter.Covers(key, svc) {
			slices.Sort(orgs)
			return orgs
		}
		rest := strings.TrimPrefix(key, "*.")
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			return ps["*"]
		}
		key = "*" + rest[dot:]
	}
}

// pinnedAway tells whether a name may not arrive through a peer. A pattern may not if a name below it may not: calls
// of that one would go by the pattern once the neighbour to which it is pinned is away.
func (t *Table) pinnedAway(p *peer, svc bgp.Service) bool {
	if svc.IsWildcard() {
		for pattern, orgs := range t.pins {
			if !slices.Contains(orgs, p.cfg.Node.Org) && filter.Covers(string(svc), bgp.Service(pattern)) {
				return true
			}
		}
	}
	orgs := t.pins.of(svc)
	return len(orgs) > 0 && !slices.Contains(orgs, p.cfg.Node.Org)
}

// PinnedTo returns the organisations through which a name may arrive, by the pins of this node's peers; none if it is
// not pinned.
func (t *Table) PinnedTo(svc bgp.Service) []bgp.Org { return slices.Clone(t.pins.of(svc)) }
