package gateway

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// ticking is a subgraph whose events are at another URL, as server-sent events. Its first streams are lost after one
// event each.
func ticking(t *testing.T, lost int32) string {
	t.Helper()
	var opened atomic.Int32
	events := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.URL.Path != "/events" {
			t.Errorf("asked for %s with Upgrade %q", r.URL.Path, r.Header.Get("Upgrade"))
		}
		n := opened.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: next\ndata: {\"data\":{\"tick\":%d}}\n\n", n)
		if n <= lost {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // the connection ends in the middle of the stream
		}
		fmt.Fprint(w, "event: complete\n\n")
	}))
	t.Cleanup(events.Close)
	return events.URL + "/events"
}

// A subgraph is asked for events where and how the configuration says, and anew as often as it says.
func TestEventsOfASubgraph(t *testing.T) {
	for name, tt := range map[string]struct {
		reconnects int
		want       string
	}{
		"a lost stream ends the client's":                  {0, "1 error"},
		"a lost stream is opened again, in each case once": {1, "1 2 3"},
	} {
		t.Run(name, func(t *testing.T) {
			url := ticking(t, 2)
			path := filepath.Join(t.TempDir(), "gateway.yaml")
			text := fmt.Sprintf("gateway:\n  listen: 127.0.0.1:0\n  event-reconnects: %d\n  subgraphs:\n    a:\n"+
				"      url: http://127.0.0.1:9/graphql\n      subscription-url: %s\n      subscription-protocol: sse\n",
				tt.reconnects, url)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := ticks(t, path); got != tt.want {
				t.Errorf("the client got %s, want %s", got, tt.want)
			}
		})
	}
}

// configured is a gateway as a file and flags say, with its rules.
func configured(t *testing.T, path string, flags map[string]string) (*Gateway, config.Gateway) {
	t.Helper()
	cfg, err := config.Load(path, func(string) (string, bool) { return "", false }, flags)
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(t.Context(), slog.New(slog.DiscardHandler), "test", "test")
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), cfg.Gateway, nil, tel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Server().Close)
	return g, cfg.Gateway
}

// ticks are the events that a client of a gateway with this configuration gets.
func ticks(t *testing.T, path string) string {
	t.Helper()
	g, cfg := configured(t, path, nil)
	graph := supergraph.Compose([]supergraph.Subgraph{{Name: "a", URL: cfg.Subgraphs["a"].URL.Reveal(),
		SDL: "type Query { a: Int } type Subscription { tick: Int }"}}, supergraph.Options{})
	snapshot, err := g.Snapshot(graph.SDL, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Server().Swap(snapshot)
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/graphql",
		strings.NewReader(`{"query":"subscription { tick }"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.Contains(line, "errors"):
			got = append(got, "error")
		case strings.HasPrefix(line, "data: {"):
			got = append(got, strings.Trim(line[strings.LastIndexByte(line, ':')+1:], "}"))
		}
	}
	return strings.Join(got, " ")
}
