package ads

import (
	"time"

	"github.com/catalyst-router/catalyst/xds"
)

// This file says how much an Envoy is sent at a time. For each response with scopes Envoy goes through all scopes that
// it has, besides taking in those of the response: 400 responses of 500 scopes each cost it five times the CPU time of
// 20 of 10,000 (decision 0077). So what changes while Envoy is still at work goes into one response when it has
// answered, and responses grow with the table.

const (
	leastBatch = 500             // resources of one response
	mostBatch  = 20_000          // scopes of one response; of usual names they have 3 MB
	batchShare = 20              // one response has up to this part of the scopes that there are
	passShare  = 40              // going through so many scopes costs Envoy what taking in one does
	mostWork   = 500             // scopes' worth of work that an Envoy has not answered for, some 8 ms
	digestion  = 5 * time.Second // after this the next response is sent, whatever became of the last
)

// batch is how many resources of a type one response may have: of 200,000 scopes 10,000, and never less than 500.
func (st *stream) batch(typeURL string) int {
	if typeURL != xds.TypeScope {
		return leastBatch
	}
	return min(max(leastBatch, st.scopes()/batchShare), mostBatch)
}

// scopes is how many the Envoy has, or is to have soon.
func (st *stream) scopes() int {
	return len(st.subs[xds.TypeScope].known) + st.pending[xds.TypeScope].size()
}

// scopeWork is what a response costs Envoy, in scopes to be taken in; 0 for one of another type. Scouts are few, and
// what waits for them is to follow at once: two responses of theirs count as much as Envoy may have before it.
func (st *stream) scopeWork(typeURL string, set []*xds.Resource, removed []string) int {
	if typeURL != xds.TypeScope {
		return 0
	}
	work := len(set) + len(removed) + st.scopes()/passShare
	if len(removed) == 0 && len(set) > 0 && xds.IsNamed(set[len(set)-1].Name) {
		return min(work, mostWork/2)
	}
	return work
}

// digested returns how long the scopes that wait have to wait: until the Envoy can have taken in those that it was
// sent before. Most often it answers sooner, and they are sent then. 0 if some may be sent now, or none wait.
func (st *stream) digested(now time.Time) time.Duration {
	if st.pending[xds.TypeScope].empty() {
		return 0
	}
	work, wait := 0, time.Duration(0)
	for _, out := range st.outstanding {
		if left := digestion - now.Sub(out.sent); out.work > 0 && left > 0 {
			work += out.work
			wait = sooner(wait, left)
		}
	}
	if work < mostWork {
		return 0
	}
	return wait
}
