package daemon

import (
	"path/filepath"

	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/fib"
)

// fibFile holds what Envoy took last, below the data directory.
const fibFile = "fib"

// openStore reads what an earlier process kept of Envoy's state, and prepares to keep this one's. A file that cannot be read costs no more than itself.
func (d *Daemon) openStore() {
	path := filepath.Join(d.data, fibFile)
	var err error
	if d.left, err = fib.Load(path); err != nil {
		d.tel.Log.Error("the last forwarding state is not used, Envoy waits for the tables", "error", err, "kept_aside", path+".bad")
	}
	d.store = fib.New(fib.Config{Path: path, Log: d.tel.Log, All: func() []*xds.Resource { return d.ads.Taken() }})
}

// preserved tells whether forwarding goes on over this restart: Envoy runs still, or can be given at once what it had (RFC 4724 §4.1).
func (d *Daemon) preserved() bool {
	return d.sup != nil && d.sup.Running() != 0 || len(d.left) > 0
}

// restoreForwarding publishes what this node has to say without any table: its own listeners and secrets, and what Envoy took last. It has to come before Envoys are answered.
func (d *Daemon) restoreForwarding() error {
	if err := d.fwd.begin(); err != nil {
		return err
	}
	if d.ads.Restore(d.left); len(d.left) > 0 {
		d.tel.Log.Info("Envoy is given its last state until the tables are complete", "resources", len(d.left))
	}
	d.left = nil
	return nil
}
