package speaker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/fsm"
)

// A node that has a path key signs, for each peer of another organisation, the paths of the routes that it tells it:
// one signature for all routes of one origin's set over the same organisations. A change of the set or of the path
// before, or half a day, has it signed again. The key is not here: SignHop asks the shell, and HopSigned brings the
// answer.

const (
	hopLife  = 24 * time.Hour // of a hop that this node signs
	hopRenew = 12 * time.Hour // after which it is signed again
	maxHops  = 256            // paths that are signed for one peer
)

// SignHop asks for a signature over a hop of a path. It is answered by HopSigned, or not at all.
type SignHop struct {
	Peer bgp.NodeID
	Hop  []byte // attest.Hop, encoded
}

// HopSigned brings what SignHop asked for.
type HopSigned struct {
	Peer   bgp.NodeID
	Signed []byte // the hop with its signature
}

func (SignHop) effect()  {}
func (HopSigned) event() {}

// hop is what a peer was told of one path.
type hop struct {
	orgs   []bgp.Org     // nearest first, without this organisation; empty for its own routes
	set    attest.Digest // and what comes before: of what the last hop was made
	before attest.Digest
	signed []byte   // that hop, while its signature is waited for
	chain  [][]byte // what comes before it
	path   [][]byte // all of it, once the hop is signed
	renew  time.Time
}

// noteTold notes the paths of the routes that a peer of another organisation is told.
func (s *Speaker) noteTold(p *peer, u *bgp.Update) {
	if s.cfg.PathKey == "" || !s.external(p) || !p.caps.Hops {
		return
	}
	for i := range u.Announced {
		key := attr.AppendOrgPath(s.scratch[:0], u.Announced[i].Attributes)
		s.scratch = key
		if p.hops[string(key)] != nil || len(p.hops) >= maxHops {
			continue
		}
		h := &hop{}
		for n, o := range strings.Fields(string(key)) {
			if n > 0 { // this organisation is the first
				h.orgs = append(h.orgs, bgp.Org(o))
			}
		}
		if p.hops == nil {
			p.hops = map[string]*hop{}
		}
		p.hops[string(key)], p.hopsDirty = h, true
	}
}

// hopsChanged has every peer's hops looked at: of what they are made something changed.
func (s *Speaker) hopsChanged() {
	for _, p := range s.order {
		p.hopsDirty = p.hopsDirty || len(p.hops) > 0
	}
}

// renewDue has hops looked at whose time comes. A path over which nothing is told any more is not signed again.
func (s *Speaker) renewDue(now time.Time) {
	if !reached(now, s.renewAt) {
		return
	}
	s.renewAt = time.Time{}
	s.hopsChanged()
	for _, p := range s.order {
		if p.session == nil || !p.hopsDirty {
			continue
		}
		told := s.table.PathsTold(p.id)
		maps.DeleteFunc(p.hops, func(path string, _ *hop) bool { return !told[path] })
	}
}

// signHops has those paths of a peer signed that are not, or not any more as they are now.
func (s *Speaker) signHops(now time.Time, p *peer) {
	if !p.hopsDirty {
		return
	}
	p.hopsDirty = false
	for _, key := range slices.Sorted(maps.Keys(p.hops)) {
		h := p.hops[key]
		set, before, chain, ok := s.toSign(h)
		if !ok {
			continue
		}
		if h.set == set && h.before == before && now.Before(h.renew) {
			s.renewAt = fsm.Earliest(s.renewAt, h.renew)
			continue
		}
		out := attest.Hop{
			From: s.cfg.Self.Org, To: p.cfg.Node.Org, Set: set, Before: before, Until: now.Add(hopLife),
			KeyID: s.cfg.PathKey,
		}
		h.path = nil
		h.set, h.before, h.renew, h.chain, h.signed = set, before, now.Add(hopRenew), chain, out.Encode()
		s.renewAt = fsm.Earliest(s.renewAt, h.renew)
		s.emit(SignHop{Peer: p.cfg.Node, Hop: h.signed})
	}
}

// toSign returns what a hop says, and the hops before it; false if there is nothing to be signed now.
func (s *Speaker) toSign(h *hop) (set, before attest.Digest, chain [][]byte, ok bool) {
	store := s.table.Attested()
	if len(h.orgs) == 0 {
		set, ok = store.CurrentSet(s.cfg.Self.Org)
		return set, before, nil, ok
	}
	path, ok := store.PathSigned(attest.PathText(h.orgs))
	if !ok {
		return set, before, nil, false
	}
	return path.Set, path.Last, path.Signed, true
}

// hopSigned sends a peer a path that is signed now, if it is still the one that was asked for.
func (s *Speaker) hopSigned(ev HopSigned) {
	p := s.peers[ev.Peer]
	if p == nil {
		return
	}
	for _, h := range p.hops {
		if h.signed == nil || !attest.HopOf(ev.Signed, h.signed) {
			continue
		}
		h.signed, h.path = nil, append(slices.Clone(h.chain), ev.Signed)
		if p.session != nil && p.caps.Hops {
			s.owePath(p, h.orgs, h.path)
		}
		return
	}
}

// owePath queues a signed path for a peer, in the place of one over the same organisations that still waits.
func (s *Speaker) owePath(p *peer, orgs []bgp.Org, signed [][]byte) {
	path := "over " + attest.PathText(orgs)
	p.owes = slices.DeleteFunc(p.owes, func(o attestOut) bool { return o.path == path })
	p.owes = append(p.owes, attestOut{path: path, msg: &bgp.Hops{Signed: signed}})
}

// owePaths queues what a peer is to know of paths when its session has come up, or it asks again: a node of this
// organisation all that came to it, another what was signed for it.
func (s *Speaker) owePaths(p *peer) {
	if !p.caps.Hops {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(p.hops)) {
		if h := p.hops[key]; h.path != nil {
			s.owePath(p, h.orgs, h.path)
		}
	}
	p.hopsDirty = len(p.hops) > 0
	if s.external(p) {
		return
	}
	for _, path := range s.table.Attested().Paths("") {
		s.owePath(p, path.Orgs, path.Signed)
	}
}

var errBusy = errors.New("too many hops to verify in a short time") //nolint:gochecknoglobals // a sentinel

// takeHops takes a signed path from a peer.
func (s *Speaker) takeHops(now time.Time, p *peer, m *bgp.Hops) {
	store := s.table.Attested()
	path, fresh, err := store.AddPath(now, s.cfg.Self.Org, m.Signed, func() error {
		if !p.budget.free(now) {
			return errBusy
		}
		p.budget.spend(attestLooks)
		return nil
	})
	switch {
	case errors.Is(err, attest.ErrUnknown):
		return // this node cannot tell; whoever asks for signed paths reads why routes are not used
	case err != nil:
		p.fault(Fault{At: now, Degree: AttributeDropped, Attribute: "path: " + attestKind(err), Reason: err.Error()}, nil)
		s.emit(AttestRefused{From: p.cfg.Node, Err: fmt.Errorf("a signed path: %w", err)})
		if errors.Is(err, errBusy) && p.refreshAt.IsZero() {
			p.refreshAt = now.Add(roomPause) // with its table it sends its paths again
		}
		return
	case !fresh:
		return
	}
	s.attestAt = store.NextChange(now)
	s.hopsChanged()
	for _, o := range s.order {
		if o.cfg.PathAttested {
			s.table.RevalidatePeer(o.id)
		}
		if o != p && !s.external(o) && o.session != nil && o.caps.Hops {
			s.owePath(o, path.Orgs, path.Signed)
		}
	}
}
