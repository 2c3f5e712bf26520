// Package demand holds which services are used through which Envoys, and when one is forgotten. It reads no clock and
// does nothing by itself: its caller gives the time with each call, and is told what has changed.
//
//	s := demand.New(demand.Config{Idle: time.Hour, Most: 100_000})
//	s.Use("", "books.acme.example", now)      // the Envoy on the socket was asked for it
//	s.Uses("", "books.acme.example")          // true
//	c := s.Advance(now.Add(time.Hour))        // c.Compile: books is watched now: Envoy is to tell of calls
//	c = s.Advance(now.Add(2 * time.Hour))     // c.Lost[""]: nobody called, books is forgotten
//
// A service is in use for two spans of Config.Idle. In the first, Envoys do not tell of its calls, so that these cost
// nothing more. In the second it is watched: the first call is told of, and begins the first span anew. An example with
// an hour: a service that was called at 12:00 is watched from 13:00 on; a call at 13:20 keeps it until 15:20; without
// that it is forgotten at 14:00. So it was not called for one span at least, and for two at most, when it is forgotten.
package demand

import (
	"container/list"
	"maps"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Config is what a set needs.
type Config struct {
	Idle time.Duration // of each span; required
	// Most is how many services one seat uses; one more has the one forgotten whose last call is longest ago. Required.
	Most int
}

// Set holds the services in use by seat. A seat is an Envoy, or several that share one: the name of a certificate, or
// "" for those on the node's socket. It is not safe for concurrent use.
type Set struct {
	cfg     Config
	seats   map[string]*seat
	users   map[bgp.Service]int // seats that use it
	watched map[bgp.Service]int // of those, the ones that watch it
}

// seat has its uses by service, and in the order of the last call that is known: oldest first.
type seat struct {
	uses  map[bgp.Service]*list.Element
	order *list.List // of *use
}

type use struct {
	service bgp.Service
	last    time.Time // the last call that is known
	held    bool      // it is kept without calls
	watched time.Time // since when it is watched; zero if it is not
}

// Change is what follows from something.
type Change struct {
	// Compile are services that are used by somebody where nobody did, or the other way round, or that are watched where
	// they were not, or the other way round.
	Compile []bgp.Service
	// Gained and Lost are services that a seat uses where it did not, and the other way round.
	Gained, Lost map[string][]bgp.Service
}

// Empty tells whether nothing follows.
func (c *Change) Empty() bool { return len(c.Compile)+len(c.Gained)+len(c.Lost) == 0 }

// New returns an empty set.
func New(cfg Config) *Set {
	return &Set{cfg: cfg, seats: map[string]*seat{}, users: map[bgp.Service]int{}, watched: map[bgp.Service]int{}}
}

// Use books a call of a service through a seat.
func (s *Set) Use(name string, svc bgp.Service, now time.Time) Change {
	var c Change
	at := s.seats[name]
	if at == nil {
		at = &seat{uses: map[bgp.Service]*list.Element{}, order: list.New()}
		s.seats[name] = at
	}
	if e := at.uses[svc]; e != nil {
		u := e.Value.(*use)
		if now.After(u.last) {
			u.last = now
			at.order.MoveToBack(e)
		}
		s.unwatch(u, &c)
		return c
	}
	if len(at.uses) >= s.cfg.Most {
		s.evict(name, at, &c)
	}
	at.uses[svc] = at.order.PushBack(&use{service: svc, last: now})
	if s.users[svc]++; s.users[svc] == 1 {
		c.Compile = append(c.Compile, svc)
	}
	c.Gained = map[string][]bgp.Service{name: {svc}}
	return c
}

// Hold keeps a use until it is forgotten at an operator's word: of a service whose calls are not told, such as one over
// TCP.
func (s *Set) Hold(name string, svc bgp.Service) {
	if at := s.seats[name]; at != nil && at.uses[svc] != nil {
		at.uses[svc].Value.(*use).held = true
	}
}

// Restore takes a use that an earlier process knew of, whose last call was then. The earliest have to come first.
func (s *Set) Restore(name string, svc bgp.Service, last time.Time) { s.Use(name, svc, last) }

// Advance watches what was not told of for one span, and forgets what was watched for another.
func (s *Set) Advance(now time.Time) Change {
	var c Change
	for name, at := range s.seats {
		for e := at.order.Front(); e != nil; {
			u, next := e.Value.(*use), e.Next()
			if u.held {
				e = next
				continue
			}
			if now.Sub(u.last) < s.cfg.Idle {
				break // those after it were called later
			}
			switch {
			case u.watched.IsZero():
				u.watched = now
				if s.watched[u.service]++; s.watched[u.service] == 1 {
					c.Compile = append(c.Compile, u.service)
				}
			case now.Sub(u.watched) >= s.cfg.Idle:
				s.forget(name, at, e, &c)
			}
			e = next
		}
		if len(at.uses) == 0 {
			delete(s.seats, name)
		}
	}
	slices.Sort(c.Compile)
	c.Compile = slices.Compact(c.Compile)
	return c
}

// evict forgets the use whose last call is longest ago; one that is held only if all are.
func (s *Set) evict(name string, at *seat, c *Change) {
	e := at.order.Front()
	for e != nil && e.Value.(*use).held {
		e = e.Next()
	}
	if e == nil {
		e = at.order.Front()
	}
	s.forget(name, at, e, c)
}

// Forget has a seat use a service no more, at an operator's word.
func (s *Set) Forget(name string, svc bgp.Service) Change {
	var c Change
	if at := s.seats[name]; at != nil && at.uses[svc] != nil {
		s.forget(name, at, at.uses[svc], &c)
	}
	return c
}

func (s *Set) forget(name string, at *seat, e *list.Element, c *Change) {
	u := e.Value.(*use)
	at.order.Remove(e)
	delete(at.uses, u.service)
	s.unwatch(u, c)
	if s.users[u.service]--; s.users[u.service] == 0 {
		delete(s.users, u.service)
		c.Compile = append(c.Compile, u.service)
	}
	if c.Lost == nil {
		c.Lost = map[string][]bgp.Service{}
	}
	c.Lost[name] = append(c.Lost[name], u.service)
}

func (s *Set) unwatch(u *use, c *Change) {
	if u.watched.IsZero() {
		return
	}
	u.watched = time.Time{}
	if s.watched[u.service]--; s.watched[u.service] == 0 {
		delete(s.watched, u.service)
		c.Compile = append(c.Compile, u.service)
	}
}

// Uses tells whether a seat uses a service.
func (s *Set) Uses(name string, svc bgp.Service) bool {
	at := s.seats[name]
	return at != nil && at.uses[svc] != nil
}

// Used tells whether any seat uses a service.
func (s *Set) Used(svc bgp.Service) bool { return s.users[svc] > 0 }

// Watched tells whether calls of a service are to be told.
func (s *Set) Watched(svc bgp.Service) bool { return s.watched[svc] > 0 }

// Len is how many services are used by any seat.
func (s *Set) Len() int { return len(s.users) }

// Seats returns the seats that use something, by name, each with how many services it uses.
func (s *Set) Seats() map[string]int {
	n := make(map[string]int, len(s.seats))
	for name, at := range s.seats {
		n[name] = len(at.uses)
	}
	return n
}

// Last returns when a service was called last, through any seat, as far as that is known; false if nobody uses it.
func (s *Set) Last(svc bgp.Service) (time.Time, bool) {
	var last time.Time
	found := false
	for _, at := range s.seats {
		if e := at.uses[svc]; e != nil {
			if u := e.Value.(*use); !found || u.last.After(last) {
				last, found = u.last, true
			}
		}
	}
	return last, found
}

// Services returns everything that is used, by name.
func (s *Set) Services() []bgp.Service { return slices.Sorted(maps.Keys(s.users)) }

// Each calls f for all uses of a seat, those of the earliest last call first.
func (s *Set) Each(f func(seat string, svc bgp.Service, last time.Time, held bool)) {
	for _, name := range slices.Sorted(maps.Keys(s.seats)) {
		for e := s.seats[name].order.Front(); e != nil; e = e.Next() {
			u := e.Value.(*use)
			f(name, u.service, u.last, u.held)
		}
	}
}
