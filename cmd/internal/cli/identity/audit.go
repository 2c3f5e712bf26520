package identity

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// auditNode prints what was ordered of a node.
func (a *app) auditNode() *cobra.Command {
	cmd := &cobra.Command{
		Use: "node", Short: "What was ordered of the node, and by whom: changes, looks at calls, refusals",
		Long: "Print what was ordered of the node, the oldest first: all that changes something, whoever looked at calls " +
			"(catalyst tap), what happened to peerings with other organisations, and what policies refused. The newest " +
			"1000 are at hand; audit.jsonl and audit.jsonl.1 in the node's data directory have more.",
		Example: "  catalyst audit node --refused\n  catalyst audit node --about bravo.example --recent 20",
		Args:    console.ExactArgs(0, "no arguments"),
	}
	f := cmd.Flags()
	recent := f.Int("recent", 100, "the newest so many, 1 to 1000")
	refused := f.Bool("refused", false, "those that policies refused alone")
	action := f.String("action", "", "of this operation alone, such as setPeer or tap")
	about := f.String("about", "", "with this text in who ordered it, or in what it was done to, alone")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter := client.AuditFilter{Action: *action, About: *about}
		if *refused {
			filter.Outcome = "refused"
		}
		resp, err := client.ListAudit(cmd.Context(), a.Client(), *recent, &filter)
		if err != nil {
			return err
		}
		return a.Print(resp.Audit, func(w io.Writer) {
			console.Row(w, "AT", "BY", "ACTION", "TARGET", "OUTCOME", "DETAIL")
			for i := len(resp.Audit) - 1; i >= 0; i-- {
				e := resp.Audit[i]
				if e.LeftOut > 0 {
					e.Detail += fmt.Sprintf(" (%d refusals before it were not written down)", e.LeftOut)
				}
				console.Row(w, e.At, e.By, e.Action, e.Target, e.Outcome, e.Detail)
			}
		})
	}
	return cmd
}
