package exec

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
)

// feed is one reader's end of events that a goroutine of the executor receives for several: the subscriptions of one
// WebSocket, or equal subscriptions.
type feed struct {
	events chan item
	gone   chan struct{} // closed by close
	over   <-chan struct{}
	why    func() error // tells, when over is closed, why nothing more comes
	leave  func()       // called by close, once
	once   sync.Once
}

// item is an event, or how the events end.
type item struct {
	b   *buffer
	err error
}

func newFeed(over <-chan struct{}, why func() error) *feed {
	return &feed{events: make(chan item), gone: make(chan struct{}), over: over, why: why}
}

// give hands over an event or the end, and waits until the reader has it or has gone. Readers queue at once, so that
// none holds up the others for long.
func (f *feed) give(ctx context.Context, b *buffer, err error) {
	select {
	case f.events <- item{b, err}:
		return
	case <-f.gone:
	case <-ctx.Done():
	}
	if b != nil {
		b.release()
	}
}

func (f *feed) receive(ctx context.Context) (*buffer, error) {
	select {
	case it := <-f.events:
		return it.b, it.err
	case <-f.over:
		return nil, f.why()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *feed) close() {
	f.once.Do(func() {
		close(f.gone)
		f.leave()
	})
}

// identity is who a subscription is made for, as far as the subgraph can see: subscriptions of one identity may share
// a connection.
func (m *message) identity() string {
	b := appendPart(nil, m.sub.name)
	b = appendPart(b, m.caller)
	b = appendPart(b, string(m.init))
	names := make([]string, 0, len(m.header))
	for name := range m.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = appendPart(b, name)
		b = binary.AppendUvarint(b, uint64(len(m.header[name])))
		for _, v := range m.header[name] {
			b = appendPart(b, v)
		}
	}
	return string(b)
}

func appendPart(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// broadcast is a subscription that equal subscribers of one identity share: each sees the events from when it joined.
type broadcast struct {
	key  string
	stop context.CancelFunc

	ready chan struct{} // closed when the stream is open
	over  chan struct{} // closed when nothing more comes
	why   error         // valid when over is closed

	mu    sync.Mutex
	feeds map[*feed]struct{} // guarded by mu
	users int                // guarded by broadcasts.mu
}

// broadcasts are the shared subscriptions, by identity and operation.
type broadcasts struct {
	mu   sync.Mutex
	open map[string]*broadcast
}

// subscribeShared joins an equal subscription, or makes it.
func (e *Executor) subscribeShared(ctx context.Context, m *message, observed http.Header) (source, error) {
	c := e.joinBroadcast(m, observed)
	if c == nil {
		return nil, ErrClosed
	}
	f := newFeed(c.over, func() error { return c.why })
	f.leave = func() { c.drop(e, f) }
	c.mu.Lock()
	c.feeds[f] = struct{}{}
	c.mu.Unlock()
	select {
	case <-c.ready:
		return f, nil
	case <-c.over:
		f.close()
		return nil, c.why
	case <-ctx.Done():
		f.close()
		return nil, ctx.Err()
	}
}

func (e *Executor) joinBroadcast(m *message, observed http.Header) *broadcast {
	key := m.identity() + string(m.body)
	e.broadcasts.mu.Lock()
	defer e.broadcasts.mu.Unlock()
	if c := e.broadcasts.open[key]; c != nil {
		c.users++
		return c
	}
	c := &broadcast{
		key: key, users: 1, feeds: map[*feed]struct{}{},
		ready: make(chan struct{}), over: make(chan struct{}),
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(e.done)
	opening := *m
	if !e.spawn(func() { c.run(ctx, e, &opening, observed) }) {
		c.stop()
		return nil
	}
	e.broadcasts.open[key] = c
	return c
}

// drop takes a reader away. The last one ends the subscription.
func (c *broadcast) drop(e *Executor, f *feed) {
	c.mu.Lock()
	delete(c.feeds, f)
	c.mu.Unlock()
	e.broadcasts.mu.Lock()
	defer e.broadcasts.mu.Unlock()
	if c.users--; c.users == 0 {
		c.forget(e)
		c.stop()
	}
}

// forget lets nobody join any more. The caller holds broadcasts.mu.
func (c *broadcast) forget(e *Executor) {
	if e.broadcasts.open[c.key] == c {
		delete(e.broadcasts.open, c.key)
	}
}

// run receives for all readers, until the stream or ctx ends.
func (c *broadcast) run(ctx context.Context, e *Executor, m *message, observed http.Header) {
	defer c.stop()
	src, err := e.subscribeOnce(ctx, m, observed)
	if err == nil {
		close(c.ready)
		for err == nil {
			var b *buffer
			if b, err = src.receive(ctx); err == nil {
				c.spread(ctx, b)
			}
		}
		src.close()
	}
	e.broadcasts.mu.Lock()
	c.forget(e)
	e.broadcasts.mu.Unlock()
	c.why = err
	if errors.Is(err, context.Canceled) { // nobody listens, or the executor ends
		c.why = io.EOF
	}
	close(c.over)
}

// spread gives an event to each reader, with a reference of its own.
func (c *broadcast) spread(ctx context.Context, b *buffer) {
	c.mu.Lock()
	readers := make([]*feed, 0, len(c.feeds))
	for f := range c.feeds {
		readers = append(readers, f)
	}
	c.mu.Unlock()
	b.refs.Add(int32(len(readers))) //nolint:gosec // as many as there are streams
	for _, f := range readers {
		f.give(ctx, b, nil)
	}
	b.release()
}
