package node

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

// gogc is the pace of the collector.
func gogc() int {
	now := debug.SetGCPercent(100)
	debug.SetGCPercent(now)
	return now
}

// A node that has much to read lets its heap grow until it has its tables. Another follows what is live at once.
func TestANodeHurriesWhileItReads(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	held := make([]byte, 200<<20)
	for _, kept := range []int64{1 << 20, 50 << 20} {
		dir := t.TempDir()
		file, err := os.Create(filepath.Join(dir, "fib"))
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(kept); err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		cfg := &config.Config{Data: dir}
		cfg.Policy.Enforce = "off"
		m := keepMemory(cfg)
		settles := func(loose bool) bool {
			for range 1000 {
				if runtime.GC(); gogc() > 90 == loose {
					return true
				}
			}
			return false
		}
		hurries := kept > 8<<20
		if !settles(hurries) {
			t.Errorf("%d MiB kept: GOGC is %d while it starts", kept>>20, gogc())
		}
		complete := make(chan struct{})
		m.from(complete)
		close(complete)
		if !settles(false) {
			t.Errorf("%d MiB kept: GOGC is %d with the tables complete", kept>>20, gogc())
		}
		m.stop()
	}
	runtime.KeepAlive(held)
}
