package policy

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// Request is a question: may this principal do this to that? Calls and orders make it (see Call and Order).
type Request struct {
	isCall   bool
	call     Call
	peer     node           // of the call
	cedar    types.Request  // of anything else
	entities []types.Entity // of the request itself: principal, resource and what is hung below the context
	err      error          // why it cannot be asked: then it is denied
}

// Call returns the call that a request asks about; the zero value if it asks about an order.
func (r Request) Call() Call { return r.call }

// Decision is the answer. The zero value denies.
type Decision struct {
	Allow bool
	// Policies are the ids of those that made the decision, sorted; none if no policy matched, which denies.
	Policies []string
	// Errors are what could not be evaluated or asked. Any error denies: in Cedar itself, a forbid that cannot be
	// evaluated would protect nothing.
	Errors []string
	// Snapshot is the hash of the set that decided; "" if there was none.
	Snapshot string
}

// Engine decides by the snapshot that was published last. It is safe for concurrent use; the zero value denies
// everything.
type Engine struct {
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex
	changed chan struct{} // closed by the next Publish; nil until somebody waits for it; guarded by mu
}

// Publish puts a snapshot in force, at once, for whoever asks from now on. A decision under way ends with the one
// that it began with.
func (e *Engine) Publish(s *Snapshot) {
	e.current.Store(s)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// Changed returns a channel that is closed when another snapshot is in force. Who takes the channel before it decides
// misses none.
func (e *Engine) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// Snapshot returns the one in force; nil if there is none.
func (e *Engine) Snapshot() *Snapshot { return e.current.Load() }

// Decide answers a request.
func (e *Engine) Decide(r Request) Decision {
	s := e.current.Load()
	if s == nil {
		return Decision{Errors: []string{ErrNoSnapshot.Error()}}
	}
	return s.Decide(r)
}

// keyRoom is how many scopes a request usually has to look for, for each of principal and resource.
const keyRoom = 12

// Decide answers a request by this snapshot.
func (s *Snapshot) Decide(r Request) Decision {
	if r.err != nil {
		return Decision{Errors: []string{r.err.Error()}, Snapshot: s.hash}
	}
	var principals, resources [keyRoom]types.EntityUID
	q, entities := r.asked(s.uses)
	v := s.view(q, entities, principals[:0], resources[:0])
	return s.decision(cedar.Authorize(v, v, q))
}

// Scan is Decide by a look at every policy, as cedar-go goes about it by itself: for tests and benchmarks, which hold
// Decide against it.
func (s *Snapshot) Scan(r Request) Decision {
	if r.err != nil {
		return Decision{Errors: []string{r.err.Error()}, Snapshot: s.hash}
	}
	q, entities := r.asked(everything())
	v := s.view(q, entities, nil, nil)
	return s.decision(cedar.Authorize(whole{v}, v, q))
}

func (s *Snapshot) view(q types.Request, entities []types.Entity, principals, resources []types.EntityUID) *view {
	v := &view{snap: s, extra: s.joined(entities)}
	v.principals = v.keysOf(principals, q.Principal)
	v.resources = v.keysOf(resources, q.Resource)
	if n, known := s.index.actions[q.Action]; known {
		v.action = 1 << n
	}
	return v
}

// joined adds to a request's entities the groups and tags that the operator has given them.
func (s *Snapshot) joined(entities []types.Entity) []types.Entity {
	copied := false
	for i := range entities {
		known, ok := s.entities[entities[i].UID]
		if !ok {
			continue
		}
		if !copied {
			entities, copied = slices.Clone(entities), true
		}
		e := &entities[i]
		if known.Parents.Len() > 0 {
			parents := slices.AppendSeq(slices.Collect(e.Parents.All()), known.Parents.All())
			e.Parents = types.NewEntityUIDSet(parents...)
		}
		if e.Tags.Len() == 0 {
			e.Tags = known.Tags
		}
	}
	return entities
}

func (s *Snapshot) decision(verdict cedar.Decision, diag cedar.Diagnostic) Decision {
	d := Decision{Allow: verdict == cedar.Allow && len(diag.Errors) == 0, Snapshot: s.hash}
	for _, r := range diag.Reasons {
		d.Policies = append(d.Policies, string(r.PolicyID))
	}
	for _, e := range diag.Errors {
		d.Errors = append(d.Errors, fmt.Sprintf("policy %s: %s", e.PolicyID, e.Message))
	}
	slices.Sort(d.Policies)
	slices.Sort(d.Errors)
	return d
}
