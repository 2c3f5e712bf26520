// Package peers has the commands about neighbours: peers and their rules, peerings with other organisations, and files
// that say all of them at once.
package peers

import (
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
)

// app is what all commands share, and this room's commands on it.
type app struct{ *console.App }

// Commands are the commands of this room.
func Commands(shared *console.App) []*cobra.Command {
	a := &app{shared}
	return []*cobra.Command{
		a.applyCommand(), a.filterCommand(), a.peerCommand(), a.peeringCommand(),
	}
}

// Export prints what catalyst apply reads; it stands below catalyst config.
func Export(shared *console.App) *cobra.Command { return (&app{shared}).exportCommand() }
