// Command routing measures one transit hop: routes go in at one side of a router and are counted at the other, each with attributes
// of its own. It runs every rival in the same session and prints their figures and ours, since the machine's speed drifts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/catalyst-router/catalyst/e2e/bench/routing/bgp4"
)

func main() {
	routes := flag.Int("routes", 100_000, "routes in the table")
	only := flag.String("only", "catalyst,gobgp,bird", "routers to run, comma separated")
	binary := flag.String("catalyst", "bin/catalyst", "our binary")
	gobgpd := flag.String("gobgpd", "gobgpd", "GoBGP's daemon")
	birdd := flag.String("bird", "bird", "BIRD's daemon")
	receivers := flag.Int("receivers", 1, "peers that receive the table")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	known := map[string]router{
		"catalyst": newCatalyst(*binary),
		"gobgp":    &gobgp{daemon{binary: *gobgpd}},
		"bird":     &bird{daemon{binary: *birdd}},
	}
	if err := run(ctx, known, strings.Split(*only, ","), *routes, *receivers); err != nil {
		fmt.Fprintln(os.Stderr, "routing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, known map[string]router, names []string, routes, receivers int) error {
	var all []*figures
	for _, name := range names {
		r, ok := known[name]
		if !ok {
			return fmt.Errorf("router %q: want catalyst, gobgp or bird", name)
		}
		f, err := measure(ctx, r, routes, receivers)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name(), err)
		}
		all = append(all, f)
	}
	return print(all, routes, receivers)
}

// figures are what one run of one router showed.
type figures struct {
	name               string
	converge           time.Duration // all routes at every receiver
	cpu                time.Duration // of the daemon, while it converged
	base, one, two     int           // RSS in bytes: empty, one path a route, two
	p50, p99           time.Duration // one changed route, with the table full
	dump               time.Duration // the whole table to a new peer
	failFirst, failAll time.Duration // the better source dies: first and last replacement
	transient          int           // withdrawals seen meanwhile; 0 is right
	goneFirst, goneAll time.Duration // the last source dies
}

func measure(ctx context.Context, r router, n, receivers int) (*figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "routing")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	proc, err := r.Start(ctx, dir, 3+receivers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = proc.Kill(); _, _ = proc.Wait() }()
	b := &bench{router: r, proc: proc, n: n, f: &figures{name: r.Name()}}
	defer b.close()
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return b.connect(ctx, receivers) },
		b.convergence, b.singles, b.newPeer, b.secondPath, b.failover, b.withdrawal,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return b.f, nil
}

type bench struct {
	router  router
	proc    *os.Process
	n       int
	f       *figures
	sources [2]peer
	sinks   []*sink
}

func (b *bench) close() {
	for _, p := range b.sources {
		if p != nil {
			_ = p.Close()
		}
	}
	for _, s := range b.sinks {
		_ = s.peer.Close()
	}
}

// sink counts what one receiver was told.
type sink struct {
	peer  peer
	total bgp4.Counts
}

// await reads until announced and withdrawn grew by so many, and returns when the first and the last came.
func (s *sink) await(start time.Time, announced, withdrawn int) (first, all time.Duration, err error) {
	wantA, wantW := s.total.Announced+announced, s.total.Withdrawn+withdrawn
	from := s.total
	err = s.peer.Receive(&s.total, func(c bgp4.Counts) bool {
		if first == 0 && c != from {
			first = time.Since(start)
		}
		return c.Announced >= wantA && c.Withdrawn >= wantW
	})
	return first, time.Since(start), err
}

func (b *bench) connect(ctx context.Context, receivers int) (err error) {
	for i := range b.sources {
		if b.sources[i], err = b.router.Peer(ctx, i); err != nil {
			return err
		}
		go drain(b.sources[i])
	}
	for i := range receivers {
		p, err := b.router.Peer(ctx, 2+i)
		if err != nil {
			return err
		}
		b.sinks = append(b.sinks, &sink{peer: p})
	}
	return nil
}

// drain keeps a source's receive side empty; it ends with the connection.
func drain(p peer) {
	var c bgp4.Counts
	_ = p.Receive(&c, func(bgp4.Counts) bool { return false })
}

func (b *bench) convergence(context.Context) error {
	before, err := usageOf(b.proc)
	if err != nil {
		return err
	}
	start := time.Now()
	done := make(chan error, len(b.sinks)+1)
	go func() { done <- b.sources[0].Announce(0, b.n, 1, 0) }()
	for _, s := range b.sinks {
		go func() { _, _, err := s.await(start, b.n, 0); done <- err }()
	}
	var errs error
	for range len(b.sinks) + 1 {
		errs = errors.Join(errs, <-done)
	}
	b.f.converge = time.Since(start)
	after, err := usageOf(b.proc)
	b.f.base, b.f.one, b.f.cpu = before.RSS, after.RSS, after.CPU-before.CPU
	return errors.Join(errs, err)
}

// singles changes one route after another, each when the one before has arrived.
func (b *bench) singles(context.Context) error {
	var took []time.Duration
	for i := range 500 {
		start := time.Now()
		if err := b.sources[0].Announce(i*7%b.n, 1, uint32(100+i), 0); err != nil {
			return err
		}
		for j, s := range b.sinks {
			_, all, err := s.await(start, 1, 0)
			if err != nil {
				return err
			}
			if j == 0 {
				took = append(took, all)
			}
		}
	}
	slices.Sort(took)
	b.f.p50, b.f.p99 = took[len(took)/2], took[len(took)*99/100]
	return nil
}

func (b *bench) newPeer(ctx context.Context) error {
	start := time.Now()
	p, err := b.router.Peer(ctx, 2+len(b.sinks))
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	_, b.f.dump, err = (&sink{peer: p}).await(start, b.n, 0)
	return err
}

// secondPath gives every route a worse path from the second source, which no receiver hears of.
func (b *bench) secondPath(ctx context.Context) error {
	if err := b.sources[1].Announce(0, b.n, 2, 3); err != nil {
		return err
	}
	// The daemon has taken the last of them when a better path behind them has come through.
	if err := b.sources[1].Announce(b.n, 1, 2, 0); err != nil {
		return err
	}
	for _, s := range b.sinks {
		if _, _, err := s.await(time.Now(), 1, 0); err != nil {
			return err
		}
	}
	u, err := usageOf(b.proc)
	b.f.two = u.RSS
	return err
}

func (b *bench) failover(context.Context) error {
	withdrawn := b.sinks[0].total.Withdrawn
	start := time.Now()
	if err := b.sources[0].Close(); err != nil {
		return err
	}
	var err error
	b.f.failFirst, b.f.failAll, err = b.sinks[0].await(start, b.n, 0)
	b.f.transient = b.sinks[0].total.Withdrawn - withdrawn
	return err
}

func (b *bench) withdrawal(context.Context) error {
	start := time.Now()
	if err := b.sources[1].Close(); err != nil {
		return err
	}
	var err error
	b.f.goneFirst, b.f.goneAll, err = b.sinks[0].await(start, 0, b.n)
	return err
}

func print(all []*figures, n, receivers int) error {
	fmt.Printf("\none transit hop, %d routes, each with its own attributes, %d receiver(s)\n", n, receivers)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(*figures) string) {
		fmt.Fprintf(w, "%s\t", name)
		for _, f := range all {
			fmt.Fprintf(w, "%s\t", cell(f))
		}
		fmt.Fprintln(w)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
	row("", func(f *figures) string { return f.name })
	row("routes a second", func(f *figures) string { return fmt.Sprintf("%.0f", float64(n*receivers)/f.converge.Seconds()) })
	row("daemon CPU a route", func(f *figures) string { return fmt.Sprintf("%.1f µs", float64(f.cpu.Microseconds())/float64(n)) })
	row("RSS a route, one path", func(f *figures) string { return fmt.Sprintf("%d B", (f.one-f.base)/n) })
	row("RSS a route, two paths", func(f *figures) string { return fmt.Sprintf("%d B", (f.two-f.base)/n) })
	row("RSS empty", func(f *figures) string { return fmt.Sprintf("%d MiB", f.base>>20) })
	row("one update p50", func(f *figures) string { return ms(f.p50) })
	row("one update p99", func(f *figures) string { return ms(f.p99) })
	row("table to a new peer", func(f *figures) string { return ms(f.dump) })
	row("failover, first", func(f *figures) string { return ms(f.failFirst) })
	row("failover, all", func(f *figures) string { return ms(f.failAll) })
	row("transient withdrawals", func(f *figures) string { return fmt.Sprint(f.transient) })
	row("closed, first withdrawn", func(f *figures) string { return ms(f.goneFirst) })
	row("closed, all withdrawn", func(f *figures) string { return ms(f.goneAll) })
	return w.Flush()
}
