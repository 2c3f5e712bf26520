package gateway

import "testing"

// What was made is used again, and a flood of keys does not grow without bound.
func TestKnownMakesOnceAndIsBounded(t *testing.T) {
	var k known[int, int]
	made := 0
	create := func(n int) int { made++; return 2 * n }
	for range 3 {
		if got := k.get(7, create); got != 14 {
			t.Fatalf("got %d, want 14", got)
		}
	}
	if made != 1 {
		t.Errorf("made %d times, want once", made)
	}
	for n := range 3 * mostKnown {
		k.get(n, create)
	}
	if len(k.of) > mostKnown {
		t.Errorf("keeps %d, want at most %d", len(k.of), mostKnown)
	}
}
