package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/graphql/live"
)

// recomposing is a gateway whose graph has one subgraph that stays, and others that come and go as fast as graphs can
// be made.
type recomposing struct {
	*Gateway
	t        *testing.T
	registry *live.Registry
	made     chan live.Entry
}

func recompose(t *testing.T) *recomposing {
	t.Helper()
	cfg, err := config.Load("", func(string) (string, bool) { return "", false }, map[string]string{"gateway-slow": "0s"})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	tel, err := telemetry.New(t.Context(), log, "test", "test")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(t.Context(), cfg.Gateway, nil, tel)
	if err != nil {
		t.Fatal(err)
	}
	r := &recomposing{Gateway: f, t: t, made: make(chan live.Entry)}
	p := publisher{f, nil}
	ctx, cancel := context.WithCancel(t.Context())
	r.registry = live.New(live.Config{
		Fetch:   p.fetch,
		Publish: p.publish,
		Log:     log,
		Rules:   live.Rules{Linger: -1},
		Observe: func(e live.Entry) {
			select {
			case r.made <- e:
			case <-ctx.Done():
			}
		},
	})
	done := make(chan error)
	go func() { done <- r.registry.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.gw.Close()
		f.plain.CloseIdleConnections()
	})
	return r
}

// wait waits for a graph.
func (r *recomposing) wait() {
	r.t.Helper()
	if e := <-r.made; e.Error != "" {
		r.t.Fatal(e.Error)
	}
}

// turn lets a subgraph join and leave again: two graphs. Each time it is another one, with another schema.
func (r *recomposing) turn(n int) {
	name := fmt.Sprintf("guest%d", n)
	r.registry.Put(live.Source{
		Name: name,
		URL:  "http://127.0.0.1:1/",
		SDL: fmt.Sprintf("type Query { guest%d: String  more%d: [Guest%d] } type Guest%d { id: ID a: Int b: [String!]! }",
			n, n, n, n),
	})
	r.wait()
	r.registry.Gone(name)
	r.wait()
}

// query asks what stays.
func (r *recomposing) query(ctx context.Context) string {
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/graphql",
		strings.NewReader(`{"query":"{ stays { id name } }"}`))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	return w.Body.String()
}

const stays = `{"data":{"stays":[{"id":"1","name":"one"}]}}`

// staying is the subgraph that stays.
func staying(t *testing.T) live.Source {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, stays)
	}))
	t.Cleanup(srv.Close)
	return live.Source{
		Name: "stays",
		URL:  srv.URL,
		SDL:  "type Query { stays: [Thing] } type Thing { id: ID! name: String }",
	}
}

// alive is the memory in use after collection, in KiB, and the number of goroutines.
func alive() (kib, goroutines int) {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 10), runtime.NumGoroutine()
}

// After a thousand graphs the process holds what it held after a hundred: no graph, plan, connection or goroutine
// stays behind.
func TestHeapIsFlatOverRecompositions(t *testing.T) {
	const first, spare = 100, 1 << 10
	last := 1000
	if testing.Short() { // with the race detector
		last = 300
	}
	r := recompose(t)
	r.registry.Put(staying(t))
	r.wait()
	measure := func() (int, int) {
		if got := r.query(t.Context()); got != stays {
			t.Fatalf("got %s", got)
		}
		r.plain.CloseIdleConnections() // of which there may be any number
		return alive()
	}
	turns := 0
	until := func(graphs int) {
		for ; turns < graphs/2; turns++ {
			r.turn(turns)
			if got := r.query(t.Context()); got != stays {
				t.Fatalf("got %s", got)
			}
		}
	}
	until(first)
	heap, goroutines := measure()
	until(last)
	heapThen, goroutinesThen := measure()
	t.Logf("after %d graphs %d KiB and %d goroutines, after %d graphs %d KiB and %d goroutines", first, heap,
		goroutines, last, heapThen, goroutinesThen)
	if heapThen > heap+spare {
		t.Errorf("the heap grew by %d KiB over %d graphs", heapThen-heap, last-first)
	}
	if goroutinesThen > goroutines {
		t.Errorf("%d goroutines more", goroutinesThen-goroutines)
	}
}

// While graphs come as fast as they can be made, no operation on what stays fails.
func TestOperationsGoOnWhileGraphsChange(t *testing.T) {
	r := recompose(t)
	r.registry.Put(staying(t))
	r.wait()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	counts := make([]int, 8)
	for i := range counts {
		clients.Go(func() {
			for ctx.Err() == nil {
				if got := r.query(t.Context()); got != stays {
					t.Errorf("operation %d got %s", counts[i], got)
					return
				}
				counts[i]++
			}
		})
	}
	for n := range 50 {
		r.turn(n)
	}
	stop()
	clients.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	t.Logf("%d operations during 100 changes of the graph", sum)
	if sum < 50 {
		t.Errorf("only %d operations: the graph was hardly under load", sum)
	}
}
