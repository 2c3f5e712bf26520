package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReadyNamesAllThatIsMissing(t *testing.T) {
	missing := map[string]string{}
	var warnings []string
	check := func(name string) Check {
		return Check{name, func(context.Context) string { return missing[name] }}
	}
	h := Handler(http.NotFoundHandler(), []Check{check("routes"), check("envoy"), check("identity")},
		func() []string { return warnings })
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
		warnings = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: got %d %q, want %d %q", c.name, w.Code, w.Body.String(), c.status, c.body)
		}
	}
	missing, warnings = nil, []string{"the certificate ends soon"}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if want := "ready\nwarning: the certificate ends soon\n"; w.Code != 200 || w.Body.String() != want {
		t.Errorf("with a warning: got %d %q, want %q", w.Code, w.Body.String(), want)
	}
}
