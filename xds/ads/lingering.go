package ads

import (
	"time"

	"github.com/catalyst-router/catalyst/xds"
)

// This file holds clusters that nothing names any more. A request that is tried again looks its cluster up by name:
// Envoy answers it 503 when the cluster has gone since the first attempt. So an Envoy keeps a cluster for
// Config.Linger after it has acknowledged what no longer names it.

// lingering are clusters that an Envoy is to lose, each when its time is over.
type lingering struct {
	until map[string]time.Time
	order []leaving // soonest first; some may be out of date
}

type leaving struct {
	name string
	at   time.Time
}

// over takes those whose time is over.
func (l *lingering) over(now time.Time) (names []string) {
	for len(l.order) > 0 && !l.order[0].at.After(now) {
		if first := l.order[0]; l.until[first.name].Equal(first.at) {
			names = append(names, first.name)
		}
		l.order = l.order[1:]
	}
	return names
}

// wait is how long it is until the next time is over; 0 if there is none.
func (l *lingering) wait(now time.Time) time.Duration {
	if len(l.order) == 0 {
		return 0
	}
	return max(l.order[0].at.Sub(now), time.Nanosecond)
}

// last returns those of some unused clusters whose time is over; for the others it begins, or goes on.
func (l *lingering) last(unused []string, now time.Time, linger time.Duration) (gone []string) {
	for _, name := range unused {
		at, waits := l.until[name]
		switch {
		case linger == 0, waits && !at.After(now):
			gone = append(gone, name)
		case !waits:
			if l.until == nil {
				l.until = map[string]time.Time{}
			}
			at = now.Add(linger)
			l.until[name] = at
			l.order = append(l.order, leaving{name, at})
		}
	}
	return gone
}

// forget is for a cluster that is in use again, or has gone.
func (l *lingering) forget(name string) {
	if delete(l.until, name); len(l.until) == 0 {
		l.until, l.order = nil, nil // room of a flood goes back
	}
}

// outlived has a look at clusters whose time is over.
func (st *stream) outlived() {
	for _, name := range st.lingering.over(time.Now()) {
		st.changed(xds.Ref{Type: xds.TypeCluster, Name: name})
	}
}

// linger returns those of some unused clusters that an Envoy loses now. The others are looked at when their time is
// over.
func (st *stream) linger(unused []string, linger time.Duration) []string {
	gone := st.lingering.last(unused, time.Now(), linger)
	if len(gone) == len(unused) {
		return gone
	}
	queue := st.pending[xds.TypeCluster]
	for _, name := range unused {
		queue.remove(name)
	}
	for _, name := range gone {
		queue.add(name)
	}
	if queue.empty() {
		delete(st.pending, xds.TypeCluster)
	}
	return gone
}

// lingerWhole is linger for the state of the world: clusters that were sent and are not in a set any more stay in it
// until their time is over.
func (st *stream) lingerWhole(sent, set map[string]*xds.Resource, linger time.Duration) {
	var unused []string
	for name := range sent {
		if set[name] == nil {
			unused = append(unused, name)
		} else {
			st.lingering.forget(name)
		}
	}
	gone := st.lingering.last(unused, time.Now(), linger)
	for _, name := range unused {
		set[name] = sent[name]
	}
	for _, name := range gone {
		delete(set, name)
		st.lingering.forget(name)
	}
}

// lingers is how long it is until the time of a stream's next cluster is over; 0 if none lingers.
func (tl *told) lingers(st *stream) time.Duration {
	tl.mu.Lock()
	defer tl.unlock()
	return st.lingering.wait(time.Now())
}
