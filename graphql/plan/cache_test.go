package plan

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is added, the weight is that of what is kept, and within the bounds.
func TestCacheKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCache[int, int](8, 160)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 12).Draw(t, "key")
			weight := rapid.IntRange(1, 12).Draw(t, "weight")
			if weight > 6 {
				weight *= 5
			}
			c.get(rapid.IntRange(0, 12).Draw(t, "asked"))
			c.add(key, key, weight)
			sum := 0
			for _, k := range c.kept.Keys() {
				v, _ := c.kept.Peek(k)
				sum += v.weight
			}
			if sum != c.weight || sum > 160 || c.kept.Len() > 8 {
				t.Fatalf("%d entries, weight %d, counted %d", c.kept.Len(), sum, c.weight)
			}
			if got, ok := c.get(key); weight <= 10 && (!ok || got != key) || weight > 10 && ok && got != key {
				t.Fatalf("added %d of weight %d, got %d %v", key, weight, got, ok)
			}
		}
	})
}
