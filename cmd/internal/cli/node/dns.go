package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/splitdns"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) dnsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dns", Short: "Names of services, as applications beside this node are answered"}
	cmd.AddCommand(a.dnsList(), a.dnsShow(), a.dnsSetup())
	return cmd
}

func (a *app) dnsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "All names that are answered, and those that are not with the reason",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := a.names(cmd.Context())
			if err != nil {
				return err
			}
			return a.Print(page, func(w io.Writer) {
				console.Row(w, "NAME", "PROTOCOL", "STATE", "ADDRESS", "TTL", "WHY")
				for _, n := range page.Names {
					console.Row(w, n.Service, n.Protocol, n.State, n.Address, n.Ttl, n.Why)
				}
				fmt.Fprintf(w, "Asked at %s, for names below %s\n", page.Listen, strings.Join(page.Organisations, ", "))
			})
		},
	}
}

// names reads every page.
func (a *app) names(ctx context.Context) (*client.ListNamesNamesNamePage, error) {
	var all *client.ListNamesNamesNamePage
	for after := ""; ; {
		resp, err := client.ListNames(ctx, a.Client(), after)
		if err != nil {
			return nil, err
		}
		if resp.Names.Listen == "" {
			return nil, errors.New("this node answers no names: start it with --dns, such as --dns 127.0.0.1:5300")
		}
		if all == nil {
			all = resp.Names
		} else {
			all.Names = append(all.Names, resp.Names.Names...)
		}
		if after = resp.Names.Next; after == "" {
			all.Next = ""
			return all, nil
		}
	}
}

func (a *app) dnsShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "What is answered of a name, and why",
		Args:  console.ExactArgs(1, "a name"),
		Long: "What is answered of a name, and why.\n\nAn application is answered the same for a name that does not exist " +
			"and for one that is not allowed here. This command tells them apart.",
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.ResolveName(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			return a.Print(resp.Resolve, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s\n", resp.Resolve.Name, resp.Resolve.Code)
				for _, r := range resp.Resolve.Records {
					fmt.Fprintln(w, r)
				}
				if resp.Resolve.Why != "" {
					console.Row(w, resp.Resolve.Why)
				}
			})
		},
	}
}

func (a *app) dnsSetup() *cobra.Command {
	cmd := &cobra.Command{
		Use:       "setup " + strings.Join(splitdns.Resolvers(), "|"),
		Short:     "How this machine's resolver is told to ask the node for the names of services",
		ValidArgs: splitdns.Resolvers(),
		Args:      console.ExactArgs(1, "a resolver"),
		Long: "Print what makes a resolver ask the node for the names of its organisations, and ask as ever for every " +
			"other name; with --apply, do it.\n\nThe node is asked where it listens and which organisations it knows, " +
			"unless flags say so. Run it again when another organisation has become a peer.",
	}
	server := cmd.Flags().String("server", "", "IP:PORT of the node's DNS (default: the node is asked)")
	orgs := cmd.Flags().StringSlice("organisation", nil, "organisation, as often as needed (default: the node is asked)")
	upstream := cmd.Flags().StringSlice("upstream", nil,
		"IP of a resolver that containers ask for other names, for docker (default: those of /etc/resolv.conf)")
	apply := cmd.Flags().Bool("apply", false, "write the files and run the commands, instead of printing them")
	root := cmd.Flags().String("root", "/", "directory below which files are written")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := splitdns.Setup{Organisations: *orgs}
		if *server == "" || len(*orgs) == 0 {
			page, err := a.names(cmd.Context())
			if err != nil {
				return err
			}
			if *server == "" {
				*server = page.Listen
			}
			if len(*orgs) == 0 {
				s.Organisations = page.Organisations
			}
		}
		var err error
		if s.Server, err = netip.ParseAddrPort(*server); err != nil {
			return console.Usage(fmt.Errorf("--server %q: want IP:PORT", *server))
		}
		if s.Upstream, err = upstreams(*upstream); err != nil {
			return console.Usage(err)
		}
		plan, err := splitdns.For(args[0], s)
		if err != nil {
			return console.Usage(err)
		}
		if *apply {
			return a.carryOut(cmd.Context(), plan, *root)
		}
		a.printPlan(plan)
		return nil
	}
	return cmd
}

// upstreams reads addresses, or takes the machine's own resolvers if none are given.
func upstreams(given []string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range given {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("--upstream %q: want an IP address", text)
		}
		all = append(all, ip)
	}
	if len(given) > 0 {
		return all, nil
	}
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil, nil //nolint:nilerr // the machine has none
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 2 && words[0] == "nameserver" {
			if ip, err := netip.ParseAddr(words[1]); err == nil {
				all = append(all, ip)
			}
		}
	}
	return all, nil
}

func (a *app) printPlan(p splitdns.Plan) {
	for _, f := range p.Files {
		fmt.Fprintf(a.IO.Out, "# %s\n%s\n", f.Path, f.Content)
	}
	for _, c := range p.Commands {
		fmt.Fprintf(a.IO.Out, "$ %s\n", strings.Join(c, " "))
	}
	for _, n := range p.Notes {
		fmt.Fprintf(a.IO.Out, "\n%s\n", n)
	}
}

// carryOut writes a plan's files below a root, which other than / is somebody else's machine: its commands are only
// named then. A file that is not ours is left alone.
func (a *app) carryOut(ctx context.Context, p splitdns.Plan, root string) error {
	for _, f := range p.Files {
		path := filepath.Join(root, f.Path)
		if was, err := os.ReadFile(path); err == nil && !bytes.HasPrefix(was, []byte("# Written by catalyst")) &&
			string(was) != f.Content {
			return fmt.Errorf("%s is there already and not written by catalyst dns setup: put this into it by hand:\n%s", path,
				f.Content)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // every user's configuration
			return err
		}
		if err := os.WriteFile(path, []byte(f.Content), 0o644); err != nil { //nolint:gosec // as the folder
			return err
		}
		a.Say("%s is written.", path)
	}
	for _, c := range p.Commands {
		if root != "/" {
			a.Say("run there: %s", strings.Join(c, " "))
			continue
		}
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Stdout, cmd.Stderr = a.IO.Out, a.IO.Err
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(c, " "), err)
		}
	}
	for _, n := range p.Notes {
		a.Say("%s", n)
	}
	return nil
}
