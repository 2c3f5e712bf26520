// Package examples holds the small workloads that the demo and the end-to-end tests offer through the mesh: an HTTP
// API, a gRPC service and a line server. They know nothing of the router, as a user's own services would not.
package examples

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// Book is what the HTTP API lists.
type Book struct {
	Title  string `json:"title"`
	Author string `json:"author"`
}

// HTTPAPI returns a handler that says who answers and how it was reached:
//
//	GET /books     two books, and the name of this instance
//	GET /headers   the request's headers, as the workload sees them
//	GET /stream    COUNT lines, one each EVERY (query parameters n and every), flushed one by one
//	POST /echo     the body
//	GET /health    200
func HTTPAPI(instance string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /books", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"instance": instance, "books": []Book{
			{"The Left Hand of Darkness", "Ursula K. Le Guin"}, {"Solaris", "Stanisław Lem"}}})
	})
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"instance": instance, "host": r.Host, "headers": r.Header})
	})
	mux.HandleFunc("GET /stream", stream)
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, http.MaxBytesReader(w, r.Body, 64<<20))
	})
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	return mux
}

func stream(w http.ResponseWriter, r *http.Request) {
	var n int
	if _, err := fmt.Sscan(r.FormValue("n"), &n); err != nil || n < 1 || n > 10_000 {
		http.Error(w, "want n of 1 to 10000", http.StatusBadRequest)
		return
	}
	every, err := time.ParseDuration(r.FormValue("every"))
	if err != nil || every <= 0 || every > time.Minute {
		http.Error(w, "want every as a duration of at most 1m", http.StatusBadRequest)
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		fmt.Fprintf(w, "line %d\n", i)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// ServeHTTP serves h on l until ctx ends.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// ServeGRPC serves calls of three kinds of grpc.testing.TestService (unary, server stream, both ways), and
// grpc.health.v1, on l until ctx ends. instance is the username of every unary answer.
func ServeGRPC(ctx context.Context, l net.Listener, instance string) error {
	srv := grpc.NewServer()
	testpb.RegisterTestServiceServer(srv, &testService{instance: instance})
	healthpb.RegisterHealthServer(srv, health.NewServer())
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	if err := srv.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve grpc: %w", err)
	}
	return nil
}

// ServeLines answers each line on a connection with "NAME: LINE" until ctx ends; then it closes every connection.
func ServeLines(ctx context.Context, l net.Listener, name string) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		conns.Go(func() {
			done := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer done()
			defer func() { _ = c.Close() }()
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				if _, err := fmt.Fprintf(c, "%s: %s\n", name, lines.Text()); err != nil {
					return
				}
			}
		})
	}
}

type testService struct {
	testpb.UnimplementedTestServiceServer
	instance string
}

// UnaryCall answers with the payload it got.
func (s *testService) UnaryCall(_ context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Username: s.instance, Payload: r.GetPayload()}, nil
}

// StreamingOutputCall sends the payloads that the request asks for, each after its interval.
func (s *testService) StreamingOutputCall(r *testpb.StreamingOutputCallRequest,
	out testpb.TestService_StreamingOutputCallServer) error {
	return s.answer(out.Context(), r, out.Send)
}

// FullDuplexCall answers each request of the stream as StreamingOutputCall does.
func (s *testService) FullDuplexCall(both testpb.TestService_FullDuplexCallServer) error {
	for {
		r, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.answer(both.Context(), r, both.Send); err != nil {
			return err
		}
	}
}

func (s *testService) answer(ctx context.Context, r *testpb.StreamingOutputCallRequest,
	send func(*testpb.StreamingOutputCallResponse) error) error {
	const most = 4 << 20
	for _, p := range r.GetResponseParameters() {
		if p.GetSize() < 0 || p.GetSize() > most {
			return status.Errorf(codes.InvalidArgument, "response_parameters.size: want 0 to %d", most)
		}
		select {
		case <-time.After(time.Duration(p.GetIntervalUs()) * time.Microsecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte,
			p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}
