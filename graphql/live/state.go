package live

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// state is every subgraph and what is due for it. It reads no clock and starts nothing.
type state struct {
	rules Rules
	subs  map[string]*sub
	// remembered are the subgraphs that were in the graph before the start, with their schemas, until they are announced.
	remembered map[string]string
	// dirty says that what would be composed differs from what was.
	dirty bool
	// why collects what made it so, for the history.
	why []string
	// holdUntil is how long the first composition waits for schemas; zero once there has been one.
	holdUntil time.Time
}

type sub struct {
	src       Source
	kind      string
	schema    string // last good; "" if none
	fetchedAt time.Time
	err       string
	attempt   uint64    // of the fetch under way or last done; older ones are ignored
	fetching  bool      // one is under way
	nextFetch time.Time // zero: none is due
	backoff   time.Duration
	leaves    time.Time // zero: its route is there
	good      string    // the schema with which it is in the graph; "" if it is not
	// the schema with which it was in the graph before the start, until a graph of this run is published
	was    string
	errors []supergraph.Error
}

// fetch is a schema to be asked for.
type fetch struct {
	src     Source
	attempt uint64
}

func newState(r Rules) *state {
	return &state{rules: r.withDefaults(), subs: map[string]*sub{}}
}

// start begins the wait for the first schemas.
func (s *state) start(now time.Time) { s.holdUntil = now.Add(s.rules.StartWait) }

// ready tells whether there is something to compose, and nothing to wait for.
func (s *state) ready(now time.Time) bool {
	return s.dirty && (s.holdUntil.IsZero() || !now.Before(s.holdUntil) || s.complete())
}

// complete tells whether every schema is there: of all that were announced, and of all that were in the graph before
// the start and may be announced yet. Otherwise a newcomer that is announced first would take the place of a member
// that it does not go with.
func (s *state) complete() bool {
	for name := range s.remembered {
		if s.subs[name] == nil {
			return false
		}
	}
	for _, x := range s.subs {
		if x.schema == "" {
			return false
		}
	}
	return true
}

// put adds a subgraph, or replaces its announcement.
func (s *state) put(now time.Time, src Source) {
	x := s.subs[src.Name]
	if x == nil {
		x = &sub{was: s.remembered[src.Name]}
		s.subs[src.Name] = x
	} else if x.src.same(&src) && x.leaves.IsZero() {
		return
	}
	back := !x.leaves.IsZero()
	moved := x.src.URL != src.URL || x.src.Host != src.Host || !equalKeys(x.src.Keys, src.Keys)
	x.src, x.leaves = src, time.Time{}
	if x.schema != "" && (moved || back) {
		s.changed("moved", src.Name)
	}
	x.attempt++
	x.fetching, x.backoff = false, 0
	if src.SDL != "" {
		x.nextFetch = time.Time{}
		s.learned(now, x, src.SDL, "given")
		return
	}
	x.nextFetch = now
}

// gone tells that a subgraph's route is not there any more.
func (s *state) gone(now time.Time, name string) {
	x := s.subs[name]
	if x == nil || !x.leaves.IsZero() {
		return
	}
	x.attempt++ // what is under way does not count any more
	x.fetching, x.nextFetch = false, time.Time{}
	if x.good == "" || s.rules.Linger == 0 {
		s.leave(x)
		return
	}
	x.leaves = now.Add(s.rules.Linger)
}

func (s *state) leave(x *sub) {
	delete(s.subs, x.src.Name)
	if x.schema != "" {
		s.changed("left", x.src.Name)
	}
}

func (s *state) changed(what, name string) {
	s.dirty = true
	s.why = append(s.why, name+" "+what)
}

// due returns the schemas to ask for now, and lets leave what has lingered long enough.
func (s *state) due(now time.Time) []fetch {
	var due []fetch
	for _, x := range s.sorted() {
		if !x.leaves.IsZero() && !now.Before(x.leaves) {
			s.leave(x)
			continue
		}
		if !x.fetching && !x.nextFetch.IsZero() && !now.Before(x.nextFetch) {
			x.fetching, x.nextFetch = true, time.Time{}
			x.attempt++
			due = append(due, fetch{x.src, x.attempt})
		}
	}
	return due
}

// deadline is when due has something to do next; zero for never.
func (s *state) deadline() time.Time {
	var d time.Time
	earliest := func(t time.Time) {
		if !t.IsZero() && (d.IsZero() || t.Before(d)) {
			d = t
		}
	}
	if s.dirty {
		earliest(s.holdUntil)
	}
	for _, x := range s.subs {
		earliest(x.leaves)
		earliest(x.nextFetch)
	}
	return d
}

// fetched takes the outcome of a fetch; one that was overtaken is ignored.
func (s *state) fetched(now time.Time, f fetch, schema, kind string, err error) {
	x := s.subs[f.src.Name]
	if x == nil || x.attempt != f.attempt {
		return
	}
	x.fetching = false
	if err != nil {
		x.err = err.Error()
		x.backoff = min(max(2*x.backoff, s.rules.RetryMin), s.rules.RetryMax)
		x.nextFetch = now.Add(x.backoff)
		return
	}
	x.backoff = 0
	x.nextFetch = now.Add(s.rules.Poll)
	s.learned(now, x, schema, kind)
}

func (s *state) learned(now time.Time, x *sub, schema, kind string) {
	x.err, x.fetchedAt = "", now
	if x.schema == schema && x.kind == kind {
		return
	}
	what := "joined"
	if x.schema != "" {
		what = "changed its schema"
	}
	x.schema, x.kind = schema, kind
	s.changed(what, x.src.Name)
}

// take returns what is to be composed, in the order of names so that equal subgraphs give equal graphs.
func (s *state) take() input {
	in := input{why: s.why}
	for _, x := range s.sorted() {
		if x.schema != "" {
			in.candidates = append(in.candidates, candidate{src: x.src, schema: x.schema, good: cmp.Or(x.good, x.was)})
		}
	}
	s.dirty, s.why, s.holdUntil = false, nil, time.Time{}
	return in
}

// composed takes what became of a composition. A graph that could not be published leaves the subgraphs as they were,
// but for the reasons.
func (s *state) composed(out *outcome, published bool) {
	for name, t := range out.taken {
		x := s.subs[name]
		if x == nil {
			continue
		}
		x.errors = t.errors
		if published {
			x.good, x.was = t.schema, ""
			delete(s.remembered, name)
		}
	}
}

// members are the subgraphs of the graph with their schemas, and those that were in it before the start and have not
// been heard of.
func (s *state) members() map[string]string {
	out := map[string]string{}
	for name, schema := range s.remembered {
		out[name] = schema
	}
	for name, x := range s.subs {
		if schema := cmp.Or(x.good, x.was); schema != "" {
			out[name] = schema
		} else {
			delete(out, name)
		}
	}
	return out
}

func (s *state) views() []View {
	views := make([]View, 0, len(s.subs))
	for _, x := range s.sorted() {
		views = append(views, View{
			Source: x.src, Status: x.status(), Kind: x.kind, Schema: x.schema, FetchedAt: x.fetchedAt,
			FetchError: x.err, NextFetch: x.nextFetch, Leaves: x.leaves, Errors: x.errors,
		})
	}
	return views
}

func (x *sub) status() Status {
	switch {
	case !x.leaves.IsZero():
		return Leaving
	case len(x.errors) > 0 && x.good != "":
		return Outdated
	case len(x.errors) > 0:
		return Excluded
	case x.schema == "":
		return Fetching
	case x.good == "":
		return Composing
	case x.err != "":
		return Stale
	}
	return Serving
}

func (s *state) sorted() []*sub {
	return slices.SortedFunc(maps.Values(s.subs), func(a, b *sub) int { return cmp.Compare(a.src.Name, b.src.Name) })
}
