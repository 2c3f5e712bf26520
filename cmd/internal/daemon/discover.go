package daemon

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/dir"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/docker"
)

// discovery makes what finds services. Without a source it removes what was found when there was one.
func (d *Daemon) discovery() error {
	sources, err := d.cfg.Sources()
	if err != nil {
		return err
	}
	cfg := discover.Config{Hold: d.cfg.DiscoverHold, Log: d.tel.Log, Meter: d.tel.Meter}
	for _, s := range sources {
		switch s.Kind {
		case config.SourceDirectory:
			cfg.Sources = append(cfg.Sources, dir.New(s.Text, s.Path, d.tel.Log))
		case config.SourceDocker:
			cfg.Sources = append(cfg.Sources, docker.New(s.Text, s.Path))
		}
	}
	d.found, err = discover.New(cfg)
	return err
}

// discover offers what is found, once what was found before the restart is offered again.
func (d *Daemon) discover(ctx context.Context, tasks *errgroup.Group) {
	tasks.Go(func() error { return d.found.Run(ctx, d.api) })
}
