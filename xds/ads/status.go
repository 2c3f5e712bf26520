package ads

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// This file holds what an operator sees of the Envoys.

// NodeStatus is what an operator sees of an Envoy.
type NodeStatus struct {
	Node        string
	Since       time.Time
	Types       []TypeStatus
	Nacks       []Refused
	Outstanding int // responses that it has not answered
	Bytes       int // of resources sent on this connection
}

// TypeStatus is what an Envoy has of one type.
type TypeStatus struct {
	Type        string
	Sent, Acked int
}

// Status returns every connected Envoy, by node id.
func (s *Server) Status() []NodeStatus {
	s.mu.Lock()
	defer s.unlock()
	var all []NodeStatus
	for st := range s.streams {
		n := NodeStatus{Node: st.node, Since: st.since, Outstanding: len(st.outstanding), Bytes: st.bytes}
		for t, sub := range st.subs {
			n.Types = append(n.Types, TypeStatus{Type: t, Sent: len(sub.known), Acked: len(sub.acked)})
		}
		slices.SortFunc(n.Types, func(a, b TypeStatus) int { return cmp.Compare(xds.Order(a.Type), xds.Order(b.Type)) })
		for _, x := range s.quarantine.refusals[st.node] {
			n.Nacks = append(n.Nacks, x.Refused)
		}
		slices.SortFunc(n.Nacks, func(a, b Refused) int { return strings.Compare(a.Resource.Name, b.Resource.Name) })
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b NodeStatus) int { return strings.Compare(a.Node, b.Node) })
	return all
}

// ServiceStatus is what an Envoy has of one service's resource.
type ServiceStatus struct {
	Node      string
	Resource  xds.Ref
	Current   string    // version that was compiled
	Sent      string    // version that it was sent, or said that it has; "" for none
	Acked     string    // version that the Envoy has taken; "" for none
	AckedAt   time.Time // zero if it had it when it connected
	Error     string    // why it refuses one, in its own words; "" if it does not
	Refused   string    // the version that it refuses
	RefusedAt time.Time
	// Declared is when the change that made the resource was ordered, on whatever node; zero if that is not known.
	Declared time.Time
}

// Service returns, for each connected Envoy, what it has of a service.
func (s *Server) Service(svc bgp.Service) []ServiceStatus {
	s.mu.Lock()
	defer s.unlock()
	var all []ServiceStatus
	for _, ref := range s.refsOf(svc) {
		for st := range s.streams {
			if sub := st.subs[ref.Type]; sub != nil && sub.covers(ref.Name) && st.uses(ref) {
				all = append(all, s.quarantine.statusOf(st, sub, ref, svc))
			}
		}
	}
	slices.SortFunc(all, func(a, b ServiceStatus) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Resource.Name, b.Resource.Name))
	})
	return all
}

// statusOf is what a stream's Envoy has of one resource, the newest of a service.
func (q *quarantine) statusOf(st *stream, sub *subscription, ref xds.Ref, svc bgp.Service) ServiceStatus {
	r := q.view.get(ref).now
	out := ServiceStatus{
		Node:     st.node,
		Resource: ref,
		Current:  r.Version,
		Sent:     sub.known[ref.Name],
		Acked:    sub.acked[ref.Name].version,
	}
	if at := sub.acked[ref.Name].at; at != 0 {
		out.AckedAt = time.Unix(0, at)
	}
	if r.Service == svc && r.Trace.Declared > 0 { // a shared one may be older than the service
		out.Declared = time.Unix(0, r.Trace.Declared)
	}
	if x := q.refusals[st.node][versionOf(r)]; x != nil {
		out.Error, out.Refused, out.RefusedAt = x.Error, x.Version, x.At
	}
	return out
}

// refsOf returns the resources that a service stands on, the shared next hops and routes included. The caller holds mu.
func (b *books) refsOf(svc bgp.Service) []xds.Ref {
	var refs []xds.Ref
	for t, byName := range b.view.byType {
		for _, name := range xds.NamesOf(t, svc) {
			e := byName[name]
			if e == nil || e.now == nil {
				continue
			}
			refs = append(refs, xds.Ref{Type: t, Name: name})
			for _, ref := range xds.Targets(e.now) {
				if need := b.view.get(ref); need != nil && need.now != nil && !slices.Contains(refs, ref) {
					refs = append(refs, ref)
				}
			}
		}
	}
	return refs
}

// Compiled returns the resources that a service stands on, whether or not an Envoy has them.
func (s *Server) Compiled(svc bgp.Service) []xds.Ref {
	s.mu.Lock()
	defer s.unlock()
	return s.refsOf(svc)
}

// Serving tells whether an Envoy that is connected has the newest version of a resource, and in Envoy's own words why
// one refuses it; "" if none does.
func (s *Server) Serving(ref xds.Ref) (has bool, refused string) {
	s.mu.Lock()
	defer s.unlock()
	e := s.view.get(ref)
	if e == nil || e.now == nil {
		return false, ""
	}
	for st := range s.streams {
		if x := s.quarantine.refusals[st.node][versionOf(e.now)]; x != nil {
			refused = x.Error
		}
		if sub := st.subs[ref.Type]; sub != nil && sub.acked[ref.Name].version == e.now.Version {
			has = true
		}
	}
	return has, refused
}

// Held tells whether every Envoy that is connected and asked for a resource has its newest version. A resource that is
// not published is not held.
func (s *Server) Held(ref xds.Ref) bool {
	s.mu.Lock()
	defer s.unlock()
	e := s.view.get(ref)
	if e == nil || e.now == nil {
		return false
	}
	for st := range s.streams {
		if sub := st.subs[ref.Type]; sub != nil && sub.covers(ref.Name) && sub.acked[ref.Name].version != e.now.Version {
			return false
		}
	}
	return true
}
