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

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "The node at a glance", Args: exactArgs(0, "no arguments"),
		Long: "The node at a glance. With --wait, first wait until the node serves: it answers, has the tables of its " +
			"peers, and its Envoy is ready.",
	}
	wait := cmd.Flags().Duration("wait", 0, "wait until the node serves, for at most this long")
	cmd.Flags().Lookup("wait").NoOptDefVal = "1m"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *wait < 0 {
			return usageError{fmt.Errorf("--wait %s: want a time such as 30s", *wait)}
		}
		if *wait > 0 {
			if err := a.waitReady(cmd.Context(), *wait); err != nil {
				return err
			}
		}
		resp, err := client.GetNode(cmd.Context(), a.client())
		if err != nil {
			return err
		}
		peers, err := client.ListPeers(cmd.Context(), a.client())
		if err != nil {
			return err
		}
		up := 0
		for _, p := range peers.Peers {
			if p.State == "Established" {
				up++
			}
		}
		ports, err := client.ListPorts(cmd.Context(), a.client())
		if err != nil {
			return err
		}
		return a.print(resp.Node, func(w io.Writer) {
			showNode(w, resp.Node, up, len(peers.Peers))
			for _, p := range peers.Peers {
				if strings.Contains(p.Ingress, "tunnels") {
					row(w, "tunnels", p.Node+": "+p.Ingress)
				}
			}
			showPorts(w, ports.Ports)
		})
	}
	return cmd
}

// waitReady asks the node until it serves.
func (a *app) waitReady(ctx context.Context, most time.Duration) error {
	return retried(ctx, most, func(ctx context.Context) error {
		resp, err := client.GetNode(ctx, a.client())
		if err == nil && len(resp.Node.Missing) > 0 {
			err = fmt.Errorf("the node does not serve after %s: %s", most, strings.Join(resp.Node.Missing, "; "))
		}
		return err
	})
}

// retried does something until it succeeds, for at most a time, and returns its last error; 0 does it once.
func retried(ctx context.Context, most time.Duration, do func(context.Context) error) error {
	if most <= 0 {
		return do(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // that the time is over is not why it does not succeed
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
	}
}

func showNode(w io.Writer, n *client.GetNodeNode, up, peers int) {
	row(w, "node", n.Id)
	row(w, "version", n.Version)
	row(w, "up for", since(n.StartedAt))
	serves := "yes"
	if len(n.Missing) > 0 {
		serves = "no: " + strings.Join(n.Missing, "; ")
	}
	row(w, "serves", serves)
	row(w, "peers", fmt.Sprintf("%d of %d established", up, peers))
	row(w, "routes", fmt.Sprintf("%d services over %d paths", n.Routes, n.Paths))
	row(w, "tables", fmt.Sprintf("%d attribute sets, %d KiB", n.AttributeSets, n.TableBytes>>10))
	envoyState := "none"
	if n.EnvoyPid > 0 {
		envoyState = fmt.Sprintf("process %d, ready: %t", n.EnvoyPid, n.EnvoyReady)
	}
	row(w, "Envoy", envoyState)
	row(w, "HTTP egress", n.EgressAddress)
	row(w, "mesh ingress", n.IngressAddress)
	row(w, "peering", n.PeeringAddress)
	row(w, "certificate until", n.CertificateExpiresAt)
	if n.IdentityError != "" {
		row(w, "identity", n.IdentityError)
	}
	for _, warning := range n.Warnings {
		row(w, "warning", warning)
	}
	if !n.Published {
		row(w, "note", "waiting for the tables of all peers before Envoy is told anything new")
	}
	if n.ContestedNames > 0 {
		row(w, "warning", fmt.Sprintf("%d names are offered by a node that nobody has agreed to: catalyst route list "+
			"--contested", n.ContestedNames))
	}
	if n.Draining {
		row(w, "note", "draining: peers are asked to prefer other paths")
	}
}

// showPorts says how many local ports there are, and whether services have begun to take each other's.
func showPorts(w io.Writer, p *client.ListPortsPorts) {
	row(w, "TCP ports", fmt.Sprintf("%d belong to services, %d free", len(p.Taken), p.Free))
	if n := len(p.Reclaimed); n > 0 {
		r := p.Reclaimed[n-1]
		row(w, "note", fmt.Sprintf("the pool of TCP ports is exhausted: %d went from %s to %s %s ago; widen "+
			"envoy.tcp-ports (catalyst envoy ports)",
			r.Port, r.From, r.To, since(r.At)))
	}
}
