// Command graphql compares federation gateways: the same four subgraphs, the same supergraph, the same operations,
// one run. Each gateway runs in a process group of its own, of which CPU time and memory are taken; every answer is
// compared with the first.
//
//	graphql -catalyst BIN -rivals DIR [-only catalyst,apollo,hive] [-sections load,large,compose,live] [-seconds 10] [-connections 50] [-recompositions 100]
//	        [-hive-router BIN] [-cosmo-router BIN [-wgc COMMAND]]
//
// Rivals that are not on npm take part when their programs are named, and a line says so when they are not: Hive Router
// (of its crate hive-router) reads the supergraph; Cosmo's router reads what wgc, its command on npm, composes of the
// same schemas.
//
// The sections: load has an operation over two subgraphs and one over four, by many connections; large has few and
// large operations; compose has composition alone, against the rivals' composers; live changes a subgraph's schema
// under load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	compose "github.com/catalyst-router/catalyst/graphql/supergraph"
)

const shopAddress = "127.0.0.1:4600"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "graphql:", err)
		os.Exit(1)
	}
}

type options struct {
	catalyst, rivals, only, sections     string
	hiveRouter, cosmoRouter, wgc         string
	seconds, connections, recompositions int
	serve                                bool
}

// missing says which rivals do not take part because nobody named their programs.
func (o *options) missing(w io.Writer) {
	for _, r := range []struct{ program, name, variable string }{{o.hiveRouter, "Hive Router", "HIVE_ROUTER"},
		{o.cosmoRouter, "Cosmo's router", "COSMO_ROUTER"}} {
		if r.program == "" {
			_, _ = fmt.Fprintf(w, "%s=PATH is not set: the rows of %s are missing\n", r.variable, r.name)
		}
	}
}

// takes reports whether a gateway takes part.
func (o *options) takes(name string) bool {
	switch name {
	case "hive router":
		return o.hiveRouter != ""
	case "cosmo router":
		return o.cosmoRouter != ""
	}
	return slices.Contains(strings.Split(o.only, ","), strings.Fields(name)[0])
}

func bench(ctx context.Context) error {
	var o options
	flag.StringVar(&o.catalyst, "catalyst", "bin/catalyst", "our binary")
	flag.StringVar(&o.rivals, "rivals", "graphql/rivals", "folder of the npm packages, installed")
	flag.StringVar(&o.only, "only", "catalyst,apollo,hive", "which gateways")
	flag.StringVar(&o.sections, "sections", "load,large,compose,live", "which figures")
	flag.StringVar(&o.hiveRouter, "hive-router", "", "Hive Router's program; without it its rows are missing")
	flag.StringVar(&o.cosmoRouter, "cosmo-router", "", "the program of Cosmo's router; without it its rows are missing")
	flag.StringVar(&o.wgc, "wgc", "npx --yes wgc", "Cosmo's command, which composes for its router")
	flag.IntVar(&o.seconds, "seconds", 10, "how long each operation runs")
	flag.IntVar(&o.connections, "connections", 50, "closed loops")
	flag.IntVar(&o.recompositions, "recompositions", 100, "how often the graph changes under load")
	flag.BoolVar(&o.serve, "serve", false, "run the subgraphs and nothing else")
	flag.Parse()
	if o.serve {
		return serve(ctx, shopAddress)
	}
	dir, err := os.MkdirTemp("", "graphqlbench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	shop, err := start(ctx, dir, "shop", []string{self, "-serve"}, "http://"+shopAddress+"/counts")
	if err != nil {
		return err
	}
	defer kill(shop)
	sections := map[string]func(context.Context, options, string) error{"load": loads, "large": large,
		"compose": compositions, "live": live}
	var failed error
	o.missing(os.Stdout)
	for _, name := range strings.Split(o.sections, ",") {
		section := sections[name]
		if section == nil {
			return fmt.Errorf("-sections: %q is none", name)
		}
		if err := section(ctx, o, dir); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return failed
}

// loads prints the figures of many connections.
func loads(ctx context.Context, o options, dir string) error {
	fmt.Printf("\n%d connections, %d s each, after 3 s of the same\n\n", o.connections, o.seconds)
	return table(ctx, o, dir, []operation{
		{name: "small", text: small, connections: o.connections, seconds: o.seconds, warm: 3},
		{name: "big", text: big, connections: o.connections, seconds: o.seconds, warm: 3},
	}, true)
}

// large prints the figures of large operations.
func large(ctx context.Context, o options, dir string) error {
	const few = 4
	fmt.Printf("\nlarge operations, %d connections, %d s each\n\n", few, o.seconds)
	return table(ctx, o, dir, []operation{
		{name: "5 MB answer", text: fiveMegabytes, connections: few, seconds: o.seconds, warm: 1},
		{name: "10,000 entities", text: tenThousandEntities, connections: few, seconds: o.seconds, warm: 1},
		{name: "1,000 fields", text: thousandFields(), connections: few, seconds: o.seconds, warm: 1},
	}, false)
}

// table measures gateways with operations. With shared, those that share equal requests in flight have rows too.
func table(ctx context.Context, o options, dir string, ops []operation, shared bool) error {
	sdl, err := supergraph(ctx, o, dir)
	if err != nil {
		return err
	}
	fmt.Println("| operation | gateway | requests/s | p50 ms | p99 ms | CPU ms a request | ÷ catalyst | peak RSS MB " +
		"| subgraph requests | entities | answer kB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	var failed error
	ours := map[string]float64{} // CPU ms a request, by operation and kind
	cosmo, err := cosmoConfig(ctx, o, dir)
	if err != nil { // its rows fail, and the others' do not
		failed = err
		o.cosmoRouter = ""
	}
	for _, g := range gateways(o, sdl, cosmo) {
		if !o.takes(g.name) || !shared && g.shares {
			continue
		}
		if err := measure(ctx, dir, g, ops, ours); err != nil {
			fmt.Printf("| | %s | FAILED: %.200s | | | | | | | | |\n", g.name, strings.ReplaceAll(err.Error(), "\n", " "))
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
		}
	}
	return failed
}

// gateway is a rival, or ours.
type gateway struct {
	name    string
	shares  bool // equal requests in flight share an answer
	command []string
	url     string
	env     []string
}

func gateways(o options, sdl, cosmo string) []gateway {
	abs := func(p string) string {
		a, _ := filepath.Abs(p)
		return a
	}
	catalyst := []string{abs(o.catalyst), "gateway", "--supergraph", sdl, "--listen"}
	hive := []string{abs(filepath.Join(o.rivals, "node_modules/.bin/hive-gateway")), "supergraph", sdl, "--host",
		"127.0.0.1", "--fork", "1", "--port"}
	all := []gateway{
		{"catalyst", false, append(slices.Clone(catalyst), "127.0.0.1:4701", "--share=false"),
			"http://127.0.0.1:4701/graphql", nil},
		{"catalyst dedupe", true, append(slices.Clone(catalyst), "127.0.0.1:4702", "--share=true"),
			"http://127.0.0.1:4702/graphql", nil},
		{"hive", false, append(slices.Clone(hive), "4703", "-c", abs(filepath.Join(o.rivals, "hive.config.mjs"))),
			"http://127.0.0.1:4703/graphql", nil},
		{"hive dedupe", true, append(slices.Clone(hive), "4704", "-c",
			abs(filepath.Join(o.rivals, "hive-dedupe.config.mjs"))), "http://127.0.0.1:4704/graphql", nil},
		{"apollo", false, []string{"node", abs(filepath.Join(o.rivals, "apollo.mjs")), sdl, "4705"},
			"http://127.0.0.1:4705/graphql", nil},
	}
	return append(all,
		gateway{"hive router", false, []string{o.hiveRouter}, "http://127.0.0.1:4726/graphql",
			[]string{"SUPERGRAPH_FILE_PATH=" + sdl, "HOST=127.0.0.1", "PORT=4726", "LOG_LEVEL=error"}},
		gateway{"cosmo router", false, []string{o.cosmoRouter}, "http://127.0.0.1:4727/graphql",
			[]string{"EXECUTION_CONFIG_FILE_PATH=" + cosmo, "LISTEN_ADDR=127.0.0.1:4727", "LOG_LEVEL=error"}})
}

// cosmoConfig has wgc compose what Cosmo's router reads, and returns its file; "" without that router.
func cosmoConfig(ctx context.Context, o options, dir string) (string, error) {
	if o.cosmoRouter == "" {
		return "", nil
	}
	var input strings.Builder
	input.WriteString("version: 1\nsubgraphs:\n")
	schemas := subgraphs()
	for _, name := range []string{"accounts", "inventory", "products", "reviews"} {
		file := filepath.Join(dir, "cosmo-"+name+".graphql")
		if err := os.WriteFile(file, []byte(schemas[name]), 0o600); err != nil {
			return "", err
		}
		fmt.Fprintf(&input, "  - name: %s\n    routing_url: http://%s/%s\n    schema:\n      file: %s\n", name, shopAddress,
			name, file)
	}
	graph, config := filepath.Join(dir, "cosmo.yaml"), filepath.Join(dir, "cosmo.json")
	if err := os.WriteFile(graph, []byte(input.String()), 0o600); err != nil {
		return "", err
	}
	command := append(strings.Fields(o.wgc), "router", "compose", "-i", graph, "-o", config)
	if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compose for Cosmo's router: %w: %.1000s", err, out)
	}
	return config, nil
}

// supergraph has the rivals' composer make the supergraph that all of them read; without rivals it is ours.
func supergraph(ctx context.Context, o options, dir string) (string, error) {
	path := filepath.Join(dir, "supergraph.graphql")
	if !o.takes("hive") && !o.takes("apollo") {
		r := compose.Compose(shop(), compose.Options{})
		return path, errors.Join(composed(r), os.WriteFile(path, []byte(r.SDL), 0o600))
	}
	args := []string{filepath.Join(o.rivals, "compose.mjs")}
	schemas := subgraphs()
	for _, name := range []string{"accounts", "inventory", "products", "reviews"} {
		file := filepath.Join(dir, name+".graphql")
		if err := os.WriteFile(file, []byte(schemas[name]), 0o600); err != nil {
			return "", err
		}
		args = append(args, name, "http://"+shopAddress+"/"+name, file)
	}
	out, err := exec.CommandContext(ctx, "node", args...).Output()
	if err != nil {
		return "", fmt.Errorf("compose the supergraph: %w", err)
	}
	return path, os.WriteFile(path, out, 0o600)
}

// start runs a command in a process group of its own until url answers, and returns the group.
func start(ctx context.Context, dir, name string, command []string, url string, env ...string) (int, error) {
	log, err := os.Create(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".log"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(append(os.Environ(), "NODE_ENV=production"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }() // ends with the process, which kill ends
	for deadline := time.Now().Add(60 * time.Second); ; {
		select {
		case <-gone: // perhaps because another process has its port, which would answer in its place
			b, _ := os.ReadFile(log.Name())
			return 0, fmt.Errorf("%s ended at once: %.2000s", name, b)
		default:
		}
		resp, err := http.Get(url + "?query=%7B__typename%7D") //nolint:noctx // bounded by the loop
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return cmd.Process.Pid, nil
			}
		}
		if time.Now().After(deadline) {
			kill(cmd.Process.Pid)
			b, _ := os.ReadFile(log.Name())
			return 0, fmt.Errorf("%s does not answer at %s: %.2000s", name, url, b)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// operation is what is asked, and how.
type operation struct {
	name, text                 string
	connections, seconds, warm int
}

func measure(ctx context.Context, dir string, g gateway, ops []operation, ours map[string]float64) error {
	group, err := start(ctx, dir, g.name, g.command, g.url, g.env...)
	if err != nil {
		return err
	}
	defer kill(group)
	for _, op := range ops {
		if _, err := load(ctx, g.url, op.text, op.connections, time.Duration(op.warm)*time.Second); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		counts()
		before, _ := usage(group)
		f, err := load(ctx, g.url, op.text, op.connections, time.Duration(op.seconds)*time.Second)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		after, rss := usage(group)
		requests, entities := counts()
		n := float64(f.requests + 1)
		cpu := ms(after-before) / n
		kind := fmt.Sprint(op.name, g.shares)
		if strings.HasPrefix(g.name, "catalyst") {
			ours[kind] = cpu
		}
		fmt.Printf("| %s | %s | %.0f | %.1f | %.1f | %.3f | %s | %.0f | %.2f | %.2f | %.1f |\n", op.name, g.name,
			float64(f.requests)/f.seconds, ms(f.p50), ms(f.p99),
			cpu, ratio(cpu, ours[kind]), float64(rss)/1e6, requests/n, entities/n, float64(f.bytes)/1000)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ratio prints a over b.
func ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	if a >= 10*b {
		return fmt.Sprintf("%.0f", a/b)
	}
	return fmt.Sprintf("%.2g", a/b)
}

// counts takes the subgraphs' counters.
func counts() (requests, entities float64) {
	resp, err := http.Get("http://" + shopAddress + "/counts") //nolint:noctx // loopback
	if err != nil {
		return 0, 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = fmt.Fscan(resp.Body, &requests, &entities)
	return requests, entities
}
