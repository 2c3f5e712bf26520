//go:build chaos

package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

var (
	length = flag.Duration("for", 20*time.Second, "how long to go on")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the faults; another one each time")
)

const (
	org    = "acme.example"
	events = 40 // of a round, after which everything is healed
)

// TestChaos runs four nodes with their Envoys in a ring with a chord. Services come, go and move; nodes and Envoys
// are killed, stopped in their tracks and restarted, links cut, addresses typed that Envoy refuses. Each round ends
// with everything healed: every service answers at every node then, from where it is offered, or is gone, nobody
// refuses anything, and nobody has said of a bug.
func TestChaos(t *testing.T) {
	t.Logf("seed %d", *seed)
	w := newWorld(t, rand.New(rand.NewPCG(*seed, 0))) //nolint:gosec // a test
	for start := time.Now(); time.Since(start) < *length; {
		begun := time.Now()
		for range events {
			w.event(t.Context())
		}
		ended := time.Now()
		w.heal(t.Context())
		healed := time.Now()
		w.verify(t.Context())
		t.Logf("round %d: faults for %.1f s, undone in %.1f s, everything right %.1f s later", w.rounds,
			ended.Sub(begun).Seconds(), healed.Sub(ended).Seconds(), time.Since(healed).Seconds())
		if t.Failed() {
			return
		}
		w.rounds++
		w.history = nil
	}
	t.Logf("%d rounds of %d events: %v, which took %v", w.rounds, events, w.counts, w.spent)
}

// bug is what no log may hold.
var bug = regexp.MustCompile(`panic:|fatal error:|DATA RACE|goroutine \d+ \[`)

// logs looks through what the nodes have said.
func (w *world) logs() {
	for name, n := range w.lab.Nodes {
		text, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
		if err != nil {
			w.t.Error(err)
		}
		if at := bug.FindIndex(text); at != nil {
			w.t.Errorf("node %s: %s", name, text[at[0]:min(len(text), at[0]+4000)])
		}
	}
}

// say keeps what was done in this round, for who has to find out.
func (w *world) say(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

// cli runs a command at a node, which has to succeed.
func (w *world) cli(ctx context.Context, n *lab.Node, args ...string) {
	if _, err := n.CLI(ctx, args...); err != nil {
		w.t.Errorf("at %s: %v", n.Name, err)
	}
}
