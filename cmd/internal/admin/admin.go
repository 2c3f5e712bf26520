// Package admin is what a node tells those who watch it over HTTP: metrics, whether it lives, and whether it serves.
package admin

import (
	"context"
	"fmt"
	"net/http"
)

// Check is something that has to hold before a node serves.
type Check struct {
	Name string
	// Missing says what is missing; "" if nothing is.
	Missing func(ctx context.Context) string
}

// Missing returns what is missing of all checks, the first that fails first.
func Missing(ctx context.Context, checks []Check) []string {
	var all []string
	for _, c := range checks {
		if why := c.Missing(ctx); why != "" {
			all = append(all, why)
		}
	}
	return all
}

// Handler serves /metrics, /healthz (the process answers) and /readyz (all checks hold; otherwise 503 and
// what is missing, a line each). Warnings are lines below "ready".
func Handler(metrics http.Handler, checks []Check, warnings func() []string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		missing := Missing(r.Context(), checks)
		if len(missing) == 0 {
			fmt.Fprintln(w, "ready")
			for _, warning := range warnings() {
				fmt.Fprintln(w, "warning: "+warning)
			}
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, why := range missing {
			fmt.Fprintln(w, why)
		}
	})
	return mux
}
