package envoy

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// An Envoy serves when its workers use CPU time, whatever its main thread does.
func TestServingIsWhatWorkersDo(t *testing.T) {
	dir := t.TempDir()
	used := func(tid, name string, ns time.Duration) {
		t.Helper()
		task := filepath.Join(dir, "7", "task", tid)
		if err := os.MkdirAll(task, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"comm": name + "\n", "schedstat": strconv.Itoa(int(ns)) + " 5 6\n"} {
			if err := os.WriteFile(filepath.Join(task, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &Serving{PID: func() int { return 7 }, Proc: dir}
		for i, c := range []struct {
			main, worker time.Duration
			want         bool
		}{
			{time.Second, time.Second, false},                // the first look has nothing to compare with
			{5 * time.Second, time.Second, false},            // its main thread takes configuration
			{5 * time.Second, 1040 * time.Millisecond, true}, // calls
			{5 * time.Second, 1041 * time.Millisecond, false},
		} {
			used("7", "envoy", c.main)
			used("8", "wrk:worker_0", c.worker)
			if s.Now() != c.want {
				t.Errorf("look %d: serving is %v", i, !c.want)
			}
			time.Sleep(servingEvery) // in the bubble's time
		}
	})
}
