package exec

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// source is an open event stream of a subgraph.
type source interface {
	// receive waits for the next event, a GraphQL response that the caller releases. io.EOF is the regular end, a
	// *sourceError any other.
	receive(ctx context.Context) (*buffer, error)
	close()
}

// sourceError is why a stream could not begin, or ended.
type sourceError struct {
	fetchError
	// errors is the list of GraphQL errors that the subgraph gave as the reason; nil if it gave none.
	errors []byte
	// lost says that another attempt may help.
	lost bool
	// started says that the connection had been accepted.
	started bool
}

func (e *sourceError) Error() string {
	if e.cause != nil {
		return e.text + " " + e.cause.Error()
	}
	return e.text
}

// events is the stream of a subscription: one goroutine receives what the subgraph sends, next does the rest.
type events struct {
	stream *Stream
	r      *execution
	root   *plan.Subscription

	begun bool
	wake  chan struct{} // has an element if something has changed

	mu      sync.Mutex
	waiting []*buffer
	bytes   int
	end     error // io.EOF or a *sourceError, after what is waiting
}

func newEvents(s *Stream, root *plan.Subscription) *events {
	return &events{stream: s, r: s.r, root: root, wake: make(chan struct{}, 1)}
}

func (v *events) next(ctx context.Context) (*Response, error) {
	if !v.begun {
		v.begun = true
		if !v.stream.spawn(v.pump) {
			return nil, ErrClosed
		}
	}
	for {
		event, end := v.take()
		switch {
		case event != nil:
			return v.print(event), nil
		case end != nil:
			return v.last(end)
		}
		select {
		case <-v.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-v.r.ctx.Done():
			return nil, v.r.ctx.Err()
		}
	}
}

// take returns the oldest event, or why there are no more.
func (v *events) take() (*buffer, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.waiting) == 0 {
		return nil, v.end
	}
	b := v.waiting[0]
	v.waiting[0] = nil
	v.waiting = v.waiting[1:]
	v.bytes -= len(b.b)
	return b, nil
}

// print makes a response of an event.
func (v *events) print(event *buffer) *Response {
	r := v.r
	r.clean()
	x := exchange{ctx: r.ctx, req: &v.root.Primary.Request, answer: answer{body: event, status: http.StatusOK}}
	r.mu.Lock()
	r.mergeRoot(&r.main, v.root.Primary, &x)
	r.mu.Unlock()
	if v.root.Then != nil {
		r.run(&r.main, v.root.Then)
	}
	res := r.finish(r.plan.Response)
	res.HasNext = true
	return res
}

// last makes a response of an error that ended the stream, once.
func (v *events) last(end error) (*Response, error) {
	var se *sourceError
	if !errors.As(end, &se) {
		return nil, end
	}
	v.mu.Lock()
	v.end = io.EOF
	v.mu.Unlock()
	r, f := v.r, v.root.Primary
	r.clean()
	if se.errors != nil {
		if list, err := r.tree.scan(se.errors); err == nil && r.tree.nodes[list].kind == kindList {
			r.subgraphErrors(&r.main, &exchange{ctx: r.ctx, req: &f.Request}, list, nil)
		}
	}
	if r.main.errs.count() == 0 {
		r.main.errs.simple(f.ID, f.Service, se.code, se.text, se.status, nil)
	}
	return r.finish(nil), nil
}

// pump receives events until the stream ends.
func (v *events) pump() {
	err := v.receive()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.end == nil {
		v.end = err
	}
	v.notify()
}

func (v *events) notify() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// receive opens the stream, again if it is lost, and queues what comes.
func (v *events) receive() error {
	r, req := v.r, &v.root.Primary.Request
	sub := r.e.subs[req.Service]
	if sub == nil {
		return &sourceError{
			fetchError: fetchError{code: CodeUnknownSubgraph, text: "Subgraph '" + req.Service + "' is not known."},
		}
	}
	m := message{sub: sub, req: req, caller: r.req.Caller, body: r.appendBody(r.newBody(req, 0), req, nil)}
	if r.req.Header != nil {
		m.header = r.req.Header(req.Service)
	}
	if r.req.Init != nil {
		m.init = r.req.Init(req.Service)
	}
	for lost := 0; ; lost++ {
		got, err := v.session(&m)
		if got {
			lost = 0
		}
		var se *sourceError
		if !errors.As(err, &se) || !se.lost || lost >= sub.Subscription.Reconnects ||
			!pause(r.ctx, sub.Backoff<<min(lost, 10)) {
			return err
		}
	}
}

// session opens the stream once and queues events until it ends. It reports whether there were any.
func (v *events) session(m *message) (got bool, err error) {
	x := exchange{
		ctx: v.r.ctx,
		req: m.req,
		info: Fetch{
			Service:   m.sub.name,
			Request:   m.req.ID,
			Operation: v.r.plan.Name,
			Kind:      m.req.Kind.String(),
			BytesOut:  len(m.body),
		},
	}
	start := time.Now()
	observed := http.Header{}
	if o := v.r.e.cfg.Observer; o != nil {
		x.ctx = o.FetchStart(v.r.ctx, x.info, observed)
	}
	defer func() {
		var se *sourceError
		if errors.As(err, &se) {
			x.answer.err = &se.fetchError
		}
		if v.r.e.cfg.Observer != nil {
			x.result.Duration = time.Since(start)
			v.r.observe(&x)
		}
	}()
	src, err := v.r.e.subscribe(x.ctx, m, observed)
	if err != nil {
		return false, err
	}
	defer src.close()
	for {
		event, err := src.receive(x.ctx)
		if err != nil {
			return got, err
		}
		got = true
		x.result.BytesIn += len(event.b)
		if err := v.queue(event); err != nil {
			return got, err
		}
	}
}

// queue adds an event. It fails if the client reads too slowly.
func (v *events) queue(event *buffer) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.waiting) >= v.r.e.cfg.MaxEvents || len(v.waiting) > 0 && v.bytes+len(event.b) > v.r.e.cfg.MaxOperationBytes {
		event.release()
		return &sourceError{
			fetchError: fetchError{
				code: CodeSlowConsumer,
				text: "The subscription was ended because its events were read too slowly.",
			},
		}
	}
	v.waiting = append(v.waiting, event)
	v.bytes += len(event.b)
	v.notify()
	return nil
}

// subscribe opens an event stream, or joins an equal one.
func (e *Executor) subscribe(ctx context.Context, m *message, observed http.Header) (source, error) {
	if m.sub.Subscription.Share {
		return e.subscribeShared(ctx, m, observed)
	}
	return e.subscribeOnce(ctx, m, observed)
}

// subscribeOnce opens an event stream with the subgraph's protocol.
func (e *Executor) subscribeOnce(ctx context.Context, m *message, observed http.Header) (source, error) {
	switch m.sub.Subscription.Protocol {
	case WebSocket:
		return e.openWebSocket(ctx, m, observed)
	case SSE:
		return e.openSSE(ctx, m, observed)
	}
	if m.sub.sse.Load() {
		return e.openSSE(ctx, m, observed)
	}
	src, err := e.openWebSocket(ctx, m, observed)
	var se *sourceError
	if err == nil || errors.As(err, &se) && se.started || ctx.Err() != nil {
		return src, err
	}
	sse, sseErr := e.openSSE(ctx, m, observed)
	if sseErr != nil {
		return nil, errors.Join(sseErr, err)
	}
	m.sub.sse.Store(true)
	return sse, nil
}
