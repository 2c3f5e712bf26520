// Command graphql compares federation gateways: the same four subgraphs, the same supergraph, the same two operations, one run. Each gateway runs in
// a process group of its own, of which CPU time and memory are taken; every answer is compared with the first.
//
//	graphql -catalyst BIN -rivals DIR [-only catalyst,apollo,hive] [-seconds 10] [-connections 50]
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
	catalyst, rivals, only string
	seconds, connections   int
	serve                  bool
}

func bench(ctx context.Context) error {
	var o options
	flag.StringVar(&o.catalyst, "catalyst", "bin/catalyst", "our binary")
	flag.StringVar(&o.rivals, "rivals", "graphql/rivals", "folder of the npm packages, installed")
	flag.StringVar(&o.only, "only", "catalyst,apollo,hive", "which gateways")
	flag.IntVar(&o.seconds, "seconds", 10, "how long each operation runs")
	flag.IntVar(&o.connections, "connections", 50, "closed loops")
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
	sdl, err := supergraph(ctx, o, dir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	shop, err := start(ctx, dir, "shop", []string{self, "-serve"}, "http://"+shopAddress+"/counts")
	if err != nil {
		return err
	}
	defer kill(shop)
	fmt.Printf("%d connections, %d s each\n\n", o.connections, o.seconds)
	fmt.Println("| operation | gateway | requests/s | p50 ms | p99 ms | CPU ms a request | peak RSS MB | subgraph requests | entities | answer kB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	var failed error
	for _, g := range gateways(o, sdl) {
		if !slices.Contains(strings.Split(o.only, ","), strings.Fields(g.name)[0]) {
			continue
		}
		if err := measure(ctx, o, dir, g); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
		}
	}
	return failed
}

// gateway is a rival, or ours.
type gateway struct {
	name    string
	command []string
	url     string
}

func gateways(o options, sdl string) []gateway {
	abs := func(p string) string {
		a, _ := filepath.Abs(p)
		return a
	}
	catalyst := []string{abs(o.catalyst), "gateway", "--supergraph", sdl, "--listen"}
	hive := []string{abs(filepath.Join(o.rivals, "node_modules/.bin/hive-gateway")), "supergraph", sdl, "--host", "127.0.0.1", "--fork", "1", "--port"}
	return []gateway{
		{"catalyst", append(slices.Clone(catalyst), "127.0.0.1:4701", "--share=false"), "http://127.0.0.1:4701/graphql"},
		{"catalyst dedupe", append(slices.Clone(catalyst), "127.0.0.1:4702", "--share=true"), "http://127.0.0.1:4702/graphql"},
		{"hive", append(slices.Clone(hive), "4703", "-c", abs(filepath.Join(o.rivals, "hive.config.mjs"))), "http://127.0.0.1:4703/graphql"},
		{"hive dedupe", append(slices.Clone(hive), "4704", "-c", abs(filepath.Join(o.rivals, "hive-dedupe.config.mjs"))), "http://127.0.0.1:4704/graphql"},
		{"apollo", []string{"node", abs(filepath.Join(o.rivals, "apollo.mjs")), sdl, "4705"}, "http://127.0.0.1:4705/graphql"},
	}
}

// supergraph has the rivals' composer make the supergraph that all of them read.
func supergraph(ctx context.Context, o options, dir string) (string, error) {
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
	path := filepath.Join(dir, "supergraph.graphql")
	return path, os.WriteFile(path, out, 0o600)
}

// start runs a command in a process group of its own until url answers, and returns the group.
func start(ctx context.Context, dir, name string, command []string, url string) (int, error) {
	log, err := os.Create(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".log"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
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

func measure(ctx context.Context, o options, dir string, g gateway) error {
	group, err := start(ctx, dir, g.name, g.command, g.url)
	if err != nil {
		return err
	}
	defer kill(group)
	for _, op := range []struct{ name, text string }{{"small", small}, {"big", big}} {
		if _, err := load(ctx, g.url, op.text, o.connections, 3*time.Second); err != nil { // to warm up
			return fmt.Errorf("%s: %w", op.name, err)
		}
		counts()
		before, _ := usage(group)
		f, err := load(ctx, g.url, op.text, o.connections, time.Duration(o.seconds)*time.Second)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		after, rss := usage(group)
		requests, entities := counts()
		n := float64(f.requests + 1)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Printf("| %s | %s | %.0f | %.1f | %.1f | %.2f | %.0f | %.2f | %.2f | %.1f |\n", op.name, g.name, float64(f.requests)/f.seconds, ms(f.p50), ms(f.p99),
			ms(after-before)/n, float64(rss)/1e6, requests/n, entities/n, float64(f.bytes)/1000)
	}
	return nil
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
