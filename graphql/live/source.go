package live

import (
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// Source is a subgraph as it was announced.
type Source struct {
	// Name of the subgraph in the graph; for a route the service's name.
	Name string
	// URL is where its operations go, and Host the authority to ask it under; "" for the URL's own.
	URL, Host string
	// SDL is the schema, if it was given with the announcement; "" to ask the subgraph for it.
	SDL string
	// Keys are those that an operator declares for types of a plain schema.
	Keys map[string][]string
	// Revision changes when the announcement does: the schema is asked for again.
	Revision uint64
}

// same tells whether two announcements are the same for the graph, so that nothing has to be fetched again.
func (s *Source) same(o *Source) bool {
	return s.URL == o.URL && s.Host == o.Host && s.SDL == o.SDL && s.Revision == o.Revision && equalKeys(s.Keys, o.Keys)
}

func equalKeys(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for t, keys := range a {
		if other, ok := b[t]; !ok || !slices.Equal(keys, other) {
			return false
		}
	}
	return true
}

// Status is what became of a subgraph.
type Status string

// The statuses.
const (
	// Fetching: its schema has not been had yet.
	Fetching Status = "fetching"
	// Composing: it has a schema that is in no graph yet.
	Composing Status = "composing"
	// Serving: it is part of the graph.
	Serving Status = "serving"
	// Stale: it is part of the graph with the schema that it had; the last attempt to ask for it failed.
	Stale Status = "stale"
	// Outdated: it is part of the graph with the schema that it had; its newest one does not compose with the others,
	// and Errors say why.
	Outdated Status = "outdated"
	// Leaving: its route is gone. It is part of the graph until Leaves.
	Leaving Status = "leaving"
	// Excluded: it does not compose with the others; Errors say why.
	Excluded Status = "excluded"
)

// View is what an operator sees of a subgraph.
type View struct {
	Source
	Status Status
	// Kind is how the schema was had: federation, sdl, introspection, given.
	Kind string
	// Schema is the last one had, "" if none.
	Schema    string
	FetchedAt time.Time
	// FetchError is why the last attempt failed, "" if it did not; NextFetch is when the next one is due.
	FetchError string
	NextFetch  time.Time
	// Leaves is when a subgraph whose route is gone leaves the graph.
	Leaves time.Time
	// Errors are why it was left out of the composition.
	Errors []supergraph.Error
}

// Rules are the times that subgraphs are given.
type Rules struct {
	// Poll is how often a subgraph is asked for its schema anew. Zero means 30s.
	Poll time.Duration
	// RetryMin and RetryMax bound the pause after a failed attempt, which doubles. Zero means 500ms and 30s.
	RetryMin, RetryMax time.Duration
	// Linger is how long a subgraph stays in the graph after its route has gone. Zero means 10s; negative means not at
	// all.
	Linger time.Duration
	// StartWait is how long the first graph waits for subgraphs whose schema has not been had; then the others serve.
	// Zero means not at all.
	StartWait time.Duration
}

func (r Rules) withDefaults() Rules {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&r.Poll, 30*time.Second)
	set(&r.RetryMin, 500*time.Millisecond)
	set(&r.RetryMax, 30*time.Second)
	set(&r.Linger, 10*time.Second)
	r.Linger = max(r.Linger, 0)
	return r
}
