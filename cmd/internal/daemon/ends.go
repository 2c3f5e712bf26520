package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/drain"
	"github.com/catalyst-router/catalyst/envoy"
)

// ErrFarewell as the cause of Run's context ends the node for good: peers are told, and its Envoy is stopped.
var ErrFarewell = errors.New("stopped by the operator") //nolint:gochecknoglobals // a sentinel

// ErrDrain ends the node for good as ErrFarewell does, once traffic has moved away, or the configured time is over.
var ErrDrain = fmt.Errorf("%w after draining", ErrFarewell) //nolint:gochecknoglobals // a sentinel

func (d *Daemon) farewell(cause error) {
	if !errors.Is(cause, ErrFarewell) {
		d.tel.Log.Info("node stops, Envoy and peers go on with what they have", "cause", cause)
		return
	}
	if errors.Is(cause, ErrDrain) {
		d.drain()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := d.router.Do(ctx, speaker.Shutdown{Text: "stopped by the operator"})
	if d.envoy != nil {
		err = errors.Join(err, d.envoy.Stop(ctx))
	}
	if err != nil {
		d.tel.Log.Warn("node stopped, and not everything went as it should", "error", err)
		return
	}
	d.tel.Log.Info("node stopped, peers are told")
}

func (d *Daemon) close() {
	if err := d.journal.Close(); err != nil {
		d.tel.Log.Error("close the journal", "error", err)
	}
	if err := d.judge.Close(); err != nil {
		d.tel.Log.Error("close the policies", "error", err)
	}
	if err := d.audit.Close(); err != nil {
		d.tel.Log.Error("close the audit", "error", err)
	}
}

// drain asks peers to prefer other paths, and waits until nothing of theirs is under way, for as long as is configured.
func (d *Daemon) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Stop.Drain)
	defer cancel()
	if err := d.router.Do(ctx, speaker.Drain{On: true}); err != nil || d.envoy == nil {
		return
	}
	err := drain.Wait(ctx, drain.Every, d.envoy.Admin().Traffic, func(t envoy.Traffic) {
		d.tel.Log.Info("draining: peers are asked to prefer other paths", "requests_under_way", t.Ingress, "to", t.To)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		d.tel.Log.Warn("the time to drain is over, and the node stops with requests under way")
	case err != nil:
		d.tel.Log.Warn("Envoy does not say what is under way: the node stops", "error", err)
	}
}
