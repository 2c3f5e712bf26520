package exec

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A buffer has the room that was asked for and is empty, whatever was given back before, and not much more than that.
func TestBuffersAreKeptBySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pools
		for range rapid.IntRange(1, 20).Draw(t, "buffers") {
			n := rapid.IntRange(0, 3<<largestBuffer).Draw(t, "size")
			b := p.newBuffer(n)
			if len(b.b) != 0 || cap(b.b) < n {
				t.Fatalf("asked for %d bytes: got %d of %d", n, len(b.b), cap(b.b))
			}
			if n <= 1<<largestBuffer && cap(b.b) > max(2*n, 1<<smallestBuffer)*2 {
				t.Fatalf("asked for %d bytes: got %d", n, cap(b.b))
			}
			b.b = append(b.b, make([]byte, rapid.IntRange(0, n).Draw(t, "used"))...)
			b.release()
		}
	})
}

func TestGrowingABufferKeepsItsContents(t *testing.T) {
	var p pools
	b := p.newBuffer(0)
	var want bytes.Buffer
	for n := 1; n <= 4<<largestBuffer; n *= 3 {
		more := strings.Repeat("x", n-1) + "y"
		if cap(b.b)-len(b.b) < n {
			b.grow(n)
		}
		if cap(b.b)-len(b.b) < n {
			t.Fatalf("no room for %d more bytes: %d of %d", n, len(b.b), cap(b.b))
		}
		b.b = append(b.b, more...)
		want.WriteString(more)
		if !bytes.Equal(b.b, want.Bytes()) {
			t.Fatalf("contents lost at %d bytes", len(b.b))
		}
	}
	if got := b.refs.Load(); got != 1 {
		t.Errorf("got %d references, want 1", got)
	}
}
