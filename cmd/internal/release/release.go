// Package release gives memory back to the system when a node is quiet again. Go collects garbage when the heap grows
// or two minutes have passed, and hands free memory back slowly: after a flood of routes has gone, the process would
// be as large as at its peak for minutes.
package release

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Rules of when memory is given back.
const (
	every     = 5 * time.Second
	atMost    = 30 * time.Second // one collection in so long a time: it costs CPU by what is in use
	quietRate = 4 << 20          // bytes allocated a second, below which the node is quiet
	worth     = 16 << 20         // bytes: less than this is not worth a collection
)

// usage is what the Go heap takes of the system at a moment.
type usage struct {
	at        time.Time
	resident  uint64 // bytes of the heap that were not given back
	allocated uint64 // bytes allocated since the process began
}

func now() usage {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	return usage{
		at: time.Now(), resident: s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64(),
		allocated: s[3].Value.Uint64(),
	}
}

// watch remembers what is needed to tell whether a collection is due.
type watch struct {
	last  usage     // of the look before
	least uint64    // resident after the last collection of ours
	freed time.Time // when that was
}

// due tells whether memory is to be given back: little is allocated since the last look, and the heap takes a quarter
// more than after the last time.
func (w *watch) due(u usage) bool {
	seconds := u.at.Sub(w.last.at).Seconds()
	quiet := float64(u.allocated-w.last.allocated) < quietRate*seconds
	w.last = u
	return quiet && u.resident > w.least+w.least/4+worth && u.at.Sub(w.freed) >= atMost
}

// Run looks every few seconds whether there is memory to be given back, until ctx ends.
func Run(ctx context.Context) error {
	w := watch{last: now()}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if w.due(now()) {
			debug.FreeOSMemory()
			u := now()
			w.last, w.least, w.freed = u, u.resident, u.at
		}
	}
}
