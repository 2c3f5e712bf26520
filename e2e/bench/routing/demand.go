package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// onDemand is our node with an Envoy that has what is called through it, or everything, of a table of which a few are
// called.
type onDemand struct {
	withEnvoy
	name  string
	known int // services; 0 for as many as the scenario has
}

func newOnDemand(binary, name, table string, known int) router {
	c := &catalyst{binary: binary, envoy: true, flags: []string{"--envoy-table", table}, answers: true}
	return onDemand{withEnvoy{c}, name, known}
}

func (o onDemand) Name() string { return o.name }

const (
	inUse     = 40  // services that are called
	coldCalls = 200 // of others, each for the first time and then again
	unused    = 100 // changes of services that nobody calls
	inUseOnes = 50  // changes of services that are called
)

// demanded measures what a few services that are called cost beside many that are not.
func demanded() []step {
	return []step{(*bench).connect, (*bench).limitKnown, (*bench).listening, (*bench).load, (*bench).callSome,
		(*bench).envoySize,
		(*bench).changeUsed, (*bench).changeUnused, (*bench).callCold, (*bench).secondPath, (*bench).failover,
		(*bench).movedUsed}
}

// limitKnown has the table be as long as the router is to know.
func (b *bench) limitKnown(context.Context) error {
	if o := b.router.(onDemand); o.known > 0 {
		b.n = o.known
	}
	return nil
}

// listening waits until Envoy has been started.
func (b *bench) listening(ctx context.Context) error {
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.router.(onDemand).egress)
		if err == nil {
			return c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		time.Sleep(askOne)
	}
}

// load sends the table.
func (b *bench) load(context.Context) error {
	b.began = time.Now()
	sent := make(chan error, 1)
	go func() { sent <- b.announce(0, b.n) }()
	_, err := b.everyone(b.began, b.n, 0)
	return errors.Join(err, <-sent)
}

// call calls a service through Envoy until it is known there, and returns how long the last call took.
func (b *bench) call(ctx context.Context, i int) (time.Duration, error) {
	at := b.router.(onDemand).egress
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/", nil)
		if err != nil {
			return 0, err
		}
		req.Host = string(service(i))
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return 0, err
		}
		switch resp.StatusCode {
		case http.StatusOK:
			return time.Since(began), nil
		case http.StatusNotFound: // Envoy does not know it yet
		default:
			return 0, fmt.Errorf("%s is answered with %s", service(i), resp.Status)
		}
	}
}

// callSome calls those that are in use, until all of them answer and Envoy has answered for all that it was sent.
func (b *bench) callSome(ctx context.Context) error {
	for i := range inUse {
		if _, err := b.call(ctx, i); err != nil {
			return err
		}
	}
	return b.since(ctx, fmt.Sprintf("table sent until %d services answer and Envoy has acknowledged all", inUse), 0, acked)
}

func (b *bench) envoySize(context.Context) error {
	p, err := b.router.(onDemand).process()
	if err != nil {
		return err
	}
	own, err := usageOf(b.procs)
	if err != nil {
		return err
	}
	u, err := usageOf([]*os.Process{p})
	b.f.add("RSS of the node then", fmt.Sprintf("%d MiB", own.RSS>>20), float64(own.RSS))
	b.f.add("RSS of Envoy then", fmt.Sprintf("%d MiB", u.RSS>>20), float64(u.RSS))
	return err
}

// changeUsed takes services that are in use away and announces them again.
func (b *bench) changeUsed(ctx context.Context) error {
	var took []time.Duration
	for k := range inUseOnes {
		i := k % inUse
		if err := b.sources[0].Withdraw(i, 1); err != nil {
			return err
		}
		gone := func(r *client.RouteFields) bool { return r == nil || len(r.Envoys) == 0 }
		if err := b.route(ctx, askOne, i, gone); err != nil {
			return err
		}
		start := time.Now()
		if err := b.announce(i, 1); err != nil {
			return err
		}
		at, err := b.wait(ctx, i)
		if err != nil {
			return err
		}
		took = append(took, at.Sub(start))
	}
	b.f.percentiles("one change to a service in use, acknowledged", took)
	_, err := b.everyone(time.Now(), inUseOnes, inUseOnes)
	return err
}

// changeUnused announces services that nobody calls, and counts what Envoy is sent.
func (b *bench) changeUnused(ctx context.Context) error {
	sent := func() (int, error) {
		all, err := client.ListEnvoys(ctx, b.node())
		if err != nil || len(all.Envoys) != 1 {
			return 0, errors.Join(err, errors.New("want one Envoy"))
		}
		return all.Envoys[0].Bytes, nil
	}
	before, err := sent()
	if err != nil {
		return err
	}
	if err := b.sources[0].Announce(b.late(0), unused, 1, 0); err != nil {
		return err
	}
	if _, err := b.everyone(time.Now(), unused, 0); err != nil {
		return err
	}
	if err := b.settled(ctx, b.late(unused-1), func(r *client.RouteFields) bool { return r != nil }); err != nil {
		return err
	}
	after, err := sent()
	b.f.add("bytes to Envoy a change to a service that nobody calls", fmt.Sprint((after-before)/unused), nothing)
	return errors.Join(err, b.sources[0].Withdraw(b.late(0), unused), b.gone(unused))
}

func (b *bench) gone(n int) error {
	_, err := b.everyone(time.Now(), 0, n)
	return err
}

// callCold calls services for the first time, and again.
func (b *bench) callCold(ctx context.Context) error {
	if b.n < inUse+coldCalls {
		return nil
	}
	var first, again []time.Duration
	for i := inUse; i < inUse+coldCalls; i++ {
		took, err := b.call(ctx, i)
		if err != nil {
			return err
		}
		first = append(first, took)
	}
	for i := inUse; i < inUse+coldCalls; i++ {
		took, err := b.call(ctx, i)
		if err != nil {
			return err
		}
		again = append(again, took)
	}
	b.f.percentiles("first call of a service", first)
	b.f.percentiles("another call of it", again)
	return nil
}

// movedUsed waits until Envoy sends what is in use to the second source.
func (b *bench) movedUsed(ctx context.Context) error {
	return b.since(ctx, "failover, acknowledged by Envoy", inUse-1, func(r *client.RouteFields) bool {
		at, err := time.Time{}, error(nil)
		if acked(r) {
			at, err = ackedAt(r)
		}
		return err == nil && at.After(b.began)
	})
}

// ingress answers everything as a peer's mesh ingress would, and returns where.
func (c *catalyst) ingress(ctx context.Context, i int) (string, error) {
	dir := filepath.Join(c.dir, fmt.Sprintf("p%d", i))
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, disk.SVIDFile), filepath.Join(dir, disk.SVIDKey))
	if err != nil {
		return "", err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "one\n")
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
	}
	go func() { _ = s.ServeTLS(l, "", "") }()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return l.Addr().String(), nil
}
