// Command throughput loads a workload over two hops of Envoys: two nodes of ours, whose Envoys are compiled and
// served by ADS, against two Envoys with static configurations written by hand, and against no Envoy at all; HTTP and
// TCP, in the same run.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/envoy"
)

func main() {
	binary := flag.String("catalyst", "bin/catalyst", "our binary")
	period := flag.Duration("for", 5*time.Second, "how long each is loaded")
	flag.Parse()
	if err := run(context.Background(), *binary, *period); err != nil {
		fmt.Fprintln(os.Stderr, "throughput:", err)
		os.Exit(1)
	}
}

const (
	conns   = 32
	service = "books.acme.example"
	lines   = "lines.acme.example"
)

// target is where to send load.
type target struct{ name, http, tcp string }

func run(ctx context.Context, binary string, period time.Duration) (err error) {
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = examples.ServeHTTP(ctx, api, examples.HTTPAPI("x")) }()
	go func() { _ = examples.ServeLines(ctx, echo, "x") }()
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, binary, "acme.example")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	compiled, err := nodes(ctx, l, api.Addr().String(), echo.Addr().String())
	if err != nil {
		return err
	}
	hand, stop, err := byHand(ctx, l, api.Addr().String(), echo.Addr().String())
	if stop != nil {
		defer stop()
	}
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tHTTP req/s\tp50\tp99\tTCP lines/s\tp50\tp99\tnew TCP connections/s\t")
	for _, t := range []target{{"direct", api.Addr().String(), echo.Addr().String()}, hand, compiled, hand, compiled} {
		fmt.Fprintf(w, "%s\t", t.name)
		for _, client := range []func(context.Context, target) (func() error, func(), error){httpClient, tcpClient,
			dialClient} {
			f, err := load(ctx, t, client, period)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			fmt.Fprintf(w, "%.0f\t", f.rate)
			if f.p99 > 0 && !f.dials {
				fmt.Fprintf(w, "%s\t%s\t", f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond))
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// nodes starts two nodes of ours and announces the workloads at the far one.
func nodes(ctx context.Context, l *lab.Lab, api, echo string) (target, error) {
	a, err := l.Add(ctx, "a")
	if err != nil {
		return target{}, err
	}
	c, err := l.Add(ctx, "c")
	if err != nil {
		return target{}, err
	}
	_, err1 := a.CLI(ctx, "route", "add", service, "--addr", api)
	_, err2 := a.CLI(ctx, "route", "add", lines, "--addr", echo, "-p", "tcp")
	if err := errors.Join(err1, err2, lab.Peer(ctx, c, a)); err != nil {
		return target{}, err
	}
	var port string
	err = lab.Eventually(ctx, "the routes arrive", func(ctx context.Context) error {
		status, _, err := c.Get(ctx, service, "/books")
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		if err == nil {
			port, err = c.TCPPort(ctx, lines)
		}
		return err
	})
	return target{"compiled", c.Egress, port}, err
}

// byHand starts two Envoys with static configurations.
func byHand(ctx context.Context, l *lab.Lab, api, echo string) (target, func(), error) {
	binary, err := envoy.Find("")
	if err != nil {
		return target{}, nil, err
	}
	var ports [3]string
	for i := range ports {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return target{}, nil, err
		}
		_, ports[i], _ = net.SplitHostPort(lis.Addr().String())
		_ = lis.Close()
	}
	var cmds []*exec.Cmd
	stop := func() {
		for _, c := range cmds {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	for name, text := range map[string]string{"x": near(ports), "y": far(ports[0], api, echo)} {
		dir := filepath.Join(l.Dir, "hand-"+name)
		if _, err := l.Run(ctx, "org", "issue-node", name, "--dir", filepath.Join(l.Dir, "org"), "--out", dir); err != nil {
			return target{}, stop, err
		}
		if err := os.WriteFile(filepath.Join(dir, "envoy.yaml"), []byte(text), 0o600); err != nil {
			return target{}, stop, err
		}
		cmd := exec.CommandContext(ctx, binary, "-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1",
			"--log-level", "error")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		if err := cmd.Start(); err != nil {
			return target{}, stop, err
		}
		cmds = append(cmds, cmd)
	}
	t := target{"by hand", "127.0.0.1:" + ports[1], "127.0.0.1:" + ports[2]}
	return t, stop, lab.Eventually(ctx, "the Envoys by hand answer", func(ctx context.Context) error {
		do, end, err := httpClient(ctx, t)
		if err != nil {
			return err
		}
		defer end()
		return do()
	})
}

// httpClient asks over a kept connection.
func httpClient(ctx context.Context, t target) (func() error, func(), error) {
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}, Timeout: 5 * time.Second}
	return func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.http+"/books", nil)
		if err != nil {
			return err
		}
		req.Host = service
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}, c.CloseIdleConnections, nil
}

// tcpClient says lines over a kept connection.
func tcpClient(_ context.Context, t target) (func() error, func(), error) {
	conn, err := net.Dial("tcp", t.tcp)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(conn)
	return func() error {
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(conn, "hello\n"); err != nil {
			return err
		}
		_, err := r.ReadString('\n')
		return err
	}, func() { _ = conn.Close() }, nil
}

// dialClient opens a connection for each line.
func dialClient(ctx context.Context, t target) (func() error, func(), error) {
	return func() error {
		do, end, err := tcpClient(ctx, t)
		if err != nil {
			return err
		}
		defer end()
		return do()
	}, func() {}, nil
}

type figures struct {
	rate     float64
	p50, p99 time.Duration
	dials    bool
}

// load runs a closed loop on each connection for a while.
func load(ctx context.Context, t target, client func(context.Context, target) (func() error, func(), error),
	period time.Duration) (figures, error) {
	var mu sync.Mutex
	var took []time.Duration
	var errs error
	var wg sync.WaitGroup
	end := time.Now().Add(period)
	for range conns {
		do, closeClient, err := client(ctx, t)
		if err != nil {
			return figures{}, err
		}
		wg.Go(func() {
			defer closeClient()
			var own []time.Duration
			var err error
			for err == nil && time.Now().Before(end) {
				began := time.Now()
				if err = do(); err == nil {
					own = append(own, time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, own...), errors.Join(errs, err)
		})
	}
	wg.Wait()
	if errs != nil || len(took) == 0 {
		return figures{}, fmt.Errorf("load: %w", errs)
	}
	slices.Sort(took)
	same := fmt.Sprintf("%p", client) == fmt.Sprintf("%p", dialClient)
	return figures{
		rate:  float64(len(took)) / period.Seconds(),
		p50:   took[len(took)/2],
		p99:   took[len(took)*99/100],
		dials: same,
	}, nil
}
