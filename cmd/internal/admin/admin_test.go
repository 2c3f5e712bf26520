package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReadyNamesAllThatIsMissing(t *testing.T) {
	missing := map[string]string{}
	check := func(name string) Check {
		return Check{name, func(context.Context) string { return missing[name] }}
	}
	h := Handler(http.NotFoundHandler(), []Check{check("routes"), check("envoy"), check("identity")})
	for _, c := range []struct {
		name   string
		set    map[string]string
		status int
		body   string
	}{
		{"all holds", nil, 200, "ready\n"},
		{"one fails", map[string]string{"envoy": "Envoy is not ready"}, 503, "Envoy is not ready\n"},
		{"two fail", map[string]string{"identity": "it expired", "routes": "waiting"}, 503, "waiting\nit expired\n"},
	} {
		missing = c.set
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: got %d %q, want %d %q", c.name, w.Code, w.Body.String(), c.status, c.body)
		}
	}
}
