package envoy

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Where Envoy's threads want the same core, those that carry traffic go before the one that takes in what it is told,
// and a node that finds an Envoy running leaves that as it is.
func TestEnvoysMainThreadYieldsToItsWorkers(t *testing.T) {
	s := supervised(t, t.TempDir(), func(s *Supervisor) { s.yieldAfter = 0 })
	behind := func() int {
		main, err := niceness(s.Running())
		if err != nil {
			return 0
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.Running()))
		for _, dir := range tasks {
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))
			if id, _ := strconv.Atoi(filepath.Base(dir)); strings.HasPrefix(string(name), "wrk:") {
				if theirs, err := niceness(id); err == nil {
					return main - theirs
				}
			}
		}
		return 0
	}
	until(t, "the main thread yields", func() bool { return s.Running() != 0 && behind() > 0 })
	if by := behind(); by != mainBehind && !yield("/proc", s.Running()) {
		t.Errorf("it is nicer by %d", by)
	}
	theirs, err := niceness(s.Running())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, s.Running(), min(theirs+1, 19)); err != nil {
		t.Fatal(err)
	}
	before := behind()
	if !yield("/proc", s.Running()) || behind() != before {
		t.Errorf("somebody has put it behind by %d, and a second look makes that %d", before, behind())
	}
	if yield(t.TempDir(), s.Running()) {
		t.Error("no threads are seen, and it yields")
	}
}
