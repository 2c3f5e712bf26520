// Command demo shows the main job on one machine: three nodes in a line, each with its Envoy, and an application at one end that reaches
// services at the other by their names.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

func main() {
	once := flag.Bool("once", false, "end after the show, instead of staying up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any)   { fmt.Printf("\n"+format+"\n", args...) }
func shows(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }

// show is what the demo has at hand.
type show struct {
	*lab.Lab
	a, b, c *lab.Node
	stopAPI context.CancelFunc // ends the HTTP API at a
	apiAddr string
}

func run(ctx context.Context, once bool) (err error) {
	binary, err := filepath.Abs("bin/catalyst")
	if err != nil {
		return err
	}
	began := time.Now()
	l, err := lab.New(ctx, binary, "acme.example")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s := &show{Lab: l}
	for _, act := range []func(context.Context) error{s.nodes, s.services, s.calls, s.crash, s.live, s.gone} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	say("That was it, in %s.", time.Since(began).Round(time.Second))
	if once {
		return nil
	}
	say("The three nodes stay up until you press Ctrl-C. Try, in another terminal:")
	shows("curl -H 'Host: books.acme.example' http://%s/books", s.c.Egress)
	shows("%s --socket %s route list", binary, filepath.Join(s.c.Dir, "data", "catalyst.sock"))
	shows("%s --socket %s route explain books", binary, filepath.Join(s.c.Dir, "data", "catalyst.sock"))
	shows("%s --socket %s watch", binary, filepath.Join(s.b.Dir, "data", "catalyst.sock"))
	<-ctx.Done()
	return nil
}

// nodes starts three nodes in a line.
func (s *show) nodes(ctx context.Context) error {
	say("Three nodes of acme.example, each with a real Envoy beside it: a – b – c. a and c are not peers.")
	for _, n := range []struct {
		name string
		at   **lab.Node
	}{{"a", &s.a}, {"b", &s.b}, {"c", &s.c}} {
		node, err := s.Add(ctx, n.name)
		if err != nil {
			return err
		}
		*n.at = node
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
	go serve("HTTP API", func() error { return examples.ServeHTTP(apiCtx, api, examples.HTTPAPI("the book shop beside a")) })
	rpc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serve("gRPC service", func() error { return examples.ServeGRPC(ctx, rpc, "the gRPC service beside a") })
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serve("line server", func() error { return examples.ServeLines(ctx, lines, "the line server beside b") })
	for _, r := range []struct {
		at                      *lab.Node
		name, address, protocol string
	}{{s.a, "books", s.apiAddr, "http"}, {s.a, "stock", rpc.Addr().String(), "grpc"}, {s.b, "lines", lines.Addr().String(), "tcp"}} {
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
	status, body, err := s.c.Get(ctx, "books.acme.example", "/headers")
	if err != nil || status != 200 {
		return fmt.Errorf("status %d %s: %w", status, body, err)
	}
	var seen struct {
		Instance string
		Headers  map[string][]string
	}
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		return err
	}
	shows("HTTP  books.acme.example → %s answers in %s; the request crossed %s", seen.Instance, time.Since(began).Round(100*time.Microsecond), strings.Join(seen.Headers["X-Catalyst-Path"], " "))
	return nil
}

func (s *show) callGRPC(ctx context.Context) error {
	conn, err := grpc.NewClient("passthrough:///"+s.c.Egress, grpc.WithAuthority("stock.acme.example"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	resp, err := testpb.NewTestServiceClient(conn).UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("hello")}})
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

// crash kills b's control plane while traffic flows, and brings it back.
func (s *show) crash(ctx context.Context) error {
	say("Now b's control plane is killed (kill -9), while the application at c goes on calling books once every few milliseconds:")
	pid := s.b.EnvoyPID()
	stop, result := s.traffic(ctx)
	if err := s.b.Stop(syscall.SIGKILL); err != nil {
		return err
	}
	shows("b's process is dead; its Envoy %d runs on, and a and c keep b's routes as stale", pid)
	if err := s.b.Start(ctx); err != nil {
		return err
	}
	if err := lab.Eventually(ctx, "b has its sessions back", func(ctx context.Context) error {
		out, err := s.b.CLI(ctx, "peer", "list")
		if err == nil && strings.Count(out, "Established") != 2 {
			err = errors.New("not all are established")
		}
		return err
	}); err != nil {
		return err
	}
	stop()
	r := <-result
	shows("b is back and has adopted Envoy %d: %d requests meanwhile, %d failed", s.b.EnvoyPID(), r.total, r.failed)
	if r.failed > 0 || s.b.EnvoyPID() != pid {
		return fmt.Errorf("%d of %d requests failed while b's control plane was away: %s", r.failed, r.total, r.why)
	}
	return nil
}

type traffic struct {
	total, failed int
	why           string
}

// traffic calls books until it is stopped.
func (s *show) traffic(ctx context.Context) (stop context.CancelFunc, result <-chan traffic) {
	stopped := make(chan struct{})
	out := make(chan traffic, 1)
	go func() {
		var r traffic
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				out <- r
				return
			case <-tick.C:
			}
			status, body, err := s.c.Get(ctx, "books.acme.example", "/books")
			r.total++
			if err != nil || status != 200 {
				r.failed++
				r.why = fmt.Sprint(status, body, err)
			}
		}
	}()
	return func() { close(stopped) }, out
}

// live adds a service while everything runs.
func (s *show) live(ctx context.Context) error {
	say("A service added live: films, beside b.")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serve("films", func() error { return examples.ServeHTTP(ctx, l, examples.HTTPAPI("the cinema beside b")) })
	if status, body, err := s.c.Get(ctx, "films.acme.example", "/books"); err == nil {
		shows("before: %d %s", status, strings.TrimSpace(body))
	}
	began := time.Now()
	if _, err := s.b.CLI(ctx, "route", "add", "films", "--addr", l.Addr().String()); err != nil {
		return err
	}
	err = lab.Eventually(ctx, "films answers", func(ctx context.Context) error {
		status, _, err := s.c.Get(ctx, "films.acme.example", "/books")
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	shows("after: 200 at c, %s after the command was typed at b", time.Since(began).Round(time.Millisecond))
	return err
}

// gone stops a workload and withdraws its service.
func (s *show) gone(ctx context.Context) error {
	say("The book shop closes: its process ends, and then a withdraws the route.")
	s.stopAPI()
	if err := lab.Eventually(ctx, "books fails", func(ctx context.Context) error {
		status, body, err := s.c.Get(ctx, "books.acme.example", "/books")
		if err == nil && status == 200 {
			return errors.New("still answers")
		}
		shows("its process has ended: %d %s", status, strings.TrimSpace(body))
		return nil
	}); err != nil {
		return err
	}
	if _, err := s.a.CLI(ctx, "route", "remove", "books"); err != nil {
		return err
	}
	return lab.Eventually(ctx, "books is unknown", func(ctx context.Context) error {
		status, body, err := s.c.Get(ctx, "books.acme.example", "/books")
		if err == nil && status != 404 {
			err = fmt.Errorf("status %d", status)
		}
		if err == nil {
			shows("its route is withdrawn: %d %s", status, strings.TrimSpace(body))
		}
		return err
	})
}
