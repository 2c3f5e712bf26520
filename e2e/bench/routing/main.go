// Command routing measures routers of one kind and another: routes go in at one side and are counted at the other,
// each with attributes of its own. It runs every rival in the same session and prints their figures and ours, since
// the machine's speed drifts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	routes := flag.String("routes", "10000,100000", "sizes of the table, comma separated")
	only := flag.String("only", "catalyst,gobgp,bird", "routers to run, comma separated")
	scenarios := flag.String("scenarios", "hop,envoy,demand,chain,crowd,stuck", "what to measure, comma separated")
	binary := flag.String("catalyst", "bin/catalyst", "our binary")
	gobgpd := flag.String("gobgpd", "gobgpd", "GoBGP's daemon")
	birdd := flag.String("bird", "bird", "BIRD's daemon")
	crowd := flag.Int("crowd", 10_000, "routes of the scenarios with 20 receivers")
	keep := flag.String("keep", "", "directory for the daemons' files and logs, which stay; empty for one that goes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	known := map[string]router{
		"catalyst": newCatalyst(*binary),
		"gobgp":    newGoBGP(*gobgpd),
		"bird":     newBIRD(*birdd),
	}
	m := &measurement{keep: *keep}
	for _, name := range strings.Split(*only, ",") {
		r, ok := known[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "routing: router %q: want catalyst, gobgp or bird\n", name)
			os.Exit(2)
		}
		m.routers = append(m.routers, r)
	}
	if err := m.run(ctx, strings.Split(*scenarios, ","), *routes, *crowd, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "routing:", err)
		os.Exit(1)
	}
}

// measurement is one session of the instrument.
type measurement struct {
	routers []router
	keep    string
}

const crowdSize = 20

func (m *measurement) run(ctx context.Context, scenarios []string, sizes string, crowd int, binary string) error {
	var errs error
	for _, text := range strings.Split(sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n < 1 {
			return fmt.Errorf("size %q: want a number of routes", text)
		}
		for _, s := range scenarios {
			switch s {
			case "hop":
				title := fmt.Sprintf("one transit hop, %d routes, each with its own attributes", n)
				errs = errors.Join(errs, m.table(ctx, title, setup{n: n, daemons: 1, receivers: 1, steps: hop()}))
			case "envoy":
				title := fmt.Sprintf("the same hop with a real Envoy, which acknowledges, %d routes", n)
				alone := &measurement{routers: []router{newWithEnvoy(binary)}, keep: m.keep}
				errs = errors.Join(errs, alone.table(ctx, title, setup{n: n, daemons: 1, receivers: 1, steps: acknowledging()}))
			case "demand":
				title := fmt.Sprintf("an Envoy through which %d of %d services are called", inUse, n)
				some := &measurement{keep: m.keep, routers: []router{newOnDemand(binary, "table: used", "used", 0),
					newOnDemand(binary, "table: all", "all", 0), newOnDemand(binary, "knows those alone", "all", inUse)}}
				errs = errors.Join(errs, some.table(ctx, title, setup{n: n, daemons: 1, receivers: 1, steps: demanded()}))
			case "chain":
				title := fmt.Sprintf("three transit hops, %d routes", n)
				errs = errors.Join(errs, m.table(ctx, title, setup{n: n, daemons: 3, receivers: 1, steps: chain()}))
			}
		}
	}
	for _, s := range scenarios {
		switch s {
		case "hop", "envoy", "demand", "chain":
		case "crowd":
			title := fmt.Sprintf("one transit hop, %d routes, %d receivers", crowd, crowdSize)
			errs = errors.Join(errs, m.table(ctx, title, setup{n: crowd, daemons: 1, receivers: crowdSize, steps: hop()}))
		case "stuck":
			title := fmt.Sprintf("one of %d receivers reads nothing, %d routes", crowdSize, crowd)
			errs = errors.Join(errs, m.table(ctx, title,
				setup{n: crowd, daemons: 1, receivers: crowdSize, steps: besideStuck()}))
		default:
			return fmt.Errorf("scenario %q: want hop, envoy, demand, chain, crowd or stuck", s)
		}
	}
	return errs
}

// setup is what a scenario needs.
type setup struct {
	n         int // routes
	daemons   int // in a row
	receivers int
	steps     []step
}

// table runs a scenario with every router and prints a column each. One that fails leaves a gap and its error.
func (m *measurement) table(ctx context.Context, title string, s setup) error {
	var errs error
	var all []*figures
	for _, r := range m.routers {
		f, err := m.measure(ctx, r, s)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s, %s: %w", title, r.Name(), err))
		}
		all = append(all, f)
	}
	return errors.Join(errs, printTable(os.Stdout, title, all))
}

func (m *measurement) measure(ctx context.Context, r router, s setup) (*figures, error) {
	// Daemons end with the context, and then everyone who waits for them fails.
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute+time.Duration(s.n*s.receivers)*300*time.Microsecond)
	defer cancel()
	f := &figures{name: r.Name()}
	dir, err := os.MkdirTemp(m.keep, "routing")
	if err != nil {
		return f, err
	}
	if m.keep == "" {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	l := line{daemons: s.daemons, peers: sources + s.receivers + 1}
	if r, ok := r.(interface{ Stop() }); ok {
		defer r.Stop()
	}
	procs, err := r.Start(ctx, dir, l)
	defer func() {
		for _, p := range procs {
			_ = p.Kill()
			_, _ = p.Wait()
		}
	}()
	if err != nil {
		return f, err
	}
	b := &bench{router: r, line: l, procs: procs, n: s.n, f: f, want: make([]uint32, s.n+probes)}
	defer b.close()
	for _, step := range s.steps {
		if err := step(b, ctx); err != nil {
			return f, err
		}
	}
	return f, nil
}
