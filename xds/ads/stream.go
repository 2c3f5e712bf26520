package ads

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/shrink"
)

// stream is one Envoy's connection. All but signal is guarded by the server's mu.
type stream struct {
	s           *Server
	node        string
	certified   string // what its certificate names; "" on a Unix socket
	secret      []byte // what it is sent in place of the node's certificate and key; nil on a Unix socket
	ctx         context.Context
	cancel      context.CancelCauseFunc // of ctx
	ended       bool                    // it has lost its place
	since       time.Time
	signal      chan struct{}
	subs        map[string]*subscription // by type
	pending     map[string]*queue        // by type
	outstanding map[string]*response     // by nonce
	nonce       uint64
	groups      []group                     // to be sent in responses of their own
	waiting     map[string]map[xds.Ref]bool // by what the Envoy has to have first
	held        map[string]bool             // types of which something waits for an answer, as state of the world
	bytes       int
	removeAfter time.Time // until when removals wait for acknowledgements; zero if none wait
}

// response is one that the Envoy has not answered.
type response struct {
	sent      time.Time
	resources []*xds.Resource
	whole     bool            // everything of its type, as state of the world
	overtaken map[string]bool // what was removed after it was sent: its answer does not count
}

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

// newStream begins a stream, whose client may have a certificate.
func newStream(ctx context.Context, s *Server) (*stream, error) {
	certified := ""
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			var err error
			if certified, err = s.admit(info.State, p.Addr.String()); err != nil {
				return nil, err
			}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &stream{
		s: s, ctx: ctx, cancel: cancel, certified: certified, since: time.Now(), signal: make(chan struct{}, 1),
		subs: map[string]*subscription{}, pending: map[string]*queue{},
		outstanding: map[string]*response{}, held: map[string]bool{}, waiting: map[string]map[xds.Ref]bool{},
	}, nil
}

// newSubscription begins with the first request of a type, from an Envoy that has what is known: without names it is for all (xDS protocol, "How the client specifies what
// resources to return"), except for routes.
func newSubscription(typeURL string, names []string, known map[string]string) *subscription {
	if known == nil {
		known = map[string]string{}
	}
	return &subscription{fresh: true, wildcard: len(names) == 0 && typeURL != xds.TypeRoute, known: maps.Clone(known), acked: acksOf(known)}
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

// changed notes that a resource may have to be sent.
func (st *stream) changed(ref xds.Ref) {
	if st.subs[ref.Type] == nil {
		return // the subscription begins with everything
	}
	if st.pending[ref.Type] == nil {
		st.pending[ref.Type] = newQueue()
	}
	st.pending[ref.Type].add(ref.Name)
}

// end has the goroutine that serves it end it. Its place is free at once.
func (st *stream) end() {
	st.ended = true
	st.cancel(status.Error(codes.ResourceExhausted, "a newer connection with this certificate took its place"))
}

// why is the error of a stream whose context has ended: nil if its Envoy went, or the server ends.
func (st *stream) why() error {
	if cause := context.Cause(st.ctx); status.Code(cause) == codes.ResourceExhausted {
		return cause
	}
	return nil
}

func (st *stream) poke() {
	select {
	case st.signal <- struct{}{}:
	default:
	}
}

// next builds the next response of a stream, in make-before-break order; nil if there is none now, with how long to wait for one.
func (s *Server) next(st *stream) (*discovery.DeltaDiscoveryResponse, time.Duration) {
	s.mu.Lock()
	defer s.unlock()
	if !s.opened {
		return nil, 0
	}
	retry := s.retries(st)
	if set := s.nextGroup(st); set != nil {
		return st.respond(set[0].Type, set, nil), 0
	}
	resp := s.addition(st)
	if resp == nil && s.forsaken(st) {
		resp = s.addition(st)
	}
	if resp != nil {
		return resp, 0
	}
	resp, wait := s.removals(st)
	if wait == 0 || retry > 0 && retry < wait {
		wait = retry
	}
	return resp, wait
}

// addition builds the next response with what is new or changed; nil if there is none. What is done for one type may have the next looked at.
func (s *Server) addition(st *stream) *discovery.DeltaDiscoveryResponse {
	for _, t := range xds.Types() {
		if t == xds.TypeRoute { // scouts go ahead of the routes that Envoy asks for because of them
			if resp := s.additions(st, xds.TypeScope, true); resp != nil {
				return resp
			}
		}
		if resp := s.additions(st, t, false); resp != nil {
			return resp
		}
	}
	return nil
}

// additions builds a response of a type with what is new or changed, or only with what others name. What is gone stays pending.
func (s *Server) additions(st *stream, typeURL string, named bool) *discovery.DeltaDiscoveryResponse {
	if st.pending[typeURL] == nil {
		return nil
	}
	sub := st.subs[typeURL]
	set := s.due(st, sub, typeURL, true, nil)
	if !named && len(set) < maxBatch { // what names others waits for a response in which, or after which, all of them are there
		set = s.due(st, sub, typeURL, false, set)
	}
	if st.pending[typeURL].empty() && !named {
		delete(st.pending, typeURL)
	}
	if len(set) == 0 && (named || !sub.fresh) {
		return nil
	}
	sub.fresh = false
	return st.respond(typeURL, set, nil)
}

// due takes what waits and is to be sent, up to a batch: resources that others name, or the rest.
func (s *Server) due(st *stream, sub *subscription, typeURL string, named bool, set []*xds.Resource) []*xds.Resource {
	queue := st.pending[typeURL]
	for name := range queue.of(named) {
		ref := xds.Ref{Type: typeURL, Name: name}
		r := s.serves(st, ref)
		s.awaitNeeds(st, ref, r)
		if r == nil {
			st.answeredFor(ref) // what waits for it will not have it, and may have to go
			if _, known := sub.known[name]; !known {
				queue.remove(name)
			}
			continue
		}
		queue.remove(name)
		if n := s.lacks(st, r.Needs); n != "" {
			if st.await(n, ref); !s.early(st, sub, r) {
				continue
			}
		}
		switch {
		case !sub.covers(name):
		case st.sentAlready(sub, r):
			s.settle(ref)
			st.answeredFor(ref) // it may be what another version was refused for
		case sub.known[name] != "" && s.view.get(ref).left: // it may be newer than what was kept
		default:
			set = append(set, r)
			sub.known[name] = r.Version
			if routes, ok := xds.Scouted(name); ok {
				st.changed(routes) // it asks for them, or has them and is told nothing
			}
		}
		if len(set) == maxBatch {
			break
		}
	}
	return set
}

// lacks returns the first of these names that the Envoy does not have in the version that it is to have: what needs it comes after it, and not at all if it is
// refused. "" for none.
func (s *Server) lacks(st *stream, needs []string) string {
	for _, n := range needs {
		ref := xds.Needed(n)
		sub := st.subs[ref.Type]
		if ref.Type == xds.TypeCluster && (sub == nil || !sub.covers(n)) {
			continue // it wants none
		}
		if sub == nil {
			return n
		}
		has, r := sub.acked[n].version, s.serves(st, ref)
		if has == "" || r == nil || has != r.Version && !s.view.get(ref).left {
			return n
		}
	}
	return ""
}

// early tells whether a scope may follow what it needs without waiting for the answer: the Envoy has none for the service, and finds nobody whether it has
// no scope, or one whose cluster it refuses, for as long as it takes to remove that.
func (s *Server) early(st *stream, sub *subscription, r *xds.Resource) bool {
	if r.Type != xds.TypeScope || sub.known[r.Name] != "" {
		return false
	}
	return !slices.ContainsFunc(r.Needs, func(n string) bool {
		ref := xds.Needed(n)
		has, need := st.subs[ref.Type], s.serves(st, ref)
		return has == nil || need == nil || has.known[n] != need.Version
	})
}

// await has a resource looked at again when the Envoy has taken or refused what it needs, or that is gone.
func (st *stream) await(need string, ref xds.Ref) {
	if st.waiting[need] == nil {
		st.waiting[need] = map[xds.Ref]bool{}
	}
	st.waiting[need][ref] = true
}

// answeredFor has a look at what waited for a resource.
func (st *stream) answeredFor(ref xds.Ref) {
	if xds.Needed(ref.Name) != ref {
		return
	}
	for waits := range st.waiting[ref.Name] {
		st.changed(waits)
	}
	delete(st.waiting, ref.Name)
}

// removals takes away what is gone, what names it first. Nothing is taken before the Envoy has answered what it was sent, and has what replaces something, so that
// nothing that it still uses disappears, unless it takes too long.
func (s *Server) removals(st *stream) (*discovery.DeltaDiscoveryResponse, time.Duration) {
	if s.left {
		return nil, 0 // what an earlier process gave it is not known to be gone
	}
	for _, t := range slices.Backward(xds.Types()) {
		gone := s.gone(st, t)
		if len(gone) == 0 {
			continue
		}
		if t == xds.TypeRoute { // Envoy drops routes that no scope names, and takes no removal of them
			st.lose(t, gone)
			continue
		}
		slices.SortFunc(gone, func(a, b string) int { return xds.CompareNames(b, a) }) // what names others before them
		if now := time.Now(); len(st.outstanding) > 0 || s.replacing(st) {
			if st.removeAfter.IsZero() {
				st.removeAfter = now.Add(removalPatience)
			}
			if wait := st.removeAfter.Sub(now); wait > 0 {
				return nil, wait
			}
		}
		st.removeAfter = time.Time{}
		st.lose(t, gone)
		return st.respond(t, nil, gone), 0
	}
	return nil, 0
}

// replacing tells whether the Envoy has something of which another version is to follow, when it has what that needs.
func (s *Server) replacing(st *stream) bool {
	for _, waits := range st.waiting {
		for ref := range waits {
			sub := st.subs[ref.Type]
			if sub == nil || sub.known[ref.Name] == "" {
				continue
			}
			if r := s.serves(st, ref); r != nil && !st.sentAlready(sub, r) {
				return true
			}
		}
	}
	return false
}

// lose books that an Envoy has nothing of these names any more. With a scout it may lose the routes for which that has it ask: it is sent them again.
func (st *stream) lose(typeURL string, names []string) {
	sub := st.subs[typeURL]
	var routes []string
	sub.shrink()
	defer sub.shrink()
	for _, name := range names {
		st.pending[typeURL].remove(name)
		delete(sub.known, name)
		delete(sub.acked, name)
		if ref, ok := xds.Scouted(name); ok && typeURL == xds.TypeScope && st.subs[ref.Type] != nil {
			routes = append(routes, ref.Name)
		}
	}
	if st.pending[typeURL].empty() {
		delete(st.pending, typeURL)
	}
	if st.overtake(typeURL, names); len(routes) > 0 {
		st.lose(xds.TypeRoute, routes)
	}
}

// overtake has the Envoy's answers to what it was sent before not count for what it loses now.
func (st *stream) overtake(typeURL string, gone []string) {
	if len(st.outstanding) == 0 {
		return
	}
	lost := make(map[string]bool, len(gone))
	for _, name := range gone {
		lost[name] = true
	}
	for _, out := range st.outstanding {
		for _, r := range out.resources {
			if r.Type != typeURL || !lost[r.Name] {
				continue
			}
			if out.overtaken == nil {
				out.overtaken = map[string]bool{}
			}
			out.overtaken[r.Name] = true
		}
	}
}

// gone returns what the Envoy has of a type and is to lose.
func (s *Server) gone(st *stream, typeURL string) []string {
	var gone []string
	for name := range st.pending[typeURL].all() {
		if s.serves(st, xds.Ref{Type: typeURL, Name: name}) == nil {
			gone = append(gone, name)
		}
	}
	return gone
}

// forsaken has a look at what needs clusters that the Envoy is to lose although they were compiled, and tells whether there is any: an earlier version of it is sent,
// or it is removed as well. So it is where a service was withdrawn and is back, before the Envoy heard of it, with next hops that it refuses.
func (s *Server) forsaken(st *stream) bool {
	if s.left {
		return false // nothing is removed
	}
	lost := map[string]bool{}
	for _, name := range s.gone(st, xds.TypeCluster) {
		if s.view.get(xds.Needed(name)) != nil {
			lost[name] = true
		}
	}
	more := false
	for len(lost) > 0 {
		next := map[string]bool{}
		for _, d := range s.view.dependants(lost) {
			sub := st.subs[d.Type]
			if sub == nil || sub.known[d.Name] == "" || st.pending[d.Type].has(d.Name) {
				continue
			}
			r := s.serves(st, d)
			if r != nil && st.sentAlready(sub, r) {
				continue
			}
			st.changed(d)
			s.awaitNeeds(st, d, r)
			more = true
			if r == nil && xds.Needed(d.Name) == d {
				next[d.Name] = true
			}
		}
		lost = next
	}
	return more
}

func (st *stream) respond(typeURL string, set []*xds.Resource, removed []string) *discovery.DeltaDiscoveryResponse {
	slices.SortFunc(set, func(a, b *xds.Resource) int { return xds.CompareNames(a.Name, b.Name) })
	st.nonce++
	nonce := strconv.FormatUint(st.nonce, 10)
	resp := &discovery.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: nonce, RemovedResources: removed}
	for _, r := range set {
		resp.Resources = append(
			resp.Resources,
			&discovery.Resource{Name: r.Name, Version: r.Version, Resource: &anypb.Any{TypeUrl: r.Type, Value: st.body(r)}},
		)
		st.bytes += len(r.Body)
	}
	st.outstanding[nonce] = &response{sent: time.Now(), resources: set}
	return resp
}

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
		for _, x := range s.refusals[st.node] {
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
			if sub := st.subs[ref.Type]; sub != nil && sub.covers(ref.Name) {
				all = append(all, s.statusOf(st, sub, ref, svc))
			}
		}
	}
	slices.SortFunc(all, func(a, b ServiceStatus) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Resource.Name, b.Resource.Name))
	})
	return all
}

// statusOf is what a stream's Envoy has of one resource, the newest of a service.
func (s *Server) statusOf(st *stream, sub *subscription, ref xds.Ref, svc bgp.Service) ServiceStatus {
	r := s.view.get(ref).now
	out := ServiceStatus{Node: st.node, Resource: ref, Current: r.Version, Sent: sub.known[ref.Name], Acked: sub.acked[ref.Name].version}
	if at := sub.acked[ref.Name].at; at != 0 {
		out.AckedAt = time.Unix(0, at)
	}
	if r.Service == svc && r.Trace.Declared > 0 { // a shared one may be older than the service
		out.Declared = time.Unix(0, r.Trace.Declared)
	}
	if x := s.refusals[st.node][versionOf(r)]; x != nil {
		out.Error, out.Refused, out.RefusedAt = x.Error, x.Version, x.At
	}
	return out
}

// refsOf returns the resources that a service stands on, the shared next hops and routes included. The caller holds mu.
func (s *Server) refsOf(svc bgp.Service) []xds.Ref {
	var refs []xds.Ref
	for t, byName := range s.view.byType {
		for _, name := range xds.NamesOf(t, svc) {
			e := byName[name]
			if e == nil || e.now == nil {
				continue
			}
			refs = append(refs, xds.Ref{Type: t, Name: name})
			for _, ref := range xds.Targets(e.now) {
				if need := s.view.get(ref); need != nil && need.now != nil && !slices.Contains(refs, ref) {
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
