package exec

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// execution is one operation being carried out. Its memory is used again.
type execution struct {
	e    *Executor
	ctx  context.Context
	req  *Request
	plan *plan.Plan

	slots    chan struct{} // bounds requests in flight; nil if the plan cannot have too many
	received atomic.Int64  // bytes of all bodies

	mu      sync.Mutex // guards what follows
	tree    tree
	main    scope
	stats   Stats
	answers []Answer
	cache   Cache
	bodies  []*buffer // what tree.docs points into
	path    clientPath
	other   clientPath
	places  []place
	unsure  condition // of the path translated last

	print printer
}

// scope is a part of the operation that is delivered in one payload: the operation itself, or a deferred fragment.
type scope struct {
	errs  errorList
	block *plan.Block // nil for the operation itself
	turn  turn
}

// turn says for which elements of lists that are delivered in parts (plan.Step.Stream) entities are asked.
type turn uint8

const (
	allElements   turn = iota
	firstElements      // those in the first payload
	laterElements      // the others, and nothing else
)

// begin prepares an execution. Whoever calls it calls recycle.
func (e *Executor) begin(ctx context.Context, req *Request) *execution {
	r, _ := e.executions.Get().(*execution)
	if r == nil {
		r = new(execution)
	}
	r.e, r.ctx, r.req, r.plan = e, ctx, req, req.Plan
	r.slots = nil
	if req.Plan.Fetches > e.cfg.MaxRequests {
		r.slots = make(chan struct{}, e.cfg.MaxRequests)
	}
	r.clean()
	return r
}

// clean forgets the data, as before every event of a subscription.
func (r *execution) clean() {
	r.tree.reset(r.plan.Types, r.e.cfg.MaxValues)
	r.main.turn = allElements
	r.main.errs.reset(r.e.cfg.MaxErrors, r.e.cfg.ErrorMode)
	r.stats, r.answers, r.cache = Stats{}, nil, Cache{}
	r.received.Store(0)
	r.releaseBodies()
	for i := range r.plan.Denied {
		r.deny(&r.plan.Denied[i])
	}
}

// Slabs above these sizes are left to the garbage collector.
const (
	keepNodes = 1 << 16
	keepBytes = 1 << 20
)

// recycle gives the memory back.
func (r *execution) recycle() {
	r.releaseBodies()
	if cap(r.tree.nodes) > keepNodes {
		r.tree.nodes = nil
	}
	r.main.errs.shrink()
	clear(r.tree.docs)
	r.tree.docs, r.tree.index, r.tree.types, r.tree.lastName = r.tree.docs[:0], nil, nil, nil
	home := &r.e.executions
	r.e, r.ctx, r.req, r.plan, r.slots, r.answers = nil, nil, nil, nil, nil, nil
	r.print.t, r.print.buf, r.print.out, r.print.errs, r.print.vars, r.print.base, r.print.held = nil, nil, nil, nil,
		nil, nil, nil
	home.Put(r)
}

func (r *execution) releaseBodies() {
	for i, b := range r.bodies {
		b.release()
		r.bodies[i] = nil
	}
	r.bodies = r.bodies[:0]
}

// deny reports a part that the caller may not see. Its path ends before the first list.
func (r *execution) deny(d *plan.Denial) {
	r.path.reset()
	for _, key := range d.Path {
		if key == "@" {
			break
		}
		r.path.key(key)
	}
	r.main.errs.simple(-1, "", CodeUnauthorized, "Not authorised to read "+d.Coordinate+" ("+d.Reason+").", 0, &r.path)
}

// run carries out a node and what it contains, and returns when all of it is done.
func (r *execution) run(sc *scope, n plan.Node) {
	switch n := n.(type) {
	case *plan.Sequence:
		for _, child := range n.Nodes {
			r.run(sc, child)
		}
	case *plan.Parallel:
		r.parallel(len(n.Nodes), func(i int) { r.run(sc, n.Nodes[i]) })
	case *plan.Fetch:
		if sc.turn == laterElements {
			return // it was made in the first turn
		}
		r.fetch(sc, n)
	case *plan.EntityFetch:
		r.entityFetch(sc, n)
	}
}

// parallel calls do for 0 to n-1 at the same time, the last one in this goroutine, and waits for all.
func (r *execution) parallel(n int, do func(int)) {
	if n == 1 {
		do(0)
		return
	}
	var wg sync.WaitGroup
	for i := range n - 1 {
		wg.Go(func() { do(i) })
	}
	if n > 0 {
		do(n - 1)
	}
	wg.Wait()
}

// finish writes the response. A nil shape means that there is no data.
func (r *execution) finish(shape *plan.Object) *Response {
	out := r.e.newBuffer(0)
	p := r.printer(&r.main, out)
	p.out = append(p.out, `{"data":`...)
	null := true
	if shape != nil {
		null = p.data(r.tree.root, shape)
	} else {
		p.out = append(p.out, "null"...)
	}
	p.tail(r.req.Extensions)
	p.out = append(p.out, '}')
	return r.response(out, p, null)
}

// printer readies the execution's printer for a new answer in out.
func (r *execution) printer(sc *scope, out *buffer) *printer {
	p := &r.print
	p.t, p.buf, p.out, p.errs, p.base = &r.tree, out, out.b[:0], &sc.errs, nil
	p.path, p.max, p.over = p.path[:0], r.e.cfg.MaxOperationBytes, false
	p.vars, p.nulled, p.gone, p.streaming, p.held = r.variable, nil, nil, false, nil
	return p
}

// tail writes errors and extensions.
func (p *printer) tail(extensions []byte) {
	if p.over {
		p.errs.simple(printing, "", CodeResponseTooLarge, "The response is too large.", 0, nil)
	}
	p.errs.settle(p.t)
	p.out = p.errs.append(p.out)
	if extensions != nil {
		p.out = append(p.out, `,"extensions":`...)
		p.out = append(p.out, extensions...)
	}
}

func (r *execution) response(out *buffer, p *printer, null bool) *Response {
	errs := p.errs.count()
	if len(r.answers) == 0 {
		r.cache.MaxAge = -1
	}
	out.b, p.out, p.buf = p.out, nil, nil
	slices.SortStableFunc(r.answers, func(a, b Answer) int { return cmp.Compare(a.Request, b.Request) })
	return &Response{
		Body: out.b, Errors: errs, NoData: null, Stats: r.stats, Answers: r.answers, Cache: r.cache,
		release: out.release,
	}
}

// variable returns the JSON of a client variable, or nil.
func (r *execution) variable(name string) []byte { return r.req.Variables[name] }
