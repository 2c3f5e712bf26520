package gateway

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// TestPlanOfAGatewayAlone: it tells how it would carry an operation out, on the graph that it serves.
func TestPlanOfAGatewayAlone(t *testing.T) {
	r := supergraph.Compose([]supergraph.Subgraph{{Name: "a", URL: "http://a", SDL: "type Query { a: Int }"}},
		supergraph.Options{})
	path := filepath.Join(t.TempDir(), "graph.graphql")
	if err := os.WriteFile(path, []byte(r.SDL), 0o600); err != nil {
		t.Fatal(err)
	}
	g, _ := configured(t, "", map[string]string{"gateway-listen": "127.0.0.1:0", "gateway-supergraph": path})
	ask := func(body string, status int, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		g.servePlan(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/plan", strings.NewReader(body)))
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: got %d %s, want %d and %q", body, w.Code, w.Body, status, want)
		}
	}
	ask(`{"query":"{ a }"}`, http.StatusServiceUnavailable, "no graph has been published yet")
	if err := (&file{gateway: g, path: path}).load("start"); err != nil {
		t.Fatal(err)
	}
	ask(`{"query":"{ a }"}`, http.StatusOK, `Fetch(0, service: "a")`)
	ask(`{"query":"query X { a } query Y { b: a }","operationName":"Y"}`, http.StatusOK, "b: a")
	ask(`{"query":"{ b }"}`, http.StatusBadRequest, `Cannot query field "b"`)
	ask(`[`, http.StatusBadRequest, "want a JSON object with query")
}
