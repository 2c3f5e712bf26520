// Command floods measures what honest peers and applications notice while another peer floods a node: the time from a
// service's announcement at one peer to its news at another, and the time of an application's calls through the
// node's Envoy, without and with each flood, and the memory before, during and after.
//
//	floods -catalyst bin/catalyst -for 10s [-only million,paths]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "attack" {
		exit(attack(ctx, os.Args[2:]))
	}
	binary := flag.String("catalyst", "bin/catalyst", "the node's program")
	long := flag.Duration("for", 10*time.Second, "how long each measurement takes")
	only := flag.String("only", "", "the floods to try, by comma; all by default")
	patience := flag.Duration("recover", 90*time.Second, "how long memory has to come back after each flood")
	flag.Parse()
	path, err := filepath.Abs(*binary)
	if err == nil {
		err = run(ctx, path, *only, measurement{*long, *patience})
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "floods:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// measurement is how long each figure is taken, and how long a flood may be felt in memory.
type measurement struct{ long, patience time.Duration }

func run(ctx context.Context, binary, only string, m measurement) error {
	fmt.Println("| flood | news p50/p99 without → with | × | calls p50/p99 without → with | × | " +
		"MiB hub, far, their Envoys: before → most → after |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, k := range kinds() {
		if only != "" && !slices.Contains(strings.Split(only, ","), k.name) {
			continue
		}
		if err := one(ctx, binary, m, k); err != nil {
			return fmt.Errorf("%s: %w", k.does, err)
		}
	}
	return nil
}

// one tries one flood on nodes of its own.
func one(ctx context.Context, binary string, m measurement, k kind) error {
	w, err := newWorld(ctx, binary)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.measure(ctx, time.Second); err != nil { // warm
		return err
	}
	calm, err := w.measure(ctx, m.long)
	if err != nil {
		return err
	}
	known, err := w.routes(ctx)
	if err != nil {
		return err
	}
	before := w.memory()
	stop, err := w.flood(ctx, k)
	if err != nil {
		return err
	}
	storm, err := w.measure(ctx, m.long)
	most := w.memory()
	if err != nil {
		stop()
		return err
	}
	reached, err := w.routes(ctx)
	stop()
	if err != nil {
		return err
	}
	if _, err := w.hub.CLI(ctx, "peer", "remove", "crowd"); err != nil {
		return err
	}
	after, err := w.recovered(ctx, known, before, m.patience)
	fmt.Printf("| %s | %s → %s | %.1f | %s → %s | %.1f | %s (%d routes at hub, %d at far then) |\n", k.does,
		text(calm.news), text(storm.news), ratio(calm.news, storm.news), text(calm.calls), text(storm.calls),
		ratio(calm.calls, storm.calls), memories(before, most, after), reached[0], reached[1])
	return err
}

// flood starts a process that attacks hub.
func (w *world) flood(ctx context.Context, k kind) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "attack", k.name, filepath.Join(w.lab.Dir, "crowd"), w.hub.ID().String(),
		w.hub.Peering)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }, nil
}

// recovered waits until the routes of the flood have gone and memory has come back, and returns what is left.
func (w *world) recovered(ctx context.Context, known [2]int, before memory, patience time.Duration) (memory, error) {
	deadline := time.Now().Add(patience)
	for {
		n, err := w.routes(ctx)
		if err != nil {
			return memory{}, err
		}
		m := w.memory()
		back := m.hub < 1.3*before.hub && m.far < 1.3*before.far &&
			m.hubEnvoy < 1.3*before.hubEnvoy && m.farEnvoy < 1.3*before.farEnvoy
		switch {
		case n == known && back:
			return m, nil
		case time.Now().After(deadline) && n != known:
			return m, fmt.Errorf("%v routes are left, there were %v before", n, known)
		case time.Now().After(deadline):
			return m, nil
		}
		time.Sleep(time.Second)
	}
}

func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	return s[(len(s)-1)*p/100]
}

func text(all []time.Duration) string {
	return fmt.Sprintf("%.2f/%.2f ms", percentile(all, 50).Seconds()*1e3, percentile(all, 99).Seconds()*1e3)
}

func ratio(calm, storm []time.Duration) float64 {
	return percentile(storm, 99).Seconds() / max(percentile(calm, 99).Seconds(), 1e-9)
}

func memories(before, most, after memory) string {
	one := func(b, m, a float64) string { return fmt.Sprintf("%.0f → %.0f → %.0f", b, m, a) }
	return strings.Join([]string{one(before.hub, most.hub, after.hub), one(before.far, most.far, after.far),
		one(before.hubEnvoy, most.hubEnvoy, after.hubEnvoy), one(before.farEnvoy, most.farEnvoy, after.farEnvoy)}, "; ")
}
