//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/envoy"
)

// fewFiles has every process of the lab, from now on, be one that may open no more files than that.
func fewFiles(t *testing.T, l *lab.Lab, most int) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "catalyst")
	text := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", most, l.Binary)
	must(t, os.WriteFile(script, []byte(text), 0o700)) //nolint:gosec // a program
	l.Binary = script
}

// openFiles returns how many files the node's Envoy has open.
func openFiles(t *testing.T, n *lab.Node) int {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.EnvoyPID()))
	must(t, err)
	return len(names)
}

// Somebody opens connections to the mesh ingress and never begins TLS, from one address, faster than they end. He
// gets a share of what the ingress takes, each of them for some seconds; applications beside the node and other nodes
// notice nothing.
func TestConnectionsThatNeverBeginTLS(t *testing.T) {
	l, n := world(t, "c", "")
	fewFiles(t, l, 2000) // 500 connections at the ingress, 62 for a source
	_, err := l.Add(t.Context(), "a")
	must(t, err)
	must(t, lab.Peer(t.Context(), n("c"), n("a")))
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	before := openFiles(t, n("a"))
	var opened, most atomic.Int64
	attack, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var first sync.Once
	reached := make(chan struct{})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}}
	for range 4 {
		attackers.Go(func() {
			for attack.Err() == nil {
				conn, err := dialer.DialContext(attack, "tcp", n("a").Ingress)
				if err != nil {
					continue
				}
				context.AfterFunc(attack, func() { _ = conn.Close() })
				if opened.Add(1) == 2000 {
					first.Do(func() { close(reached) })
				}
			}
		})
	}
	<-reached
	for range 100 {
		for _, at := range []*lab.Node{n("a"), n("c")} { // at a, egress beside the attacked ingress
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			status, body, err := at.Get(ctx, "books.acme.example", "/books")
			cancel()
			if err != nil || status != http.StatusOK {
				t.Fatalf("a call at %s, with %d connections opened: %d %s %v", at.Name, opened.Load(), status, body, err)
			}
		}
		most.Store(max(most.Load(), int64(openFiles(t, n("a"))-before)))
	}
	stop()
	attackers.Wait()
	t.Logf("%d connections opened from one source, at most %d of them at a time", opened.Load(), most.Load())
	if most.Load() > 200 {
		t.Errorf("%d files for connections of one source that never began TLS", most.Load())
	}
	quiet, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n("a").Ingress)
	must(t, err)
	defer func() { _ = quiet.Close() }()
	began := time.Now()
	must(t, quiet.SetReadDeadline(began.Add(20*time.Second)))
	if _, err := quiet.Read(make([]byte, 1)); err == nil || time.Since(began) > 15*time.Second {
		t.Errorf("a connection that says nothing is kept: %v after %s", err, time.Since(began))
	}
}

// More TCP connections and hanging requests come to a node than its Envoy may have files for. It refuses what is too
// much and lives: those that it has go on, and when they end there is room again.
func TestEnvoyOutlivesItsLimitOfFiles(t *testing.T) {
	l, n := world(t, "c", "")
	fewFiles(t, l, 1200)
	_, err := l.Add(t.Context(), "a")
	must(t, err)
	must(t, lab.Peer(t.Context(), n("c"), n("a")))
	offer(t, n("a"), "books", "one")
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
	must(t, err)
	const services = 8
	for i := range services {
		hangs(t, n("a"), fmt.Sprintf("hangs%d", i))
	}
	answers(t, n("c"), "books", "one")
	var port string
	must(t, lab.Eventually(t.Context(), "the services arrive", func(ctx context.Context) error {
		var err error
		port, err = n("c").TCPPort(ctx, "lines")
		status, _, failed := n("c").Get(ctx, fmt.Sprintf("hangs%d.acme.example", services-1), "/now")
		if failed == nil && status != http.StatusOK {
			failed = fmt.Errorf("status %d", status)
		}
		return errors.Join(err, failed)
	}))
	pid := n("a").EnvoyPID()
	served, refused, end := flood(t, port, n("c").Egress, services)
	files := openFiles(t, n("a"))
	t.Logf("%d TCP connections served and %d refused, beside %d hanging requests; Envoy has %d files open", served,
		refused, services*150, files)
	if now := n("a").EnvoyPID(); now != pid {
		t.Fatalf("Envoy has ended: it was %d and is %d", pid, now)
	}
	if files < 600 || refused == 0 {
		t.Errorf("%d files open and %d connections refused: want what there are files for, and no more", files, refused)
	}
	answers(t, n("a"), "books", "one")
	end()
	must(t, lab.Eventually(t.Context(), "there is room again", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", port)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, "hello\n")
		_, err = bufio.NewReader(conn).ReadString('\n')
		return err
	}))
	answers(t, n("c"), "books", "one")
}

// hangs offers a workload that answers /now, and nothing else before the request is over.
func hangs(t *testing.T, n *lab.Node, service string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() {
		_ = examples.ServeHTTP(t.Context(), l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/now" {
				<-r.Context().Done()
			}
		}))
	}()
	_, err = n.CLI(t.Context(), "route", "add", service, "--addr", l.Addr().String())
	must(t, err)
}

// flood opens 1,000 connections to a TCP service and 150 requests to each of the services that hang, and tells how
// many of the connections were taken when all are in place.
func flood(t *testing.T, port, egress string, services int) (served, refused int, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var all sync.WaitGroup
	count := func(taken bool) {
		mu.Lock()
		defer mu.Unlock()
		if taken {
			served++
		} else {
			refused++
		}
	}
	keep := func(conn net.Conn) { context.AfterFunc(ctx, func() { _ = conn.Close() }) }
	call := func(address, say string, taken func(net.Conn) bool) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			count(false)
			return
		}
		keep(conn)
		_, _ = io.WriteString(conn, say)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		count(taken(conn))
	}
	limit := make(chan struct{}, 64) // at a time
	begin := func(address, say string, taken func(net.Conn) bool) {
		limit <- struct{}{}
		all.Go(func() { defer func() { <-limit }(); call(address, say, taken) })
	}
	for i := range 1000 {
		begin(port, "hello\n", func(conn net.Conn) bool {
			answer, _ := bufio.NewReader(conn).ReadString('\n')
			return answer == "lines: hello\n"
		})
		for j := 0; i < 150 && j < services; j++ {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", egress)
			must(t, err)
			keep(conn)
			fmt.Fprintf(conn, "GET /hang HTTP/1.1\r\nHost: hangs%d.acme.example\r\n\r\n", j)
		}
	}
	all.Wait()
	return served, refused, cancel
}

// An Envoy that runs in a container of its own, beside a node without one, has the limits that a node's own Envoy has.
func TestEnvoyBesideANodeHasLimits(t *testing.T) {
	l, err := lab.New(t.Context(), binary(t), "acme.example")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	t.Setenv("CATALYST_ENVOY_ENABLED", "false")
	a, err := l.Add(t.Context(), "a")
	must(t, err)
	offer(t, a, "books", "one")
	data := filepath.Join(a.Dir, "data")
	cmd := exec.Command(l.Binary, "envoy", "run", "--data", data, "--envoy-workers", "1", "--envoy-memory", "256",
		"--envoy-descriptors", "2000")
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait() // Envoy's own end
	})
	answers(t, a, "books", "one")
	stats, err := envoy.NewAdmin(filepath.Join(data, "envoy-admin.sock")).Get(t.Context(), "/stats?filter=overload")
	must(t, err)
	for _, want := range []string{
		"overload.envoy.resource_monitors.fixed_heap.pressure: ",
		"overload.envoy.overload_actions.shrink_heap.active: 0",
	} {
		if !strings.Contains(string(stats), want) {
			t.Errorf("no %q among\n%s", want, stats)
		}
	}
}
