package peers

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) peeringLedger() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger [ORGANISATION]",
		Short: "Who of other organisations may use what this node exports, and who did",
		Long: "Who of other organisations may use what this node exports, and who did: since when, until when, and how " +
			"often.\nCalls are counted by this node's Envoy when they end, whatever their answer, by the node whose " +
			"certificate was shown.",
		Args: cobra.MaximumNArgs(1),
	}
	service := cmd.Flags().String("service", "", "of one service alone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		org := ""
		if len(args) > 0 {
			org = args[0]
		}
		resp, err := client.GetLedger(cmd.Context(), a.Client(), org, *service)
		if err != nil {
			return err
		}
		l := resp.Ledger
		return a.Print(l, func(w io.Writer) {
			console.Row(w, "NODE", "SERVICE", "MAY", "SINCE", "UNTIL", "CALLS", "FIRST", "LAST")
			for _, x := range l.Lines {
				console.Row(w, x.Node, x.Service, yesNo(x.May), x.Since, x.Until, x.Calls, x.First, x.Last)
			}
			fmt.Fprintf(w, "\nKept since %s.\n", l.Since)
			if l.Forgotten > 0 {
				fmt.Fprintf(w, "%d lines were forgotten for others.\n", l.Forgotten)
			}
			if l.Problem != "" {
				fmt.Fprintf(w, "Calls are not counted at the moment: %s.\n", l.Problem)
			}
		})
	}
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
