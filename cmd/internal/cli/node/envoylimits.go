package node

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds"
)

// envoyLimits are the flags for what an Envoy that no node supervises may take of its machine. They mean what
// envoy.memory and envoy.descriptors mean in a node's configuration.
type envoyLimits struct {
	memory, descriptors int
}

func (l *envoyLimits) flags(flags *pflag.FlagSet) {
	flags.IntVar(&l.memory, "envoy-memory", 0, "MiB of memory from nine tenths of which on Envoy ends the streams that "+
		"hold most and then refuses requests, at least 64; 0 for half of what this machine or container has")
	flags.IntVar(&l.descriptors, "envoy-descriptors", 0, "how many files and sockets Envoy may have open, 512 to "+
		"1048576; its limits of connections follow from that; 0 for as many as this process may have (ulimit -Hn)")
}

// overload is what they say, of an Envoy on this machine: only here it is known how much there is. One that is made
// for another has the limits that were given.
func (l *envoyLimits) overload(elsewhere bool) (envoy.Overload, error) {
	if l.memory != 0 && l.memory < 64 || l.memory > 1<<30 {
		return envoy.Overload{}, console.Usage(fmt.Errorf("--envoy-memory %d: want 64 to %d, or 0", l.memory, 1<<30))
	}
	if l.descriptors != 0 && (l.descriptors < 512 || l.descriptors > 1<<20) {
		return envoy.Overload{}, console.Usage(
			fmt.Errorf("--envoy-descriptors %d: want 512 to %d, or 0", l.descriptors, 1<<20))
	}
	o := envoy.Overload{Heap: uint64(l.memory) << 20} //nolint:gosec // it is not negative
	descriptors := uint32(l.descriptors)              //nolint:gosec // as above
	var err error
	if o.Heap == 0 && !elsewhere {
		if o.Heap, err = envoy.HalfOfMemory(); err != nil {
			return o, fmt.Errorf("%w: say it with --envoy-memory", err)
		}
	}
	if descriptors == 0 && !elsewhere {
		if descriptors, err = envoy.Descriptors(); err != nil {
			return o, fmt.Errorf("%w: say it with --envoy-descriptors", err)
		}
	}
	if descriptors > 0 {
		limits := xds.Limits{Descriptors: descriptors}
		o.Connections = limits.Connections()
		o.Listeners = map[string]uint32{xds.IngressListener: limits.IngressConnections()}
	}
	return o, nil
}
