package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
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
	status, body, err := s.c.Get(ctx, "books.acme.example", "/headers")
	if err != nil || status != 200 {
		return "", "", fmt.Errorf("status %d %s: %w", status, body, err)
	}
	var seen struct {
		Instance string
		Headers  map[string][]string
	}
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		return "", "", err
	}
	return seen.Instance, strings.Join(seen.Headers["X-Catalyst-Path"], " "), nil
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
