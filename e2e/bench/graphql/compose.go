package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	gw "github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	compose "github.com/catalyst-router/catalyst/graphql/supergraph"
	"github.com/catalyst-router/catalyst/graphql/supergraph/sample"
)

// composition is a graph to compose.
type composition struct {
	name      string
	subgraphs []compose.Subgraph
}

// longestComposition is how long a rival may take in all.
const longestComposition = 2 * time.Minute

// compositions prints how long composers take. Ours has a row for composition alone, and one for all that a new graph
// costs: the largest composition of what is there, and a graph that is ready to be planned on and served; and both
// for a composer that has composed the graph before, after one subgraph has changed its schema, another one each
// time.
func compositions(ctx context.Context, o options, dir string) error {
	const seconds = 3
	fmt.Printf("\ncomposition, again and again for %d s, parsing included\n\n", seconds)
	fmt.Println("| graph | kB | composer | compositions | median ms | CPU ms | ÷ catalyst |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	for _, c := range []composition{{"4 subgraphs: the shop", shop()}, {"4 subgraphs of 120 types", federated(4, 120)},
		{"100 subgraphs of 150 types", federated(100, 150)}} {
		size := 0
		for _, s := range c.subgraphs {
			size += len(s.SDL)
		}
		row := func(composer string, n int, median, cpu, ours float64) {
			fmt.Printf("| %s | %d | %s | %d | %.2f | %.2f | %s |\n", c.name, size/1000, composer, n, median, cpu,
				ratio(cpu, ours))
		}
		var ours float64
		if o.takes("catalyst") {
			n, median, cpu, err := repeat(seconds*time.Second,
				func() error { return composed(compose.Compose(c.subgraphs, compose.Options{})) })
			if err != nil {
				return err
			}
			ours = cpu
			row("catalyst", n, median, cpu, ours)
			if n, median, cpu, err = repeat(seconds*time.Second, func() error { return recompose(c.subgraphs) }); err != nil {
				return err
			}
			row("catalyst, ready to serve", n, median, cpu, ours)
			again := changing{composer: compose.NewComposer(compose.Options{}), subgraphs: slices.Clone(c.subgraphs)}
			if n, median, cpu, err = repeat(seconds*time.Second, again.compose); err != nil {
				return err
			}
			row("catalyst, one subgraph changed", n, median, cpu, ours)
			if n, median, cpu, err = repeat(seconds*time.Second, again.serve); err != nil {
				return err
			}
			row("catalyst, one subgraph changed, ready to serve", n, median, cpu, ours)
		}
		for rival, composer := range map[string]string{"apollo": "apollo", "hive": "theguild"} {
			if !o.takes(rival) {
				continue
			}
			n, median, cpu, err := rivalComposer(ctx, o, dir, composer, c.subgraphs, seconds)
			if err != nil {
				fmt.Printf("| %s | %d | %s | FAILED: %.300s | | | |\n", c.name, size/1000, composer,
					strings.ReplaceAll(err.Error(), "\n", " "))
				continue
			}
			row(composer, n, median, cpu, ours)
		}
	}
	return nil
}

func composed(r *compose.Result) error {
	if len(r.Errors) > 0 {
		return fmt.Errorf("not composed: %w", r.Errors[0])
	}
	return nil
}

func recompose(subgraphs []compose.Subgraph) error {
	r, excluded := compose.ComposeLargest(subgraphs, nil, compose.Options{})
	return ready(r, excluded, new(graph.Reader))
}

// ready makes of a composition what serves it, in the way of the gateway.
func ready(r *compose.Result, excluded map[string][]compose.Error, reader *graph.Reader) error {
	if err := composed(r); err != nil || len(excluded) > 0 {
		return fmt.Errorf("not all composed: %w, %d left out", err, len(excluded))
	}
	g, err := reader.ReadDocument(r.Document)
	if err != nil {
		return err
	}
	s, err := gw.NewSnapshot(r.SDL, gw.SnapshotOptions{Graph: g})
	if err != nil {
		return err
	}
	s.Release()
	return nil
}

// changing is a graph of which one subgraph after the other changes its schema.
type changing struct {
	composer  *compose.Composer
	subgraphs []compose.Subgraph
	changes   int
	reader    graph.Reader
}

// change gives a subgraph another version of its schema, with one type more than it had at first.
func (c *changing) change() {
	c.changes++
	s := &c.subgraphs[c.changes%len(c.subgraphs)]
	before, _, _ := strings.Cut(s.SDL, "\nscalar Version")
	s.SDL = fmt.Sprintf("%s\nscalar Version%d\n", before, c.changes)
}

func (c *changing) compose() error {
	c.change()
	return composed(c.composer.Compose(c.subgraphs))
}

func (c *changing) serve() error {
	c.change()
	r, excluded := c.composer.ComposeLargest(c.subgraphs, nil)
	return ready(r, excluded, &c.reader)
}

// repeat does something for a while, and returns how often, the median and the mean CPU time of this process, in ms.
func repeat(how time.Duration, do func() error) (n int, median, cpu float64, err error) {
	var times []time.Duration
	before := processCPU()
	for until := time.Now().Add(how); time.Now().Before(until) || len(times) == 0; {
		at := time.Now()
		if err := do(); err != nil {
			return 0, 0, 0, err
		}
		times = append(times, time.Since(at))
	}
	cpu = ms(processCPU()-before) / float64(len(times))
	slices.Sort(times)
	return len(times), ms(times[len(times)/2]), cpu, nil
}

func processCPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func rivalComposer(ctx context.Context, o options, dir, composer string, subgraphs []compose.Subgraph,
	seconds int) (n int, median, cpu float64, err error) {
	type subgraph struct {
		Name string `json:"name"`
		URL  string `json:"url"`
		SDL  string `json:"sdl"`
	}
	var all []subgraph
	for _, s := range subgraphs {
		all = append(all, subgraph{s.Name, s.URL, s.SDL})
	}
	b, err := json.Marshal(all)
	if err != nil {
		return 0, 0, 0, err
	}
	file := filepath.Join(dir, "subgraphs.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return 0, 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, longestComposition)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--max-old-space-size=4096", filepath.Join(o.rivals, "composers.mjs"),
		composer, file, fmt.Sprint(seconds))
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return 0, 0, 0, fmt.Errorf("not one within %s", longestComposition)
	}
	if err != nil {
		return 0, 0, 0, fmt.Errorf("%w: %s", err, words.String())
	}
	_, err = fmt.Sscan(string(out), &n, &median, &cpu)
	return n, median, cpu, err
}

// shop is the shop's subgraphs.
func shop() []compose.Subgraph {
	schemas := subgraphs()
	var all []compose.Subgraph
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		all = append(all, compose.Subgraph{Name: name, URL: "http://" + shopAddress + "/" + name, SDL: schemas[name]})
	}
	return all
}

// federated makes a large graph of sample's schemas.
func federated(n, types int) []compose.Subgraph {
	out := make([]compose.Subgraph, n)
	for i, sdl := range sample.Large(n, types) {
		out[i] = compose.Subgraph{Name: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://s%d.example/graphql", i), SDL: sdl}
	}
	return out
}
