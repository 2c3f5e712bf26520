package identity

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
)

func (a *app) orgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Short: "The organisation: its certificate authority, and who belongs to it"}
	dir := cmd.PersistentFlags().String("dir", console.DefaultOrg(), "directory of the CA; keep it off the nodes")
	at := organisation.Flags(cmd, dir)
	cmd.AddCommand(a.orgInit(at), a.orgIssueNode(at), a.orgIssueEnvoy(at))
	cmd.AddCommand(a.orgMembers(at)...)
	return cmd
}

func (a *app) orgInit(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "init ORGANISATION", Short: "Make the CA of an organisation, such as acme.example",
		Args: console.ExactArgs(1, "an organisation"),
	}
	keep := cmd.Flags().Bool("keep", false, "content oneself with a CA of the organisation that is there already")
	chain := cmd.Flags().String(
		"certificate", "",
		"sign with a CA certificate of your own PKI: PEM file, followed by those up to the root; wants --key",
	)
	key := cmd.Flags().String("key", "", "its key: PKCS#8, ECDSA, mode 0600")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		org, err := bgp.ParseOrg(args[0])
		if err != nil {
			return console.Usage(err)
		}
		if there, err := at.Authority(); *keep && err == nil && there.Org == org {
			a.Say("%s has a CA in %s already, which stays as it is.", org, *at.Dir)
			return nil
		}
		if *chain == "" && *key == "" {
			err = disk.InitCA(*at.Dir, org)
		} else {
			err = adopt(at, org, *chain, *key)
		}
		if err == nil {
			err = at.SealAuthority()
		}
		if err != nil {
			return err
		}
		if err := organisation.AdminCredential(at); err != nil {
			return err
		}
		a.Say(
			"%s has a CA in %s. Keep what is in it secret, and a copy of %s and of the key that it is sealed under.\n"+
				"Next: catalyst org issue-node NAME --dir %s", org, *at.Dir, filepath.Join(*at.Dir, disk.KeyFile), *at.Dir,
		)
		return nil
	}
	return cmd
}

// adopt makes the CA of an organisation from files of the operator's own PKI.
func adopt(at *organisation.At, org bgp.Org, chain, key string) error {
	if chain == "" || key == "" {
		return console.Usage(errors.New("want both --certificate and --key, or neither"))
	}
	certs, err := os.ReadFile(chain)
	if err != nil {
		return console.Usage(err)
	}
	private, err := disk.ReadKey(key, at.Sealing().Opener)
	if err != nil {
		return console.Usage(err)
	}
	authority, err := ca.Parse(certs, private)
	if err != nil {
		return console.Usage(fmt.Errorf("%s and %s: %w", chain, key, err))
	}
	if authority.Org != org {
		return console.Usage(fmt.Errorf("%s: is the CA of %s, not of %s", chain, authority.Org, org))
	}
	return disk.SaveCA(*at.Dir, authority)
}

func (a *app) orgIssueNode(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "issue-node NAME", Short: "Write the bundle of a node: certificate, key and the organisation's root",
		Args: console.ExactArgs(1, "a node name"),
	}
	out, life := issueFlags(cmd, "the node's name")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		authority, err := at.Authority()
		if err != nil {
			return err
		}
		to := cmp.Or(*out, args[0])
		id, expires, err := disk.IssueNode(authority, to, args[0], *life)
		if err != nil {
			return console.Usage(err)
		}
		a.Say("%s may identify itself with %s until %s.\nNext: catalyst node --identity %s", id.URI(), to,
			expires.Format(time.RFC3339), to)
		return nil
	}
	return cmd
}

func (a *app) orgIssueEnvoy(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "issue-envoy NODE NAME", Short: "Write the bundle of an Envoy that carries a node's traffic on another machine",
		Args: console.ExactArgs(2, "a node and a name for its Envoy"),
	}
	out, life := issueFlags(cmd, "the Envoy's name")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		authority, err := at.Authority()
		if err != nil {
			return err
		}
		to := cmp.Or(*out, args[1])
		id, expires, err := disk.IssueEnvoy(authority, to, args[0], args[1], *life)
		if err != nil {
			return console.Usage(err)
		}
		a.Say("%s may identify itself with %s until %s: as the data plane of %s, and never as that node.\n"+
			"Next, on the Envoy's machine: catalyst envoy bootstrap --remote HOST:PORT --identity %s > bootstrap.json",
			id.URI(), to, expires.Format(time.RFC3339), id.Node, to)
		return nil
	}
	return cmd
}

// issueFlags are those of all that issues a bundle.
func issueFlags(cmd *cobra.Command, name string) (out *string, life *time.Duration) {
	out = cmd.Flags().String("out", "", "directory of the bundle (default: "+name+")")
	return out, cmd.Flags().Duration("life", ca.ByHand, "how long the certificate is valid, 1m to 2160h")
}
