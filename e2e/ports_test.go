//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// greeter is a TCP workload that says its name to whoever connects, and offers it at a node.
func greeter(t *testing.T, n *lab.Node, name string, flags ...string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(conn, name)
			_ = conn.Close()
		}
	}()
	_, err = n.CLI(t.Context(), append([]string{"route", "add", name, "-p", "tcp", "--addr", l.Addr().String()},
		flags...)...)
	must(t, err)
	return l.Addr().String()
}

// greeting is what a port says; "" if it takes no connection or says nothing.
func greeting(ctx context.Context, address string) string {
	conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

// ports are what applications beside the nodes were told: node/service → 127.0.0.1:PORT.
type ports map[string]string

func portsOf(t *testing.T, nodes []*lab.Node, services ...string) ports {
	t.Helper()
	p := ports{}
	for _, n := range nodes {
		for _, svc := range services {
			must(t, lab.Eventually(t.Context(), "the port of "+svc+" at "+n.Name, func(ctx context.Context) (err error) {
				p[n.Name+"/"+svc], err = n.TCPPort(ctx, svc)
				return err
			}))
		}
	}
	return p
}

// hold waits until each service is where it was, as the node says and as the connection shows. A port at which
// another service answers is an error at once.
func (p ports) hold(t *testing.T, after string, nodes []*lab.Node) {
	t.Helper()
	for _, n := range nodes {
		for at, address := range p {
			node, svc, _ := strings.Cut(at, "/")
			if node != n.Name {
				continue
			}
			must(t, lab.Eventually(t.Context(), fmt.Sprintf("after %s, %s at %s of node %s", after, svc, address, node),
				func(ctx context.Context) error {
					got := greeting(ctx, address)
					if got != "" && got != svc {
						t.Fatalf("after %s, an application at %s that dials %s for %s reaches %s", after, node, address, svc, got)
					}
					said, err := n.TCPPort(ctx, svc)
					if err == nil && said != address {
						err = fmt.Errorf("the node says that it is at %s", said)
					}
					if err == nil && got == "" {
						err = errors.New("nobody answers")
					}
					return err
				}))
		}
	}
}

// Applications keep the port that they were told, whatever comes and goes in whatever order, and never reach another
// service there.
func TestPortsStay(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "b-a")
	both := []*lab.Node{n("a"), n("b")}
	zeta := greeter(t, n("a"), "zeta")
	portsOf(t, both, "zeta") // so that it has the first port, at both
	alpha := greeter(t, n("a"), "alpha")
	told := portsOf(t, both, "zeta", "alpha")
	told.hold(t, "the start", both)
	cli := func(node string, args ...string) {
		t.Helper()
		_, err := n(node).CLI(t.Context(), args...)
		must(t, err)
	}
	cli("b", "peer", "reset", "a")
	told.hold(t, "a peer reset", both)
	cli("a", "route", "remove", "zeta")
	cli("a", "route", "remove", "alpha")
	vanished(t, both, "zeta", "alpha")
	cli("a", "route", "add", "alpha", "-p", "tcp", "--addr", alpha)
	portsOf(t, both, "alpha")
	cli("a", "route", "add", "zeta", "-p", "tcp", "--addr", zeta)
	told.hold(t, "removal, and addition the other way round", both)
	restart(t, syscall.SIGTERM, both...)
	told.hold(t, "a restart of both nodes", both)
	restart(t, syscall.SIGINT, n("b"), n("a"))
	told.hold(t, "a stop of both nodes and their Envoys", both)
	// A peer that never answers: what Envoy was given before the restart and what the node gives it then are the same.
	cli("b", "peer", "add", "ghost", "127.0.0.1:1")
	restart(t, syscall.SIGKILL, n("a"), n("b"))
	told.hold(t, "a restart with a peer that does not answer", both)
	third := greeter(t, n("a"), "mu")
	portsOf(t, both, "mu")
	told.hold(t, "a third service at "+third, both)
	for _, node := range both {
		out, err := node.CLI(t.Context(), "envoy", "status")
		must(t, err)
		if strings.Contains(out, "refuses") {
			t.Errorf("the Envoy of %s refuses something:\n%s", node.Name, out)
		}
	}
}

// A service that its node withdraws because its workload is down comes back where it was, whoever came meanwhile.
func TestPortsStayOverAWithdrawal(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "b-a")
	var well atomic.Bool
	well.Store(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	address := l.Addr().String()
	serve := func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(conn, "zeta")
			_ = conn.Close()
		}
	}
	go serve(l)
	_, err = n("a").CLI(t.Context(), "route", "add", "zeta", "-p", "tcp", "--addr", address, "--health", "tcp",
		"--health-interval", "100ms", "--health-timeout", "90ms",
		"--when-down", "withdraw")
	must(t, err)
	both := []*lab.Node{n("a"), n("b")}
	told := portsOf(t, both, "zeta")
	told.hold(t, "the start", both)
	must(t, l.Close())
	vanished(t, both, "zeta")
	greeter(t, n("a"), "alpha")
	portsOf(t, both, "alpha")
	l, err = net.Listen("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go serve(l)
	told.hold(t, "a withdrawal", both)
}

// An operator chooses a port, at the node that offers a service and at one that uses it, and frees that of a service
// that is gone.
func TestPortsArePinnedAndFreed(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "b-a")
	both := []*lab.Node{n("a"), n("b")}
	chosen := strings.Split(strings.Trim(n("a").Ports, "[]"), ", ")[3]
	greeter(t, n("a"), "zeta", "--port", chosen)
	told := portsOf(t, both, "zeta")
	if told["a/zeta"] != "127.0.0.1:"+chosen {
		t.Errorf("zeta is at %s, want %s", told["a/zeta"], chosen)
	}
	told.hold(t, "the start", both)
	says(t, n("b"), "zeta", 421, "reach it at "+told["b/zeta"]) // whoever asks it over HTTP is told where it is
	// Another port for a service in use: the listener moves.
	other := strings.Split(strings.Trim(n("b").Ports, "[]"), ", ")[2]
	_, err := n("b").CLI(t.Context(), "envoy", "ports", "pin", "zeta", other)
	must(t, err)
	told["b/zeta"] = "127.0.0.1:" + other
	told.hold(t, "a pin at b", both)
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"belongs to zeta.acme.example", []string{"ports", "pin", "alpha", other}},
		{"is in use at port " + other, []string{"ports", "free", "zeta"}},
		{"has no port", []string{"ports", "free", "nobody"}},
	} {
		if _, err := n("b").CLI(t.Context(), append([]string{"envoy"}, tt.args...)...); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %q", tt.args, err, tt.want)
		}
	}
	_, err = n("a").CLI(t.Context(), "route", "remove", "zeta")
	must(t, err)
	vanished(t, both, "zeta")
	prints(t, n("b"), "kept, no route for", "envoy", "ports")
	_, err = n("b").CLI(t.Context(), "envoy", "ports", "free", "zeta")
	must(t, err)
	_, err = n("b").CLI(t.Context(), "envoy", "ports", "pin", "alpha", other)
	must(t, err)
	greeter(t, n("a"), "alpha")
	portsOf(t, both, "alpha")
	ports{"b/alpha": "127.0.0.1:" + other}.hold(t, "a port was freed and pinned to another", both)
}

// vanished waits until services are known nowhere.
func vanished(t *testing.T, nodes []*lab.Node, services ...string) {
	t.Helper()
	for _, n := range nodes {
		for _, svc := range services {
			must(t, lab.Eventually(t.Context(), svc+" is gone at "+n.Name, func(ctx context.Context) error {
				if _, err := n.CLI(ctx, "route", "show", svc); err == nil {
					return errors.New("it is known")
				}
				return nil
			}))
		}
	}
}

// restart stops all of the nodes, and starts them when all have ended.
func restart(t *testing.T, sig syscall.Signal, nodes ...*lab.Node) {
	t.Helper()
	for _, n := range nodes {
		must(t, n.Stop(sig))
	}
	for _, n := range nodes {
		must(t, n.Start(t.Context()))
	}
}
