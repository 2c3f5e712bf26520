// Package node has the commands about running a node: the process, its Envoy, its configuration, its names, and how it
// does.
package node

import (
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
)

// app is what all commands share, and this room's commands on it.
type app struct{ *console.App }

// Commands are the commands of this room. Export goes below catalyst config: it writes what another room reads.
func Commands(shared *console.App, export *cobra.Command) []*cobra.Command {
	a := &app{shared}
	return []*cobra.Command{
		a.configCommand(export), a.discoverCommand(), a.dnsCommand(), a.drainCommand(), a.envoyCommand(),
		a.nodeCommand(), a.probeCommand(), a.statusCommand(), a.webCommand(),
	}
}
