package routing

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch [NAME...]", Short: "Every route, then a marker, then every change, as it happens",
		Long: "Print every route as it is, then a marker, then each change, always the newest state of a " +
			"service.\n\nNAME is a service, or *.NAME for all below NAME; none is all. " +
			"A watcher that reads slowly misses states that were replaced meanwhile, is told how many, and holds nobody " +
			"up. With -o json one JSON object a line.",
	}
	peers := cmd.Flags().Bool("peers", false, "also what sessions with peers do")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		enc := json.NewEncoder(a.IO.Out)
		return a.Client().Changes(cmd.Context(), names, *peers, func(c client.Change) error {
			switch a.Output {
			case "json":
				return enc.Encode(c)
			case "yaml":
				fmt.Fprintln(a.IO.Out, "---")
				return a.Print(c, nil)
			}
			_, err := fmt.Fprintln(a.IO.Out, changeLine(&c))
			return err
		})
	}
	return cmd
}

// changeLine is a change for people.
func changeLine(c *client.Change) string {
	switch {
	case c.Kind == "synced":
		return "-- that was the table; changes follow --"
	case c.Kind == "coalesced":
		return fmt.Sprintf("-- %d state(s) were replaced by newer ones before they could be told --", c.Skipped)
	case c.Session != nil:
		s := c.Session
		line := fmt.Sprintf("%-8s %s %s → %s", c.Kind, s.Peer, s.From, s.To)
		switch {
		case s.Reason != "" && s.ByPeer:
			line += ", by the peer: " + s.Reason
		case s.Reason != "":
			line += ": " + s.Reason
		}
		return line
	case c.Route != nil && len(c.Route.Paths) > 0:
		return fmt.Sprintf("%-8s %s by %s, %d path(s)", c.Kind, c.Service, c.Route.Paths[0].NextHop, len(c.Route.Paths))
	}
	return fmt.Sprintf("%-8s %s", c.Kind, c.Service)
}
