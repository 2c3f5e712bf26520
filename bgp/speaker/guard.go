package speaker

import (
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Guarded has the routes of all peers decided by what Config.Guards makes of it, besides the peers' own rules, in place
// of what did before. Sessions go on: what it changes is worked out route by route.
type Guarded struct {
	Set    string // names what decides; "" for nothing
	Source []byte // from which it can be made again, for whoever replays
}

func (Guarded) event() {}

// Guards gives each peer what decides on what it announces and on what it is told; nil for nothing.
type Guards func(peer bgp.NodeID) (imports, exports filter.Guard)

// guard puts other guards in force.
func (s *Speaker) guard(ev Guarded) {
	s.guards, s.guardedBy = nil, ev
	if ev.Set != "" && s.cfg.Guards != nil {
		s.guards = s.cfg.Guards(ev)
	}
	for _, p := range s.order {
		p.imports, p.exports = s.guardsOf(p.cfg.Node)
		s.table.UpdatePeer(p.id, s.ribConfig(p))
	}
}

func (s *Speaker) guardsOf(n bgp.NodeID) (imports, exports filter.Guard) {
	if s.guards == nil {
		return nil, nil
	}
	return s.guards(n)
}

// guardedRules are a peer's rules with their guards. Another organisation's peer without rules keeps having none, so
// that nothing passes (RFC 8212).
func (s *Speaker) guardedRules(p *peer) (imports, exports *filter.Chain) {
	imports, exports = p.cfg.Import, p.cfg.Export
	if imports != nil || !s.external(p) {
		imports = imports.With(p.imports)
	}
	if exports != nil || !s.external(p) {
		exports = exports.With(p.exports)
	}
	return imports, exports
}
