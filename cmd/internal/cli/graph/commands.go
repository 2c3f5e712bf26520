// Package graph has the commands about the federated graph: its gateway without a node, and its subgraphs.
package graph

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
		a.gatewayCommand(), a.graphCommand(),
	}
}
