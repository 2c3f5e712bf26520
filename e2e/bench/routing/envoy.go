package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// withEnvoy is our node with its Envoy: the same routes, until Envoy has acknowledged what is made of them. No rival
// has one.
type withEnvoy struct{ *catalyst }

func newWithEnvoy(binary string) router {
	return withEnvoy{&catalyst{binary: binary, envoy: true}}
}

func (withEnvoy) Name() string { return "Catalyst with Envoy" }

// process is Envoy's.
func (w withEnvoy) process() (*os.Process, error) {
	text, err := os.ReadFile(filepath.Join(w.data(0), "envoy.pid"))
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	return os.FindProcess(pid)
}

// Stop ends Envoy, which outlives a node that is killed.
func (w withEnvoy) Stop() {
	if p, err := w.process(); err == nil {
		_ = p.Kill()
	}
}

// acknowledging is hop with an Envoy. What Envoy does with a route is the same for another variant of it, so single
// changes are new services.
func acknowledging() []step {
	return []step{(*bench).connect, (*bench).convergence, (*bench).tableAcked, (*bench).newAcked, (*bench).pacedAcked,
		(*bench).secondPath, (*bench).failover, (*bench).movedAcked,
		(*bench).withdrawal, (*bench).goneAcked}
}

const (
	ackedOne  = 100             // services that are announced one after another
	ackedRate = 50              // and a second, under load: an Envoy takes some milliseconds of CPU for each
	ackedTime = 3 * time.Second // of that
	ackedLate = ackedOne + ackedRate*int(ackedTime/time.Second)
)

// node asks the node under test.
func (b *bench) node() *client.Client {
	return client.New(filepath.Join(b.router.(interface{ data(i int) string }).data(0), "catalyst.sock"))
}

// How often the node is asked whether Envoy has got there. The answer says since when, so that asking seldom costs no
// precision for one service; for all of them, of which it has to be counted, it is the precision.
const (
	askOne = 2 * time.Millisecond
	askAll = 50 * time.Millisecond
)

// route waits until a service is as wanted.
func (b *bench) route(ctx context.Context, every time.Duration, i int, want func(*client.RouteFields) bool) error {
	api := b.node()
	retry := time.NewTicker(every)
	defer retry.Stop()
	for {
		r, err := client.GetRoute(ctx, api, string(service(i)))
		if err != nil {
			return fmt.Errorf("Envoy has not acknowledged %s: %w", service(i), err)
		}
		if r.Route == nil && want(nil) || r.Route != nil && want(&r.Route.RouteFields) {
			return nil
		}
		<-retry.C
	}
}

// settled waits until Envoy has acknowledged everything, and a service is as wanted.
func (b *bench) settled(ctx context.Context, i int, want func(*client.RouteFields) bool) error {
	if err := b.route(ctx, askAll, i, want); err != nil {
		return err
	}
	api := b.node()
	retry := time.NewTicker(askAll)
	defer retry.Stop()
	for {
		all, err := client.ListEnvoys(ctx, api)
		if err != nil {
			return fmt.Errorf("Envoy has not acknowledged all: %w", err)
		}
		if len(all.Envoys) == 1 && all.Envoys[0].Outstanding == 0 {
			return nil
		}
		<-retry.C
	}
}

// acked tells whether Envoy has the newest of all that is made of a route.
func acked(r *client.RouteFields) bool {
	if r == nil || len(r.Envoys) == 0 {
		return false
	}
	for _, e := range r.Envoys {
		if e.Acknowledged != e.Version {
			return false
		}
	}
	return true
}

// ackedAt is when Envoy acknowledged the last of what is made of a route.
func ackedAt(r *client.RouteFields) (at time.Time, err error) {
	for _, e := range r.Envoys {
		t, err := time.Parse(time.RFC3339Nano, e.AcknowledgedAt)
		if err != nil {
			return at, err
		}
		if t.After(at) {
			at = t
		}
	}
	return at, nil
}

// since is the time from the last change to every receiver, which the step before has measured, to Envoy's last
// acknowledgement.
func (b *bench) since(ctx context.Context, row string, i int, want func(*client.RouteFields) bool) error {
	if err := b.settled(ctx, i, want); err != nil {
		return err
	}
	took := time.Since(b.began)
	b.f.add(row, ms(took), ratioOf(took))
	return nil
}

func (b *bench) tableAcked(ctx context.Context) error {
	if err := b.since(ctx, "table acknowledged by Envoy", b.n-1, acked); err != nil {
		return err
	}
	p, err := b.router.(withEnvoy).process()
	if err != nil {
		return err
	}
	own, err := usageOf(b.procs)
	if err != nil {
		return err
	}
	u, err := usageOf([]*os.Process{p})
	b.f.add("RSS of the node then", fmt.Sprintf("%d MiB", own.RSS>>20), nothing)
	b.f.add("RSS of Envoy then", fmt.Sprintf("%d MiB", u.RSS>>20), nothing)
	return err
}

// late is the number of the k-th service that comes after the table and the probes.
func (b *bench) late(k int) int { return b.n + probes + k }

// newAcked announces new services, each when Envoy has the one before.
func (b *bench) newAcked(ctx context.Context) error {
	var took []time.Duration
	for k := range ackedOne {
		i := b.late(k)
		start := time.Now()
		if err := b.sources[0].Announce(i, 1, 1, 0); err != nil {
			return err
		}
		at, err := b.wait(ctx, i)
		if err != nil {
			return err
		}
		took = append(took, at.Sub(start))
	}
	b.f.percentiles("one new service, acknowledged", took)
	_, err := b.everyone(time.Now(), ackedOne, 0)
	return err
}

// wait waits until Envoy has a service, and returns since when.
func (b *bench) wait(ctx context.Context, i int) (at time.Time, err error) {
	err = b.route(ctx, askOne, i, func(r *client.RouteFields) bool {
		if !acked(r) {
			return false
		}
		at, err = ackedAt(r)
		return true
	})
	return at, err
}

// pacedAcked announces new services at a steady pace.
func (b *bench) pacedAcked(ctx context.Context) error {
	var sent []time.Time
	start := time.Now()
	for k := range ackedLate - ackedOne {
		time.Sleep(time.Until(start.Add(time.Duration(k) * time.Second / ackedRate)))
		sent = append(sent, time.Now())
		if err := b.sources[0].Announce(b.late(ackedOne+k), 1, 1, 0); err != nil {
			return err
		}
	}
	var took []time.Duration
	for k, from := range sent {
		at, err := b.wait(ctx, b.late(ackedOne+k))
		if err != nil {
			return err
		}
		took = append(took, at.Sub(from))
	}
	b.f.percentiles(fmt.Sprintf("one of %d a second, acknowledged", ackedRate), took)
	if err := b.sources[0].Withdraw(b.n+probes, ackedLate); err != nil {
		return err
	}
	_, err := b.everyone(time.Now(), ackedLate-ackedOne, ackedLate)
	return err
}

// movedAcked waits until Envoy sends everything to the second source.
func (b *bench) movedAcked(ctx context.Context) error {
	return b.since(ctx, "failover, acknowledged by Envoy", b.n-1, func(r *client.RouteFields) bool {
		at, err := time.Time{}, error(nil)
		if acked(r) {
			at, err = ackedAt(r)
		}
		return err == nil && at.After(b.began)
	})
}

// goneAcked waits until Envoy has nothing left.
func (b *bench) goneAcked(ctx context.Context) error {
	return b.since(ctx, "withdrawal, acknowledged by Envoy", b.n-1,
		func(r *client.RouteFields) bool { return r == nil || len(r.Envoys) == 0 })
}
