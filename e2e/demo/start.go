package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// nodes starts three nodes in a line.
func (s *show) nodes(ctx context.Context) error {
	say("An organisation runs its own identity: catalyst org init acme.example, catalyst auth. " +
		"Its nodes join by one-time tokens.")
	if err := s.StartAuth(ctx); err != nil {
		return err
	}
	say("Three nodes of acme.example, each with a real Envoy beside it: a – b – c. a and c are not peers.")
	for _, n := range []struct {
		name string
		at   **lab.Node
	}{{"a", &s.a}, {"b", &s.b}, {"c", &s.c}} {
		node, err := s.Add(ctx, n.name, "--policy-enforce", "on", "--policy-tokens", "organisation", "--tap-enabled",
			"--web", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*n.at = node
		shows("catalyst org join-token --node %s; catalyst node --join TOKEN …", n.name)
		shows("%s: peers at %s, mesh ingress at %s, applications at %s", n.name, node.Peering, node.Ingress, node.Egress)
	}
	if err := errors.Join(lab.Peer(ctx, s.a, s.b), lab.Peer(ctx, s.c, s.b)); err != nil {
		return err
	}
	return nil
}

// services starts workloads and announces them.
func (s *show) services(ctx context.Context) error {
	say("An HTTP API and a gRPC service beside a, a TCP line server beside b. Each is announced by one command:")
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	apiCtx, stop := context.WithCancel(ctx)
	s.stopAPI, s.apiAddr = stop, api.Addr().String()
	go serve("HTTP API", func() error {
		return examples.ServeHTTP(apiCtx, api,
			examples.HTTPAPI("the book shop beside a"))
	})
	rpc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.rpcAddr = rpc.Addr().String()
	go serve("gRPC service", func() error { return examples.ServeGRPC(ctx, rpc, "the gRPC service beside a") })
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serve("line server", func() error { return examples.ServeLines(ctx, lines, "the line server beside b") })
	for _, r := range []struct {
		at                      *lab.Node
		name, address, protocol string
	}{{s.a, "books", s.apiAddr, "http"}, {s.a, "stock", s.rpcAddr, "grpc"}, {s.b, "lines", lines.Addr().String(), "tcp"}} {
		shows("at %s: catalyst route add %s --addr %s --protocol %s", r.at.Name, r.name, r.address, r.protocol)
		if _, err := r.at.CLI(ctx, "route", "add", r.name, "--addr", r.address, "--protocol", r.protocol); err != nil {
			return err
		}
	}
	return lab.Eventually(ctx, "c has all routes", func(ctx context.Context) error {
		out, err := s.c.CLI(ctx, "route", "list")
		for _, name := range []string{"books", "stock", "lines"} {
			if err == nil && !strings.Contains(out, name) {
				err = fmt.Errorf("%s is missing", name)
			}
		}
		return err
	})
}

// serve runs a workload and says if it breaks.
func serve(name string, f func() error) {
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", name, err)
	}
}
