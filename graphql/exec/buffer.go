package exec

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// buffer is memory for a body that several executions may read.
type buffer struct {
	b    []byte
	refs atomic.Int32
	home *pools
	// counted is what the buffer counts in home.memory; small ones count nothing.
	counted int64
}

// Memory counts what answers of subgraphs hold, for all executors that it is given to. The zero value has no bound.
type Memory struct {
	// Most bytes that answers larger than 1 MiB may hold together; further ones are refused. Zero means no bound.
	Most int64

	held atomic.Int64
}

// full reports whether a large answer must not grow any more.
func (m *Memory) full() bool { return m != nil && m.Most > 0 && m.held.Load() > m.Most }

func (m *Memory) add(n int64) {
	if m != nil {
		m.held.Add(n)
	}
}

// pools keep memory for the next operation. Buffers are kept by size: from one pool for all, each would in time hold
// as much as the largest body.
type pools struct {
	buffers           [largestBuffer + 1]sync.Pool // index i has those of 2^i bytes and more
	executions, works sync.Pool
	memory            *Memory // nil: nobody counts
}

// Buffers of 2^smallestBuffer to 2^largestBuffer bytes are kept; larger ones are left to the garbage collector.
const (
	smallestBuffer = 9
	largestBuffer  = 20
)

// newBuffer returns an empty buffer with one reference and room for at least n bytes.
func (p *pools) newBuffer(n int) *buffer {
	class := max(smallestBuffer, bits.Len(uint(max(n, 1)-1)))
	var b *buffer
	if class <= largestBuffer {
		b, _ = p.buffers[class].Get().(*buffer)
		n = 1 << class
	}
	if b == nil {
		b = &buffer{home: p, b: make([]byte, 0, n)}
	}
	if class > largestBuffer {
		b.counted = int64(cap(b.b))
		p.memory.add(b.counted)
	}
	b.refs.Store(1)
	return b
}

// grow makes room for at least n more bytes. It is for the only user of the buffer.
func (b *buffer) grow(n int) {
	more := b.home.newBuffer(max(2*cap(b.b), len(b.b)+n))
	more.b = append(more.b, b.b...)
	b.b, more.b = more.b, b.b
	b.counted, more.counted = more.counted, b.counted
	more.release()
}

// release drops a reference; with the last one the memory is used again.
func (b *buffer) release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	if b.counted > 0 {
		b.home.memory.add(-b.counted)
		b.counted = 0
	}
	b.b = b.b[:0]
	if class := bits.Len(uint(cap(b.b))) - 1; smallestBuffer <= class && cap(b.b) <= 1<<largestBuffer {
		b.home.buffers[class].Put(b)
	}
}
