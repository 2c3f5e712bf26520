package gateway

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// lru keeps values up to a number of bytes; the least recently used go first. It is safe for concurrent use.
type lru[V any] struct {
	most int // bytes

	mu      sync.Mutex
	bytes   int                              // of what is kept; guarded by mu
	entries *simplelru.LRU[string, sized[V]] // guarded by mu
}

// sized is a value with what it costs.
type sized[V any] struct {
	value V
	bytes int
}

// overhead is about what an entry costs besides its key and value.
const overhead = 200

func newLRU[V any](most int) *lru[V] {
	l := &lru[V]{most: most}
	// The library bounds the number of entries, which is left open here, and fails on sizes below 1 only.
	l.entries, _ = simplelru.NewLRU(math.MaxInt, func(_ string, gone sized[V]) { l.bytes -= gone.bytes })
	return l
}

func (l *lru[V]) get(key string) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries.Get(key)
	return e.value, ok
}

// add keeps a value of the given size. One that is larger than a sixteenth of the whole is not kept.
func (l *lru[V]) add(key string, v V, bytes int) {
	bytes += len(key) + overhead
	if bytes > l.most/16 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries.Remove(key) // adding over it would not tell what it cost
	l.entries.Add(key, sized[V]{v, bytes})
	l.bytes += bytes
	for l.bytes > l.most {
		l.entries.RemoveOldest()
	}
}
