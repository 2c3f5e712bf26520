// Package stall has workloads and callers that begin to send and then stop reading, or begin to read and never go on:
// over HTTP, gRPC, TCP and WebSocket. Tests and benchmarks measure what they cost everybody else.
//
//	w, err := stall.Start(ctx)           // workloads, to be offered as services
//	c, err := stall.Open(ctx, stall.Call{Kind: stall.HTTP, Address: egress, Service: "slow.acme.example"})
//	err = w.Quiet(ctx)                   // every caller is stuck now
package stall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Kind is how a caller speaks with its workload.
type Kind string

// The kinds.
const (
	HTTP      Kind = "http"
	GRPC      Kind = "grpc" // HTTP/2 without TLS, with gRPC's content type
	TCP       Kind = "tcp"
	WebSocket Kind = "websocket"
)

// Kinds returns all of them.
func Kinds() []Kind { return []Kind{HTTP, GRPC, TCP, WebSocket} }

// block is what is sent at a time.
const block = 32 << 10

// Workloads are servers that send without end to who asks for that, and read nothing of who sends.
type Workloads struct {
	HTTP, GRPC, TCP string // HOST:PORT; WebSockets are at HTTP
	sent            atomic.Int64
}

// Start serves on free loopback ports until ctx ends.
func Start(ctx context.Context) (*Workloads, error) {
	w := &Workloads{}
	listen := func() (net.Listener, error) { return (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0") }
	web, err1 := listen()
	calls, err2 := listen()
	lines, err3 := listen()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	w.HTTP, w.GRPC, w.TCP = web.Addr().String(), calls.Addr().String(), lines.Addr().String()
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	for l, protocols := range map[net.Listener]*http.Protocols{web: nil, calls: &h2c} {
		srv := &http.Server{Handler: w.handler(), Protocols: protocols, ReadHeaderTimeout: time.Minute}
		context.AfterFunc(ctx, func() { _ = srv.Close() })
		go func() { _ = srv.Serve(l) }() // ends with ctx
	}
	context.AfterFunc(ctx, func() { _ = lines.Close() })
	go w.serveTCP(ctx, lines) // ends with ctx
	return w, nil
}

// Quiet waits until the workloads have sent nothing for half a second: whoever reads from them has stopped.
func (w *Workloads) Quiet(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for before := w.sent.Load(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the workloads still send: %w", ctx.Err())
		}
		now := w.sent.Load()
		if now == before {
			return nil
		}
		before = now
	}
}

func (w *Workloads) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/read", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/grpc")
		w.pour(rw, func() error { return http.NewResponseController(rw).Flush() })
	})
	mux.HandleFunc("/write", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/grpc")
		_ = http.NewResponseController(rw).EnableFullDuplex()
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/socket/{what}", func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
		defer stop()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if r.PathValue("what") == "read" {
			w.pour(conn, func() error { return nil })
			return
		}
		hold(r.Context(), conn)
	})
	return mux
}

func (w *Workloads) pour(to io.Writer, flush func() error) {
	zeros := make([]byte, block)
	for {
		n, err := to.Write(zeros)
		w.sent.Add(int64(n))
		if err != nil || flush() != nil {
			return
		}
	}
}

// hold keeps a connection and reads nothing of it.
func hold(ctx context.Context, conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetReadBuffer(block)
	}
	<-ctx.Done()
}

func (w *Workloads) serveTCP(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // ends with ctx
			defer func() { _ = conn.Close() }()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			var what [1]byte
			if _, err := io.ReadFull(conn, what[:]); err != nil {
				return
			}
			if what[0] == 'r' {
				w.pour(conn, func() error { return nil })
				return
			}
			hold(ctx, conn)
		}()
	}
}

// Call is one caller that stalls.
type Call struct {
	Kind    Kind
	Address string // HOST:PORT of the egress, or of a TCP service
	Service string // the name that the egress is asked for
	Writes  bool   // it sends to a workload that does not read; otherwise it stops reading
}

// Open makes the call and returns when it is stuck: as a writer when nothing has been taken of it for half a second,
// as a reader when it has read a first block and will read no more. Close of what it returns ends it.
func Open(ctx context.Context, c Call) (io.Closer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(block)
	what := "read"
	if c.Writes {
		what = "write"
	}
	switch c.Kind {
	case GRPC:
		return openHTTP2(ctx, conn, c.Service, what)
	case TCP:
		_, err = io.WriteString(conn, what[:1])
	case WebSocket:
		err = ask(conn, "GET /socket/"+what, c.Service, "Connection: Upgrade\r\nUpgrade: websocket\r\n")
	case HTTP:
		method, more := "GET", ""
		if c.Writes {
			method, more = "POST", "Content-Length: 1000000000\r\n"
		}
		err = ask(conn, method+" /"+what, c.Service, more)
	}
	if err == nil {
		err = stick(ctx, conn, c.Writes)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s: %w", c.Kind, what, err), conn.Close())
	}
	return conn, nil
}

// ask sends a request without its body and reads the answer's head.
func ask(conn net.Conn, line, service, headers string) error {
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", line, service, headers); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	status, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
	if err == nil && !strings.Contains(status, " 200 ") && !strings.Contains(status, " 101 ") {
		err = errors.New(strings.TrimSpace(status))
	}
	return err
}

// stick writes until nothing goes any more, or reads a block.
func stick(ctx context.Context, conn net.Conn, writes bool) error {
	zeros := make([]byte, block)
	if !writes {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := io.ReadFull(conn, zeros)
		return err
	}
	for ctx.Err() == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := conn.Write(zeros); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// openHTTP2 makes a call over a connection of its own, as Go's gRPC would.
func openHTTP2(ctx context.Context, conn net.Conn, service, what string) (io.Closer, error) {
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:   &h2c,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	body, pipe := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	closer := closerFunc(func() error { cancel(); _ = pipe.Close(); return conn.Close() })
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+service+"/"+what, body)
	if err != nil {
		return nil, errors.Join(err, closer())
	}
	req.Header.Set("Content-Type", "application/grpc")
	resp, err := transport.RoundTrip(req) //nolint:bodyclose // it is left open: that is what this is about
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err == nil && what == "read" {
		_, err = io.ReadFull(resp.Body, make([]byte, block))
	}
	if err == nil && what == "write" {
		err = fill(pipe)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("grpc %s: %w", what, err), closer())
	}
	return closer, nil
}

// fill writes until no write ends within half a second.
func fill(to io.Writer) error {
	taken, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ends when the pipe is closed
		defer close(taken)
		zeros := make([]byte, block)
		for {
			if _, err := to.Write(zeros); err != nil {
				ended <- err
				return
			}
			taken <- struct{}{}
		}
	}()
	timer := time.NewTimer(500 * time.Millisecond)
	defer timer.Stop()
	for {
		select {
		case _, more := <-taken:
			if !more {
				return <-ended
			}
			timer.Reset(500 * time.Millisecond)
		case <-timer.C:
			go func() { // ends with the writer: what is still taken is not waited for
				for range taken {
				}
			}()
			return nil
		}
	}
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }
