// Package policies has the commands about who may call what: policies in Cedar, and deciding by them beside an Envoy
// of one's own.
package policies

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
		a.authzCommand(), a.policyCommand(),
	}
}
