package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const liveMetrics = "127.0.0.1:4717"

// live counts the operations that are lost while the schema of one subgraph changes at every look. The gateway
// composes by itself and looks every 100 ms, which is as often as it may.
func live(ctx context.Context, o options, dir string) error {
	if !o.takes("catalyst") {
		return nil
	}
	const connections = 10
	bin, _ := filepath.Abs(o.catalyst)
	command := []string{bin, "gateway", "--listen", "127.0.0.1:4707", "--metrics", liveMetrics, "--poll", "100ms",
		"--log-level", "warn", "--share=false"}
	for _, name := range []string{"accounts", "inventory", "products", "reviews"} {
		command = append(command, "--subgraph", name+"=http://"+shopAddress+"/"+name)
	}
	g := gateway{"catalyst-live", false, command, "http://127.0.0.1:4707/graphql", nil}
	group, err := start(ctx, dir, g.name, g.command, g.url)
	if err != nil {
		return err
	}
	defer kill(group)
	fmt.Printf("\nlive recomposition: one of four subgraphs changes its schema at every look, %d connections ask "+
		"small and big in turns\n\n", connections)
	fmt.Println("| graph | published | seconds | operations | lost | requests/s | p50 ms | p99 ms | longest ms | CPU " +
		"ms a request | heap goal MB | goroutines | peak RSS MB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	var failed error
	for _, phase := range []struct {
		name    string
		changes int
	}{{"at rest", 0}, {"changes", o.recompositions / 10}, {"changes", o.recompositions}, {"at rest", 0}} {
		if err := churn(phase.changes > 0); err != nil {
			return err
		}
		cpu, _ := usage(group)
		from, err := metrics(ctx)
		if err != nil {
			return err
		}
		enough, cancel := context.WithTimeout(ctx, 10*time.Minute)
		go func() { // ends with enough
			defer cancel()
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(3 * time.Second); ; {
				select {
				case <-enough.Done():
					return
				case <-tick.C:
				}
				if m, err := metrics(enough); err == nil && time.Now().After(end) && m.published-from.published >= phase.changes {
					return
				}
			}
		}()
		began := time.Now()
		asked := ask(enough, g.url, connections)
		took := time.Since(began)
		cancel()
		m, err := metrics(ctx)
		if err != nil {
			return err
		}
		after, rss := usage(group)
		n := len(asked.times)
		fmt.Printf("| %s | %d | %.1f | %d | %d | %.0f | %.1f | %.1f | %.1f | %.2f | %.1f | %d | %.0f |\n", phase.name,
			m.published-from.published, took.Seconds(), n, asked.lost,
			float64(n)/took.Seconds(), ms(asked.times[n/2]), ms(asked.times[n*99/100]), ms(asked.times[n-1]),
			ms(after-cpu)/float64(n), m.heap/1e6, m.goroutines, float64(rss)/1e6)
		if asked.lost > 0 {
			failed = errors.Join(failed, fmt.Errorf("%d operations were lost, the first one by: %w", asked.lost, asked.why))
		}
	}
	return failed
}

// churn tells the shop whether its schemas change at every look.
func churn(on bool) error {
	resp, err := http.Get(fmt.Sprintf("http://%s/churn?on=%t", shopAddress, on)) //nolint:noctx // loopback
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

type asked struct {
	times []time.Duration // sorted
	lost  int
	why   error
}

// ask sends small and big in turns until ctx ends. An answer other than the first one is lost, as is none.
func ask(ctx context.Context, url string, connections int) asked {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	var bodies, want [2][]byte
	for i, text := range []string{small, big} {
		bodies[i], _ = json.Marshal(map[string]string{"query": text})
	}
	var a asked
	for i, body := range bodies {
		var err error
		if want[i], err = post(ctx, client, url, body); err != nil || bytes.Contains(want[i], []byte(`"errors"`)) {
			return asked{times: []time.Duration{0}, lost: 1, why: fmt.Errorf("%w: %.300s", err, want[i])}
		}
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i = 1 - i {
				at := time.Now()
				got, err := post(context.WithoutCancel(ctx), client, url, bodies[i])
				if err == nil && !bytes.Equal(got, want[i]) {
					err = fmt.Errorf("the answer is another one: %.300s", got)
				}
				mu.Lock()
				a.times = append(a.times, time.Since(at))
				if err != nil {
					a.lost++
					a.why = err
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(a.times)
	return a
}

type measured struct {
	published, goroutines int
	// bytes at which the next collection is due: what was live after the last one, and the slack
	heap float64
}

// metrics reads the gateway's.
func metrics(ctx context.Context) (m measured, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+liveMetrics+"/metrics", nil)
	if err != nil {
		return m, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return m, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch {
		case strings.HasPrefix(name, "catalyst_graphql_schema_reloads") && strings.Contains(name, `"published"`):
			m.published = int(n)
		case name == "go_goroutines":
			m.goroutines = int(n)
		case name == "go_memstats_next_gc_bytes":
			m.heap = n
		}
	}
	return m, lines.Err()
}
