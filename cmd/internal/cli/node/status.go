package node

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "The node at a glance", Args: console.ExactArgs(0, "no arguments"),
		Long: "The node at a glance. With --wait, first wait until the node serves: it answers, has the tables of its " +
			"peers, and its Envoy is ready.",
	}
	wait := cmd.Flags().Duration("wait", 0, "wait until the node serves, for at most this long")
	cmd.Flags().Lookup("wait").NoOptDefVal = "1m"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *wait < 0 {
			return console.Usage(fmt.Errorf("--wait %s: want a time such as 30s", *wait))
		}
		if *wait > 0 {
			if err := a.WaitReady(cmd.Context(), *wait); err != nil {
				return err
			}
		}
		resp, err := client.GetNode(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		peers, err := client.ListPeers(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		up := 0
		for _, p := range peers.Peers {
			if p.State == "Established" {
				up++
			}
		}
		ports, err := client.ListPorts(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		return a.Print(resp.Node, func(w io.Writer) {
			showNode(w, resp.Node, up, len(peers.Peers))
			for _, p := range peers.Peers {
				if strings.Contains(p.Ingress, "tunnels") {
					console.Row(w, "tunnels", p.Node+": "+p.Ingress)
				}
			}
			showPorts(w, ports.Ports)
		})
	}
	return cmd
}

func showNode(w io.Writer, n *client.GetNodeNode, up, peers int) {
	console.Row(w, "node", n.Id)
	console.Row(w, "version", n.Version)
	console.Row(w, "up for", console.Since(n.StartedAt))
	serves := "yes"
	if len(n.Missing) > 0 {
		serves = "no: " + strings.Join(n.Missing, "; ")
	}
	console.Row(w, "serves", serves)
	console.Row(w, "peers", fmt.Sprintf("%d of %d established", up, peers))
	console.Row(w, "routes", fmt.Sprintf("%d services over %d paths", n.Routes, n.Paths))
	console.Row(w, "tables", fmt.Sprintf("%d attribute sets, %d KiB", n.AttributeSets, n.TableBytes>>10))
	envoyState := "none"
	if n.EnvoyPid > 0 {
		envoyState = fmt.Sprintf("process %d, ready: %t", n.EnvoyPid, n.EnvoyReady)
	}
	console.Row(w, "Envoy", envoyState)
	console.Row(w, "HTTP egress", n.EgressAddress)
	console.Row(w, "mesh ingress", n.IngressAddress)
	console.Row(w, "peering", n.PeeringAddress)
	console.Row(w, "certificate until", n.CertificateExpiresAt)
	if n.IdentityError != "" {
		console.Row(w, "identity", n.IdentityError)
	}
	for _, warning := range n.Warnings {
		console.Row(w, "warning", warning)
	}
	if !n.Published {
		console.Row(w, "note", "waiting for the tables of all peers before Envoy is told anything new")
	}
	if n.ContestedNames > 0 {
		console.Row(w, "warning",
			fmt.Sprintf("%d names are offered by a node that nobody has agreed to: catalyst route list "+
				"--contested", n.ContestedNames))
	}
	if n.Draining {
		console.Row(w, "note", "draining: peers are asked to prefer other paths")
	}
}

// showPorts says how many local ports there are, and whether services have begun to take each other's.
func showPorts(w io.Writer, p *client.ListPortsPorts) {
	console.Row(w, "TCP ports", fmt.Sprintf("%d belong to services, %d free", len(p.Taken), p.Free))
	if n := len(p.Reclaimed); n > 0 {
		r := p.Reclaimed[n-1]
		console.Row(w, "note", fmt.Sprintf("the pool of TCP ports is exhausted: %d went from %s to %s %s ago; widen "+
			"envoy.tcp-ports (catalyst envoy ports)",
			r.Port, r.From, r.To, console.Since(r.At)))
	}
}
