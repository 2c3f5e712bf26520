package gateway

import (
	"container/list"
	"sync"
)

// lru keeps values up to a number of bytes; the least recently used go first. It is safe for concurrent use.
type lru[V any] struct {
	most int // bytes

	mu      sync.Mutex
	bytes   int
	entries map[string]*list.Element // of *entry[V]
	order   *list.List               // most recently used first
}

type entry[V any] struct {
	key   string
	value V
	bytes int
}

// overhead is about what an entry costs besides its key and value.
const overhead = 200

func newLRU[V any](most int) *lru[V] {
	return &lru[V]{most: most, entries: map[string]*list.Element{}, order: list.New()}
}

func (l *lru[V]) get(key string) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[V]).value, true
}

// add keeps a value of the given size. One that is larger than a sixteenth of the whole is not kept.
func (l *lru[V]) add(key string, v V, bytes int) {
	bytes += len(key) + overhead
	if bytes > l.most/16 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[key]; ok {
		l.drop(e)
	}
	l.entries[key] = l.order.PushFront(&entry[V]{key, v, bytes})
	l.bytes += bytes
	for l.bytes > l.most {
		l.drop(l.order.Back())
	}
}

func (l *lru[V]) drop(e *list.Element) {
	old := l.order.Remove(e).(*entry[V])
	delete(l.entries, old.key)
	l.bytes -= old.bytes
}
