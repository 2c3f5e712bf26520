package speaker

import (
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// Explain says whom a node tells why it does with a route what it does.
type Explain uint8

// The choices.
const (
	ExplainOrganisation Explain = iota // nodes of its own organisation
	ExplainPeers                       // every peer, about what it tells that peer and takes of it
	ExplainNobody
)

// looksPerWhy is what an answer costs of a peer's budget: 40 a second are given to it.
const looksPerWhy = 5000

var explainNames = [...]string{"organisation", "peers", "off"}

// String names a choice as the configuration does.
func (e Explain) String() string {
	if int(e) < len(explainNames) {
		return explainNames[e]
	}
	return fmt.Sprintf("Explain(%d)", uint8(e))
}

// ParseExplain reads what String writes.
func ParseExplain(s string) (Explain, error) {
	i := slices.Index(explainNames[:], s)
	if i < 0 {
		return 0, fmt.Errorf("%q: want organisation, peers or off", s)
	}
	return Explain(i), nil
}

// explains tells whether a peer's questions are answered.
func (s *Speaker) explains(p *peer) bool {
	return s.cfg.Explain == ExplainPeers || s.cfg.Explain == ExplainOrganisation && !s.external(p)
}

// why answers a peer's question, if its stream takes the answer. To whom this node does not explain itself it says so,
// and nothing that depends on the name.
func (s *Speaker) why(now time.Time, c *conn, m *bgp.WhyRequest) {
	p := c.peer
	if m.Service == "" || c.credits == 0 {
		return
	}
	r := &bgp.WhyReply{ID: m.ID}
	switch {
	case !s.explains(p):
	case !p.budget.free(now):
		r.Outcome = bgp.WhyTooOften
	default:
		p.budget.spend(looksPerWhy)
		r.Outcome = bgp.WhyAnswered
		s.fates(p, m.Service, r)
	}
	c.spend(now)
	s.emit(Send{c.id, r})
}

// fates says what a peer is told of a service, and what is taken of it.
func (s *Speaker) fates(p *peer, svc bgp.Service, r *bgp.WhyReply) {
	told := s.table.ExportTo(p.id, svc)
	r.Told = bgp.Fate{OK: told.Told, Term: told.Term}
	switch {
	case told.Told:
	case told.Pending && told.Why == rib.NotWithheld:
		r.Told.Why = "it is about to be told"
	default:
		r.Told.Why = told.Why.String()
	}
	for _, x := range s.table.FromPeer(p.id, svc) {
		r.Announced = true
		if r.Taken = (bgp.Fate{OK: x.Reject == rib.Accepted, Term: x.Term}); r.Taken.OK {
			return
		}
		if r.Taken.Why = x.Reject.String(); x.Reason != "" {
			r.Taken.Why += ": " + x.Reason
		}
	}
}
