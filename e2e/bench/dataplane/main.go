// Command dataplane measures how long it takes from a service's declaration at the control plane to the first 200
// through a real Envoy, with a given number of services already there: our compiler and ADS server against a bare Mux
// of linear caches that sets a cluster a service, in the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/envoy"
)

func main() {
	sizes := flag.String("services", "10,1000,10000", "services that are there already, comma separated")
	changes := flag.Int("changes", 100, "services declared one after another")
	only := flag.String("only", "", "measure this control plane alone: catalyst or floor")
	flag.Parse()
	if err := run(context.Background(), strings.Split(*sizes, ","), *changes, *only); err != nil {
		fmt.Fprintln(os.Stderr, "dataplane:", err)
		os.Exit(1)
	}
}

// plane is a control plane under test, with an Envoy behind it.
type plane interface {
	Name() string
	// Serve answers an Envoy at lis until ctx ends. egress is where applications ask, backends where the workload of
	// every service may be.
	Serve(ctx context.Context, lis net.Listener, egress string, backends []string) error
	// Declare offers services, in one batch, at one of the backends.
	Declare(services []bgp.Service, at int) error
	// Acks are what Envoy has acknowledged.
	Acks() *acks
}

// figures are what one run showed.
type figures struct {
	name     string
	services int
	first    time.Duration    // until the last of the services that are there at the start answers
	ackAll   time.Duration    // until Envoy has acknowledged them
	taken    time.Duration    // Envoy's CPU time from its start until then
	p50, p99 time.Duration    // one service, to the first 200
	ack      [2]time.Duration // one service, to its acknowledgement
	paced    [2]time.Duration // one of paceOf a second, to its acknowledgement
	moved    time.Duration    // all services at another backend, to the last acknowledgement
	cpu      time.Duration    // of the control plane a change
	envoyCPU time.Duration
	bytes    int // sent to Envoy a change
	envoyRSS int
}

func run(ctx context.Context, sizes []string, changes int, only string) error {
	makers := map[string][]func() plane{"": {newOurs, newFloor}, "catalyst": {newOurs}, "floor": {newFloor}}[only]
	if makers == nil {
		return fmt.Errorf("-only is catalyst or floor, not %q", only)
	}
	var all []figures
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		for _, make := range makers {
			p := make()
			f, err := measure(ctx, p, n, changes)
			if err != nil {
				return fmt.Errorf("%s with %d services: %w", p.Name(), n, err)
			}
			all = append(all, f)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fine := func(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
	fmt.Fprintln(w, "services\tcontrol plane\tall acknowledged\tlast answers\tEnvoy CPU until then\t"+
		"one: first 200 p50\tp99\tCPU a change\tEnvoy CPU a change\tbytes a change\tEnvoy RSS\t")
	for _, f := range all {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d MiB\t\n", f.services, f.name,
			f.ackAll.Round(time.Millisecond), f.first.Round(time.Millisecond), f.taken, fine(f.p50), fine(f.p99),
			fine(f.cpu), fine(f.envoyCPU), f.bytes, f.envoyRSS>>20)
	}
	fmt.Fprintf(w, "\nservices\tcontrol plane\tone: acknowledged p50\tp99\tone of %d a second: p50\tp99\tall moved, "+
		"all acknowledged\tacknowledged a second\t\n", paceOf)
	for _, f := range all {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t\n", f.services, f.name, fine(f.ack[0]), fine(f.ack[1]),
			fine(f.paced[0]), fine(f.paced[1]), f.moved.Round(time.Millisecond),
			float64(f.services)/f.moved.Seconds())
	}
	return w.Flush()
}

// bench is one plane with its Envoy.
type bench struct {
	plane  plane
	sup    *envoy.Supervisor
	egress string
	client *http.Client
}

func measure(ctx context.Context, p plane, n, changes int) (f figures, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "dp")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var backends []string
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		}))
		defer s.Close()
		backends = append(backends, strings.TrimPrefix(s.URL, "http://"))
	}
	b, stop, err := start(ctx, p, dir, backends)
	if err != nil {
		return f, err
	}
	defer stop()
	f = figures{name: p.Name(), services: n}
	began := time.Now()
	there := names("there", n)
	if err := p.Declare(there, 0); err != nil {
		return f, err
	}
	at, err := p.Acks().after(ctx, began, there)
	if err != nil {
		return f, err
	}
	f.ackAll = slices.MaxFunc(at, time.Time.Compare).Sub(began)
	if err := b.until200(ctx, there[n-1]); err != nil {
		return f, err
	}
	f.first = time.Since(began)
	if f.taken, _, err = usage(b.sup.Running()); err != nil {
		return f, err
	}
	if err := b.changes(ctx, &f, changes); err != nil {
		return f, err
	}
	return f, b.acknowledgements(ctx, &f, there)
}

func names(prefix string, n int) []bgp.Service {
	all := make([]bgp.Service, n)
	for i := range all {
		all[i] = bgp.Service(fmt.Sprintf("%s-%d.acme.example", prefix, i))
	}
	return all
}

// start runs a plane and an Envoy.
func start(ctx context.Context, p plane, dir string, backends []string) (*bench, func(), error) {
	binary, err := envoy.Find("")
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	b := &bench{plane: p, egress: l.Addr().String(), client: &http.Client{Timeout: 5 * time.Second}}
	_ = l.Close()
	lis, err := net.Listen("unix", filepath.Join(dir, "ads.sock"))
	if err != nil {
		return nil, nil, err
	}
	b.sup = envoy.NewSupervisor(envoy.SupervisorConfig{
		Binary:      binary,
		Dir:         dir,
		Log:         slog.New(slog.DiscardHandler),
		Concurrency: 1,
		Bootstrap: envoy.BootstrapConfig{
			NodeID: "bench",
			ADS:    filepath.Join(dir, "ads.sock"),
			Admin:  filepath.Join(dir, "admin.sock"),
		},
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() { done <- p.Serve(ctx, lis, b.egress, backends) }()
	go func() { done <- b.sup.Run(ctx) }()
	return b, func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			fmt.Fprintln(os.Stderr, "dataplane:", err)
		}
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.sup.Stop(end)
	}, nil
}

// until200 asks for a service until it answers.
func (b *bench) until200(ctx context.Context, svc bgp.Service) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.egress+"/", nil)
		if err != nil {
			return err
		}
		req.Host = string(svc)
		resp, err := b.client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// changes declares services one after another, each until it answers.
func (b *bench) changes(ctx context.Context, f *figures, n int) error {
	var took []time.Duration
	rx, err := b.received(ctx)
	if err != nil {
		return err
	}
	envoyCPU, _, err := usage(b.sup.Running())
	if err != nil {
		return err
	}
	var own time.Duration
	for _, svc := range names("new", n) {
		before := ownCPU()
		began := time.Now()
		if err := b.plane.Declare([]bgp.Service{svc}, 0); err != nil {
			return err
		}
		own += ownCPU() - before
		if err := b.until200(ctx, svc); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	f.p50, f.p99, f.cpu = took[n/2], took[n*99/100], own/time.Duration(n)
	after, err := b.received(ctx)
	f.bytes = (after - rx) / n
	cpu, rss, err2 := usage(b.sup.Running())
	f.envoyCPU, f.envoyRSS = (cpu-envoyCPU)/time.Duration(n), rss
	return errors.Join(err, err2)
}

// received is how much Envoy has read from the control plane, in bytes.
func (b *bench) received(ctx context.Context) (int, error) {
	return b.stat(ctx, "cluster.catalyst-ads.upstream_cx_rx_bytes_total")
}

// stat reads one of Envoy's counters or gauges.
func (b *bench) stat(ctx context.Context, name string) (int, error) {
	out, err := b.sup.Admin().Get(ctx, "/stats?filter=^"+name+"$")
	if err != nil {
		return 0, err
	}
	_, n, _ := strings.Cut(strings.TrimSpace(string(out)), ": ")
	return strconv.Atoi(n)
}

func ownCPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// usage is the CPU time of a process so far and its memory now (proc(5)).
func usage(pid int) (time.Duration, int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	pages, err3 := strconv.Atoi(fields[21])
	return time.Duration(user+system) * 10 * time.Millisecond, pages * os.Getpagesize(), errors.Join(err1, err2, err3)
}
