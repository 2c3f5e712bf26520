package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) envoyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "envoy", Short: "The Envoys beside this node"}
	cmd.AddCommand(a.envoyBootstrap(), a.envoyStatus(), a.envoyPorts())
	return cmd
}

func (a *app) envoyBootstrap() *cobra.Command {
	cmd := &cobra.Command{Use: "bootstrap", Short: "Print the bootstrap of an Envoy that you run yourself beside this node", Args: exactArgs(0, "no arguments")}
	data := cmd.Flags().String("data", "data", "the node's data directory")
	id := cmd.Flags().String("node-id", "envoy", "how the Envoy names itself")
	admin := cmd.Flags().String("admin", "", "Unix socket for Envoy's admin interface (default: NODE-ID-admin.sock in the data directory)")
	remote := cmd.Flags().String("remote", "", "HOST:PORT of the node's envoy.ads, for an Envoy on another machine; wants --identity and --control-plane")
	bundle := cmd.Flags().String("identity", "", "directory of the bundle that a remote Envoy shows; its node is the Envoy's name")
	control := cmd.Flags().String("control-plane", "", "name of the node that a remote Envoy expects")
	cmd.RunE = func(*cobra.Command, []string) error {
		dir, err := filepath.Abs(*data)
		if err != nil {
			return err
		}
		if *admin == "" {
			*admin = filepath.Join(dir, *id+"-admin.sock")
		}
		cfg := envoy.BootstrapConfig{NodeID: *id, ADS: filepath.Join(dir, "ads.sock"), Admin: *admin}
		if *remote != "" {
			if err := remoteBootstrap(&cfg, *remote, *bundle, *control); err != nil {
				return usageError{err}
			}
		}
		b, err := envoy.Bootstrap(cfg)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.io.Out, "%s\n", b)
		return err
	}
	return cmd
}

// remoteBootstrap makes a bootstrap one for an Envoy on another machine.
func remoteBootstrap(cfg *envoy.BootstrapConfig, remote, bundle, control string) error {
	if bundle == "" || control == "" {
		return fmt.Errorf("want --identity and --control-plane with --remote")
	}
	src, err := identity.Open(bundle)
	if err != nil {
		return err
	}
	self := src.Material().Node
	node, err := bgp.NewNodeID(string(self.Org), control)
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	dir, err := filepath.Abs(bundle)
	if err != nil {
		return err
	}
	cfg.NodeID, cfg.Remote, cfg.Identity, cfg.ControlPlane = self.String(), remote, dir, node.URI()
	return nil
}

func (a *app) envoyStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "What each Envoy has been given, has acknowledged and refuses", Args: exactArgs(0, "no arguments"), RunE: func(cmd *cobra.Command, _ []string) error {
		resp, err := client.ListEnvoys(cmd.Context(), a.client())
		if err != nil {
			return err
		}
		return a.print(resp.Envoys, func(w io.Writer) {
			if len(resp.Envoys) == 0 {
				fmt.Fprintln(w, "no Envoy is connected: see the node's log, and envoy.log in its data directory")
				return
			}
			row(w, "ENVOY", "CONNECTED", "TYPE", "SENT", "ACKNOWLEDGED")
			for _, e := range resp.Envoys {
				for _, t := range e.Types {
					row(w, e.Node, since(e.Since), t.Type, t.Sent, t.Acknowledged)
				}
			}
			for _, e := range resp.Envoys {
				for _, r := range e.Refused {
					fmt.Fprintf(w, "\n%s refuses %s: %s\n", e.Node, r.Resource, r.Error)
				}
			}
		})
	}}
}
