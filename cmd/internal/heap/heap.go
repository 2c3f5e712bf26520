// Package heap sets the collector's pace by what is live, so that a process's memory follows what it holds.
package heap

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync/atomic"
)

// Slack is what the heap may hold beside what is live: so many bytes, enough for a burst when little is live, and one
// of Part parts of what is live.
type Slack struct{ Bytes, Part uint64 }

// Node is for tables of bytes and numbers, which the collector does not scan, so that collecting often costs little.
// Judge is for a node that decides on every call: policies are trees, which the collector scans, and each call brings
// some kilobytes that come and go. With 10,000 policies Node's pace cost a third of a decision.
// Starting is for a node that reads in what it had before: none of that is garbage, and while the heap grows by a
// tenth at a time the collector would look at it again and again.
// Gateway is for graphs, which it scans, and for requests, whose memory comes and goes.
//
//nolint:gochecknoglobals // constants, if structs could be
var (
	Node     = Slack{10 << 20, 10}
	Judge    = Slack{32 << 20, 1}
	Starting = Slack{64 << 20, 1}
	Gateway  = Slack{3 << 20, 4}
)

// Pace has the collector follow what is live.
type Pace struct {
	slack   atomic.Pointer[Slack]
	stopped atomic.Bool
	before  int // GOGC

	percent int // touched by finalizers alone, of which one runs at a time
}

// KeepTight sets the collector's pace after each collection by what is live then, so that memory follows what is
// held. It overrides GOGC; a GOMEMLIMIT still holds.
func KeepTight(slack Slack) *Pace {
	h := &Pace{before: debug.SetGCPercent(100), percent: 100}
	h.slack.Store(&slack)
	h.set(0)
	h.watch(&mark{})
	return h
}

// Leave has another slack from now on. It collects what is garbage, and returns when that is done.
func (h *Pace) Leave(slack Slack) {
	h.slack.Store(&slack)
	runtime.GC()
}

// Stop ends it: GOGC is as it was before.
func (h *Pace) Stop() {
	h.stopped.Store(true)
	debug.SetGCPercent(h.before)
}

// mark is garbage whose finalizer says that a collection has ended.
type mark struct{ _ [16]byte }

func (h *Pace) watch(m *mark) {
	runtime.SetFinalizer(m, func(m *mark) {
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
func (h *Pace) set(live uint64) {
	want := h.slack.Load().percent(live)
	if d := want - h.percent; d > h.percent/8 || -d > h.percent/8 {
		h.percent = want
		debug.SetGCPercent(want)
	}
}

// percent returns the GOGC value that leaves the slack over so many live bytes.
func (s Slack) percent(live uint64) int {
	const least = 4 << 20 // what the runtime takes as the smallest heap at GOGC=100 (runtime/mgcpacer.go)
	return int((s.Bytes + live/s.Part) * 100 / max(live, least))
}
