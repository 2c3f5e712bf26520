package ads

import (
	"slices"

	"github.com/catalyst-router/catalyst/xds"
)

// This file holds what an Envoy waits for: a resource is sent when it has what that needs.

// waits says what an Envoy has to have before it is sent something else.
type waits struct {
	*books
	quarantine *quarantine
}

// lacks returns the first of these names that the Envoy does not have in the version that it is to have, "" for none.
// What needs a resource is sent after it, and not at all while the Envoy refuses it.
func (w *waits) lacks(st *stream, needs []string) string {
	for _, n := range needs {
		ref := xds.Needed(n)
		sub := st.subs[ref.Type]
		if ref.Type == xds.TypeCluster && (sub == nil || !sub.covers(n)) {
			continue // it wants none
		}
		if sub == nil {
			return n
		}
		has, r := sub.acked[n].version, w.quarantine.serves(st, ref)
		if has == "" || r == nil || has != r.Version && !w.view.get(ref).left {
			return n
		}
	}
	return ""
}

// early tells whether a scope may be sent right after what it needs, without waiting for the Envoy's answer. It may
// where the Envoy has no scope of the service yet: calls find no service then, and if the Envoy refuses the cluster
// they find none either, until the scope is removed again.
func (w *waits) early(st *stream, sub *subscription, r *xds.Resource) bool {
	if r.Type != xds.TypeScope || sub.known[r.Name] != "" {
		return false
	}
	return !slices.ContainsFunc(r.Needs, func(n string) bool {
		ref := xds.Needed(n)
		has, need := st.subs[ref.Type], w.quarantine.serves(st, ref)
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

// replacing tells whether the Envoy has something of which another version is to follow, when it has what that needs.
func (w *waits) replacing(st *stream) bool {
	for _, waits := range st.waiting {
		for ref := range waits {
			sub := st.subs[ref.Type]
			if sub == nil || sub.known[ref.Name] == "" {
				continue
			}
			if r := w.quarantine.serves(st, ref); r != nil && !st.sentAlready(sub, r) {
				return true
			}
		}
	}
	return false
}

// awaitNeeds has a resource looked at again when what stands in the way of its newest version is taken.
func (w *waits) awaitNeeds(st *stream, ref xds.Ref, serving *xds.Resource) {
	e := w.view.get(ref)
	if e == nil || e.now == nil || e.now == serving {
		return
	}
	for _, n := range e.now.Needs {
		if w.quarantine.serves(st, xds.Needed(n)) == nil {
			st.await(n, ref)
			return
		}
	}
}

// settle books a version as good when every Envoy that wants it, and there is one, has taken it.
func (w *waits) settle(ref xds.Ref) {
	if !w.view.unsettled[ref] {
		return
	}
	now, taken := w.view.get(ref).now, false
	for st := range w.streams {
		if sub := st.subs[ref.Type]; sub != nil && sub.covers(ref.Name) && st.uses(ref) {
			if sub.acked[ref.Name].version != now.Version || !w.quarantine.usable(st, now) || w.lacks(st, now.Needs) != "" {
				return
			}
			taken = true
		}
	}
	if !taken {
		return
	}
	w.view.settle(ref)
	if w.cfg.Store != nil {
		w.tell(func() { w.cfg.Store.Set(now) })
	}
	w.quarantine.dropped()
}
