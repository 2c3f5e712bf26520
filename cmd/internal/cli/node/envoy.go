package node

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) envoyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "envoy", Short: "The Envoys beside this node"}
	cmd.AddCommand(a.envoyBootstrap(), a.envoyRun(), a.envoyStatus(), a.envoyPorts(), a.envoyTable())
	return cmd
}

func (a *app) envoyBootstrap() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Print the bootstrap of an Envoy that you run yourself beside this node",
		Long: "Print the bootstrap of an Envoy that you run yourself, beside this node or, with --remote, on another " +
			"machine. What it may take of this machine is in it; for another machine say it with --envoy-memory and " +
			"--envoy-descriptors, without which such an Envoy has no limits of its own.",
		Args: console.ExactArgs(0, "no arguments"),
	}
	data := cmd.Flags().String("data", "data", "the node's data directory")
	id := cmd.Flags().String("node-id", "envoy", "how the Envoy names itself")
	admin := cmd.Flags().String(
		"admin", "",
		"Unix socket for Envoy's admin interface (default: NODE-ID-admin.sock in --data, admin.sock in --identity)",
	)
	remote := cmd.Flags().String(
		"remote", "", "HOST:PORT of the node's envoy.ads, for an Envoy on another machine; wants --identity",
	)
	bundle := cmd.Flags().String("identity", "", "directory of a remote Envoy's own bundle, from catalyst org issue-envoy")
	limits := &envoyLimits{}
	limits.flags(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		overload, err := limits.overload(*remote != "")
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(*data)
		if err != nil {
			return err
		}
		if *admin == "" && *remote != "" { // there is no data directory on its machine
			*admin, err = filepath.Abs(filepath.Join(*bundle, "admin.sock"))
		} else if *admin == "" {
			*admin = filepath.Join(dir, *id+"-admin.sock")
		}
		if err != nil {
			return err
		}
		cfg := envoy.BootstrapConfig{NodeID: *id, ADS: filepath.Join(dir, "ads.sock"), Admin: *admin, Overload: overload}
		if *remote != "" {
			if *bundle == "" {
				return console.Usage(errors.New("want --identity with --remote"))
			}
			if err := remoteBootstrap(&cfg, *remote, *bundle); err != nil {
				return err
			}
		}
		b, err := envoy.Bootstrap(cfg)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.IO.Out, "%s\n", b)
		return err
	}
	return cmd
}

// remoteBootstrap makes a bootstrap one for an Envoy on another machine, and puts the files beside its bundle that it
// reads there.
func remoteBootstrap(cfg *envoy.BootstrapConfig, remote, bundle string) error {
	self, err := identity.Envoy(bundle)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(bundle)
	if err != nil {
		return err
	}
	cfg.NodeID, cfg.Remote, cfg.Identity, cfg.ControlPlane = self.String(), remote, dir, self.Node.URI()
	files, err := cfg.SecretFiles()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := disk.Replace(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) envoyStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What each Envoy has been given, has acknowledged and refuses",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.ListEnvoys(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			table, err := client.GetTable(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			return a.Print(resp.Envoys, func(w io.Writer) {
				if len(resp.Envoys) == 0 {
					fmt.Fprintln(w, "no Envoy is connected: see the node's log, and envoy.log in its data directory")
					return
				}
				for _, e := range resp.Envoys {
					if e.CutOff != "" {
						fmt.Fprintf(w, "%s is cut off since %s: %s\n", e.Node, console.Since(e.Since), e.CutOff)
					}
				}
				if t := table.Table; t.Mode == "used" {
					fmt.Fprintf(w, "%d of %d services in use (catalyst envoy table)\n", t.Used, t.Known)
				}
				console.Row(w, "ENVOY", "CONNECTED", "TYPE", "SENT", "ACKNOWLEDGED")
				for _, e := range resp.Envoys {
					for _, t := range e.Types {
						console.Row(w, e.Node, console.Since(e.Since), t.Type, t.Sent, t.Acknowledged)
					}
				}
				for _, e := range resp.Envoys {
					for _, r := range e.Refused {
						fmt.Fprintf(w, "\n%s refuses %s: %s\n", e.Node, r.Resource, r.Error)
					}
				}
			})
		},
	}
}
