package node

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) discoverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "discover", Short: "Services that are offered because they were found where they run"}
	cmd.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Where services are found, and what was found and cannot be offered",
		Args:  console.ExactArgs(0, "no arguments"),
		Long: "Where services are found (discover in the node's configuration), and what was found and cannot be offered, " +
			"with the reason.\nThe services themselves: catalyst route list --local. A line that begins with import is of " +
			"services of\nother nodes that a Kubernetes cluster has (kubernetes.import).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.ListDiscovery(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			if len(resp.Discovery) == 0 && a.Output == "table" {
				return errors.New("this node looks for services nowhere: start it with --discover, such as --discover docker")
			}
			return a.Print(resp.Discovery, func(w io.Writer) { showDiscovery(w, resp.Discovery) })
		},
	})
	return cmd
}

func showDiscovery(w io.Writer, all []*client.ListDiscoveryDiscovery) {
	console.Row(w, "SOURCE", "STATE", "SERVICES", "PROBLEMS", "CONFLICTS", "NOTE")
	for _, d := range all {
		state, note := "there for "+console.Since(d.Since), ""
		if d.Away != "" {
			state = "away for " + console.Since(d.Since)
			if note = d.Away + "; what the cluster has stays"; d.Until != "" {
				note = fmt.Sprintf("%s; what it found is offered until %s", d.Away, d.Until)
			}
		}
		console.Row(w, d.Source, state, d.Services, len(d.Problems), len(d.Conflicts), note)
	}
	for _, d := range all {
		for _, p := range d.Problems {
			fmt.Fprintf(w, "%s: %s: %s\n", d.Source, p.In, p.Why)
		}
		for _, c := range d.Conflicts {
			fmt.Fprintf(w, "%s: %s\n", d.Source, c.Why)
		}
	}
}
