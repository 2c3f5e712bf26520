package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// Snapshot is one version of the graph with all that is needed to serve it. It is immutable, and counts who uses it:
// whoever made it holds it until Release or Gateway.Swap, a request or stream from its begin to its end. Its executor
// is closed when nobody holds it any more.
type Snapshot struct {
	graph   *graph.Graph
	planner *plan.Planner
	exec    *exec.Executor
	sdl     string
	why     string
	at      time.Time

	holders atomic.Int64
	closed  chan struct{} // closed after the executor
}

// SnapshotOptions say how a supergraph's subgraphs are reached and its operations are planned.
type SnapshotOptions struct {
	// Graph is the supergraph, if it has been read already; nil means that NewSnapshot reads it.
	Graph *graph.Graph
	// Subgraphs by name. Of one that is not here, or has no URL here, the URL is the supergraph's.
	Subgraphs map[string]exec.Subgraph
	// Default is how subgraphs are reached that are not in Subgraphs; its URL is not used.
	Default exec.Subgraph
	// Plan has the limits of operations and the sizes of the plan caches.
	Plan plan.Options
	// Exec has the limits of executions, the error mode and the transport; its Subgraphs and Observer are not used. Give
	// each snapshot the same transport, so that connections outlive a swap.
	Exec exec.Config
	// Why the snapshot is made, for history and logs, and when. Zero means now.
	Why string
	At  time.Time
}

// NewSnapshot prepares a supergraph for serving. The caller holds the snapshot until Release, or until Gateway.Swap
// takes it over.
func NewSnapshot(sdl string, opts SnapshotOptions) (*Snapshot, error) {
	g := opts.Graph
	if g == nil {
		var err error
		if g, err = graph.Read(sdl); err != nil {
			return nil, fmt.Errorf("read the supergraph: %w", err)
		}
	}
	cfg := opts.Exec
	cfg.Observer = observer{}
	cfg.Subgraphs = make(map[string]exec.Subgraph, len(g.Subgraphs))
	for _, s := range g.Subgraphs {
		cfg.Subgraphs[s.Name] = reach(s, opts)
	}
	ex, err := exec.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach the subgraphs: %w", err)
	}
	s := &Snapshot{
		graph:   g,
		planner: plan.New(g, opts.Plan),
		exec:    ex,
		sdl:     sdl,
		why:     opts.Why,
		at:      opts.At,
		closed:  make(chan struct{}),
	}
	if s.at.IsZero() {
		s.at = time.Now()
	}
	s.holders.Store(1)
	return s, nil
}

// reach says how a subgraph is reached.
func reach(s graph.Subgraph, opts SnapshotOptions) exec.Subgraph {
	how, ok := opts.Subgraphs[s.Name]
	if !ok {
		how = opts.Default
		how.URL = ""
	}
	if how.URL == "" {
		how.URL = s.URL
	}
	how.Header = maps.Clone(how.Header)
	if how.Header == nil {
		how.Header = http.Header{}
	}
	return how
}

// SDL is the supergraph.
func (s *Snapshot) SDL() string { return s.sdl }

// Graph is the supergraph, read.
func (s *Snapshot) Graph() *graph.Graph { return s.graph }

// Planner plans operations on the snapshot's graph.
func (s *Snapshot) Planner() *plan.Planner { return s.planner }

// Why tells why the snapshot was made, At when.
func (s *Snapshot) Why() string { return s.why }

// At is when the snapshot was made.
func (s *Snapshot) At() time.Time { return s.at }

// hold adds a holder, unless the last one has gone.
func (s *Snapshot) hold() bool {
	for {
		n := s.holders.Load()
		if n == 0 {
			return false
		}
		if s.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends a hold. The last one closes the executor.
func (s *Snapshot) Release() {
	switch n := s.holders.Add(-1); {
	case n < 0:
		panic("gateway: a snapshot was released more often than held")
	case n == 0:
		s.exec.Close()
		close(s.closed)
	}
}

// Closed is closed when the snapshot's executor is: nobody uses it any more.
func (s *Snapshot) Closed() <-chan struct{} { return s.closed }
