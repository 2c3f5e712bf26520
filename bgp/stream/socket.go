package stream

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"syscall"
)

const (
	readAhead = 32 << 10 // bytes read at a time
	mostQueue = 1 << 20  // bytes that wait for a socket; far above what messages and answers come to
	keepQueue = 96 << 10 // bytes of the queue's room that are kept when it is empty
)

// A socket is what TLS writes to. Once it runs, a write never waits: what the kernel does not take at once is queued,
// for one goroutine to drain. TLS holds a lock while it writes, so nothing else would keep whoever sends next from
// waiting for a peer that takes nothing.
type socket struct {
	net.Conn
	r   *bufio.Reader
	raw syscall.RawConn // nil if the connection has none: then everything is queued

	mu       sync.Mutex
	running  bool   // guarded by mu
	corked   bool   // guarded by mu: more is about to be written
	queue    []byte // guarded by mu
	draining bool   // guarded by mu: some of what was queued is being written
	stopped  bool   // guarded by mu
	err      error  // guarded by mu

	waits chan struct{} // says that something waits; closed with the connection
}

func newSocket(conn net.Conn) *socket {
	k := &socket{Conn: conn, r: bufio.NewReaderSize(conn, readAhead), waits: make(chan struct{}, 1)}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			k.raw = raw
		}
	}
	return k
}

// run ends the time in which a write may wait.
func (k *socket) run() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = true
}

// Read implements net.Conn.
func (k *socket) Read(b []byte) (int, error) { return k.r.Read(b) }

// Write implements net.Conn.
func (k *socket) Write(b []byte) (int, error) {
	k.mu.Lock()
	if !k.running {
		k.mu.Unlock()
		return k.Conn.Write(b)
	}
	defer k.mu.Unlock()
	if k.err != nil {
		return 0, k.err
	}
	k.queue = append(k.queue, b...)
	if !k.corked {
		k.push()
	}
	return len(b), k.err
}

// cork holds writes together until uncork.
func (k *socket) cork() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.corked = true
}

func (k *socket) uncork() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.corked = false; k.running {
		k.push()
	}
	return k.err
}

// push gives the kernel what it takes of the queue at once.
func (k *socket) push() {
	if k.err != nil || len(k.queue) == 0 {
		return
	}
	if k.raw != nil && !k.draining {
		n, err := writeNow(k.raw, k.queue)
		if err != nil {
			k.err = err
			return
		}
		if n == len(k.queue) {
			k.empty()
			return
		}
		k.queue = k.queue[:copy(k.queue, k.queue[n:])]
	}
	if len(k.queue) > mostQueue {
		k.err = errors.New("the peer takes nothing and asks for answers")
		return
	}
	if !k.stopped {
		select {
		case k.waits <- struct{}{}:
		default:
		}
	}
}

func (k *socket) empty() {
	if k.queue = k.queue[:0]; cap(k.queue) > keepQueue {
		k.queue = nil
	}
}

// pending tells that something waits.
func (k *socket) pending() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.draining || len(k.queue) > 0
}

// drain writes what is queued, as long as that takes.
func (k *socket) drain() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.err == nil && len(k.queue) > 0 {
		b := k.queue
		k.queue, k.draining = nil, true
		k.mu.Unlock()
		_, err := k.Conn.Write(b)
		k.mu.Lock()
		k.draining, k.err = false, errors.Join(k.err, err)
		if len(k.queue) == 0 {
			k.queue = b
			k.empty()
		}
	}
	return k.err
}

// stop closes the connection; a drain under way comes back.
func (k *socket) stop() {
	_ = k.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stopped {
		k.stopped = true
		close(k.waits)
	}
}
