package speaker

import (
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// What a peer may ask for. A SUBSCRIBE or a REFRESH is a small message that costs its receiver a look at many routes,
// so each peer has a budget for them, counted in looks. Whoever has used it up is served later, and only its newest
// SUBSCRIBE counts. An example: lists of 10,000 names are taken ten times in a row, and twice a second after that;
// lists of ten names, 1,300 times a second.
const (
	lookBurst     = 1_000_000
	looksASecond  = 200_000
	looksPerName  = 10 // to enter one name of a list
	looksPerAsker = 50 // for the message itself
)

// budget is what a peer has left to ask for.
type budget struct {
	used    float64 // looks of the burst; above lookBurst there is a debt to wait for
	at      time.Time
	wants   *bgp.Subscribe // the newest that waits; nil for none
	names   *filter.Names  // of wants; nil if they have to be made
	refresh bool           // a REFRESH waits
}

// free tells whether the peer may ask for something now.
func (b *budget) free(now time.Time) bool {
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*looksASecond)
	b.at = now
	return b.used < lookBurst
}

func (b *budget) spend(looks int) { b.used += float64(looks) }

// due returns when what waits may be served; zero if nothing waits.
func (b *budget) due() time.Time {
	if b.wants == nil && !b.refresh {
		return time.Time{}
	}
	debt := max(0, b.used-lookBurst+1)
	return b.at.Add(time.Duration(debt / looksASecond * float64(time.Second)))
}

// ask serves a peer's SUBSCRIBE (nil for none) or REFRESH now, or keeps it until its budget allows.
func (s *Speaker) ask(now time.Time, p *peer, m *bgp.Subscribe, names *filter.Names, refresh bool) {
	if m != nil {
		p.budget.wants, p.budget.names = m, names
	}
	p.budget.refresh = p.budget.refresh || refresh
	s.serveAsks(now, p)
}

// serveAsks serves what waits of a peer, as far as its budget allows.
func (s *Speaker) serveAsks(now time.Time, p *peer) {
	b := &p.budget
	if p.session == nil {
		b.wants, b.names, b.refresh = nil, nil, false
		return
	}
	if m := b.wants; m != nil && b.free(now) {
		names := b.names
		b.wants, b.names = nil, nil
		b.spend(looksPerAsker + looksPerName*len(m.Services))
		if s.subscribed(p, m, names) {
			b.spend(s.table.Counts().Services)
		}
	}
	if b.refresh && b.free(now) {
		b.refresh = false
		b.spend(looksPerAsker + 2*s.table.Counts().Services)
		s.table.Resend(p.id)
		s.oweAttested(p)
	}
}
