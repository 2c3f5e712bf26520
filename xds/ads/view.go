package ads

import (
	"slices"

	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/shrink"
)

// entry is one resource: as it was compiled last, and as Envoy took it last.
type entry struct {
	now *xds.Resource // nil if it is gone, and kept for what still needs it
	// good is what every Envoy had taken before now came, or now itself; nil if there is none.
	good *xds.Resource
	// unproven tells that good is on its way to an Envoy, or was, and no Envoy has answered: what it needs stays as if
	// it had been taken.
	unproven bool
	// left by an earlier process, and not compiled by this one yet.
	left bool
}

// needs returns what its versions need.
func (e *entry) needs() []string {
	var all []string
	if e.now != nil {
		all = append(all, e.now.Needs...)
	}
	if e.good != nil && e.good != e.now {
		all = append(all, e.good.Needs...)
	}
	return all
}

// named is what it adds to a request that names it.
func (e *entry) named(ref xds.Ref) int {
	switch {
	case e.now != nil:
		return len(ref.Name) + len(e.now.Version) + perName
	case e.good != nil:
		return len(ref.Name) + len(e.good.Version) + perName
	}
	return 0
}

// has tells whether a version is one of those that may be served.
func (e *entry) has(version string) bool {
	return e != nil && (e.now != nil && e.now.Version == version || e.good != nil && e.good.Version == version)
}

// view is everything that is served. Beside the newest version of a resource it has an older one, for Envoys that
// refuse the newest, and all that the older one needs. So a cluster of next hops goes when neither a compiled
// resource names it nor one that some Envoy still has.
type view struct {
	byType map[string]map[string]*entry
	needed map[string]int // how many resources need one, by what xds.Needed takes
	// unsettled are those whose newest version has not been taken by every Envoy.
	unsettled map[xds.Ref]bool
	dropped   []xds.Ref // gone since the owner looked last
	// The most that the maps have had (see shrink).
	most                      map[string]int
	mostNeeded, mostUnsettled int
	named                     int // bytes of a request that names everything here, with versions
	mostNamed                 int // the most that it has been: an Envoy may still have all of that
}

func newView() view {
	return view{
		byType:    map[string]map[string]*entry{},
		needed:    map[string]int{},
		unsettled: map[xds.Ref]bool{},
		most:      map[string]int{},
	}
}

func (v *view) get(ref xds.Ref) *entry { return v.byType[ref.Type][ref.Name] }

// set takes the newest version of a resource, and tells whether it is a new one.
func (v *view) set(r *xds.Resource) bool {
	ref := refOf(r)
	e := v.get(ref)
	if e == nil {
		e = &entry{}
		if v.byType[r.Type] == nil {
			v.byType[r.Type] = map[string]*entry{}
		}
		v.byType[r.Type][r.Name] = e
	}
	e.left = false
	if e.now != nil && e.now.Version == r.Version {
		return false
	}
	v.change(ref, e, func() {
		e.hold()
		switch e.now = r; {
		case e.good == nil || e.good.Version != r.Version:
		case e.unproven:
			e.good, e.unproven = nil, false
		default:
			e.good = r
		}
	})
	return true
}

// restore takes a version that an Envoy had taken when an earlier process ran.
func (v *view) restore(r *xds.Resource) {
	if v.get(refOf(r)) == nil {
		v.set(r)
		v.settle(refOf(r))
		v.get(refOf(r)).left = true
	}
}

// settle books that every Envoy has taken the newest version; what nothing needs any more is gone.
func (v *view) settle(ref xds.Ref) {
	if e := v.get(ref); e != nil && e.now != nil {
		v.change(ref, e, func() { e.good, e.unproven = e.now, false })
	}
}

// remove takes a resource away, unless something needs it: then its last good version stays until nothing does.
func (v *view) remove(ref xds.Ref) {
	e := v.get(ref)
	if e == nil {
		return
	}
	keep := xds.Needed(ref.Name) == ref && v.needed[ref.Name] > 0
	v.change(ref, e, func() {
		if e.hold(); !keep {
			e.good, e.unproven = nil, false
		}
		e.now = nil
	})
}

// hold keeps the newest version as one to fall back to, if there is no other, before it is replaced.
func (e *entry) hold() {
	if e.good == nil && e.now != nil {
		e.good, e.unproven = e.now, true
	}
}

// proven books that an Envoy has taken a version, or refused it, if that is one to fall back to of which it was not
// known.
func (v *view) proven(r *xds.Resource, taken bool) bool {
	e := v.get(refOf(r))
	if e == nil || !e.unproven || e.good.Version != r.Version {
		return false
	}
	v.change(refOf(r), e, func() {
		if e.unproven = false; !taken {
			e.good = nil
		}
	})
	return true
}

// change changes an entry, and books what it needs then and what it needed before.
func (v *view) change(ref xds.Ref, e *entry, do func()) {
	before := e.needs()
	v.named -= e.named(ref)
	do()
	v.named += e.named(ref)
	v.mostNamed = max(v.mostNamed, v.named)
	for _, n := range e.needs() {
		v.needed[n]++
	}
	delete(v.unsettled, ref)
	switch {
	case e.now == nil && e.good == nil:
		delete(v.byType[ref.Type], ref.Name)
		v.dropped = append(v.dropped, ref)
	case e.now != nil && e.now != e.good:
		v.unsettled[ref] = true
	}
	for _, n := range before {
		if v.needed[n]--; v.needed[n] > 0 {
			continue
		}
		delete(v.needed, n)
		ref := xds.Needed(n)
		if e := v.get(ref); e != nil && e.now == nil {
			v.remove(ref)
		}
	}
}

// drop returns what is gone since it was called last.
func (v *view) drop() []xds.Ref {
	gone := v.dropped
	v.dropped = nil
	return gone
}

// dependants returns what needs one of these, in its newest version. It looks at everything, once.
func (v *view) dependants(needs map[string]bool) []xds.Ref {
	var all []xds.Ref
	for _, byName := range v.byType {
		for _, e := range byName {
			if e.now != nil && slices.ContainsFunc(e.now.Needs, func(n string) bool { return needs[n] }) {
				all = append(all, refOf(e.now))
			}
		}
	}
	return all
}

// shrink gives back the room of what is gone. It has to be called before and after many are removed.
func (v *view) shrink() {
	for t, byName := range v.byType {
		most := v.most[t]
		v.byType[t] = shrink.Map(byName, &most)
		v.most[t] = most
	}
	v.needed = shrink.Map(v.needed, &v.mostNeeded)
	v.unsettled = shrink.Map(v.unsettled, &v.mostUnsettled)
}

func refOf(r *xds.Resource) xds.Ref { return xds.Ref{Type: r.Type, Name: r.Name} }
