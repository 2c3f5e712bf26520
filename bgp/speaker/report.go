package speaker

import (
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// Reports are soft state (RFC 2205 §2.3): who has something against a service repeats it, nodes on the way keep
// nothing, and the originator forgets what it hears no more.
const (
	reportEvery   = 30 * time.Second
	reportHold    = 100 * time.Second
	maxOwnReports = 1000 // services that this node has something against
	maxHeard      = 1000 // reports about this node's services, from one peer
	maxReportsOut = 256  // reports that wait for one peer; the newest of each service and reporter
)

// Problem says what this node's data plane has against a service, for its originator; with ReportResolved, that it
// has nothing any more.
type Problem struct {
	Service bgp.Service
	Kind    bgp.ReportKind
	Text    string
}

func (Problem) event() {}

// reportKey names a report: the newest of each is kept.
type reportKey struct {
	service bgp.Service
	node    bgp.NodeID
}

// reports are the speaker's books of them.
type reports struct {
	own    map[bgp.Service]bgp.Report
	nextAt time.Time // when own ones are repeated; zero if there are none
	heard  map[reportKey]heard
	count  map[bgp.NodeID]int // of heard, by the peer that passed them on
	// forgetAt is not after the time at which the first of heard is to be forgotten; zero if there are none.
	forgetAt time.Time
}

// heard is what another node has against a service of this one.
type heard struct {
	bgp.Report
	from  bgp.NodeID // the peer that passed it on
	at    time.Time
	since time.Time
}

// Complaint is a report about a service of this node, as an operator sees it.
type Complaint struct {
	bgp.Report
	Peer  bgp.NodeID // who passed it on
	Since time.Time
}

// Complaints returns what other nodes have against a service of this node, by node.
func (s *Speaker) Complaints(svc bgp.Service) []Complaint {
	var all []Complaint
	for k, h := range s.reports.heard {
		if k.service == svc {
			all = append(all, Complaint{h.Report, h.from, h.since})
		}
	}
	slices.SortFunc(all, func(a, b Complaint) int { return a.Node.Compare(b.Node) })
	return all
}

// problem books what this node's own data plane says, and passes it on.
func (s *Speaker) problem(now time.Time, ev Problem) {
	r := bgp.Report{
		Service: ev.Service,
		Node:    s.cfg.Self,
		Kind:    ev.Kind,
		Text:    ev.Text[:min(len(ev.Text), bgp.MaxReportText)],
	}
	r.Text = strings.ToValidUTF8(r.Text, "")
	_, had := s.reports.own[ev.Service]
	switch {
	case ev.Kind == bgp.ReportResolved && !had:
		return
	case ev.Kind == bgp.ReportResolved:
		delete(s.reports.own, ev.Service)
	case !had && len(s.reports.own) >= maxOwnReports:
		return
	default:
		if s.reports.own == nil {
			s.reports.own = map[bgp.Service]bgp.Report{}
		}
		s.reports.own[ev.Service] = r
	}
	if s.reports.nextAt.IsZero() {
		s.reports.nextAt = now.Add(reportEvery)
	}
	s.passOn(r, nil)
}

// passOn queues a report for the peer through which the service's best path goes, unless it came from there.
func (s *Speaker) passOn(r bgp.Report, from *peer) {
	p := s.towards(r.Service)
	if p == nil || p == from || p.session == nil || !p.caps.Reports {
		return
	}
	if s.external(p) && r.Node.Org == s.cfg.Self.Org {
		r.Node = s.cfg.Self // the nodes behind the border are nobody else's affair
	}
	key := reportKey{r.Service, r.Node}
	if _, queued := p.reports[key]; !queued {
		if len(p.reportOrder) >= maxReportsOut {
			return // it is repeated
		}
		p.reportOrder = append(p.reportOrder, key)
	}
	if p.reports == nil {
		p.reports = map[reportKey]bgp.Report{}
	}
	p.reports[key] = r
}

// towards returns the peer of a service's best path; nil if there is none, or it is this node's own.
func (s *Speaker) towards(svc bgp.Service) *peer {
	paths := s.table.Explain(svc)
	if len(paths) == 0 || paths[0].Local || paths[0].Reject != rib.Accepted {
		return nil
	}
	return s.peers[paths[0].Peer]
}

// offers tells whether a service is one of this node's own.
func (s *Speaker) offers(svc bgp.Service) bool {
	return slices.ContainsFunc(s.table.Explain(svc), func(c rib.Candidate) bool { return c.Local })
}

// report takes one from a peer: it is about a service of this node, or goes on.
func (s *Speaker) report(now time.Time, c *conn, r *bgp.Report) {
	if r.Service == "" || r.Node.IsZero() || r.Node == s.cfg.Self || r.Hops >= bgp.MaxHops {
		return
	}
	if !s.offers(r.Service) {
		next := *r
		next.Hops++
		s.passOn(next, c.peer)
		return
	}
	key := reportKey{r.Service, r.Node}
	old, had := s.reports.heard[key]
	switch {
	case r.Kind == bgp.ReportResolved:
		s.reports.forget(key)
		return
	case !had && s.reports.count[c.peer.cfg.Node] >= maxHeard:
		return
	case !had || old.Kind != r.Kind || old.Text != r.Text:
		old.since = now
	}
	s.reports.keep(key, heard{*r, c.peer.cfg.Node, now, old.since})
}

func (r *reports) keep(key reportKey, h heard) {
	if r.heard == nil {
		r.heard, r.count = map[reportKey]heard{}, map[bgp.NodeID]int{}
	}
	r.forget(key)
	r.heard[key] = h
	r.count[h.from]++
	r.forgetAt = fsm.Earliest(r.forgetAt, h.at.Add(reportHold))
}

func (r *reports) forget(key reportKey) {
	h, ok := r.heard[key]
	if !ok {
		return
	}
	delete(r.heard, key)
	if r.count[h.from]--; r.count[h.from] == 0 {
		delete(r.count, h.from)
	}
}

// expire forgets what was not repeated.
func (r *reports) expire(now time.Time) {
	if r.forgetAt.IsZero() || now.Before(r.forgetAt) {
		return
	}
	r.forgetAt = time.Time{}
	for key, h := range r.heard {
		if until := h.at.Add(reportHold); now.Before(until) {
			r.forgetAt = fsm.Earliest(r.forgetAt, until)
		} else {
			r.forget(key)
		}
	}
}

// reportsDue repeats this node's reports and forgets those that are heard no more.
func (s *Speaker) reportsDue(now time.Time) {
	s.reports.expire(now)
	if s.reports.nextAt.IsZero() || now.Before(s.reports.nextAt) {
		return
	}
	s.reports.nextAt = time.Time{}
	if len(s.reports.own) > 0 {
		s.reports.nextAt = now.Add(reportEvery)
	}
	s.repeat(nil)
}

// repeat queues all of this node's reports, or those that go to one peer. The order of effects is the same each time.
func (s *Speaker) repeat(only *peer) {
	services := make([]bgp.Service, 0, len(s.reports.own))
	for svc := range s.reports.own {
		services = append(services, svc)
	}
	slices.Sort(services)
	for _, svc := range services {
		if only == nil || s.towards(svc) == only {
			s.passOn(s.reports.own[svc], nil)
		}
	}
}

// reportDeadline returns when reportsDue has something to do; zero for never.
func (s *Speaker) reportDeadline() time.Time {
	return fsm.Earliest(s.reports.nextAt, s.reports.forgetAt)
}

// flushReports sends a peer what waits for it, as far as its stream takes it.
func (s *Speaker) flushReports(now time.Time, p *peer) {
	c := p.session
	for c != nil && c.credits > 0 && len(p.reportOrder) > 0 {
		key := p.reportOrder[0]
		p.reportOrder = p.reportOrder[1:]
		r := p.reports[key]
		delete(p.reports, key)
		c.spend(now)
		s.emit(Send{c.id, &r})
	}
}
