package exec

import (
	"sync"
	"sync/atomic"
)

// buffer is memory for a body that several executions may read.
type buffer struct {
	b    []byte
	refs atomic.Int32
	home *sync.Pool
}

// pools keep memory for the next operation.
type pools struct{ buffers, executions, works sync.Pool }

// newBuffer returns an empty buffer with one reference and room for at least n bytes.
func (p *pools) newBuffer(n int) *buffer {
	b, _ := p.buffers.Get().(*buffer)
	if b == nil {
		b = &buffer{home: &p.buffers}
	}
	if cap(b.b) < n {
		b.b = make([]byte, 0, n)
	}
	b.b = b.b[:0]
	b.refs.Store(1)
	return b
}

// release drops a reference; with the last one the memory is used again.
func (b *buffer) release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	if cap(b.b) > keepBytes {
		b.b = nil
	}
	b.home.Put(b)
}
