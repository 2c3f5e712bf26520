package exec

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Stream is a response in parts.
type Stream struct {
	parts interface {
		// next waits for the next payload; io.EOF is the end.
		next(ctx context.Context) (*Response, error)
	}
	r      *execution
	cancel context.CancelFunc
	wg     sync.WaitGroup // the stream's goroutines
	once   sync.Once
}

// ErrClosed is returned for a stream that an Executor does not begin, or does not go on with, because it was closed.
var ErrClosed = errors.New("the executor is closed") //nolint:gochecknoglobals // a sentinel

// Stream starts an operation whose plan is a subscription or has @defer or @stream; other plans give a stream of one
// response. The error is about the request itself; what goes wrong later is told in the payloads. The stream ends
// with ctx.
func (e *Executor) Stream(ctx context.Context, req *Request) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(e.done, cancel)
	s := &Stream{cancel: func() { stop(); cancel() }}
	s.r = e.begin(ctx, req)
	switch root := req.Plan.Root.(type) {
	case *plan.Subscription:
		s.parts = newEvents(s, root)
	case *plan.Defer:
		s.parts = &deferred{stream: s, r: s.r, root: root}
	default:
		s.parts = &single{e: e, ctx: ctx, req: req}
	}
	if e.done.Err() != nil {
		s.Close()
		return nil, ErrClosed
	}
	return s, nil
}

// Next waits for the next payload: for a subscription a response for each event, for @defer and @stream first the
// initial payload and then the incremental ones. io.EOF says that the stream is complete. It must not be called
// concurrently.
func (s *Stream) Next(ctx context.Context) (*Response, error) { return s.parts.next(ctx) }

// Close ends the stream and waits for what it started. It must not be called while Next runs.
func (s *Stream) Close() {
	s.once.Do(func() {
		s.cancel()
		s.wg.Wait()
		s.r.recycle()
	})
}

// spawn runs do in a goroutine that Close and Executor.Close wait for. It returns false if the executor is closed.
func (s *Stream) spawn(do func()) bool {
	s.wg.Add(1)
	if s.r.e.spawn(func() { defer s.wg.Done(); do() }) {
		return true
	}
	s.wg.Done()
	return false
}

// single is the stream of an operation with one response.
type single struct {
	e    *Executor
	ctx  context.Context
	req  *Request
	done bool
}

func (s *single) next(context.Context) (*Response, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	return s.e.Execute(s.ctx, s.req), nil
}
