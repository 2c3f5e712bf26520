package exec

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
)

// TestShortKeepAlive: connections to a subgraph that says how long it keeps them are given up before, so that no
// mutation meets the end of one.
func TestShortKeepAlive(t *testing.T) {
	var mu sync.Mutex
	states := map[net.Conn]http.ConnState{}
	open := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range states {
			if s != http.StateClosed {
				n++
			}
		}
		return n
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Keep-Alive", "timeout=1, max=100")
		_, _ = io.WriteString(w, okBody)
	}))
	srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		states[c] = s
	}
	srv.Start()
	defer srv.Close()
	e, err := New(Config{Transport: NewTransport(TransportOptions{}), Subgraphs: map[string]Subgraph{"a": {URL: srv.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 3 { // the first one teaches, the second opens a connection that is kept for less
		run(t, e, &Request{Plan: mePlan()})
	}
	if n := open(); n == 0 || n > 2 {
		t.Errorf("%d connections after three queries in a row", n)
	}
	if got := e.subs["a"].patient.Load(); got == nil || got.IdleConnTimeout != 800*time.Millisecond {
		t.Errorf("the subgraph's word is not heeded: %+v", got)
	}
	if got := NewTransport(TransportOptions{}).IdleConnTimeout; got != 4*time.Second {
		t.Errorf("connections are kept for %v by default", got)
	}
}

// TestBrotliAnswer: subgraphs may answer with br.
func TestBrotliAnswer(t *testing.T) {
	s := handled(func(*http.Request, string) (*http.Response, error) {
		r := reply(200, "application/json", "")
		in, out := io.Pipe()
		go func() {
			w := brotli.NewWriter(out)
			_, _ = io.WriteString(w, okBody)
			_ = out.CloseWithError(w.Close())
		}()
		r.Body, r.ContentLength = in, -1
		r.Header.Set("Content-Encoding", "br")
		return r, nil
	})
	if got, want := run(t, s.executor(t, nil), &Request{Plan: mePlan()}),
		run(t, (&subgraphs{answers: map[string]string{"a": okBody}}).executor(t, nil),
			&Request{Plan: mePlan()}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
