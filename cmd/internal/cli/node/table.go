package node

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) envoyTable() *cobra.Command {
	cmd := &cobra.Command{
		Use: "table", Short: "Which services this node's Envoys have", Args: console.ExactArgs(0, "no arguments"),
		Long: "Which services this node's Envoys have: all that the node knows, or those in use (envoy.table). " +
			"catalyst route list says of each whether it is in use.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.GetTable(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			t := resp.Table
			return a.Print(t, func(w io.Writer) {
				console.Row(w, "table", t.Mode)
				console.Row(w, "services", fmt.Sprintf("%d of %d", t.Used, t.Known))
				for _, e := range t.Envoys {
					console.Row(w, "called through "+e.Envoy, e.Used)
				}
			})
		},
	}
	use := &cobra.Command{
		Use:   "use NAME",
		Short: "Have this node's Envoy have a service before it is called",
		Args:  console.ExactArgs(1, "a service name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := client.UseService(cmd.Context(), a.Client(), args[0]); err != nil {
				return err
			}
			a.Say("Envoy has %s. It is forgotten like any other that nobody calls (envoy.keep-unused).", args[0])
			return nil
		},
	}
	forget := &cobra.Command{
		Use:   "forget NAME",
		Short: "Have Envoys lose a service until it is called again",
		Args:  console.ExactArgs(1, "a service name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.ForgetService(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			if !resp.ForgetService {
				return fmt.Errorf("no Envoy has %s for being called: see catalyst route list", args[0])
			}
			a.Say("%s is forgotten until it is called again.", args[0])
			return nil
		},
	}
	cmd.AddCommand(use, forget)
	return cmd
}
