//go:build e2e

package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	inside     envoyBooks // at rest only
}

// envoyBooks are what an Envoy says of its own memory. What is allocated is what its configuration needs; the rest of
// its RSS is the program itself, and what the allocator holds for later because it is in pieces.
type envoyBooks struct {
	allocated, heap float64 // bytes
	clusters, added int     // now, and ever
}

func (w *watched) sample(ctx context.Context, at time.Duration) error {
	s := sample{at: at}
	if err := w.rest(ctx, &s); err != nil {
		return err
	}
	w.samples = append(w.samples, s)
	return nil
}

// still is rest, with what its Envoy says.
func (w *watched) still(ctx context.Context, s *sample) error {
	if w.node.EnvoyPID() == 0 {
		return w.rest(ctx, s)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context,
		_, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.node.Dir, "data", "envoy-admin.sock"))
	}}}
	defer client.CloseIdleConnections()
	err := lab.Eventually(ctx, w.node.Name+"'s Envoy has acknowledged all", func(ctx context.Context) error {
		var all []struct {
			Outstanding int
			Types       []struct {
				Type               string
				Sent, Acknowledged int
			}
		}
		if err := w.node.JSON(ctx, &all, "envoy", "status"); err != nil {
			return err
		}
		if len(all) != 1 || all[0].Outstanding > 0 {
			return fmt.Errorf("%+v", all)
		}
		for _, t := range all[0].Types {
			if t.Sent != t.Acknowledged {
				return fmt.Errorf("%+v", t)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Its main thread answers, and only once it is through with what it was sent.
	err = lab.Eventually(ctx, "the books of "+w.node.Name+"'s Envoy", func(ctx context.Context) error {
		memory, err := get(ctx, client, "/memory") // the statistics of the same are seconds old
		if err != nil {
			return err
		}
		var m struct {
			Allocated float64 `json:"allocated,string"`
			Heap      float64 `json:"heap_size,string"`
		}
		if err := json.Unmarshal(memory, &m); err != nil {
			return err
		}
		clusters, err := get(ctx, client, "/stats?filter=^cluster_manager.(active_clusters|cluster_added)$")
		if err != nil {
			return err
		}
		b := envoyBooks{allocated: m.Allocated, heap: m.Heap}
		if _, err := fmt.Sscanf(string(clusters), "cluster_manager.active_clusters: %d\ncluster_manager.cluster_added: %d",
			&b.clusters, &b.added); err != nil {
			return fmt.Errorf("its statistics %q: %w", clusters, err)
		}
		s.inside = b
		return nil
	})
	if err != nil {
		return err
	}
	return w.rest(ctx, s)
}

func get(ctx context.Context, client *http.Client, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
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
	inside := ""
	if b, a := w.before.inside, w.after.inside; b.clusters > 0 {
		inside = fmt.Sprintf("; in its Envoy %.1f → %.1f MiB allocated, in a heap of %.1f → %.1f, by %d → %d clusters "+
			"after %d additions",
			b.allocated/mib, a.allocated/mib, b.heap/mib, a.heap/mib, b.clusters, a.clusters, a.added)
	}
	return fmt.Sprintf("%s: RSS %.1f MiB at rest before, %.1f after, %.1f at the most, slope %+.2f MiB an hour (its "+
		"Envoy %.1f → %.1f, %+.2f); goroutines %d before, %d after",
		w.node.Name, w.before.rss/mib, w.after.rss/mib, peak/mib, slope*3600/mib, w.before.envoy/mib, w.after.envoy/mib,
		envoy*3600/mib, w.before.goroutines, w.after.goroutines) + inside
}
