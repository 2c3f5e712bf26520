package main

import (
	"context"
	"errors"
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
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/wire"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// world is two real nodes with their Envoys, hub and far, and two honest peers of hub that this program plays: what
// source announces, sink has to hear of. An application calls a workload beside far through the Envoy beside hub.
type world struct {
	lab          *lab.Lab
	hub, far     *lab.Node
	source, sink *session
	seen         chan bgp.Service // what sink was told of
	ended        chan error       // what sink's session ended with
	workload     net.Listener
	round        int
}

func newWorld(ctx context.Context, binary string) (w *world, err error) {
	w = &world{seen: make(chan bgp.Service, 1<<16), ended: make(chan error, 1)}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.lab, err = lab.New(ctx, binary, "acme.example"); err != nil {
		return nil, err
	}
	for name, at := range map[string]**lab.Node{"hub": &w.hub, "far": &w.far} {
		if *at, err = w.lab.Add(ctx, name, "--log-level", "info", "--envoy-access-log", ""); err != nil {
			return nil, err
		}
	}
	if err = lab.Peer(ctx, w.far, w.hub); err != nil {
		return nil, err
	}
	if w.workload, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	go func() {
		says := func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "books") }
		_ = (&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(says)}).Serve(w.workload)
	}()
	if _, err = w.far.CLI(ctx, "route", "add", "books", "--addr", w.workload.Addr().String()); err != nil {
		return nil, err
	}
	for _, name := range []string{"source", "sink", "crowd"} {
		if err = w.issue(ctx, name); err != nil {
			return nil, err
		}
	}
	if w.source, err = w.dial(ctx, "source"); err != nil {
		return nil, err
	}
	if w.sink, err = w.dial(ctx, "sink"); err != nil {
		return nil, err
	}
	go func() { // the source has to read what it is told, or it would be dropped
		for {
			if _, err := w.source.Receive(); err != nil {
				return
			}
		}
	}()
	go w.listen()
	return w, lab.Eventually(ctx, "an application is answered", func(ctx context.Context) error {
		status, _, err := w.hub.Get(ctx, "books.acme.example", "/")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
}

// issue makes a node's identity and makes it a peer of hub.
func (w *world) issue(ctx context.Context, name string) error {
	dir := filepath.Join(w.lab.Dir, name)
	if _, err := w.lab.OrgCLI(ctx, "org", "issue-node", name, "--out", dir); err != nil {
		return err
	}
	_, err := w.hub.CLI(ctx, "peer", "add", name)
	return err
}

func (w *world) dial(ctx context.Context, name string) (*session, error) {
	return dial(ctx, filepath.Join(w.lab.Dir, name), w.hub.ID(), w.hub.Peering)
}

// listen notes which of the source's services sink is told of.
func (w *world) listen() {
	for {
		b, err := w.sink.Receive()
		if err != nil {
			w.ended <- err
			return
		}
		m, _ := wire.Decode(b)
		u, ok := m.(*bgp.Update)
		if !ok {
			continue
		}
		for i := range u.Announced {
			for _, r := range u.Announced[i].Routes {
				if strings.HasPrefix(string(r.Service), "new-") {
					w.seen <- r.Service
				}
			}
		}
	}
}

// figures are what honest peers and applications had to wait.
type figures struct{ news, calls []time.Duration }

// measure announces a service 50 times a second, and calls another one 200 times a second, for as long.
func (w *world) measure(ctx context.Context, long time.Duration) (figures, error) {
	var f figures
	var both sync.WaitGroup
	var err1, err2 error
	both.Go(func() { f.news, err1 = w.news(ctx, long) })
	both.Go(func() { f.calls, err2 = w.calls(ctx, long) })
	both.Wait()
	return f, errors.Join(err1, err2)
}

const wait = 2 * time.Minute // for one service to be heard of

func (w *world) news(ctx context.Context, long time.Duration) ([]time.Duration, error) {
	w.round++
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var took []time.Duration
	began := time.Now()
	for i := 0; time.Since(began) < long; i++ {
		<-tick.C
		svc := bgp.Service(fmt.Sprintf("new-%d.acme.example", i%100)) // new at first, and then changed each time
		set := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{w.source.self}, MED: uint32(w.round*1_000_000 + i)}
		start := time.Now()
		err := w.source.Send(wire.Append(nil, &bgp.Update{Announced: []bgp.Group{{
			Attributes: attr.Append(nil, &set), Routes: []bgp.NLRI{{Service: svc}}}}}))
		if err != nil {
			return took, fmt.Errorf("announce: %w", err)
		}
		for got := bgp.Service(""); got != svc; {
			select {
			case got = <-w.seen:
			case err := <-w.ended:
				return took, fmt.Errorf("the honest session ended: %w", err)
			case <-time.After(wait):
				return took, fmt.Errorf("%s was not heard of within %s", svc, wait)
			case <-ctx.Done():
				return took, ctx.Err()
			}
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

func (w *world) calls(ctx context.Context, long time.Duration) ([]time.Duration, error) {
	const callers = 4
	var all [callers][]time.Duration
	var errs [callers]error
	var wg sync.WaitGroup
	began := time.Now()
	for c := range callers {
		wg.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for time.Since(began) < long && errs[c] == nil {
				<-tick.C
				start := time.Now()
				status, _, err := w.hub.Get(ctx, "books.acme.example", "/")
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("an application was answered %d", status)
				}
				errs[c] = err
				all[c] = append(all[c], time.Since(start))
			}
		})
	}
	wg.Wait()
	return slices.Concat(all[:]...), errors.Join(errs[:]...)
}

// memory is what each process holds of the machine's, in MiB.
type memory struct{ hub, far, hubEnvoy, farEnvoy float64 }

func (w *world) memory() memory {
	return memory{resident(w.hub.PID()), resident(w.far.PID()), resident(w.hub.EnvoyPID()), resident(w.far.EnvoyPID())}
}

func resident(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return float64(kib) / 1024
}

// routes returns how many services hub and far know.
func (w *world) routes(ctx context.Context) (n [2]int, err error) {
	for i, at := range []*lab.Node{w.hub, w.far} {
		var node struct{ Routes int }
		if err := at.JSON(ctx, &node, "status"); err != nil {
			return n, err
		}
		n[i] = node.Routes
	}
	return n, nil
}

func (w *world) close() {
	for _, s := range []*session{w.source, w.sink} {
		if s != nil {
			s.Close()
		}
	}
	if w.workload != nil {
		_ = w.workload.Close()
	}
	if w.lab != nil {
		_ = w.lab.Close()
	}
}
