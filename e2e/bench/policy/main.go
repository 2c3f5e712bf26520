// Command policy loads one Envoy that asks before it lets a request through, over 16 connections with certificates of
// their own: without the filter, with a server that always says yes (the floor: nobody can be faster), with one that
// says so in as many words as ours, with ours, with OPA as a library in the same server, and with cedar-go's own look
// at every policy. Each request carries a token that is bound to its connection's certificate, and each decider has the
// same grants.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
)

func main() {
	kind := flag.String("serve", "", "internal: be the server of this kind")
	dir := flag.String("dir", "", "internal: where its socket and keys are")
	binary := flag.String("envoy", os.Getenv("CATALYST_ENVOY"), "Envoy's binary")
	period := flag.Duration("for", 2*time.Second, "how long each is loaded in a round")
	rounds := flag.Int("rounds", 5, "how often each is loaded")
	only := flag.String("only", "", "kinds, separated by commas; all if empty")
	flag.Parse()
	ctx := context.Background()
	err := error(nil)
	if *kind != "" {
		err = serve(ctx, *kind, *dir)
	} else {
		err = run(ctx, *binary, *period, *rounds, kindsOf(*only))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

const conns = 16

// none is Envoy without the filter; the others are servers.
func kindsOf(only string) []string {
	if only != "" {
		return strings.Split(only, ",")
	}
	return []string{"none", "floor", "told", "ours-10", "ours-10000", "opa-10000", "scan-10000"}
}

func run(ctx context.Context, binary string, period time.Duration, rounds int, kinds []string) (err error) {
	dir, err := os.MkdirTemp("", "policy-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	signer, err := token.NewSigner(private)
	if err != nil {
		return err
	}
	keys, err := token.WriteJWKS([]*token.Key{signer.Key()})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "keys.json"), keys, 0o600)
	}
	if err != nil {
		return err
	}
	clients, err := newClients(dir, signer)
	if err != nil {
		return err
	}
	servers, stop, err := start(ctx, binary, dir, kinds)
	defer stop()
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := s.check(ctx, clients); err != nil {
			return fmt.Errorf("%s: %w", s.kind, err)
		}
	}
	for range rounds {
		for _, s := range servers {
			if err := s.measure(clients, period); err != nil {
				return fmt.Errorf("%s: %w", s.kind, err)
			}
		}
	}
	return report(servers)
}

// server is one kind, at a port of Envoy's.
type server struct {
	kind    string
	address string
	pid     int // 0: there is none
	rates   []float64
	took    []time.Duration

	envoy         int       // its process
	cpu, cpuEnvoy []float64 // µs a request of the server's process and of Envoy's, by round
}

// start starts the servers and one Envoy with a listener for each.
func start(ctx context.Context, binary, dir string, kinds []string) ([]*server, func(), error) {
	var cmds []*exec.Cmd
	stop := func() {
		for _, c := range cmds {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, stop, err
	}
	var servers []*server
	for _, kind := range kinds {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, stop, err
		}
		s := &server{kind: kind, address: l.Addr().String()}
		_ = l.Close()
		servers = append(servers, s)
		if kind == "none" {
			continue
		}
		cmd := exec.CommandContext(ctx, self, "-serve", kind, "-dir", dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, stop, err
		}
		cmds, s.pid = append(cmds, cmd), cmd.Process.Pid
	}
	path := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(path, []byte(envoyConfig(dir, servers)), 0o600); err != nil {
		return nil, stop, err
	}
	cmd := exec.CommandContext(ctx, binary, "-c", path, "--disable-hot-restart", "--concurrency", "1",
		"--log-level", "error")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, stop, err
	}
	cmds = append(cmds, cmd)
	for _, s := range servers {
		s.envoy = cmd.Process.Pid
	}
	return servers, stop, nil
}

// report prints a line a kind. × floor is the median of what the rounds gave, each against the floor of its round.
func report(servers []*server) error {
	var floor []float64
	for _, s := range servers {
		if s.kind == "floor" {
			floor = s.rates
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\trequests/s (median)\tbest\t"+
		"× floor (median of rounds)\tbest ÷ best\tp50\tp99\tCPU µs a request (median): server\tEnvoy\t")
	for _, s := range servers {
		var against []float64
		for i, f := range floor {
			against = append(against, s.rates[i]/f)
		}
		slices.Sort(s.took)
		cpu := "–"
		if s.pid != 0 {
			cpu = fmt.Sprintf("%.1f", median(s.cpu))
		}
		ratio, best := "", ""
		if len(against) > 0 {
			ratio = fmt.Sprintf("%.2f", median(against))
			best = fmt.Sprintf("%.2f", slices.Max(s.rates)/slices.Max(floor))
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			s.kind, median(s.rates), slices.Max(s.rates), ratio, best,
			s.took[len(s.took)/2].Round(10*time.Microsecond), s.took[len(s.took)*99/100].Round(10*time.Microsecond), cpu,
			fmt.Sprintf("%.1f", median(s.cpuEnvoy)))
	}
	return w.Flush()
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func median(all []float64) float64 {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}
