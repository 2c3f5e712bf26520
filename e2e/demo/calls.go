package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// calls acts as an application at c.
func (s *show) calls(ctx context.Context) error {
	say("An application at c calls them by name, through c's Envoy. Each hop is mutual TLS between Envoys:")
	if err := lab.Eventually(ctx, "books answers", s.callHTTP); err != nil {
		return err
	}
	if err := lab.Eventually(ctx, "stock answers", s.callGRPC); err != nil {
		return err
	}
	if err := lab.Eventually(ctx, "lines answers", s.callTCP); err != nil {
		return err
	}
	out, err := s.c.CLI(ctx, "route", "explain", "books")
	if err != nil {
		return err
	}
	say("Why does it go that way? At c: catalyst route explain books")
	fmt.Print("    " + strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n    ") + "\n")
	return nil
}

func (s *show) callHTTP(ctx context.Context) error {
	began := time.Now()
	instance, crossed, err := s.askHTTP(ctx)
	if err != nil {
		return err
	}
	shows("HTTP  books.acme.example → %s answers in %s; the request crossed %s", instance,
		time.Since(began).Round(100*time.Microsecond), crossed)
	return nil
}

// askHTTP asks for books at c, and returns who answered and the nodes that the request crossed.
func (s *show) askHTTP(ctx context.Context) (instance, crossed string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.c.Egress+"/headers", nil)
	if err != nil {
		return "", "", err
	}
	req.Host = "books.acme.example"
	seen, err := headers(req)
	return seen.Get("X-Served-By"), strings.Join(seen.Values("X-Catalyst-Path"), " "), err
}

// headers sends a request for /headers of the HTTP API, and returns those with which it arrived.
func headers(req *http.Request) (http.Header, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d %s: %w", resp.StatusCode, body, err)
	}
	var seen struct {
		Instance string
		Headers  http.Header
	}
	if err := json.Unmarshal(body, &seen); err != nil {
		return nil, err
	}
	seen.Headers.Set("X-Served-By", seen.Instance)
	return seen.Headers, nil
}

func (s *show) callGRPC(ctx context.Context) error {
	conn, err := grpc.NewClient("passthrough:///"+s.c.Egress, grpc.WithAuthority("stock.acme.example"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	resp, err := testpb.NewTestServiceClient(conn).UnaryCall(ctx,
		&testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("hello")}})
	if err != nil {
		return err
	}
	shows("gRPC  stock.acme.example → %s answers in %s", resp.GetUsername(), time.Since(began).Round(100*time.Microsecond))
	return nil
}

func (s *show) callTCP(ctx context.Context) error {
	address, err := s.c.TCPPort(ctx, "lines")
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintln(conn, "hello")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	shows("TCP   lines.acme.example → %q, by c's own port %s", strings.TrimSpace(line), address)
	return nil
}
