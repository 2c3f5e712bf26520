package envoy

import (
	"cmp"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// workerPrefix begins the names of Envoy's worker threads.
const workerPrefix = "wrk:"

// servingEvery is how often it is looked whether an Envoy serves, servingShare how much of a core its workers use at
// least if it does: one call a second is nothing that is felt, 100 a second are.
const (
	servingEvery = 500 * time.Millisecond
	servingShare = 0.02
)

// Serving tells whether an Envoy carries traffic at the moment, by the CPU time of its worker threads, as Linux keeps
// it (/proc/PID/task/TID/schedstat). Where that cannot be read it does not.
//
//	s := envoy.Serving{PID: supervisor.Running}
//	if s.Now() { … }
type Serving struct {
	PID  func() int // of the Envoy; 0 for none
	Proc string     // where the system's threads are told of; "" for /proc

	mu   sync.Mutex
	at   time.Time     // guarded by mu; of the last look
	used time.Duration // guarded by mu; by the workers, at that time
	is   bool          // guarded by mu
}

// Now returns what the last look saw, and looks again if that was long ago.
func (s *Serving) Now() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if past := now.Sub(s.at); past >= servingEvery {
		used := workers(cmp.Or(s.Proc, "/proc"), s.PID())
		more := used - s.used
		s.is = !s.at.IsZero() && more > 0 && more.Seconds() >= servingShare*past.Seconds() && s.used > 0
		s.at, s.used = now, used
	}
	return s.is
}

// workerThreads ranges over the directories of an Envoy's worker threads below /proc, or what stands for that.
func workerThreads(proc string, pid int) iter.Seq[string] {
	return func(yield func(string) bool) {
		tasks, _ := filepath.Glob(filepath.Join(proc, strconv.Itoa(pid), "task", "*"))
		for _, dir := range tasks {
			name, err := os.ReadFile(filepath.Join(dir, "comm"))
			if err == nil && strings.HasPrefix(string(name), workerPrefix) && !yield(dir) {
				return
			}
		}
	}
}

// workers returns the CPU time that the worker threads of a process have used; 0 if that is unknown.
func workers(proc string, pid int) (used time.Duration) {
	if pid == 0 {
		return 0
	}
	for dir := range workerThreads(proc, pid) {
		stat, err := os.ReadFile(filepath.Join(dir, "schedstat"))
		if err != nil {
			continue
		}
		ns, _, _ := strings.Cut(string(stat), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		used += time.Duration(n)
	}
	return used
}
