package speaker

import (
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// Remember enters what was known before a restart of who offers a name. It comes before the peers.
type Remember struct{ Offers rib.Offers }

// Agree lets a node offer a name that was another's, or with the zero node all that offer it now.
type Agree struct {
	Service bgp.Service
	Node    bgp.NodeID
}

func (Remember) event() {}
func (Agree) event()    {}

// Contested tells that nodes began to offer names that were others', for the log. It comes at most once a second.
type Contested struct {
	Newcomers []rib.Newcomer // the first ones
	Count     int            // all of them
}

func (Contested) effect() {}

// contestedPause is the time between two effects that tell of newcomers.
const contestedPause = time.Second

// tellNewcomers says who is new, unless it was said a moment ago.
func (s *Speaker) tellNewcomers(now time.Time) {
	if s.table.Newcomers() == 0 || now.Before(s.contestedAt) {
		return
	}
	list, n := s.table.TakeNewcomers()
	s.contestedAt = now.Add(contestedPause)
	s.emit(Contested{list, n})
}

// newcomersDue returns when there is something to say of newcomers; zero if there is nothing.
func (s *Speaker) newcomersDue() time.Time {
	if s.table.Newcomers() == 0 {
		return time.Time{}
	}
	return s.contestedAt
}

// learn ends the time in which this node reads its first tables: when every peer has sent its own, or the deferral is
// over.
func (s *Speaker) learn(now time.Time) {
	if s.learnUntil.IsZero() {
		return
	}
	if now.Before(s.learnUntil) {
		waits := func(p *peer) bool { return !p.eor && !p.cfg.Disabled }
		if !s.restored || slices.ContainsFunc(s.order, waits) {
			return
		}
	}
	s.learnUntil = time.Time{}
	s.table.SetLearning(false)
}

// checkpointOffers enters what is known of who offers names.
func (s *Speaker) checkpointOffers(now time.Time, yield func(Timed)) {
	var all []rib.Offers
	s.table.AllOffers(func(o rib.Offers) { all = append(all, o) })
	slices.SortFunc(all, func(a, b rib.Offers) int { return strings.Compare(string(a.Service), string(b.Service)) })
	for _, o := range all {
		yield(Timed{now, Remember{o}})
	}
}
