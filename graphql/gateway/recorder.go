package gateway

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Recorded is an operation that clients have asked.
type Recorded struct {
	Name, Kind string
	// Text is normalised: without insignificant white space. Hash is its SHA-256.
	Text, Hash string
	Count      int64
	LastSeen   time.Time

	raw, choice string // as last asked: document text and operationName, for the planner's first cache
	facts       plan.Facts
}

// recorder remembers operations, up to a number and an amount of text. When it is full, one seldom seen goes for one
// newly seen.
type recorder struct {
	mu  sync.Mutex
	ops map[string]*Recorded // by hash
}

const (
	mostRecorded    = 1000
	longestRecorded = 16 << 10 // bytes of a document; longer ones are not recorded
)

func newRecorder() *recorder { return &recorder{ops: map[string]*Recorded{}} }

// record counts an operation.
func (r *recorder) record(op *plan.Operation, raw, choice string, facts plan.Facts, now time.Time) {
	if len(raw) > longestRecorded {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.ops[op.Hash]
	if rec == nil {
		if len(r.ops) >= mostRecorded {
			r.evict()
		}
		rec = &Recorded{Name: op.Name, Kind: op.Kind.String(), Text: op.Text, Hash: op.Hash}
		r.ops[op.Hash] = rec
	}
	rec.Count++
	rec.LastSeen, rec.raw, rec.choice, rec.facts = now, raw, choice, facts
}

// evict removes the least of a few: an eviction that costs the same however full the recorder is.
func (r *recorder) evict() {
	var victim *Recorded
	looked := 0
	for _, rec := range r.ops {
		if victim == nil || rec.Count < victim.Count || rec.Count == victim.Count && rec.LastSeen.Before(victim.LastSeen) {
			victim = rec
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(r.ops, victim.Hash)
}

// hottest returns the operations asked most, at most n.
func (r *recorder) hottest(n int) []Recorded {
	r.mu.Lock()
	all := make([]Recorded, 0, len(r.ops))
	for _, rec := range r.ops {
		all = append(all, *rec)
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b Recorded) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Hash, b.Hash))
	})
	return all[:min(n, len(all))]
}

// RecordedOperations returns what clients have asked since the start, most asked first. The number is bounded.
func (g *Gateway) RecordedOperations() []Recorded { return g.recorder.hottest(mostRecorded) }

// Limits of the warm-up of a new snapshot.
const (
	warmOperations = 200
	warmTime       = 2 * time.Second
)

// warm plans the hottest operations on a snapshot, for a bounded time.
func (g *Gateway) warm(s *Snapshot) {
	until := time.Now().Add(warmTime)
	for _, rec := range g.recorder.hottest(warmOperations) {
		if time.Now().After(until) {
			return
		}
		op, errs := s.planner.Prepare(rec.raw, rec.choice)
		if errs != nil {
			continue // it asks for what the new graph has not: its clients will hear of it
		}
		if _, err := s.planner.Plan(op, rec.facts); err != nil {
			g.cfg.Log.Warn("operation cannot be planned on the new graph", "operation", rec.Name, "hash", rec.Hash, "error", err)
		}
	}
}
