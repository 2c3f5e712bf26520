package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// RunAlone serves what gateway.supergraph or gateway.subgraphs say, until ctx ends.
func (f *Front) RunAlone(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if f.cfg.Supergraph != "" {
		s := &file{front: f, path: f.cfg.Supergraph}
		if err := s.load("start"); err != nil {
			return err
		}
		g.Go(func() error { return s.run(ctx) })
	}
	if len(f.cfg.Subgraphs) > 0 {
		g.Go(func() error { return f.runSubgraphs(ctx) })
	}
	if f.cfg.Metrics != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.cfg.Metrics)
		if err != nil {
			return fmt.Errorf("gateway.metrics: %w", err)
		}
		g.Go(func() error { return f.serveMetrics(ctx, l) })
	}
	g.Go(func() error { return f.Run(ctx) })
	return g.Wait()
}

func (f *Front) serveMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", f.tel.Metrics)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
