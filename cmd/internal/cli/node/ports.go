package node

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) envoyPorts() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ports", Short: "The local ports of TCP services, and whose they are",
		Args: console.ExactArgs(0, "no arguments"),
		Long: "The local ports of TCP services, and whose they are.\n\nA port belongs to a name, whether or not a route " +
			"leads to the service now, until it is freed. Only when every port of the " +
			"pool (envoy.tcp-ports)\nbelongs to some name does a new service take one: that of the service that has been " +
			"away longest, for a minute at least, and that is not pinned.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listPorts(cmd) },
	}
	pin := &cobra.Command{
		Use:   "pin NAME PORT",
		Short: "Give a TCP service a port of your choice, for good",
		Args:  console.ExactArgs(2, "a service name and a port"),
		RunE: func(cmd *cobra.Command, args []string) error {
			port, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil || port == 0 {
				return console.Usage(fmt.Errorf("%q: want a port of 1 to 65535", args[1]))
			}
			resp, err := client.PinPort(cmd.Context(), a.Client(), args[0], int(port))
			if err != nil {
				return err
			}
			return a.Print(resp.PinPort, func(w io.Writer) {
				fmt.Fprintf(w, "%s has port %d.\n", resp.PinPort.Service,
					resp.PinPort.Port)
			})
		},
	}
	free := &cobra.Command{
		Use:   "free NAME",
		Short: "Take away the port of a service to which no route leads",
		Args:  console.ExactArgs(1, "a service name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.FreePort(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			if !resp.FreePort {
				return fmt.Errorf("%s has no port: see catalyst envoy ports", args[0])
			}
			a.Say("The port of %s may be given to another service.", args[0])
			return nil
		},
	}
	cmd.AddCommand(pin, free)
	return cmd
}

func (a *app) listPorts(cmd *cobra.Command) error {
	resp, err := client.ListPorts(cmd.Context(), a.Client())
	if err != nil {
		return err
	}
	return a.Print(resp.Ports, func(w io.Writer) {
		console.Row(w, "SERVICE", "PORT", "STATE")
		for _, p := range resp.Ports.Taken {
			state := "in use"
			if p.AwaySince != "" {
				state = "kept, no route for " + console.Since(p.AwaySince)
			}
			if p.Pinned {
				state += ", pinned"
			}
			console.Row(w, p.Service, p.Port, state)
		}
		fmt.Fprintf(w, "%d ports are free\n", resp.Ports.Free)
		for _, r := range resp.Ports.Reclaimed {
			fmt.Fprintf(w, "Exhausted %s ago: port %d went from %s to %s\n", console.Since(r.At), r.Port, r.From, r.To)
		}
	})
}
