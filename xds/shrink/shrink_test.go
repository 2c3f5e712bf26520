package shrink

import (
	"maps"
	"runtime"
	"testing"
)

// A map that had 200,000 entries and has ten gives its memory back, and keeps the ten.
func TestMapGivesMemoryBack(t *testing.T) {
	m, most := map[int][4]int{}, 0
	before := heap()
	for i := range 200_000 {
		m[i] = [4]int{i}
	}
	full := heap() - before
	want := map[int][4]int{}
	for i := range 10 {
		want[i] = m[i]
	}
	for i := 10; i < 200_000; i++ {
		m = Map(m, &most)
		delete(m, i)
	}
	m = Map(m, &most)
	if held := heap() - before; held > full/20 {
		t.Errorf("it holds %d bytes, %d when it was full", held, full)
	}
	if !maps.Equal(m, want) {
		t.Errorf("got %v", m)
	}
	runtime.KeepAlive(m)
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
