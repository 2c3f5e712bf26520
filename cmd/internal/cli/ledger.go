package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
		resp, err := client.GetLedger(cmd.Context(), a.client(), org, *service)
		if err != nil {
			return err
		}
		l := resp.Ledger
		return a.print(l, func(w io.Writer) {
			row(w, "NODE", "SERVICE", "MAY", "SINCE", "UNTIL", "CALLS", "FIRST", "LAST")
			for _, x := range l.Lines {
				row(w, x.Node, x.Service, yesNo(x.May), x.Since, x.Until, x.Calls, x.First, x.Last)
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

// wouldHit says what of other organisations an order would hit, before it is carried out: calls of a service, or of an
// organisation. A node that does not tell holds nothing up.
func (a *app) wouldHit(ctx context.Context, org, service string) {
	resp, err := client.GetLedger(ctx, a.client(), org, service)
	if err != nil {
		fmt.Fprintf(a.io.Err, "What this hits is not known: %v\n", err)
		return
	}
	for _, x := range resp.Ledger.Lines {
		if x.May || recent(x.Last) {
			fmt.Fprintf(a.io.Err, "This hits %s\n", used(x))
		}
	}
}

// recent tells whether a time is within the last day.
func recent(stamp string) bool {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	return err == nil && time.Since(t) < 24*time.Hour
}

func used(x *client.GetLedgerLedgerLinesLedgerLine) string {
	text := []string{fmt.Sprintf("%s, which may call %s", x.Node, x.Service)}
	if !x.May {
		text[0] = fmt.Sprintf("%s, which could call %s until %s", x.Node, x.Service, x.Until)
	}
	if x.Last == "" {
		return strings.Join(append(text, "and never did"), " ")
	}
	return strings.Join(append(text, fmt.Sprintf("and did %s times, last %s ago", x.Calls, since(x.Last))), " ")
}
