package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// Config is what a registry needs.
type Config struct {
	// Fetch asks a subgraph for its schema and says how it was had. Required. It has to end with its context.
	Fetch func(ctx context.Context, src Source) (schema, kind string, err error)
	// Publish takes over a graph that was composed; an error leaves the last one serving. Required. It is called by one
	// goroutine, and a nil graph, when the last subgraph has gone, has to be accepted.
	Publish func(ctx context.Context, g *Graph) error
	// Observe is told of each composition, for metrics; nil for nobody.
	Observe func(e Entry)
	Options supergraph.Options
	// Memory keeps which subgraphs are in the graph over restarts, so that they stay before newcomers; nil for nowhere.
	Memory Memory
	Rules  Rules
	// FetchTimeout bounds one attempt. Zero means 10s.
	FetchTimeout time.Duration
	// Fetches bounds the attempts at one time. Zero means 16.
	Fetches int
	Log     *slog.Logger // required
}

// Graph is a composition to be published.
type Graph struct {
	// SDL is the supergraph in the notation of the join specification.
	SDL string
	// Sources are the subgraphs that are in it.
	Sources []Source
	// Why says what changed, for the log and the history.
	Why string

	read *graph.Graph // nil until somebody wants it
	once sync.Once
	err  error
}

// Read returns the graph as planners want it. It is read once.
func (g *Graph) Read() (*graph.Graph, error) {
	g.once.Do(func() {
		if g.read != nil {
			return
		}
		if g.read, g.err = graph.Read(g.SDL); g.err != nil {
			g.err = fmt.Errorf("read the composed graph: %w", g.err)
		}
	})
	return g.read, g.err
}

// reader reads what was composed, and keeps the last.
type reader struct {
	sdl    string
	read   *graph.Graph
	reader graph.Reader
}

// accept is supergraph.Options.Accept: a graph that planners cannot read is none.
func (r *reader) accept(res *supergraph.Result) (err error) {
	if r.read == nil || r.sdl != res.SDL {
		var read *graph.Graph
		if res.Document != nil {
			read, err = r.reader.ReadDocument(res.Document)
		} else {
			read, err = graph.Read(res.SDL)
		}
		if err != nil {
			return err
		}
		r.sdl, r.read = res.SDL, read
	}
	res.Read = r.read
	return nil
}

// Registry keeps the graph of the subgraphs that it is told of.
type Registry struct {
	cfg  Config
	wake chan struct{} // has room for one: something has changed
	slot chan struct{} // one for each fetch under way

	saved    map[string]string    // what the memory has
	composer *supergraph.Composer // of the composition under way, of which there is one at a time

	mu      sync.Mutex
	state   *state  // guarded by mu
	current *Graph  // guarded by mu; nil if there is none
	history []Entry // guarded by mu; newest last
}

// New returns a registry without subgraphs.
func New(cfg Config) *Registry {
	if cfg.FetchTimeout <= 0 {
		cfg.FetchTimeout = 10 * time.Second
	}
	if cfg.Fetches <= 0 {
		cfg.Fetches = 16
	}
	var reader reader
	cfg.Options.Accept = reader.accept
	r := &Registry{
		cfg:      cfg,
		wake:     make(chan struct{}, 1),
		slot:     make(chan struct{}, cfg.Fetches),
		state:    newState(cfg.Rules),
		composer: supergraph.NewComposer(cfg.Options),
	}
	r.recall()
	return r
}

// Put adds a subgraph or replaces its announcement.
func (r *Registry) Put(src Source) { r.tell(func(s *state, now time.Time) { s.put(now, src) }) }

// Gone tells that a subgraph's route is not there any more.
func (r *Registry) Gone(name string) { r.tell(func(s *state, now time.Time) { s.gone(now, name) }) }

// Refresh has every subgraph asked for its schema at once.
func (r *Registry) Refresh() {
	r.tell(func(s *state, now time.Time) {
		for _, x := range s.subs {
			if x.src.SDL == "" && x.leaves.IsZero() && !x.fetching {
				x.nextFetch = now
			}
		}
	})
}

func (r *Registry) tell(do func(s *state, now time.Time)) {
	r.mu.Lock()
	do(r.state, time.Now())
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Subgraphs returns every subgraph, sorted by name.
func (r *Registry) Subgraphs() []View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.views()
}

// Current returns the graph that was published last; nil if there is none.
func (r *Registry) Current() *Graph {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// Run asks for schemas, composes and publishes until ctx ends, and returns when everything that it started has ended.
func (r *Registry) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	r.mu.Lock()
	r.state.start(time.Now())
	r.mu.Unlock()
	var composing chan struct{} // closed when the composition under way is done; nil while there is none
	for {
		r.mu.Lock()
		now := time.Now()
		due := r.state.due(now)
		if composing == nil && r.state.ready(now) {
			composing = make(chan struct{})
			in, done := r.state.take(), composing
			work.Go(func() {
				defer close(done)
				r.compose(ctx, in)
			})
		}
		next := r.state.deadline()
		r.mu.Unlock()
		for _, f := range due {
			work.Go(func() { r.fetch(ctx, f) })
		}
		if wait := time.Until(next); next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		case <-composing:
			composing = nil
		}
	}
}

func (r *Registry) fetch(ctx context.Context, f fetch) {
	select {
	case r.slot <- struct{}{}:
		defer func() { <-r.slot }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.FetchTimeout)
	defer cancel()
	schema, kind, err := r.cfg.Fetch(ctx, f.src)
	if err == nil && schema == "" {
		err = fmt.Errorf("%s answers with an empty schema", f.src.URL)
	}
	told, known := false, false
	r.tell(func(s *state, now time.Time) {
		if x := s.subs[f.src.Name]; x != nil {
			told, known = err != nil && x.err == err.Error(), x.schema != ""
		}
		s.fetched(now, f, schema, kind, err)
	})
	switch {
	case err == nil:
	case told: // again the same
		r.cfg.Log.Debug("schema of a subgraph still not fetched", "subgraph", f.src.Name, "error", err)
	case known:
		r.cfg.Log.Warn("schema of a subgraph not fetched, the one it had stays", "subgraph", f.src.Name, "error", err)
	default:
		r.cfg.Log.Warn("schema of a subgraph not fetched, it is not in the graph until it is", "subgraph", f.src.Name,
			"error", err)
	}
}

// compose makes a graph and publishes it. Nothing of it is done under the lock.
func (r *Registry) compose(ctx context.Context, in input) {
	began := time.Now()
	entry := Entry{At: began, Why: describe(in.why)}
	out := compose(in, r.composer)
	entry.report(out)
	next := out.graph(entry.Why)
	r.mu.Lock()
	last := r.current
	r.mu.Unlock()
	var err error
	if err = out.failure(); err == nil && !next.equal(last) {
		err = r.cfg.Publish(ctx, next)
		entry.Took = time.Since(began)
		entry.Changes = changes(last, next) // nobody waits for them
	} else {
		entry.Took = time.Since(began)
	}
	if err != nil {
		entry.Error = err.Error()
		r.cfg.Log.Error("graph not composed, the last one goes on serving", "why", entry.Why, "error", err)
	} else {
		r.cfg.Log.Info("graph composed", "why", entry.Why, "subgraphs", len(entry.Subgraphs), "excluded",
			len(entry.Excluded), "took", entry.Took)
	}
	for _, name := range entry.ExcludedNames() {
		text := "subgraph left out of the graph"
		if out.taken[name].schema != "" {
			text = "newest schema of a subgraph left out of the graph, the one it had stays"
		}
		r.cfg.Log.Warn(text, "subgraph", name, "errors", len(entry.Excluded[name]), "first", entry.Excluded[name][0].Error())
	}
	r.mu.Lock()
	r.state.composed(out, err == nil)
	if err == nil {
		r.current = next
	}
	members := r.state.members()
	r.history = appendBounded(r.history, entry)
	r.mu.Unlock()
	if err == nil {
		r.remember(members)
	}
	if r.cfg.Observe != nil {
		r.cfg.Observe(entry)
	}
}
