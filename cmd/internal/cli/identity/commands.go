// Package identity has the commands about who is who in an organisation: its CA, members, operators, keys and tokens,
// the service that keeps them, and what it signs of its names.
package identity

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
		a.attestationCommand(), a.authCommand(), a.orgCommand(), a.renewCommand(), a.tokenCommand(), a.keysCommand(),
		a.auditCommand(),
	}
}
