package envoy

import (
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// mainBehind is by how much Envoy's main thread is nicer than its workers.
const mainBehind = 5

// firstFull is how long an Envoy's main thread is no nicer than others. One that was started anew has everything to be
// told, and until it is, nobody is served.
const firstFull = 30 * time.Second

// yield has an Envoy's main thread, which takes in what it is told by the node, go behind its workers, which carry
// traffic, where both want the same core: while another peer's million routes arrive, calls go on as before. With a
// niceness of 5 it has a quarter of a core that a worker would use up. Tells whether that is done, which is not
// possible before the workers have started: they would be as nice.
func yield(proc string, pid int) bool {
	for dir := range workerThreads(proc, pid) {
		worker, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		theirs, err := niceness(worker)
		if err != nil {
			return false
		}
		if own, err := niceness(pid); err != nil || own > theirs {
			return err == nil // it was, by an earlier process of the node or by an operator
		}
		return syscall.Setpriority(syscall.PRIO_PROCESS, pid, min(theirs+mainBehind, 19)) == nil
	}
	return false
}

// niceness is that of one thread: for Linux a thread's number is as good as a process's. Its system call returns 20
// less the niceness, so that no result is an error.
func niceness(thread int) (int, error) {
	n, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	return 20 - n, err
}
