package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/doctor"
	"github.com/catalyst-router/catalyst/cmd/internal/site"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// packagedConfig is where the package keeps a node's configuration.
const packagedConfig = site.Config

// packaged has a command take the package's configuration, if the machine has it and nothing else was said.
func packaged(cmd *cobra.Command) {
	flags := cmd.Flags()
	_, data := os.LookupEnv("CATALYST_DATA")
	if flags.Lookup("config").Value.String() != "" || flags.Changed("data") || flags.Changed("identity") || data {
		return
	}
	if _, err := os.Stat(packagedConfig); err == nil {
		_ = flags.Set("config", packagedConfig) // a string takes every string
	}
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Examine this machine and its node: what is wrong, where, and what to do",
		Args: console.ExactArgs(0, "no arguments"),
		Long: "Examine this machine and its node: files and their modes, clock, ports, limits, Envoy, certificates, " +
			"peers, DNS, journal and disk.\n\nIt works while the node runs and while it does not, changes nothing, and " +
			"takes the configuration as catalyst node does; without any, that of " + packagedConfig + " if it is there.\n" +
			"The exit status is 1 if something is wrong; a warning alone leaves it 0.",
		Example: "  catalyst doctor --config node.yaml\n  catalyst doctor -o json | jq '.[] | select(.state == \"wrong\")'",
	}
	load := console.Settings(cmd)
	all := cmd.Flags().Bool("all", false, "show what is right as well")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.Remote.API != "" {
			return console.Usage(errors.New("--api: catalyst doctor examines the machine that it runs on"))
		}
		packaged(cmd)
		cfg, err := load()
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("socket") {
			a.Socket = cfg.Socket
		}
		running, err := a.answers(cmd.Context())
		if err != nil {
			return err
		}
		found := doctor.Examine(cmd.Context(), doctor.Config{Node: cfg, Vault: cfg.Vault(),
			File:    cmd.Flags().Lookup("config").Value.String(),
			Running: running})
		if err := a.printFindings(found, *all); err != nil {
			return err
		}
		if doctor.AnyWrong(found) {
			return errors.New("something is wrong: see above")
		}
		return nil
	}
	return cmd
}

func (a *app) printFindings(found []doctor.Finding, all bool) error {
	return a.Print(found, func(w io.Writer) {
		counts := map[doctor.State]int{}
		console.Row(w, "CHECK", "STATE", "WHERE", "WHAT")
		for _, f := range found {
			counts[f.State]++
			if f.State == doctor.OK && !all {
				continue
			}
			console.Row(w, f.Check, string(f.State), f.Where, f.What)
			if f.Advice != "" {
				fmt.Fprintf(w, "\t\t\t→ %s\n", bgp.Printable(f.Advice))
			}
		}
		fmt.Fprintf(w, "%d wrong, %d warnings, %d unknown, %d in order\n", counts[doctor.Wrong], counts[doctor.Warning],
			counts[doctor.Unknown], counts[doctor.OK])
	})
}

// answers asks the node that runs; nil if none does.
func (a *app) answers(ctx context.Context) (*doctor.Running, error) {
	conn, err := net.Dial("unix", a.Socket) //nolint:noctx // the kernel answers
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%s: this user may not ask the node: run catalyst doctor as root, or as the user that "+
			"the node runs as", a.Socket)
	}
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // no node runs
	}
	_ = conn.Close()
	node, err := client.GetNode(ctx, a.Client())
	if err != nil {
		return nil, err
	}
	peers, err := client.ListPeers(ctx, a.Client())
	if err != nil {
		return nil, err
	}
	r := &doctor.Running{PID: doctor.Serving(a.Socket), EnvoyPID: node.Node.EnvoyPid, Missing: node.Node.Missing,
		Warnings: node.Node.Warnings}
	for _, p := range peers.Peers {
		one := doctor.Peer{Node: p.Node, Addresses: p.Config.Addresses, Established: p.State == "Established",
			LastError: p.LastError, Disabled: p.Disabled}
		if _, _, err := net.SplitHostPort(p.Ingress); err == nil {
			one.Ingress = p.Ingress
		}
		r.Peers = append(r.Peers, one)
	}
	if page, err := client.ListNames(ctx, a.Client(), ""); err == nil {
		for _, n := range page.Names.Names {
			if host, _, err := net.SplitHostPort(n.Address); err == nil && n.State == "answered" {
				r.Name, r.Address = n.Service, host
				break
			}
		}
	}
	return r, nil
}
