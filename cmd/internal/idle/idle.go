// Package idle bounds how many connections of an HTTP server may do nothing. Whoever may connect could keep thousands
// open otherwise, each costs the process a file, and a node without files serves nobody.
package idle

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limit has srv close the connection that has been idle longest as soon as more than most are: between requests, or
// before the first. Connections with a request in hand do not count and are left alone. It has to be called before
// srv serves. Connections also end after two minutes of doing nothing.
func Limit(srv *http.Server, most int) {
	t := &tracker{most: most, at: map[net.Conn]*list.Element{}}
	if srv.IdleTimeout == 0 {
		srv.IdleTimeout = 2 * time.Minute
	}
	srv.ConnState = t.changed
}

type tracker struct {
	most int
	mu   sync.Mutex
	list list.List // of net.Conn, those that are idle, the longest first; guarded by mu
	at   map[net.Conn]*list.Element
}

// changed implements http.Server's ConnState.
func (t *tracker) changed(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.at[c]; e != nil {
		t.list.Remove(e)
		delete(t.at, c)
	}
	if state != http.StateNew && state != http.StateIdle {
		return
	}
	t.at[c] = t.list.PushBack(c)
	if t.list.Len() <= t.most {
		return
	}
	oldest := t.list.Front()
	victim, _ := t.list.Remove(oldest).(net.Conn)
	delete(t.at, victim)
	_ = victim.Close() // its goroutine reads the end, and reports StateClosed
}
