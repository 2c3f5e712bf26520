package daemon

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync/atomic"
)

// What the heap may hold beside what is live: a part of it, and enough for a burst of messages when little is. The tables are bytes and
// numbers, which the collector does not scan, so that collecting often costs little.
const (
	heapSlack     = 10 << 20 // bytes
	heapSlackPart = 10       // and one of so many parts of what is live
)

// KeepHeapTight sets the collector's pace after each collection by what is live then, so that memory follows the tables. The function that it
// returns ends that. It overrides GOGC; a GOMEMLIMIT still holds.
func KeepHeapTight() (stop func()) {
	h := &heapPace{before: debug.SetGCPercent(100)}
	h.percent = 100
	h.set(0)
	h.watch(&heapMark{})
	return func() {
		h.stopped.Store(true)
		debug.SetGCPercent(h.before)
	}
}

// heapPace is touched by finalizers alone, of which one runs at a time, but for stopped.
type heapPace struct {
	before, percent int
	stopped         atomic.Bool
}

// heapMark is garbage whose finalizer says that a collection has ended.
type heapMark struct{ _ [16]byte }

func (h *heapPace) watch(m *heapMark) {
	runtime.SetFinalizer(m, func(m *heapMark) {
		if h.stopped.Load() {
			return
		}
		sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
		runtimemetrics.Read(sample)
		h.set(sample[0].Value.Uint64())
		h.watch(m)
	})
}

// set changes the pace if it is off by more than an eighth: a change stops the world for an instant.
func (h *heapPace) set(live uint64) {
	want := heapPercent(live)
	if d := want - h.percent; d > h.percent/8 || -d > h.percent/8 {
		h.percent = want
		debug.SetGCPercent(want)
	}
}

// heapPercent returns the GOGC value that leaves the slack over so many live bytes.
func heapPercent(live uint64) int {
	const least = 4 << 20 // what the runtime takes as the smallest heap at GOGC=100 (runtime/mgcpacer.go)
	return int((heapSlack + live/heapSlackPart) * 100 / max(live, least))
}
