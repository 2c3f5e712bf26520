package routing

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) routeAgree() *cobra.Command {
	return &cobra.Command{
		Use:   "agree NAME [NODE]",
		Short: "Agree that a node offers a name that was another's, or that all do that offer it now",
		Long: "Agree that a node offers a name that was another's, or, without NODE, that all do that offer it now.\n\n" +
			"A node that begins to offer another's name is told of in the log, in catalyst route list and in the metric " +
			"catalyst_names_contested.\nWith peering.hold-names its paths rank behind those of whoever was there before, " +
			"until somebody agrees.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return console.ExactArgs(1, "a service name")(cmd, args)
			}
			return console.AtMostArgs(2, "a service name and a node")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			node := ""
			if len(args) == 2 {
				node = args[1]
			}
			resp, err := client.AgreeName(cmd.Context(), a.Client(), args[0], node)
			if err != nil {
				return err
			}
			if !resp.AgreeName {
				return fmt.Errorf("%s: nobody has to be agreed to: see catalyst route show %s", args[0], args[0])
			}
			if node == "" {
				node = "Every node that offers it now"
			}
			a.Say("%s may offer %s.", node, args[0])
			return nil
		},
	}
}

// newcomers are the nodes that offer a name although nobody has agreed to it.
func newcomers(r *client.RouteFields) string {
	var names []string
	for _, o := range r.Offerers {
		if !o.Agreed {
			names = append(names, o.Node)
		}
	}
	return strings.Join(names, ", ")
}

func offererWords(o *client.RouteFieldsOfferersOfferer) string {
	words := o.Node + " for " + console.Since(o.Since)
	if !o.Present {
		words = o.Node + ", not now, first heard " + console.Since(o.Since) + " ago"
	}
	if !o.Agreed {
		words += ", not agreed to"
	}
	return words
}
