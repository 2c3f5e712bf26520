package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
)

// Change is what another set would decide otherwise for a caller and a service.
type Change struct {
	Principal string `json:"principal"`
	Service   string `json:"service"`
	Loses     bool   `json:"loses"` // it may now, and may not then
	Calls     int    `json:"calls"` // of those recorded
	Example   string `json:"example"`
}

// Simulation is what a candidate would have decided on recorded calls.
type Simulation struct {
	Replayed      int      `json:"replayed"`
	NotReplayable int      `json:"notReplayable"` // records that cannot be read, or lack facts
	Changes       []Change `json:"changes"`       // those who lose first, most calls first
}

// Simulator decides recorded calls by a candidate, on several goroutines.
type Simulator struct {
	candidate *Snapshot
	texts     chan [][]byte
	waiting   [][]byte
	workers   sync.WaitGroup

	mu      sync.Mutex
	out     Simulation         // guarded by mu
	changes map[Change]*Change // by who, what and how; guarded by mu
}

const simulated = 512 // records of one hand-over

// NewSimulator returns a simulator with n workers, which run until Result.
func NewSimulator(candidate *Snapshot, n int) *Simulator {
	s := &Simulator{candidate: candidate, texts: make(chan [][]byte, n), changes: map[Change]*Change{}}
	for range n {
		s.workers.Go(func() {
			for texts := range s.texts {
				s.replay(texts)
			}
		})
	}
	return s
}

// Add takes a record in JSON; the text stays the caller's.
func (s *Simulator) Add(text []byte) {
	if s.waiting = append(s.waiting, slices.Clone(text)); len(s.waiting) == simulated {
		s.texts <- s.waiting
		s.waiting = nil
	}
}

// Result waits for the workers and returns what they found. It is called once.
func (s *Simulator) Result() Simulation {
	s.texts <- s.waiting
	close(s.texts)
	s.workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.changes {
		s.out.Changes = append(s.out.Changes, *c)
	}
	slices.SortFunc(s.out.Changes, func(a, b Change) int {
		if a.Loses != b.Loses {
			if a.Loses {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Principal, b.Principal))
	})
	return s.out
}

func (s *Simulator) replay(texts [][]byte) {
	replayed, failed := 0, 0
	found := map[Change]*Change{}
	for _, text := range texts {
		var r Record
		if err := json.Unmarshal(text, &r); err != nil || r.Decision.Snapshot == "" || r.Request().err != nil {
			failed++ // nobody decided on it, or not by what it says
			continue
		}
		replayed++
		d := s.candidate.Replay(r)
		if d.Allow == r.Decision.Allow {
			continue
		}
		key := Change{Principal: r.Principal(), Service: r.Resource(), Loses: r.Decision.Allow}
		c := found[key]
		if c == nil {
			c = &Change{Principal: key.Principal, Service: key.Service, Loses: key.Loses, Example: r.ID}
			found[key] = c
		}
		c.Calls++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Replayed += replayed
	s.out.NotReplayable += failed
	for key, c := range found {
		if all := s.changes[key]; all != nil {
			all.Calls += c.Calls
		} else {
			s.changes[key] = c
		}
	}
}
