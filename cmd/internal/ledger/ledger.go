// Package ledger is the room of a node that keeps who of other organisations may use what this node exports, and who
// did: since when, until when, and how often. It is what an operator looks at before a service is withdrawn or a
// peering is ended.
//
// The counts are Envoy's own (xds.StatForeign), one for each foreign node and service, taken when a call ends. They go
// on while the node restarts, and so does the ledger: what it has seen of them is kept in the same file as what it made
// of it, so that nothing is counted twice or left out. When Envoy itself dies, what it counted since the last look is
// lost: look is every 10 seconds, and whenever somebody asks.
package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/cmd/internal/metrics"
	"github.com/catalyst-router/catalyst/xds"
)

const (
	// MaxLines is the most pairs of a foreign node and a service that are kept. For a further one the one goes that was
	// used the longest ago, of those that may not be used any more if there is one.
	MaxLines  = 20_000
	lookEvery = 10 * time.Second
	keepEvery = time.Minute
	maxFile   = 32 << 20 // bytes
)

// Line is what a foreign node has to do with a service.
type Line struct {
	Node    bgp.NodeID  `json:"node"`
	Service bgp.Service `json:"service"`
	// May tells that it may call the service now; Since when it may, or could, and Until when it could. Zero for never.
	May   bool      `json:"may,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Calls are those that have ended, whatever their answer; First and Last when they were counted, as near as a look.
	Calls uint64    `json:"calls,omitempty"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// used is when it was last of any use.
func (l *Line) used() time.Time {
	if l.Last.After(l.Since) {
		return l.Last
	}
	return l.Since
}

// Config is what a ledger needs.
type Config struct {
	Path string // of its file
	// Get asks Envoy's admin interface; nil for a node without an Envoy of its own.
	Get func(ctx context.Context, path string) ([]byte, error)
	// Process is Envoy's process id, 0 while none runs; wanted with Get.
	Process func() int
	May     func() xds.Admission // who may come in now
	Log     *slog.Logger
}

type key struct {
	node    bgp.NodeID
	service bgp.Service
}

// Ledger is safe for concurrent use.
type Ledger struct {
	cfg Config

	mu        sync.Mutex
	process   int            // guarded by mu; whose counters seen are
	seen      map[key]uint64 // guarded by mu; Envoy's counters at the last look
	lines     map[key]*Line  // guarded by mu
	since     time.Time      // guarded by mu; when the ledger began
	forgotten int            // guarded by mu; lines that went for others
	problem   string         // guarded by mu; of the last look
}

// file is a ledger on disk.
type file struct {
	Since     time.Time `json:"since"`
	Process   int       `json:"process"`
	Forgotten int       `json:"forgotten,omitempty"`
	Lines     []*Line   `json:"lines"`
	Seen      []Line    `json:"seen"` // Calls are the counter
}

// Open reads what was kept. A file that cannot be read is said, and written over.
func Open(cfg Config) *Ledger {
	l := &Ledger{cfg: cfg, seen: map[key]uint64{}, lines: map[key]*Line{}, since: time.Now().UTC().Truncate(time.Second)}
	var f file
	text, err := datafile.Read(cfg.Path, maxFile)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return l
	}
	if err != nil {
		cfg.Log.Error("what other organisations used is not known from before", "file", cfg.Path, "error", err)
		return l
	}
	l.since, l.process, l.forgotten = f.Since, f.Process, f.Forgotten
	for _, x := range f.Lines {
		if x != nil && len(l.lines) < MaxLines {
			l.lines[key{x.Node, x.Service}] = x
		}
	}
	for _, x := range f.Seen {
		l.seen[key{x.Node, x.Service}] = x.Calls
	}
	return l
}

// Run looks and keeps until ctx ends.
func (l *Ledger) Run(ctx context.Context) error {
	look, keep := time.NewTicker(lookEvery), time.NewTicker(keepEvery)
	defer look.Stop()
	defer keep.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			l.look(last)
			l.keep()
			return nil
		case <-look.C:
			l.look(ctx)
		case <-keep.C:
			l.keep()
		}
	}
}

// look takes over what Envoy has counted and who may come in.
func (l *Ledger) look(ctx context.Context) {
	var counted map[key]uint64
	process, problem := 0, ""
	if l.cfg.Get == nil {
		problem = "this node has no Envoy of its own that could count"
	} else if process = l.cfg.Process(); process == 0 {
		problem = "Envoy does not run"
	} else if now, err := l.counters(ctx); err != nil {
		problem = err.Error()
	} else if counted = now; len(counted) >= xds.MaxForeign {
		problem = fmt.Sprintf("Envoy counts for %d pairs of a node and a service, and for no more", xds.MaxForeign)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UTC()
	l.problem = problem
	if counted != nil {
		l.add(now, process, counted)
	}
	l.granted(now, l.cfg.May())
}

// counters are Envoy's.
func (l *Ledger) counters(ctx context.Context) (map[key]uint64, error) {
	families, err := metrics.Statistics(ctx, l.cfg.Get)
	if err != nil {
		return nil, err
	}
	all := map[key]uint64{}
	for _, m := range families[metrics.Family(xds.StatForeign)].GetMetric() {
		v := metrics.Values(m, []string{xds.TagBorder, xds.TagService})
		node, err := bgp.ParseNodeID(v[0])
		svc, bad := bgp.ParseService(v[1], "")
		if err == nil && bad == nil {
			all[key{node, svc}] += uint64(m.GetCounter().GetValue())
		}
	}
	return all, nil
}

// add counts what came since the last look. The counters of another process began at 0. The caller holds mu.
func (l *Ledger) add(now time.Time, process int, counted map[key]uint64) {
	if process != l.process {
		l.seen, l.process = map[key]uint64{}, process
	}
	for k, n := range counted {
		before := l.seen[k]
		if n < before { // Envoy was started anew under the same number
			before = 0
		}
		if n == before {
			continue
		}
		x := l.line(k)
		if x.Calls == 0 {
			x.First = now
		}
		x.Calls += n - before
		x.Last = now
	}
	l.seen = counted
}

// granted notes who may use what. The caller holds mu.
func (l *Ledger) granted(now time.Time, a xds.Admission) {
	may := map[key]bool{}
	for _, p := range a.Peers {
		if p.Everything {
			continue
		}
		for _, svc := range p.Services {
			may[key{p.Node, svc}] = true
		}
	}
	for k, x := range l.lines {
		if x.May && !may[k] {
			x.May, x.Until = false, now
		}
	}
	for k := range may {
		if x := l.line(k); !x.May {
			x.May, x.Since, x.Until = true, now, time.Time{}
		}
	}
}

// line returns that of a key, a new one if need be. The caller holds mu.
func (l *Ledger) line(k key) *Line {
	x := l.lines[k]
	if x != nil {
		return x
	}
	if len(l.lines) >= MaxLines {
		l.forget()
	}
	x = &Line{Node: k.node, Service: k.service}
	l.lines[k] = x
	return x
}

// forget drops a tenth of the lines, those that were used the longest ago, first of those that may be used no more. The
// caller holds mu.
func (l *Ledger) forget() {
	all := l.sorted(func(x, y *Line) int {
		if x.May != y.May {
			if y.May {
				return -1
			}
			return 1
		}
		return x.used().Compare(y.used())
	})
	for _, x := range all[:MaxLines/10] {
		delete(l.lines, key{x.Node, x.Service})
		l.forgotten++
	}
}

// sorted returns all lines in an order. The caller holds mu.
func (l *Ledger) sorted(by func(x, y *Line) int) []*Line {
	all := make([]*Line, 0, len(l.lines))
	for _, x := range l.lines {
		all = append(all, x)
	}
	slices.SortFunc(all, by)
	return all
}

func byName(x, y *Line) int { return cmp.Or(x.Node.Compare(y.Node), cmp.Compare(x.Service, y.Service)) }

// keep writes it down.
func (l *Ledger) keep() {
	l.mu.Lock()
	f := file{Since: l.since, Process: l.process, Forgotten: l.forgotten, Lines: l.sorted(byName)}
	for k, n := range l.seen {
		f.Seen = append(f.Seen, Line{Node: k.node, Service: k.service, Calls: n})
	}
	text, err := json.Marshal(f)
	l.mu.Unlock()
	if err == nil {
		err = datafile.Replace(l.cfg.Path, text)
	}
	if err != nil {
		l.cfg.Log.Error("what other organisations use is not kept", "error", err)
	}
}

// View is a ledger as of now.
type View struct {
	Since     time.Time // when it began
	Lines     []Line    // by node and service
	Forgotten int       // lines that went for others
	Problem   string    // why calls are not counted at the moment; "" if they are
}

// View looks, and returns what there is of an organisation, "" for all, and a service, "" for all.
func (l *Ledger) View(ctx context.Context, org bgp.Org, svc bgp.Service) View {
	l.look(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	out := View{Since: l.since, Forgotten: l.forgotten, Problem: l.problem}
	for _, x := range l.sorted(byName) {
		if (org == "" || x.Node.Org == org) && (svc == "" || x.Service == svc) {
			out.Lines = append(out.Lines, *x)
		}
	}
	return out
}
