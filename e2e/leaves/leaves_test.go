//go:build e2e

package leaves

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

var (
	length    = flag.Duration("for", 5*time.Second, "how long the network lives")
	reals     = flag.Int("nodes", 2, "real nodes, each with its Envoy")
	simulated = flag.Int("simulated", 4, "nodes in this process, that join, renew, peer and call")
	every     = flag.Duration("every", time.Second, "how often a token is revoked; a certificate five times less often")
)

const (
	org  = "acme.example"
	life = time.Minute // the shortest that there is
	// stream is how long what another node has under way may last, which the nodes are told (envoy.mesh-stream).
	stream = time.Minute

	// Half of the life a connection takes new requests. It was made with a certificate that had at least 0.4 of its life
	// left, since that is renewed after 0.4 to 0.6, and is closed 5 s after the last request at the earliest.
	mayOutlive = life/10 + 5*time.Second + slack
	// What is under way on a connection keeps it open: for that long at most.
	mayLast = life/2 + stream + slack
	slack   = 5 * time.Second // of a busy machine

	sameNode, sameOrg = 50 * time.Millisecond, time.Second // from a revocation to the first refusal
)

// TestNetworkOnShortLeaves lets real nodes and simulated ones live on certificates of 60 s under load. No request
// fails, no session between nodes ends that is not to, no connection outlives the certificates that it was made with by
// more than the bounds above, and what is revoked is refused in time and not let through again.
func TestNetworkOnShortLeaves(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	w.begin(ctx, &all)
	living, end := context.WithTimeout(ctx, *length)
	defer end()
	w.revokeNowAndThen(living) // what it has begun it ends, under load
	stop()
	all.Wait()
	w.report()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// report says what was seen, and what of it is wrong.
func (w *world) report() {
	t := w.t
	for _, k := range w.load.kinds() {
		t.Logf("%s", k)
	}
	for _, f := range w.load.failures() {
		t.Errorf("failed: %s", f)
	}
	w.reportSessions()
	w.ages.report(t)
	for _, m := range []struct {
		what  string
		all   []time.Duration
		bound time.Duration
	}{
		{"a token, at the identity service", w.revoked.at, sameNode}, {"a token, at Envoys", w.revoked.envoys, sameOrg},
		{"a certificate, at its peer", w.revoked.peers, sameOrg},
	} {
		p99 := w.percentile(m.all, 99)
		t.Logf("revocation of %s: %d, p50 %s, p99 %s, slowest %s", m.what, len(m.all), w.percentile(m.all, 50), p99,
			w.percentile(m.all, 100))
		if len(m.all) == 0 && m.bound == sameOrg && *length > 10**every {
			t.Errorf("nobody revoked %s", m.what)
		}
		if len(m.all) < 20 {
			m.bound, p99 = sameOrg, w.percentile(m.all, 50) // the slowest of a few says more of the machine than of the bound
		}
		if p99 > m.bound {
			t.Errorf("revocation of %s: p99 %s, want at most %s", m.what, p99, m.bound)
		}
	}
}

func (w *world) percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[max(0, (len(all)*p+99)/100-1)].Round(100 * time.Microsecond)
}

// load counts requests by their kind, and keeps those that failed.
type load struct {
	mu     sync.Mutex
	n      map[string]int // guarded by mu, as below
	failed []string
	lost   int // failures that are not kept
}

func (l *load) done(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n[kind]++
}

func (l *load) fail(kind, what string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n[kind]++
	if len(l.failed) == 20 {
		l.lost++
		return
	}
	l.failed = append(l.failed, time.Now().Format(time.TimeOnly)+" "+kind+": "+fmt.Sprintf(what, args...))
}

func (l *load) kinds() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, n := range l.n {
		all = append(all, fmt.Sprintf("%s: %d", kind, n))
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

func (l *load) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		return append(l.failed, fmt.Sprintf("and %d more", l.lost))
	}
	return l.failed
}

// tail is the end of a log, for a test that failed.
func (w *world) tail(file string) {
	text, err := os.ReadFile(filepath.Join(w.Dir, file))
	if err != nil {
		return
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			lines = append(lines, line)
		}
	}
	w.t.Logf("warnings of %s:\n%s", file, strings.Join(lines[max(0, len(lines)-20):], ""))
}

// repeat calls f now and then until ctx ends.
func repeat(ctx context.Context, all *sync.WaitGroup, pause time.Duration, f func(ctx context.Context)) {
	all.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f(ctx)
			}
		}
	})
}

// patient bounds one request.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), lab.Patience)
}
