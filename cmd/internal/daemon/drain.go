package daemon

import (
	"context"
	"time"

	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// calm is for how long nothing may be under way before a node that drains ends: a peer that has just heard of it may
// send what it had decided before.
const calm = 2 * time.Second

// drain asks peers to prefer other paths, and waits until nothing of theirs is under way, for as long as is configured.
func (d *Daemon) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Stop.Drain)
	defer cancel()
	if err := d.router.Do(ctx, speaker.Drain{On: true}); err != nil || d.envoy == nil {
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	quiet, last := time.Now(), -1
	for {
		n, err := d.envoy.Admin().UnderWay(ctx)
		if err != nil {
			d.tel.Log.Warn("Envoy does not say what is under way: the node stops", "error", err)
			return
		}
		if n != last {
			d.tel.Log.Info("draining: peers are asked to prefer other paths", "requests_under_way", n)
			last = n
		}
		if n > 0 {
			quiet = time.Now()
		}
		if time.Since(quiet) >= calm {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.tel.Log.Warn("the time to drain is over", "requests_under_way", n)
			return
		}
	}
}
