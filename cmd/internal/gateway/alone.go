package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/cmd/internal/listen"
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
	tasks.Go(func() error { return g.Run(ctx) })
	return tasks.Wait()
}

func (g *Gateway) serveMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", g.tel.Metrics)
	return listen.Serve(ctx, l, mux)
}
