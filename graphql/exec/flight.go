package exec

import (
	"bytes"
	"context"
	"hash/maphash"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// flight is the queries to subgraphs that are under way and may be shared.
type flight struct {
	mu    sync.Mutex
	calls map[uint64]*call
}

// call is one query under way. Its fields do not change until done is closed, but result and sharers.
type call struct {
	sub    *subgraph
	caller string
	body   []byte
	header http.Header

	done   chan struct{}
	result answer // valid when done is closed
	// sharers is the number of those who wait; guarded by flight.mu. Each gets a reference of result.body.
	sharers int32
}

// same reports whether the call is for the same bytes to the same subgraph with the same headers, by the same caller.
func (c *call) same(m *message, caller string) bool {
	return c.sub == m.sub && c.caller == caller && bytes.Equal(c.body, m.body) &&
		maps.EqualFunc(c.header, m.header, slices.Equal)
}

// shared sends the message, or waits for an identical one that is under way; it says which. When the sender of the
// latter goes away, one of those who wait becomes the sender.
func (e *Executor) shared(ctx context.Context, m *message, caller string, send func() answer) (answer, bool) {
	key := maphash.Bytes(e.seed, m.body)
	for {
		c, mine := e.flight.join(key, m, caller)
		if c == nil {
			return send(), false // another one has the hash
		}
		if mine {
			a := send()
			e.flight.leave(key, c, a)
			return a, false
		}
		select {
		case <-c.done:
			if !c.result.ownFault {
				return c.result, true
			}
		case <-ctx.Done():
			e.flight.giveUp(c)
			return answer{err: contextError(ctx, m.sub.name), ownFault: true}, true
		}
	}
}

// join returns the call to wait for, or a new one that is the caller's to carry out, or nil if the message cannot be
// shared.
func (f *flight) join(key uint64, m *message, caller string) (c *call, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.calls[key]
	if !ok {
		c = &call{sub: m.sub, caller: caller, body: m.body, header: m.header, done: make(chan struct{})}
		f.calls[key] = c
		return c, true
	}
	if !c.same(m, caller) {
		return nil, false
	}
	c.sharers++
	return c, false
}

// leave hands the result to all who wait.
func (f *flight) leave(key uint64, c *call, a answer) {
	f.mu.Lock()
	delete(f.calls, key)
	c.result = a
	if a.body != nil {
		a.body.refs.Add(c.sharers)
	}
	close(c.done)
	f.mu.Unlock()
}

// giveUp is for those who wait no longer.
func (f *flight) giveUp(c *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-c.done:
		if c.result.body != nil {
			c.result.body.release()
		}
	default:
		c.sharers--
	}
}
