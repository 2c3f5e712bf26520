package idle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// A local user who keeps connections open, with requests before or without, costs the process no more than so many
// files, and the next caller is answered. A request in hand is never cut off.
func TestIdleConnectionsAreBounded(t *testing.T) {
	const most, flood = 10, 200
	hold, entered := make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-hold
		}
		fmt.Fprint(w, "ok")
	}))
	Limit(srv.Config, most)
	srv.Start()
	defer srv.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	ask := func(c net.Conn, path string) {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	}
	answer := func(c net.Conn) error {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	slow := dial()
	ask(slow, "/slow")
	<-entered
	var all []net.Conn
	for i := range flood {
		c := dial()
		if all = append(all, c); i%2 == 0 {
			ask(c, "/healthz")
			if err := answer(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The keeper closes connections beside the calls: it may be one behind when the last caller is answered.
	open := flood
	for end := time.Now().Add(20 * time.Second); open > most && time.Now().Before(end); {
		open = 0
		for _, c := range all {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				open++
			}
		}
	}
	if open > most {
		t.Errorf("%d of %d idle connections are open, want at most %d", open, flood, most)
	}
	last := dial()
	ask(last, "/healthz")
	if err := answer(last); err != nil {
		t.Error("the next caller is not answered:", err)
	}
	close(hold)
	if err := answer(slow); err != nil {
		t.Error("a request in hand was cut off:", err)
	}
}
