//go:build e2e

package soak

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// watched is a node and what was seen of it.
type watched struct {
	node          *lab.Node
	samples       []sample
	before, after sample // at rest
}

type sample struct {
	at         time.Duration
	rss        float64 // bytes, of the node
	envoy      float64 // bytes, of its Envoy
	goroutines int
}

func (w *watched) sample(ctx context.Context, at time.Duration) error {
	s := sample{at: at}
	if err := w.rest(ctx, &s); err != nil {
		return err
	}
	w.samples = append(w.samples, s)
	return nil
}

// rest reads a node's own metrics.
func (w *watched) rest(ctx context.Context, s *sample) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.node.Admin+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "process_resident_memory_bytes":
			s.rss = v
		case "go_goroutines":
			s.goroutines = int(v)
		}
	}
	if s.rss == 0 || s.goroutines == 0 {
		return fmt.Errorf("%s: its metrics do not tell memory and goroutines", w.node.Name)
	}
	if pid := w.node.EnvoyPID(); pid != 0 {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.Atoi(f[1])
			s.envoy = float64(pages * os.Getpagesize())
		}
	}
	return nil
}

// line fits a line through the second two thirds of the samples and returns its slope in bytes a second.
func (w *watched) line(of func(sample) float64) (slope, seconds float64) {
	s := w.samples[len(w.samples)/3:]
	var n, x, y, xx, xy float64
	for i := range s {
		n, x, y = n+1, x+s[i].at.Seconds(), y+of(s[i])
		xx, xy = xx+s[i].at.Seconds()*s[i].at.Seconds(), xy+s[i].at.Seconds()*of(s[i])
	}
	return (n*xy - x*y) / (n*xx - x*x), s[len(s)-1].at.Seconds() - s[0].at.Seconds()
}

func rssOf(s sample) float64 { return s.rss }

// grown returns by how many bytes the fitted line rose.
func (w *watched) grown() float64 {
	slope, seconds := w.line(rssOf)
	return slope * seconds
}

func (w *watched) String() string {
	slope, _ := w.line(rssOf)
	envoy, _ := w.line(func(s sample) float64 { return s.envoy })
	peak := 0.0
	for _, s := range w.samples {
		peak = max(peak, s.rss)
	}
	const mib = 1 << 20
	return fmt.Sprintf("%s: RSS %.1f MiB at rest before, %.1f after, %.1f at the most, slope %+.2f MiB an hour (its Envoy %.1f → %.1f, %+.2f); goroutines %d before, %d after",
		w.node.Name, w.before.rss/mib, w.after.rss/mib, peak/mib, slope*3600/mib, w.before.envoy/mib, w.after.envoy/mib, envoy*3600/mib, w.before.goroutines, w.after.goroutines)
}
