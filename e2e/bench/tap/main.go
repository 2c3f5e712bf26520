// Command tap finds out what it costs that Envoy tells the node of calls: pairs of nodes with it off, at one of a
// hundred calls and at all of them carry the same load in turns, in the same run. It prints requests a second, and the
// processor time of Envoys and nodes for a request, each beside a node that is told of nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

func main() {
	binary := flag.String("catalyst", "bin/catalyst", "our binary")
	period := flag.Duration("for", 3*time.Second, "how long each is loaded in a round")
	rounds := flag.Int("rounds", 7, "how often")
	flag.Parse()
	if err := run(context.Background(), *binary, *period, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "tap:", err)
		os.Exit(1)
	}
}

const (
	conns   = 16
	service = "books.acme.example"
	ticks   = 100 // of a second: USER_HZ, which is the same on every Linux
)

// pair is two nodes, from an application beside the one to a workload beside the other.
type pair struct {
	name   string
	flags  []string
	near   *lab.Node
	far    *lab.Node
	rounds []round
}

// round is what a pair came to while it was loaded once; times are for a request.
type round struct {
	rate        float64
	envoy, node time.Duration
}

func pairs() []*pair {
	told := []string{"--tap-enabled", "--tap-slow", "1m", "--tap-share"}
	return []*pair{
		{name: "off"}, {name: "off, again"}, // the second says how much of a difference is the machine's
		{name: "1 of 100", flags: append(slices.Clone(told), "1")}, {name: "all", flags: append(slices.Clone(told), "100")},
	}
}

func run(ctx context.Context, binary string, period time.Duration, rounds int) (err error) {
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = examples.ServeHTTP(ctx, api, examples.HTTPAPI("x")) }()
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	all := pairs()
	for _, p := range all {
		l, err := lab.New(ctx, binary, "acme.example")
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		if err := p.start(ctx, l, api.Addr().String()); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if _, err := p.load(ctx, time.Second); err != nil { // warms up
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for range rounds {
		for _, p := range all {
			r, err := p.load(ctx, period)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			p.rounds = append(p.rounds, r)
		}
	}
	return report(all)
}

func (p *pair) start(ctx context.Context, l *lab.Lab, workload string) (err error) {
	if p.far, err = l.Add(ctx, "a", p.flags...); err != nil {
		return err
	}
	if p.near, err = l.Add(ctx, "c", p.flags...); err != nil {
		return err
	}
	_, err = p.far.CLI(ctx, "route", "add", service, "--addr", workload)
	if err := errors.Join(err, lab.Peer(ctx, p.near, p.far)); err != nil {
		return err
	}
	return lab.Eventually(ctx, "the route arrives", func(ctx context.Context) error {
		status, _, err := p.near.Get(ctx, service, "/books")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
}

// load runs a closed loop on each connection for a while.
func (p *pair) load(ctx context.Context, period time.Duration) (round, error) {
	envoys, nodes := []int{p.near.EnvoyPID(), p.far.EnvoyPID()}, []int{p.near.PID(), p.far.PID()}
	envoysBefore, err1 := cpu(envoys)
	nodesBefore, err2 := cpu(nodes)
	var mu sync.Mutex
	var wg sync.WaitGroup
	calls, errs := 0, errors.Join(err1, err2)
	began := time.Now()
	for range conns {
		wg.Go(func() {
			n, err := calling(ctx, p.near.Egress, began.Add(period))
			mu.Lock()
			defer mu.Unlock()
			calls, errs = calls+n, errors.Join(errs, err)
		})
	}
	wg.Wait()
	took := time.Since(began)
	time.Sleep(time.Second) // what is told of calls is told within 250 ms: it is of this round as well
	envoysAfter, err1 := cpu(envoys)
	nodesAfter, err2 := cpu(nodes)
	if errs = errors.Join(errs, err1, err2); errs != nil || calls == 0 {
		return round{}, fmt.Errorf("%d calls: %w", calls, errs)
	}
	return round{float64(calls) / took.Seconds(), (envoysAfter - envoysBefore) / time.Duration(calls),
		(nodesAfter - nodesBefore) / time.Duration(calls)}, nil
}

// calling calls the service over one connection, again and again.
func calling(ctx context.Context, egress string, end time.Time) (n int, err error) {
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}, Timeout: 5 * time.Second}
	defer c.CloseIdleConnections()
	for ; time.Now().Before(end); n++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+egress+"/books", nil)
		if err != nil {
			return n, err
		}
		req.Host = service
		resp, err := c.Do(req)
		if err != nil {
			return n, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return n, errors.New(resp.Status)
		}
	}
	return n, nil
}

// cpu is what processes have used so far (proc(5): utime and stime, the 14th and 15th of all).
func cpu(pids []int) (all time.Duration, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			return 0, fmt.Errorf("process %d: its stat is %q", pid, text)
		}
		for _, f := range fields[11:13] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			all += time.Duration(n) * time.Second / ticks
		}
	}
	return all, nil
}

// report prints medians of all rounds; what stands after a figure is the median of the rounds' ratios to "off".
func report(all []*pair) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "told of calls\trequests/s\t÷ off\tEnvoys' CPU a request\t÷ off\tEnvoys' and nodes'\t÷ off\tnodes'\t")
	base := all[0]
	for _, p := range all {
		of := func(f func(round) float64) (median, ratio float64) {
			var own, ratios []float64
			for i, r := range p.rounds {
				own, ratios = append(own, f(r)), append(ratios, f(r)/f(base.rounds[i]))
			}
			slices.Sort(own)
			slices.Sort(ratios)
			return own[len(own)/2], ratios[len(ratios)/2]
		}
		rate, rates := of(func(r round) float64 { return r.rate })
		envoy, envoys := of(func(r round) float64 { return float64(r.envoy) })
		both, boths := of(func(r round) float64 { return float64(r.envoy + r.node) })
		node, _ := of(func(r round) float64 { return float64(r.node) })
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.1f µs\t%.2f\t%.1f µs\t%.2f\t%.1f µs\t\n", p.name, rate, rates, envoy/1000, envoys,
			both/1000, boths, node/1000)
	}
	return w.Flush()
}
