package daemon

import (
	"path/filepath"

	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds"
)

// limits returns what streams, sources and services may take of an Envoy of this node.
func (d *Daemon) limits() xds.Limits {
	c := &d.cfg.Envoy
	descriptors := uint32(c.Descriptors) //nolint:gosec // configuration has checked these
	if descriptors == 0 {
		var err error
		if descriptors, err = envoy.Descriptors(); err != nil {
			d.tel.Log.Warn("how many files Envoy may open is not known: set envoy.descriptors", "error", err)
		}
	}
	return xds.Limits{
		StreamWindow: uint32(c.StreamWindow),
		Descriptors:  descriptors,
		HeaderKiB:    uint32(c.Headers), //nolint:gosec // as above
		RefuseHTTP10: !c.HTTP10, WorkloadIdle: c.WorkloadIdle,
	}
}

// overload returns what this node's own Envoy may take of the machine.
func (d *Daemon) overload() envoy.Overload {
	limits := d.limits()
	o := envoy.Overload{
		Heap: uint64(d.cfg.Envoy.Memory) << 20, Connections: limits.Connections(), //nolint:gosec // as above
		Listeners: map[string]uint32{xds.IngressListener: limits.IngressConnections()},
		Pressure:  filepath.Join(d.data, "pressure", "descriptors"),
	}
	if o.Heap == 0 {
		memory, err := envoy.Memory()
		if err != nil {
			d.tel.Log.Warn("how much memory Envoy may take is not known: set envoy.memory", "error", err)
		}
		o.Heap = memory / 2
	}
	return o
}
