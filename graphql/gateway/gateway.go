package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Gateway serves the current snapshot. It is an http.Handler for one path. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	current  atomic.Pointer[Snapshot]
	swaps    sync.Mutex // one Swap at a time
	slots    chan struct{}
	held     atomic.Int64 // bytes of requests' bodies
	streams  *streamCounter
	recorder *recorder
	store    *documentStore
	answers  *answerCache
	figures  *figures
	headers  headerPlan

	complaints complaints

	stop context.CancelFunc
	done context.Context // ends with Close
}

// New returns a gateway without a graph: until the first Swap it answers 503.
func New(cfg Config) *Gateway {
	g := &Gateway{cfg: cfg.withDefaults()}
	g.slots = make(chan struct{}, g.cfg.MaxConcurrent)
	g.streams = &streamCounter{most: g.cfg.Streams.Max}
	g.recorder = newRecorder()
	g.store = newDocumentStore(g.cfg.Documents)
	g.answers = newAnswerCache(g.cfg.Cache)
	g.figures = newFigures(g.cfg.Meter, g)
	g.headers = g.cfg.Headers.compile()
	g.done, g.stop = context.WithCancel(context.Background())
	return g
}

// Swap makes a snapshot the current one and takes over the caller's hold of it. The operations that are asked most
// are planned on it first, so that the first requests after the swap are as fast as those before. The former snapshot
// goes on for what runs on it. A nil snapshot leaves the gateway without a graph.
func (g *Gateway) Swap(s *Snapshot) {
	g.swaps.Lock()
	defer g.swaps.Unlock()
	if s != nil {
		g.warm(s)
	}
	old := g.current.Swap(s)
	if old != nil {
		old.Release()
	}
	g.figures.swapped()
	if s != nil {
		g.cfg.Log.Info("graph published", "why", s.Why(), "subgraphs", len(s.Graph().Subgraphs))
	}
}

// Current returns the current snapshot, held for the caller, who must Release it; nil if there is none yet.
func (g *Gateway) Current() *Snapshot {
	for {
		s := g.current.Load()
		if s == nil || s.hold() {
			return s
		}
	}
}

// Ready says what is missing before operations can be served; "" if nothing is.
func (g *Gateway) Ready() string {
	if g.current.Load() == nil {
		return "no graph has been published yet"
	}
	return ""
}

// ErrNoGraph says that no graph has been published yet.
var ErrNoGraph = errors.New("no graph has been published yet") //nolint:gochecknoglobals // a sentinel

// PlanText tells how an operation would be carried out on the graph that is served, for a caller who may see what
// needs no permission. The error is ErrNoGraph, or what is wrong with the operation.
func (g *Gateway) PlanText(query, operationName string) (string, error) {
	s := g.Current()
	if s == nil {
		return "", ErrNoGraph
	}
	defer s.Release()
	op, errs := s.planner.Prepare(query, operationName)
	if len(errs) > 0 {
		return "", errs
	}
	p, err := s.planner.Plan(op, plan.Facts{})
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// Drain ends all streams with a word to their clients, waits for them, and lets no new ones begin. Other operations
// go on.
func (g *Gateway) Drain() {
	g.stop()
	g.streams.wait()
}

// Close drains and lets the current snapshot go.
func (g *Gateway) Close() {
	g.Drain()
	if s := g.current.Swap(nil); s != nil {
		s.Release()
	}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.cfg.CORS.apply(w.Header(), r)
	if r.Method == http.MethodOptions {
		g.cfg.CORS.preflight(w, r)
		return
	}
	if isWebSocket(r) {
		g.serveWebSocket(w, r)
		return
	}
	w, finish := g.compress(w, r)
	defer finish()
	if g.wantsPage(r) {
		w.Header().Add("Vary", "Accept")
		g.cfg.Page.ServeHTTP(w, r)
		return
	}
	g.serveOperation(w, r)
}
