package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
)

// RunAlone serves what gateway.supergraph or gateway.subgraphs say, until ctx ends.
func (g *Gateway) RunAlone(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	if g.cfg.Supergraph != "" {
		s := &file{gateway: g, path: g.cfg.Supergraph}
		if err := s.load("start"); err != nil {
			return err
		}
		tasks.Go(func() error { return s.run(ctx) })
	}
	if len(g.cfg.Subgraphs) > 0 {
		tasks.Go(func() error { return g.runSubgraphs(ctx) })
	}
	if g.cfg.Metrics != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.Metrics)
		if err != nil {
			return fmt.Errorf("gateway.metrics: %w", err)
		}
		tasks.Go(func() error { return g.serveMetrics(ctx, l) })
	}
	tasks.Go(func() error {
		l, err := g.Listen(ctx)
		if err != nil {
			return err
		}
		return g.Run(ctx, l)
	})
	return tasks.Wait()
}

func (g *Gateway) serveMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", g.tel.Metrics)
	mux.HandleFunc("POST /plan", g.servePlan)
	return listen.Serve(ctx, l, mux)
}

// largestQuestion bounds an operation that is to be planned, in bytes.
const largestQuestion = 1 << 20

// servePlan answers how an operation (`{"query", "operationName"}`) would be carried out on the graph that is served.
func (g *Gateway) servePlan(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Query, OperationName string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestQuestion)).Decode(&ask); err != nil {
		http.Error(w, "want a JSON object with query, and operationName if there are several: "+err.Error(),
			http.StatusBadRequest)
		return
	}
	text, err := g.gw.PlanText(ask.Query, ask.OperationName)
	switch {
	case errors.Is(err, server.ErrNoGraph):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text) // who asked may have gone
	}
}
