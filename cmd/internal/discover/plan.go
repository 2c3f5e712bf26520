package discover

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
)

// Told is what a source said last.
type Told struct {
	Source string // its name, as it stands in the configuration
	// Services are all that it finds, each with its Found; nil before its first word.
	Services []journal.Service
	// Unclear are the places (Found.In) that cannot be read at the moment: what they gave stays.
	Unclear []string
	// Heard is whether it has told a set since the node started. Away is since when it is not there; zero while it is.
	// A source that was never heard is away since the node's start.
	Heard bool
	Away  time.Time
}

// there tells whether what a source does not name is gone.
func (t *Told) there() bool { return t.Heard && t.Away.IsZero() }

// Conflict is a service that a source finds and that is not offered because somebody else offers the name.
type Conflict struct {
	Service bgp.Service
	Source  string // who has to stand back
	In      string // where it found it
	With    string // the source whose service is offered instead, and where; "" for what an operator ordered
}

// Change is what has to be done.
type Change struct {
	Put       []journal.Service
	Remove    []journal.Service
	Conflicts []Conflict
	// Until is when a source that is away has been so for too long, if some of what is offered is its; zero for never.
	Until time.Time
}

// Plan says what has to change for the offered services to be what the sources tell. offered are all services of the
// node. told stands in the order of the configuration.
func Plan(now time.Time, hold time.Duration, told []Told, offered []journal.Service) Change {
	p := plan{before: map[bgp.Service]journal.Service{}, now: map[bgp.Service]journal.Service{}}
	for _, s := range offered {
		p.before[s.Name] = s
	}
	var found []journal.Service
	for i := range told {
		t := &told[i]
		held := !t.there() && now.Before(t.Away.Add(hold))
		p.stay(t, held, t.Away.Add(hold))
		if held || t.there() {
			found = append(found, t.Services...)
		}
	}
	// Who has a name keeps it, in the same place before in another one; then who comes first in the configuration.
	for _, s := range found {
		if was, ok := p.before[s.Name]; ok && was.Found != nil && *was.Found == *s.Found {
			p.claim(s)
		}
	}
	for _, s := range found {
		if was, ok := p.before[s.Name]; ok && was.Found != nil && was.Found.By == s.Found.By {
			p.claim(s)
		}
	}
	for _, s := range found {
		p.claim(s)
	}
	return p.change()
}

// plan is the state of one Plan.
type plan struct {
	before    map[bgp.Service]journal.Service
	now       map[bgp.Service]journal.Service // what is to be offered of what sources find
	conflicts []Conflict
	until     time.Time
}

// stay keeps what a source gave and is not known to be gone: it is held until a moment, or is in an unclear place.
func (p *plan) stay(t *Told, held bool, until time.Time) {
	names := map[bgp.Service]bool{}
	for _, s := range t.Services {
		names[s.Name] = true
	}
	for name, s := range p.before {
		if s.Found == nil || s.Found.By != t.Source {
			continue
		}
		if held && (p.until.IsZero() || until.Before(p.until)) {
			p.until = until
		}
		if !names[name] && (held || t.there() && slices.Contains(t.Unclear, s.Found.In)) {
			p.now[name] = s
		}
	}
}

// claim has a service offered, unless its name is another's.
func (p *plan) claim(s journal.Service) {
	was, offered := p.before[s.Name]
	if offered && was.Found == nil {
		p.conflicts = append(p.conflicts, Conflict{Service: s.Name, Source: s.Found.By, In: s.Found.In})
		return
	}
	switch holder, taken := p.now[s.Name]; {
	case !taken:
		p.now[s.Name] = s
	case *holder.Found != *s.Found:
		p.conflicts = append(p.conflicts, Conflict{
			Service: s.Name, Source: s.Found.By, In: s.Found.In, With: holder.Found.By + " (" + holder.Found.In + ")",
		})
	}
}

func (p *plan) change() Change {
	c := Change{Until: p.until, Conflicts: p.conflicts}
	for _, name := range slices.Sorted(maps.Keys(p.now)) {
		if was, ok := p.before[name]; !ok || !same(&was, new(p.now[name])) {
			c.Put = append(c.Put, p.now[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.before)) {
		s := p.before[name]
		if _, stays := p.now[name]; !stays && s.Found != nil {
			c.Remove = append(c.Remove, s)
		}
	}
	slices.SortFunc(c.Conflicts, compareConflicts)
	c.Conflicts = slices.Compact(c.Conflicts)
	return c
}

// same tells whether two services are kept alike.
func same(a, b *journal.Service) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func compareConflicts(a, b Conflict) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Source, b.Source), cmp.Compare(a.In, b.In))
}
