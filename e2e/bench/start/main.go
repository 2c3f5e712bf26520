// Command start measures how long a node that was killed takes until it is there again: from exec to the first answer
// of the operator's API, and to the first answer of a workload through its Envoy, which is started anew as well or has
// run on. Programs are measured in turns, over the same data, because the speed of a machine drifts.
//
//	start -catalyst bin/catalyst [-before OTHER] -services 10000 -rounds 5
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	now := flag.String("catalyst", "bin/catalyst", "the node's program")
	before := flag.String("before", "", "another program to measure beside it")
	services := flag.Int("services", 10_000, "services of the node's own, each with the same workload")
	rounds := flag.Int("rounds", 5, "how often each program is started in each way")
	flag.Parse()
	if err := run(ctx, programs(*now, *before), *services, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
}

// program is one that is measured.
type program struct{ name, path string }

func programs(now, before string) []program {
	all := []program{{"catalyst", now}}
	if before != "" {
		all = append(all, program{"before", before})
	}
	return all
}

// way is how a node is started.
type way struct {
	name  string
	envoy bool // Envoy was killed as well
}

// took is one start.
type took struct{ api, serving time.Duration }

func run(ctx context.Context, all []program, services, rounds int) error {
	for i := range all {
		path, err := filepath.Abs(all[i].path)
		if err != nil {
			return err
		}
		all[i].path = path
	}
	s := &site{}
	defer s.close()
	if err := s.begin(ctx, all[0].path, services); err != nil {
		return err
	}
	ways := []way{{"node alone", false}, {"node and Envoy", true}}
	starts := map[string][]took{}
	for range rounds {
		for _, w := range ways {
			for _, p := range all {
				t, err := s.restart(ctx, p, w)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", p.name, w.name, err)
				}
				starts[p.name+w.name] = append(starts[p.name+w.name], t)
			}
		}
	}
	fmt.Printf("| killed, %d services | program | API answers, ms, median (all) | serving, ms, median (all) |\n", services)
	fmt.Println("| --- | --- | --- | --- |")
	for _, w := range ways {
		for _, p := range all {
			of := starts[p.name+w.name]
			api := median(of, func(t took) time.Duration { return t.api })
			serving := median(of, func(t took) time.Duration { return t.serving })
			fmt.Printf("| %s | %s | %s | %s |\n", w.name, p.name, api, serving)
		}
	}
	return nil
}

// median says the median of some starts, and all of them.
func median(of []took, which func(took) time.Duration) string {
	var ms []int64
	for _, t := range of {
		ms = append(ms, which(t).Milliseconds())
	}
	slices.Sort(ms)
	return fmt.Sprintf("%d (%s)", ms[len(ms)/2], strings.Trim(fmt.Sprint(ms), "[]"))
}

// site is a node with services of its own.
type site struct {
	lab      *lab.Lab
	node     *lab.Node
	workload net.Listener
	last     string // name of its last service
}

// begin makes the node and its services, and has its Envoy take all of them for the first time.
func (s *site) begin(ctx context.Context, binary string, services int) (err error) {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.workload = lis
	go func() {
		ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		_ = (&http.Server{ReadHeaderTimeout: time.Minute, Handler: ok}).Serve(lis)
	}()
	if s.lab, err = lab.New(ctx, binary, "acme.example"); err != nil {
		return err
	}
	if s.node, err = s.lab.Add(ctx, "site", "--log-level", "info", "--envoy-access-log", ""); err != nil {
		return err
	}
	if err = s.node.Stop(syscall.SIGKILL); err != nil {
		return err
	}
	if err = s.order(ctx, services); err != nil {
		return err
	}
	_, err = s.restart(ctx, program{path: binary}, way{envoy: true})
	return err
}

// order writes services into the node's journal, as its operator's orders do.
func (s *site) order(ctx context.Context, services int) error {
	j, err := journal.Open(ctx, filepath.Join(s.node.Dir, "data", "journal.db"))
	if err != nil {
		return err
	}
	defer func() { _ = j.Close() }()
	for i := range services {
		s.last = fmt.Sprintf("s%06d.acme.example", i)
		err := j.PutService(ctx, journal.Service{
			Name: bgp.Service(s.last), Protocol: bgp.HTTP, Address: s.workload.Addr().String(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// restart kills the node, and its Envoy in some ways, and starts it by a program.
func (s *site) restart(ctx context.Context, p program, w way) (t took, err error) {
	if err := s.node.Stop(syscall.SIGKILL); err != nil {
		return t, err
	}
	if w.envoy {
		s.node.KillEnvoy()
	}
	s.lab.Binary = p.path
	began := time.Now()
	started := make(chan error, 1)
	go func() { started <- s.node.Start(ctx) }()
	if t.api, err = s.until(ctx, began, s.answers()); err != nil {
		return t, err
	}
	if t.serving, err = s.until(ctx, began, s.serves); err != nil {
		return t, err
	}
	if err := s.settled(ctx); err != nil {
		return t, err
	}
	return t, <-started
}

// until tries something every millisecond until it succeeds, and says when that was.
func (s *site) until(ctx context.Context, began time.Time, try func(context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(time.Millisecond):
		}
	}
}

// answers asks the operator's API what the node is called.
func (s *site) answers() func(context.Context) error {
	socket := filepath.Join(s.node.Dir, "data", "catalyst.sock")
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node/graphql",
			strings.NewReader(`{"query":"{node{id}}"}`))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the API answered %s", resp.Status)
		}
		return nil
	}
}

// serves calls the last service through Envoy.
func (s *site) serves(ctx context.Context) error {
	status, _, err := s.node.Get(ctx, s.last, "/")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answered %d", s.last, status)
	}
	return err
}

// settled waits until Envoy has taken everything.
func (s *site) settled(ctx context.Context) error {
	_, err := s.until(ctx, time.Now(), func(ctx context.Context) error {
		var envoys []struct {
			Types []struct {
				Type               string
				Sent, Acknowledged int
			}
		}
		if err := s.node.JSON(ctx, &envoys, "envoy", "status"); err != nil {
			return err
		}
		for _, e := range envoys {
			for _, x := range e.Types {
				if x.Type == "Cluster" && x.Sent > 0 && x.Sent == x.Acknowledged {
					return nil
				}
			}
		}
		return fmt.Errorf("Envoy has not taken everything: %+v", envoys)
	})
	return err
}

func (s *site) close() {
	if s.lab != nil {
		_ = s.lab.Close()
	}
	if s.workload != nil {
		_ = s.workload.Close()
	}
}
