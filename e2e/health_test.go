//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// sick is an HTTP workload that says of itself whether it is well, and goes on answering either way.
func sick(t *testing.T, instance string) (address string, well *atomic.Bool) {
	t.Helper()
	well = new(atomic.Bool)
	well.Store(true)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if !well.Load() || r.Host != "books.acme.example" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, instance) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), well
}

// says waits until a service answers at a node with a status and a text.
func says(t *testing.T, n *lab.Node, service string, want int, text string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name, func(ctx context.Context) error {
		status, body, err := n.Get(ctx, service+".acme.example", "/books")
		if err == nil && (status != want || !strings.Contains(body, text)) {
			err = fmt.Errorf("%d %s, want %d %s", status, body, want, text)
		}
		return err
	}))
}

// prints waits until a command at a node prints a text.
func prints(t *testing.T, n *lab.Node, text string, args ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), strings.Join(args, " ")+" at "+n.Name, func(ctx context.Context) error {
		out, err := n.CLI(ctx, args...)
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("want %q in\n%s", text, out)
		}
		return err
	}))
}

// A workload that says that it is not well is left by every node, and each says whose workload it is; it comes back.
// The same where the operator wants it withdrawn.
func TestHealthTravels(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b")
	address, well := sick(t, "one")
	check := []string{"--addr", address, "--health", "http:/healthz", "--health-interval", "100ms", "--health-timeout",
		"90ms"}
	_, err := n("a").CLI(t.Context(), append([]string{"route", "add", "books"}, check...)...)
	must(t, err)
	answers(t, n("c"), "books", "one")
	prints(t, n("c"), "up", "route", "show", "books")
	well.Store(false)
	says(t, n("c"), "books", 503, "Its workload is down, says acme.example/a.")
	prints(t, n("c"), "down", "route", "explain", "books")
	prints(t, n("a"), "GET /healthz: 503 Service Unavailable", "route", "show", "books")
	says(t, n("a"), "books", 503, "Its workload is down, says acme.example/a.")
	well.Store(true)
	answers(t, n("c"), "books", "one")
	_, err = n("a").CLI(t.Context(), append([]string{"route", "update", "books", "--when-down", "withdraw"}, check...)...)
	must(t, err)
	answers(t, n("c"), "books", "one")
	well.Store(false)
	gone(t, n("c"), "books")
	well.Store(true)
	answers(t, n("c"), "books", "one")
}

// With a second instance nobody notices: a workload that says that it is not well is left without one failed request,
// from afar and beside it.
func TestHealthMovesTrafficWithoutALoss(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b a-c")
	address, well := sick(t, "one")
	_, err := n("a").CLI(t.Context(), "route", "add", "books", "--addr", address, "--health", "/healthz",
		"--health-interval", "100ms", "--weight", "1000")
	must(t, err)
	other, _ := sick(t, "two")
	_, err = n("b").CLI(t.Context(), "route", "add", "books", "--addr", other, "--health", "tcp")
	must(t, err)
	answers(t, n("c"), "books", "one")
	answers(t, n("a"), "books", "one")
	far, near := load(t, n("c"), "books"), load(t, n("a"), "books")
	well.Store(false)
	answers(t, n("a"), "books", "two")
	must(t, lab.Eventually(t.Context(), "c leaves a", func(ctx context.Context) error {
		for range 40 {
			if _, body, err := n("c").Get(ctx, "books.acme.example", "/books"); err != nil || !strings.Contains(body, "two") {
				return fmt.Errorf("%s %w", body, err)
			}
		}
		return nil
	}))
	well.Store(true)
	answers(t, n("a"), "books", "one")
	for at, stop := range map[string]func() (int64, int64, string){"c": far, "a": near} {
		if total, failed, why := stop(); failed > 0 || total == 0 {
			t.Errorf("%s: %d of %d requests failed: %s", at, failed, total, why)
		}
	}
}

// gRPC by its own health protocol, TCP by connecting.
func TestHealthOfGRPCAndTCP(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b")
	rpc, states := grpc.NewServer(), grpchealth.NewServer()
	healthpb.RegisterHealthServer(rpc, states)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = rpc.Serve(l) }()
	t.Cleanup(rpc.Stop)
	_, err = n("a").CLI(t.Context(), "route", "add", "stock", "--addr", l.Addr().String(), "-p", "grpc", "--health",
		"grpc:stock.Stock", "--health-interval", "100ms")
	must(t, err)
	prints(t, n("a"), "grpc.health.v1: NotFound: unknown service", "route", "show", "stock")
	states.SetServingStatus("stock.Stock", healthpb.HealthCheckResponse_SERVING)
	prints(t, n("b"), "up", "route", "show", "stock")
	states.SetServingStatus("stock.Stock", healthpb.HealthCheckResponse_NOT_SERVING)
	prints(t, n("b"), "down", "route", "show", "stock")
	says(t, n("b"), "stock", 503, "Its workload is down, says acme.example/a.")

	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := lines.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	go func() { _ = examples.ServeLines(ctx, lines, "lines") }()
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", at, "-p", "tcp", "--health", "tcp",
		"--health-interval", "100ms")
	must(t, err)
	prints(t, n("b"), "up", "route", "show", "lines")
	port, err := n("b").TCPPort(t.Context(), "lines")
	must(t, err)
	ask := func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", port)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		fmt.Fprintln(conn, "hello")
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != "lines: hello\n" {
			return fmt.Errorf("got %q, %w", got, err)
		}
		return nil
	}
	must(t, lab.Eventually(t.Context(), "lines at b", ask))
	stop()
	_ = lines.Close()
	prints(t, n("b"), "down", "route", "show", "lines")
	if after, err := n("b").TCPPort(t.Context(), "lines"); err != nil || after != port {
		t.Errorf("the port was %s and is %s: %v", port, after, err)
	}
	must(t, lab.Eventually(t.Context(), "lines is cut at b", func(ctx context.Context) error {
		if ask(ctx) == nil {
			return errors.New("it answers")
		}
		return nil
	}))
	lines, err = net.Listen("tcp", at)
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	prints(t, n("b"), "up", "route", "show", "lines")
	must(t, lab.Eventually(t.Context(), "lines at b again", ask))
}
