package plan

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// How much the caches hold besides their numbers of entries: what is cached is the clients' choice, and a few hundred
// operations of the largest size allowed must not fill the memory.
const (
	cachedTokens = 1 << 19 // of all prepared operations: some 75 MB
	cachedFields = 1 << 18 // of all plans: some 90 MB
)

// cache keeps the most recently used values, up to a number and a weight of all together. It is safe for concurrent
// use.
type cache[K comparable, V any] struct {
	most int

	mu     sync.Mutex
	kept   *simplelru.LRU[K, weighed[V]]
	weight int
}

type weighed[V any] struct {
	value  V
	weight int
}

// newCache returns a cache of at most size entries with at most the weight most.
func newCache[K comparable, V any](size, most int) *cache[K, V] {
	c := &cache[K, V]{most: most}
	c.kept, _ = simplelru.NewLRU(size, func(_ K, v weighed[V]) { c.weight -= v.weight }) // fails on sizes below 1 only
	return c
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.kept.Get(k)
	return v.value, ok
}

// add keeps a value, unless it alone weighs more than a sixteenth of all: that would push out too much of what others
// ask.
func (c *cache[K, V]) add(k K, v V, weight int) {
	if weight > c.most/16 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.kept.Peek(k); ok { // replaced without a call of the function above
		c.weight -= old.weight
	}
	c.kept.Add(k, weighed[V]{v, weight})
	for c.weight += weight; c.weight > c.most; {
		c.kept.RemoveOldest()
	}
}
