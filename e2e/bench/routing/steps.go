package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/e2e/bench/routing/bgp4"
)

// A step is one part of a scenario; it adds its figures.
type step func(*bench, context.Context) error

func hop() []step {
	return []step{(*bench).connect, (*bench).convergence, (*bench).singles, (*bench).busy, (*bench).newPeer,
		(*bench).secondPath, (*bench).failover, (*bench).withdrawal}
}

func chain() []step {
	return []step{(*bench).connect, (*bench).convergence, (*bench).singles, (*bench).busy}
}

func besideStuck() []step { return []step{(*bench).connect, (*bench).convergence, (*bench).stuck} }

// probes is how many routes beside the table are announced to learn that what went before has been taken.
const probes = 2

type bench struct {
	router  router
	line    line
	procs   []*os.Process
	n       int
	f       *figures
	sources [sources]peer
	sinks   []*sink
	want    []uint32 // by route: its newest variant of the first source
	variant uint32
	began   time.Time // of the last step that changed everything
}

func (b *bench) close() {
	for _, p := range b.sources {
		if p != nil {
			_ = p.Close()
		}
	}
	for _, s := range b.sinks {
		_ = s.peer.Close()
	}
}

// announce gives n routes a new variant, from the first source.
func (b *bench) announce(first, n int) error {
	b.variant++
	for i := first; i < first+n; i++ {
		b.want[i] = b.variant
	}
	return b.sources[0].Announce(first, n, b.variant, 0)
}

// sink counts what one receiver was told.
type sink struct {
	peer  peer
	total bgp4.Counts
}

// spread is when the first, 99 % and all of some changes had arrived.
type spread struct{ First, Most, All time.Duration }

// await reads until announced and withdrawn grew by so many.
func (s *sink) await(start time.Time, announced, withdrawn int) (at spread, err error) {
	from := s.total
	err = s.peer.Receive(&s.total, func(c bgp4.Counts) bool {
		a, w := c.Announced-from.Announced, c.Withdrawn-from.Withdrawn
		if at.First == 0 && c != from {
			at.First = time.Since(start)
		}
		if at.Most == 0 && a*100 >= announced*99 && w*100 >= withdrawn*99 {
			at.Most = time.Since(start)
		}
		return a >= announced && w >= withdrawn
	})
	at.All = time.Since(start)
	return at, err
}

// connect opens every session, and waits until a probe comes through to each receiver.
func (b *bench) connect(ctx context.Context) (err error) {
	for i := range b.sources {
		if b.sources[i], err = b.router.Peer(ctx, b.line, i); err != nil {
			return err
		}
		go drain(b.sources[i])
	}
	for i := range b.line.peers - sources - 1 {
		p, err := b.router.Peer(ctx, b.line, sources+i)
		if err != nil {
			return err
		}
		b.sinks = append(b.sinks, &sink{peer: p})
	}
	if err := b.sources[0].Announce(b.n, 1, 1, 0); err != nil {
		return err
	}
	_, err = b.everyone(time.Now(), 1, 0)
	return err
}

// drain keeps a source's receive side empty; it ends with the connection.
func drain(p peer) {
	var c bgp4.Counts
	_ = p.Receive(&c, func(bgp4.Counts) bool { return false })
}

// everyone awaits the same at every receiver, and returns when it was so at the last of them.
func (b *bench) everyone(start time.Time, announced, withdrawn int) (last spread, errs error) {
	return among(b.sinks, start, announced, withdrawn)
}

func among(sinks []*sink, start time.Time, announced, withdrawn int) (last spread, errs error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, s := range sinks {
		wg.Go(func() {
			at, err := s.await(start, announced, withdrawn)
			mu.Lock()
			defer mu.Unlock()
			last = spread{max(last.First, at.First), max(last.Most, at.Most), max(last.All, at.All)}
			errs = errors.Join(errs, err)
		})
	}
	wg.Wait()
	return last, errs
}

// convergence loads the table.
func (b *bench) convergence(context.Context) error {
	before, err := usageOf(b.procs)
	if err != nil {
		return err
	}
	start := time.Now()
	b.began = start
	sent := make(chan error, 1)
	go func() { sent <- b.announce(0, b.n) }()
	at, err := b.everyone(start, b.n, 0)
	if err = errors.Join(err, <-sent); err != nil {
		return err
	}
	after, err := usageOf(b.procs)
	b.f.add("table at every receiver", ms(at.All), ratioOf(at.All))
	b.f.add("routes a second", fmt.Sprintf("%.0f", float64(b.n*len(b.sinks))/at.All.Seconds()), nothing)
	b.f.add("daemon CPU a route", fmt.Sprintf("%.1f µs", float64((after.CPU-before.CPU).Microseconds())/float64(b.n)),
		ratioOf(after.CPU-before.CPU))
	b.f.base = before.RSS
	b.f.add("RSS empty", fmt.Sprintf("%d MiB", before.RSS>>20), nothing)
	b.rss("RSS a route, one path", after)
	return err
}

func (b *bench) rss(row string, u usage) {
	b.f.add(row, fmt.Sprintf("%d B", (u.RSS-b.f.base)/b.n), float64(u.RSS-b.f.base))
}

// singles changes one route after another, each when the one before has arrived everywhere.
func (b *bench) singles(context.Context) error {
	var one, all []time.Duration
	for i := range 1000 {
		start := time.Now()
		if err := b.announce(i*7%b.n, 1); err != nil {
			return err
		}
		for j, s := range b.sinks {
			at, err := s.await(start, 1, 0)
			if err != nil {
				return err
			}
			if j == len(b.sinks)/2 {
				one = append(one, at.All)
			}
			if j == len(b.sinks)-1 {
				all = append(all, at.All)
			}
		}
	}
	if len(b.sinks) == 1 {
		b.f.percentiles("one update", one)
		return nil
	}
	b.f.percentiles("one update, at one receiver", one)
	b.f.percentiles("one update, at all receivers", all)
	return nil
}

const (
	busyRate = 1000 // updates a second
	busyTime = 3 * time.Second
)

// busy changes routes at a steady pace.
func (b *bench) busy(context.Context) error {
	before, err := usageOf(b.procs)
	if err != nil {
		return err
	}
	took, err := b.paced(b.sinks)
	if err != nil {
		return err
	}
	after, err := usageOf(b.procs)
	b.f.percentiles("one of 1,000 a second", took)
	cpu := (after.CPU - before.CPU) / time.Duration(busyTime.Seconds()*busyRate)
	b.f.add("daemon CPU an update", fmt.Sprintf("%.0f µs", float64(cpu.Nanoseconds())/1000), ratioOf(cpu))
	return err
}

// paced is busy as seen by some of the receivers: how long each change took to each of them.
func (b *bench) paced(sinks []*sink) ([]time.Duration, error) {
	n := min(int(busyTime.Seconds()*busyRate), b.n)
	sent := make([]time.Time, n)
	first := b.variant + 1 // route k gets variant first + k
	var mu sync.Mutex      // of sent
	failed := make(chan error, 1)
	took := make([][]time.Duration, len(sinks))
	errs := make([]error, len(sinks)+1)
	var wg sync.WaitGroup
	for j, s := range sinks {
		s.peer.Track(n)
		wg.Go(func() {
			defer s.peer.Track(0)
			errs[j] = s.peer.Receive(&s.total, func(bgp4.Counts) bool {
				now, held := time.Now(), s.peer.Held()
				mu.Lock()
				defer mu.Unlock()
				for k := len(took[j]); k < n && held[k] == first+uint32(k); k++ {
					took[j] = append(took[j], now.Sub(sent[k]))
				}
				return len(took[j]) == n
			})
		})
	}
	go func() {
		start := time.Now()
		var err error
		for i := 0; i < n && err == nil; i++ {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / busyRate)))
			mu.Lock()
			sent[i] = time.Now()
			mu.Unlock()
			err = b.announce(i, 1)
		}
		failed <- err
	}()
	wg.Wait()
	errs[len(sinks)] = <-failed
	return slices.Concat(took...), errors.Join(errs...)
}

func (b *bench) newPeer(ctx context.Context) error {
	start := time.Now()
	p, err := b.router.Peer(ctx, b.line, b.line.peers-1)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	// GoBGP now and then leaves some out for good when the table is large.
	at, err := (&sink{peer: p}).await(start, b.n*99/100, 0)
	b.f.add("99 % of the table to a new peer", ms(at.All), ratioOf(at.All))
	return err
}

// secondPath gives every route a worse path from the second source, which no receiver hears of.
func (b *bench) secondPath(context.Context) error {
	// The daemon has taken the last of them when another route behind them has come through. Receivers read meanwhile:
	// ours has to answer pings.
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(b.sources[1].Announce(0, b.n, 2, 3), b.sources[1].Announce(b.n+1, 1, 2, 0))
	}()
	_, err := b.everyone(time.Now(), 1, 0)
	if err = errors.Join(err, <-sent); err != nil {
		return err
	}
	u, err := usageOf(b.procs)
	b.rss("RSS a route, two paths", u)
	return err
}

// failover lets the better source die.
func (b *bench) failover(context.Context) error {
	withdrawn := b.withdrawn()
	start := time.Now()
	b.began = start
	if err := b.sources[0].Close(); err != nil {
		return err
	}
	at, err := b.everyone(start, b.n, 1) // the probe of the first source goes
	b.f.spread("failover", at)
	b.f.add("withdrawn meanwhile, and wrongly", fmt.Sprint(b.withdrawn()-withdrawn-len(b.sinks)), nothing)
	return err
}

func (b *bench) withdrawn() (n int) {
	for _, s := range b.sinks {
		n += s.total.Withdrawn
	}
	return n
}

// withdrawal lets the last source die.
func (b *bench) withdrawal(context.Context) error {
	start := time.Now()
	b.began = start
	if err := b.sources[1].Close(); err != nil {
		return err
	}
	at, err := b.everyone(start, 0, b.n+1)
	b.f.spread("withdrawal", at)
	return err
}

// stuckBytes is what a receiver that reads nothing is sent at least, more than sockets and windows hold.
const stuckBytes = 24 << 20

// stuck lets the last receiver read nothing for a while.
func (b *bench) stuck(context.Context) error {
	last := b.sinks[len(b.sinks)-1]
	others := b.sinks[:len(b.sinks)-1]
	without, err := b.paced(b.sinks)
	if err != nil {
		return err
	}
	b.f.percentiles("others, one of 1,000 a second, before", without)
	before, err := usageOf(b.procs)
	if err != nil {
		return err
	}
	last.peer.Track(b.n)
	resume := last.peer.Stall()
	for range stuckBytes / (b.n * 80) {
		start := time.Now()
		sent := make(chan error, 1)
		go func() { sent <- b.announce(0, b.n) }()
		_, err := among(others, start, b.n, 0)
		if err = errors.Join(err, <-sent); err != nil {
			return err
		}
	}
	with, err := b.paced(others)
	if err != nil {
		return err
	}
	b.f.percentiles("others, one of 1,000 a second, beside it", with)
	after, err := usageOf(b.procs)
	if err != nil {
		return err
	}
	b.f.add("memory for it", fmt.Sprintf("%.1f MiB", float64(after.RSS-before.RSS)/(1<<20)), nothing)
	resume()
	return b.resync(last)
}

// resync lets a receiver read again, until it holds what was announced.
func (b *bench) resync(s *sink) error {
	start, from := time.Now(), s.total
	done := make(chan error, 1)
	go func() {
		held, right := s.peer.Held(), 0 // all before right are as they have to be
		done <- s.peer.Receive(&s.total, func(bgp4.Counts) bool {
			for right < b.n && held[right] == b.want[right] {
				right++
			}
			return right == b.n
		})
	}()
	const row = "it reads again: all exact after"
	select {
	case err := <-done:
		if err != nil {
			b.f.add(row, "session lost", nothing)
			return nil //nolint:nilerr // that is a figure
		}
		b.f.add(row, ms(time.Since(start)), ratioOf(time.Since(start)))
		b.f.add("changes that it was told of then", fmt.Sprint(s.total.Announced-from.Announced), nothing)
		return nil
	case <-time.After(time.Minute):
		return errors.New("the receiver that was stuck does not hold what was announced, after a minute")
	}
}
