package ads

import (
	"slices"
	"strconv"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/catalyst-router/catalyst/xds"
)

// This file holds what an Envoy is told next: additions in make-before-break order, then removals.

// response is one that the Envoy has not answered.
type response struct {
	sent      time.Time
	resources []*xds.Resource
	whole     bool            // everything of its type, as state of the world
	work      int             // for Envoy to take it in, if it is of scopes; see scopeWork
	overtaken map[string]bool // what was removed after it was sent: its answer does not count
}

// told decides what an Envoy is sent next.
type told struct {
	*books
	quarantine *quarantine
	waits      *waits
}

// next builds the next response of a stream, in make-before-break order; nil if there is none now, with how long to
// wait for one.
func (tl *told) next(st *stream) (*discovery.DeltaDiscoveryResponse, time.Duration) {
	tl.mu.Lock()
	defer tl.unlock()
	if !tl.opened {
		return nil, 0
	}
	retry := tl.quarantine.retries(st)
	st.outlived()
	if set := tl.quarantine.nextGroup(st); set != nil {
		return st.respond(set[0].Type, set, nil), 0
	}
	resp := tl.addition(st)
	now := time.Now()
	if later := st.digested(now); resp == nil && later > 0 { // what replaces something is yet to be sent
		return nil, sooner(later, sooner(retry, st.lingering.wait(now)))
	}
	if resp == nil && tl.forsaken(st) {
		resp = tl.addition(st)
	}
	if resp != nil {
		return resp, 0
	}
	resp, wait := tl.removals(st)
	return resp, sooner(wait, sooner(retry, st.lingering.wait(now)))
}

// sooner is the shorter of two waits, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// addition builds the next response with what is new or changed; nil if there is none. What is done for one type may
// have the next looked at.
func (tl *told) addition(st *stream) *discovery.DeltaDiscoveryResponse {
	for _, t := range xds.Types() {
		if t == xds.TypeRoute { // scouts go ahead of the routes that Envoy asks for because of them
			if resp := tl.additions(st, xds.TypeScope, true); resp != nil {
				return resp
			}
		}
		if resp := tl.additions(st, t, false); resp != nil {
			return resp
		}
	}
	return nil
}

// additions builds a response of a type with what is new or changed, or only with what others name. What is gone
// stays pending.
func (tl *told) additions(st *stream, typeURL string, named bool) *discovery.DeltaDiscoveryResponse {
	if st.pending[typeURL] == nil || typeURL == xds.TypeScope && st.digested(time.Now()) > 0 {
		return nil
	}
	sub := st.subs[typeURL]
	most := st.batch(typeURL)
	set := tl.due(st, sub, typeURL, true, most, nil)
	// what names others waits for a response in which, or after which, all of them are there
	if !named && len(set) < most {
		set = tl.due(st, sub, typeURL, false, most, set)
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

// due takes what waits and is to be sent, until a set has as many as it may have: resources that others name, or the
// rest.
func (tl *told) due(
	st *stream, sub *subscription, typeURL string, named bool, most int, set []*xds.Resource,
) []*xds.Resource {
	queue := st.pending[typeURL]
	for name := range queue.of(named) {
		ref := xds.Ref{Type: typeURL, Name: name}
		r := tl.quarantine.serves(st, ref)
		tl.waits.awaitNeeds(st, ref, r)
		if r == nil {
			st.answeredFor(ref) // what waits for it will not have it, and may have to go
			if _, known := sub.known[name]; !known {
				queue.remove(name)
			}
			continue
		}
		queue.remove(name)
		if typeURL == xds.TypeCluster {
			st.lingering.forget(name)
		}
		if n := tl.waits.lacks(st, r.Needs); n != "" {
			if st.await(n, ref); !tl.waits.early(st, sub, r) {
				continue
			}
		}
		switch {
		case !sub.covers(name):
		case st.sentAlready(sub, r):
			tl.waits.settle(ref)
			st.answeredFor(ref) // it may be what another version was refused for
		case sub.known[name] != "" && tl.view.get(ref).left: // it may be newer than what was kept
		default:
			set = append(set, r)
			sub.known[name] = r.Version
			if routes, ok := xds.Scouted(name); ok {
				st.changed(routes) // it asks for them, or has them and is told nothing
			}
		}
		if len(set) == most {
			break
		}
	}
	return set
}

// removals takes away resources that are gone: a route before the clusters that it names. It waits until the Envoy
// has answered what it was sent and has what replaces them, so that nothing disappears that it still uses; but not
// for ever, if the Envoy does not answer.
func (tl *told) removals(st *stream) (*discovery.DeltaDiscoveryResponse, time.Duration) {
	if tl.left {
		return nil, 0 // what an earlier process gave it is not known to be gone
	}
	for _, t := range slices.Backward(xds.Types()) {
		gone := tl.gone(st, t)
		if len(gone) == 0 {
			continue
		}
		if t == xds.TypeRoute { // Envoy drops routes that no scope names, and takes no removal of them
			st.lose(t, gone)
			continue
		}
		slices.SortFunc(gone, func(a, b string) int { return xds.CompareNames(b, a) }) // what names others before them
		if now := time.Now(); len(st.outstanding) > 0 || tl.waits.replacing(st) {
			if st.removeAfter.IsZero() {
				st.removeAfter = now.Add(removalPatience)
			}
			if wait := st.removeAfter.Sub(now); wait > 0 {
				return nil, wait
			}
		}
		st.removeAfter = time.Time{}
		if t == xds.TypeCluster {
			if gone = st.linger(gone, tl.cfg.Linger); len(gone) == 0 {
				continue
			}
		}
		st.lose(t, gone)
		return st.respond(t, nil, gone), 0
	}
	return nil, 0
}

// lose books that an Envoy has nothing of these names any more. With a scout it may lose the routes for which that
// has it ask: it is sent them again.
func (st *stream) lose(typeURL string, names []string) {
	sub := st.subs[typeURL]
	var routes []string
	sub.shrink()
	defer sub.shrink()
	for _, name := range names {
		st.pending[typeURL].remove(name)
		delete(sub.known, name)
		delete(sub.acked, name)
		if typeURL == xds.TypeCluster {
			st.lingering.forget(name)
		}
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
func (tl *told) gone(st *stream, typeURL string) []string {
	var gone []string
	for name := range st.pending[typeURL].all() {
		if tl.quarantine.serves(st, xds.Ref{Type: typeURL, Name: name}) == nil {
			gone = append(gone, name)
		}
	}
	return gone
}

// forsaken looks for compiled resources that need a cluster which this Envoy is about to lose, and tells whether
// there are any: each is sent in an earlier version, or removed as well. An example: a service is withdrawn and comes
// back before the Envoy has heard of it, with next hops that the Envoy refuses.
func (tl *told) forsaken(st *stream) bool {
	if tl.left {
		return false // nothing is removed
	}
	lost := map[string]bool{}
	for _, name := range tl.gone(st, xds.TypeCluster) {
		if tl.view.get(xds.Needed(name)) != nil {
			lost[name] = true
		}
	}
	more := false
	for len(lost) > 0 {
		next := map[string]bool{}
		for _, d := range tl.view.dependants(lost) {
			sub := st.subs[d.Type]
			if sub == nil || sub.known[d.Name] == "" || st.pending[d.Type].has(d.Name) {
				continue
			}
			r := tl.quarantine.serves(st, d)
			if r != nil && st.sentAlready(sub, r) {
				continue
			}
			st.changed(d)
			tl.waits.awaitNeeds(st, d, r)
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
	st.outstanding[nonce] = &response{sent: time.Now(), resources: set, work: st.scopeWork(typeURL, set, removed)}
	return resp
}
