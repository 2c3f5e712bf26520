//go:build e2e

package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

var (
	length = flag.Duration("for", 20*time.Second, "how long to churn")
	rate   = flag.Int("rate", 300, "changes a second")
	seed   = flag.Uint64("seed", 1, "of the churn")
)

const (
	churners = 4
	services = 2000
	// What a node may hold more at the end of the churn than at its beginning, by the fitted line: room for the
	// collector's pace.
	mayGrow = 12 << 20
	// How many times as much an Envoy may have allocated for a cluster: what is kept of removed ones would show here.
	mayGrowCluster = 1.25
	// Streams that are still closing when we count.
	spareGoroutines = 8
)

// TestChurn runs two real nodes, one of them with its Envoy, between routers that announce, change and withdraw
// services, close sessions and restart. Memory and goroutines of the nodes have to stay what they were, and at the
// end everyone has to hold exactly what is announced: what each side says that it sent is what the other says that it
// has.
func TestChurn(t *testing.T) {
	ctx := t.Context()
	binary, err := lab.Binary("../..")
	must(t, err)
	l, err := lab.New(ctx, binary, org)
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	hub, err := l.Add(ctx, "hub", "--log-level", "warn")
	must(t, err)
	spoke, err := l.Add(ctx, "spoke", "--no-envoy", "--log-level", "warn")
	must(t, err)
	must(t, lab.Peer(ctx, hub, spoke))
	c := &churn{rnd: rand.New(rand.NewPCG(*seed, 0)), lab: l} //nolint:gosec // a test
	for i := range churners {
		at := hub
		if i == churners-1 {
			at = spoke
		}
		must(t, c.add(ctx, fmt.Sprintf("c%d", i), at))
	}
	t.Cleanup(c.close)
	must(t, c.warm(ctx))
	must(t, c.settled(ctx, hub, spoke))
	nodes := []*watched{{node: hub}, {node: spoke}}
	for _, w := range nodes {
		must(t, w.still(ctx, &w.before))
	}
	must(t, c.run(ctx, nodes))
	must(t, c.settled(ctx, hub, spoke))
	for _, w := range nodes {
		must(t, w.still(ctx, &w.after))
		t.Log(w)
		if grown := w.grown(); grown > mayGrow {
			t.Errorf("%s grew by %.1f MiB while the number of routes stayed: may be %d", w.node.Name, grown/(1<<20), mayGrow>>20)
		}
		if a, b := w.after.inside, w.before.inside; b.clusters > 0 &&
			a.allocated/float64(a.clusters) > mayGrowCluster*b.allocated/float64(b.clusters) {
			t.Errorf("the Envoy of %s needs %.0f bytes a cluster, %.0f before the churn", w.node.Name,
				a.allocated/float64(a.clusters), b.allocated/float64(b.clusters))
		}
		if w.after.goroutines > w.before.goroutines+spareGoroutines {
			t.Errorf("%s has %d goroutines, %d before the churn", w.node.Name, w.after.goroutines, w.before.goroutines)
		}
	}
	t.Logf("%v: %s, %d services at the end", *length, c.done, len(c.announced()))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run churns at the wanted rate and samples the nodes.
func (c *churn) run(ctx context.Context, nodes []*watched) error {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	start := time.Now()
	sampleEvery := max(200*time.Millisecond, *length/500)
	var done int
	var sampled time.Time
	for {
		spent := time.Since(start)
		if spent >= *length {
			return nil
		}
		for ; done < int(spent.Seconds()*float64(*rate)); done++ {
			if err := c.step(ctx); err != nil {
				return err
			}
		}
		if time.Since(sampled) >= sampleEvery {
			sampled = time.Now()
			for _, w := range nodes {
				if err := w.sample(ctx, spent); err != nil {
					return err
				}
			}
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return errors.Join(errors.New("cut short"), ctx.Err())
		}
	}
}
