package exec

import (
	"context"
	"hash/maphash"
	"net/http"
	"sync"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Executor carries out plans. It is safe for concurrent use.
type Executor struct {
	cfg  Config
	subs map[string]*subgraph
	own  *http.Transport // closed by Close; nil if Config.Transport was given
	// upgrades has, for transports that may speak HTTP/2, one that does not, for WebSockets. Closed by Close.
	upgrades map[http.RoundTripper]*http.Transport
	seed     maphash.Seed
	flight   flight
	// sockets and broadcasts are what subscriptions share.
	sockets    sockets
	broadcasts broadcasts
	pools
	stop   context.CancelFunc
	done   context.Context // ends with Close
	active sync.WaitGroup  // goroutines of streams

	mu     sync.Mutex
	closed bool // guarded by mu
}

// New returns an executor for the subgraphs of cfg.
func New(cfg Config) (*Executor, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	e := &Executor{cfg: cfg.withDefaults(), seed: maphash.MakeSeed(), flight: flight{calls: map[uint64]*call{}}}
	e.sockets.open, e.broadcasts.open = map[string][]*socket{}, map[string]*broadcast{}
	e.memory = cfg.Memory
	if e.cfg.Transport == nil {
		e.own = NewTransport(TransportOptions{})
		e.cfg.Transport = e.own
	}
	e.subs = make(map[string]*subgraph, len(cfg.Subgraphs))
	for name, s := range e.cfg.Subgraphs {
		sub, err := newSubgraph(name, s, &e.cfg)
		if err != nil {
			return nil, err
		}
		if s.Subscription.Transport == nil {
			sub.upgrade = e.upgrade(sub.transport)
		}
		e.subs[name] = sub
	}
	e.done, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// Close ends all streams, waits for them, and closes the connections of the executor's own transport. Operations that
// still run end by themselves; their connections are closed then.
func (e *Executor) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	e.active.Wait()
	if e.own != nil {
		e.own.CloseIdleConnections()
	}
	for _, t := range e.upgrades {
		t.CloseIdleConnections()
	}
}

// spawn runs do in a goroutine that Close waits for. It returns false if the executor is closed.
func (e *Executor) spawn(do func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.active.Go(do)
	return true
}

// upgrade returns a transport like t that speaks HTTP/1.1 only, or t if it is of an unknown kind.
func (e *Executor) upgrade(t http.RoundTripper) http.RoundTripper {
	from, ok := t.(*http.Transport)
	if !ok {
		return t
	}
	if e.upgrades[t] == nil {
		to := from.Clone()
		to.ForceAttemptHTTP2 = false
		to.Protocols = new(http.Protocols)
		to.Protocols.SetHTTP1(true)
		if e.upgrades == nil {
			e.upgrades = map[http.RoundTripper]*http.Transport{}
		}
		e.upgrades[t] = to
	}
	return e.upgrades[t]
}

// Execute carries out a query or a mutation. It always returns a response: what failed is null and explained in
// `errors`. When ctx ends, requests in flight are abandoned and the response holds what is there. Plans with @defer
// or a subscription need Stream.
func (e *Executor) Execute(ctx context.Context, req *Request) *Response {
	r := e.begin(ctx, req)
	defer r.recycle()
	switch root := req.Plan.Root.(type) {
	case nil:
	case *plan.Defer, *plan.Subscription:
		r.main.errs.simple(0, "", CodeStream, "The operation can only be answered with a stream.", 0, nil)
		return r.finish(nil)
	default:
		r.run(&r.main, root)
	}
	return r.finish(req.Plan.Response)
}
