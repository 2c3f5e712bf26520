package heap

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestHeapPercentLeavesTheSlack(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 250}, {4 << 20, 259}, {10 << 20, 110}, {100 << 20, 20}, {1000 << 20, 11},
	} {
		if got := Node.percent(c.live); got != c.want {
			t.Errorf("%d MiB live: got %d %%, want %d", c.live>>20, got, c.want)
		}
	}
}

func TestGatewayLeavesLessBesideLittle(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 75}, {12 << 20, 50}, {100 << 20, 28},
	} {
		if got := Gateway.percent(c.live); got != c.want {
			t.Errorf("%d MiB live: got %d %%, want %d", c.live>>20, got, c.want)
		}
	}
}

// The pace follows the tables, and the old one is back afterwards.
func TestKeepTightFollowsWhatIsLive(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	pace := KeepTight(Starting)
	pace.Leave(Node)
	held := make([]byte, 100<<20)
	paced := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	for range 1000 {
		if runtime.GC(); paced() <= 25 {
			break
		}
	}
	if got := paced(); got > 25 {
		t.Errorf("100 MiB live: got GOGC %d, want at most 25", got)
	}
	runtime.KeepAlive(held)
	pace.Stop()
	if got := paced(); got != 100 {
		t.Errorf("after stop: got GOGC %d, want 100", got)
	}
}
