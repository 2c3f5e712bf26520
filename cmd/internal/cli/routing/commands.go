// Package routing has the commands about services and the ways to them: offering, listing, explaining, tracing and
// watching them, and playing a recording of how they were chosen.
package routing

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
		a.replayCommand(), a.routeCommand(), a.tapCommand(), a.traceCommand(), a.watchCommand(),
	}
}
