//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// raw sends a request as it stands and returns the whole answer; the connection is closed by the server, or half a
// second after the last byte.
func raw(t *testing.T, address, request string) string {
	t.Helper()
	var conn net.Conn
	must(t, lab.Eventually(t.Context(), "Envoy listens at "+address, func(ctx context.Context) (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return err
	}))
	defer func() { _ = conn.Close() }()
	_, err := io.WriteString(conn, request)
	must(t, err)
	var all bytes.Buffer
	buf := make([]byte, 64<<10)
	wait := 10 * time.Second
	for {
		must(t, conn.SetReadDeadline(time.Now().Add(wait)))
		n, err := conn.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return all.String()
		}
		wait = 500 * time.Millisecond
	}
}

// offerHandler offers a workload of the test's own.
func offerHandler(t *testing.T, n *lab.Node, service string, h http.Handler, flags ...string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeHTTP(t.Context(), l, h) }()
	_, err = n.CLI(t.Context(), append([]string{"route", "add", service, "--addr", l.Addr().String()}, flags...)...)
	must(t, err)
}

// What clients write that is allowed and rare is served like anything else, over two hops.
func TestRequestsAsClientsWriteThem(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "a-c")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	for name, request := range map[string]string{
		"a host in upper case":  "GET /books HTTP/1.1\r\nHost: BOOKS.Acme.EXAMPLE\r\n\r\n",
		"a trailing dot":        "GET /books HTTP/1.1\r\nHost: books.acme.example.\r\n\r\n",
		"all of it, and a port": "GET /books HTTP/1.1\r\nHost: Books.acme.example.:8080\r\n\r\n",
		"an offer to upgrade to TLS": "GET /books HTTP/1.1\r\nHost: books.acme.example\r\nUpgrade: " +
			"TLS/1.2\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/1.0":                       "GET /books HTTP/1.0\r\nHost: books.acme.example\r\n\r\n",
		"an absolute URI":                "GET http://books.acme.example/books HTTP/1.1\r\nHost: books.acme.example\r\n\r\n",
		"an absolute URI, in upper case": "GET http://BOOKS.acme.example/books HTTP/1.1\r\nHost: BOOKS.acme.example\r\n\r\n",
		"an offer to upgrade to HTTP/2": "GET /books HTTP/1.1\r\nHost: books.acme.example\r\nUpgrade: " +
			"h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"a header of the router's own": "GET /books HTTP/1.1\r\nHost: books.acme.example\r\nX-Catalyst-Service: " +
			"films.acme.example\r\n\r\n",
		"a query, a fragment's character": "GET /books?x=%23 HTTP/1.1\r\nHost: books.acme.example\r\n\r\n",
	} {
		got := raw(t, n("c").Egress, request)
		if !strings.Contains(strings.SplitN(got, "\r\n", 2)[0], " 200 ") || !strings.Contains(got, "Solaris") {
			t.Errorf("%s: got %q", name, got)
		}
	}
	got := raw(t, n("c").Egress, "GET /books HTTP/1.1\r\nHost: FILMS.acme.example\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 404 ") ||
		!strings.Contains(got, "no service of this name is known at acme.example/c") {
		t.Errorf("a name in upper case that nobody announces: got %q", got)
	}
}

// A node that is told not to serve HTTP/1.0 says so.
func TestHTTP10Refused(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "", "--envoy-http10=false")
	offer(t, n("a"), "books", "one")
	answers(t, n("a"), "books", "one")
	got := raw(t, n("a").Egress, "GET /books HTTP/1.0\r\nHost: books.acme.example\r\n\r\n")
	if !strings.Contains(got, " 426 ") || !strings.Contains(got, "envoy.http10") {
		t.Errorf("got %q", got)
	}
}

// Headers up to the limit pass both hops; what is beyond is answered with the reason, by whoever it reached first.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "a-c")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var size int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &size)
		for i := range size {
			w.Header().Set(fmt.Sprintf("X-Filler-%d", i), strings.Repeat("x", 1000))
		}
		fmt.Fprintf(w, "%d bytes of cookies", len(r.Header.Get("Cookie")))
	})
	offerHandler(t, n("a"), "large", handler)
	must(t, lab.Eventually(t.Context(), "it arrives", func(ctx context.Context) error {
		status, _, err := n("c").Get(ctx, "large.acme.example", "/0")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}))
	for _, tt := range []struct {
		name            string
		cookie, answer  int
		status          string
		wanted, unknown string
	}{
		{"small ones", 100, 1, " 200 ", "100 bytes of cookies", ""},
		{"a request of 100 kB", 100_000, 1, " 200 ", "100000 bytes of cookies", ""},
		{"a response of 110 kB", 10, 110, " 200 ", "10 bytes of cookies", ""},
		{"a request of 200 kB", 200_000, 1, " 431 ", "the request has headers of more than 128 KiB", ""},
		{"a response of 200 kB", 10, 200, " 502 ",
			"headers of more than 128 KiB or 1000 fields (envoy.headers) at acme.example/a", ""},
	} {
		got := raw(t, n("c").Egress, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: large.acme.example\r\nCookie: %s\r\n\r\n",
			tt.answer, strings.Repeat("c", tt.cookie)))
		if !strings.Contains(strings.SplitN(got, "\r\n", 2)[0], tt.status) || !strings.Contains(got, tt.wanted) {
			t.Errorf("%s: want%sand %q, got %q … %q", tt.name, tt.status, tt.wanted, got[:min(100, len(got))],
				got[max(0, len(got)-200):])
		}
	}
}

// Trailers of HTTP/1 go both ways, and so do interim responses: 100 when the workload is ready for a body, 103 before
// the answer.
func TestTrailersAndInterimResponses(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "a-c")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%d bytes, checksum %s", len(body), r.Trailer.Get("X-Check"))
		w.Header().Set("X-Sum", "seventeen")
	})
	offerHandler(t, n("a"), "odd", handler)
	must(t, lab.Eventually(t.Context(), "it arrives", func(ctx context.Context) error {
		status, _, err := n("c").Get(ctx, "odd.acme.example", "/")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}))
	got := raw(t, n("c").Egress, "POST / HTTP/1.1\r\nHost: odd.acme.example\r\nTE: trailers\r\nTrailer: "+
		"X-Check\r\nExpect: 100-continue\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Check: forty-two\r\n\r\n")
	got += raw(t, n("c").Egress, "GET / HTTP/1.1\r\nHost: odd.acme.example\r\n\r\n")
	for _, want := range []string{"HTTP/1.1 100 ", "HTTP/1.1 103 ", "</style.css>", "HTTP/1.1 200 ",
		"5 bytes, checksum forty-two", "x-sum: seventeen"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// closer is a workload that closes connections which were idle for some time at the very moment when the next request
// comes: it reads the head of the second request on each connection and answers nothing. It counts the requests that
// it got by method.
func closer(t *testing.T) (address string, got map[string]*atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	context.AfterFunc(t.Context(), func() { _ = l.Close() })
	got = map[string]*atomic.Int64{"GET": {}, "PUT": {}, "POST": {}}
	go func() { // ends with the test
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for served := range 2 {
					line, err := textproto.NewReader(in).ReadLine()
					if err != nil {
						return
					}
					if _, err := textproto.NewReader(in).ReadMIMEHeader(); err != nil {
						return
					}
					method, _, _ := strings.Cut(line, " ")
					got[method].Add(1)
					if served == 0 {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String(), got
}

// A workload closes its connection when a request on it is under way. One that may be sent twice is, once, and
// answered; a POST never is.
func TestRequestMeetsAClosingConnection(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "a-c")
	address, got := closer(t)
	_, err := n("a").CLI(t.Context(), "route", "add", "closer", "--addr", address)
	must(t, err)
	must(t, lab.Eventually(t.Context(), "it arrives", func(ctx context.Context) error {
		status, _, err := n("c").Get(ctx, "closer.acme.example", "/")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}))
	for method, wanted := range map[string]string{"GET": " 200 ", "PUT": " 200 ", "POST": ""} {
		var lost int64
		before := got[method].Load()
		const calls = 20
		for range calls {
			answer := raw(t, n("c").Egress, method+
				" / HTTP/1.1\r\nHost: closer.acme.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if !strings.Contains(answer, " 200 ") {
				if lost++; !strings.Contains(answer, " 503 ") ||
					!strings.Contains(answer, "closed the connection before it had answered") {
					t.Errorf("%s: got %q", method, answer)
				}
			}
		}
		arrived := got[method].Load() - before
		switch {
		case wanted != "" && (lost > 0 || arrived < calls || arrived > 2*calls):
			t.Errorf("%s: %d of %d calls lost, and %d requests arrived", method, lost, calls, arrived)
		case wanted == "" && arrived != calls:
			t.Errorf("%s: %d requests arrived of %d calls", method, arrived, calls)
		}
	}
}

// Connections to a workload are closed by Envoy after four idle seconds, before common servers close theirs.
func TestIdleConnectionsToWorkloads(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "", "--envoy-workload-idle=300ms")
	var open atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{Handler: examples.HTTPAPI("one"), ConnState: func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		case http.StateActive, http.StateIdle, http.StateHijacked:
		}
	}, ReadHeaderTimeout: time.Minute}
	t.Cleanup(func() { _ = srv.Close() })
	go func() { _ = srv.Serve(l) }()
	_, err = n("a").CLI(t.Context(), "route", "add", "books", "--addr", l.Addr().String())
	must(t, err)
	answers(t, n("a"), "books", "one")
	must(t, lab.Eventually(t.Context(), "Envoy closes the connection", func(context.Context) error {
		if open.Load() > 0 {
			return errors.New("it is still open")
		}
		return nil
	}))
}

// A workload says that it keeps idle connections for a second, and closes them then. Envoy closes them before, once
// the node's checks have heard that; a call that comes at that moment is not lost.
func TestKeepAliveOfWorkloadsIsHonoured(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	const keeps = time.Second
	var mu sync.Mutex
	idle := map[net.Conn]time.Time{} // guarded by mu: of Envoy's, since when
	closed := make(chan time.Duration, 1000)
	type key struct{}
	srv := &http.Server{
		IdleTimeout: keeps, ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() != "catalyst-health" {
				mu.Lock()
				idle[r.Context().Value(key{}).(net.Conn)] = time.Now()
				mu.Unlock()
			}
			w.Header().Set("Keep-Alive", "timeout=1")
		}),
		ConnState: func(c net.Conn, s http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			switch at, envoys := idle[c]; {
			case !envoys:
			case s == http.StateIdle:
				idle[c] = time.Now()
			case s == http.StateClosed:
				closed <- time.Since(at)
			}
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
	_, err = n("a").CLI(t.Context(), "route", "add", "books", "--addr", l.Addr().String(), "--health", "http:/",
		"--health-interval", "200ms")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "Envoy closes a connection first", func(ctx context.Context) error {
		if status, _, err := n("a").Get(ctx, "books.acme.example", "/"); err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d, %w", status, err)
		}
		select {
		case after := <-closed:
			if after >= keeps {
				return fmt.Errorf("the workload closed it after %s", after)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
}

// Calls and connections of a service are counted by its name, at the node of the application and at that of the
// workload; names that nobody announces are not. The access log names the service of a TCP connection.
func TestServicesInMetrics(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "a-c")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
	must(t, err)
	var port string
	must(t, lab.Eventually(t.Context(), "the TCP service arrives", func(ctx context.Context) error {
		var err error
		port, err = n("c").TCPPort(ctx, "lines")
		return err
	}))
	if got := raw(t, port, "hello\n"); got != "lines: hello\n" {
		t.Fatalf("over TCP: %q", got)
	}
	for range 7 {
		_, _, err := n("c").Get(t.Context(), "books.acme.example", "/nothing")
		must(t, err)
		_, _, err = n("c").Get(t.Context(), "nobody.acme.example", "/")
		must(t, err)
	}
	for name, wanted := range map[string][]string{
		"c": {
			`catalyst_requests_total{code="404",direction="egress",service="books.acme.example"} 7`,
			`catalyst_request_duration_seconds_count{direction="egress",service="books.acme.example"} `,
			`catalyst_request_duration_seconds_bucket{direction="egress",service="books.acme.example",le="0.01"} `,
			`catalyst_tcp_connections_total{service="lines.acme.example"} 1`,
			`catalyst_tcp_received_bytes_total{service="lines.acme.example"} 6`,
			`catalyst_tcp_sent_bytes_total{service="lines.acme.example"} 13`,
			`catalyst_updates_total{direction="in",peer="acme.example/a"} `, "catalyst_envoy_up 1",
		},
		"a": {`catalyst_requests_total{code="404",direction="ingress",service="books.acme.example"} 7`},
	} {
		must(t, lab.Eventually(t.Context(), "metrics at "+name, func(ctx context.Context) error {
			got, err := metricsOf(ctx, n(name))
			if strings.Contains(got, "nobody.acme.example") {
				t.Error("a name that nobody announces is counted")
			}
			for _, want := range wanted {
				if err == nil && !strings.Contains(got, want) {
					err = fmt.Errorf("no %q", want)
				}
			}
			return err
		}))
	}
	must(t, lab.Eventually(t.Context(), "the access log names it", func(context.Context) error {
		log, err := os.ReadFile(filepath.Join(n("c").Dir, "access.log"))
		if err == nil && !strings.Contains(string(log), `"service":"lines.acme.example"`) {
			err = errors.New("it does not")
		}
		return err
	}))
}

func metricsOf(ctx context.Context, n *lab.Node) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
