package ads

import (
	"maps"

	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/shrink"
)

// This file holds what an Envoy wants of one type of resource, and what it has.

// subscription is what an Envoy wants of one type, and has.
type subscription struct {
	wildcard             bool
	names                map[string]bool
	known                map[string]string // version that it was sent, or said that it has
	acked                map[string]ack
	mostKnown, mostAcked int // the most that they have had
	// fresh subscriptions are answered even if there is nothing: Envoy waits for it.
	fresh bool
}

// ack is what an Envoy has taken of one resource.
type ack struct {
	version string
	at      int64 // Unix nanoseconds; 0 if it had it when it connected
}

// acksOf takes what an Envoy says that it has as taken.
func acksOf(known map[string]string) map[string]ack {
	acks := make(map[string]ack, len(known))
	for name, version := range known {
		acks[name] = ack{version: version}
	}
	return acks
}

// newSubscription makes a subscription of an Envoy's first request of a type; known is what the Envoy says that it
// has. A request without names is for all resources (xDS protocol, "How the client specifies what resources to
// return"), except for routes.
func newSubscription(typeURL string, names []string, known map[string]string) *subscription {
	if known == nil {
		known = map[string]string{}
	}
	return &subscription{
		fresh:    true,
		wildcard: len(names) == 0 && typeURL != xds.TypeRoute,
		known:    maps.Clone(known),
		acked:    acksOf(known),
	}
}

// shrink gives back the room of what the Envoy has lost.
func (sub *subscription) shrink() {
	sub.known = shrink.Map(sub.known, &sub.mostKnown)
	sub.acked = shrink.Map(sub.acked, &sub.mostAcked)
}

func (sub *subscription) subscribe(name string) {
	if name == "*" {
		sub.wildcard = true
		return
	}
	if sub.names == nil {
		sub.names = map[string]bool{}
	}
	sub.names[name] = true
}

// covers tells whether a resource is wanted.
func (sub *subscription) covers(name string) bool { return sub.wildcard || sub.names[name] }

// knows tells whether it is known what the Envoy has.
func (sub *subscription) knows() bool { return sub != nil && len(sub.known) > 0 }

func (st *stream) sentAlready(sub *subscription, r *xds.Resource) bool {
	return sub.known[r.Name] == r.Version
}
