package cli

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
)

func (a *app) orgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Short: "The organisation: its certificate authority, and who belongs to it"}
	dir := cmd.PersistentFlags().String("dir", defaultOrg(), "directory of the CA; keep it off the nodes")
	at := a.authFlags(cmd, dir)
	cmd.AddCommand(a.orgInit(at), a.orgIssueNode(at), a.orgIssueEnvoy(at))
	cmd.AddCommand(a.orgMembers(at)...)
	return cmd
}

func (a *app) orgInit(at *authAt) *cobra.Command {
	cmd := &cobra.Command{
		Use: "init ORGANISATION", Short: "Make the CA of an organisation, such as acme.example",
		Args: exactArgs(1, "an organisation"),
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
			return usageError{err}
		}
		if there, err := at.authority(); *keep && err == nil && there.Org == org {
			a.say("%s has a CA in %s already, which stays as it is.", org, *at.dir)
			return nil
		}
		if *chain == "" && *key == "" {
			err = disk.InitCA(*at.dir, org)
		} else {
			err = adopt(at, org, *chain, *key)
		}
		if err == nil {
			err = at.sealAuthority()
		}
		if err != nil {
			return err
		}
		if err := adminCredential(at); err != nil {
			return err
		}
		a.say(
			"%s has a CA in %s. Keep what is in it secret, and a copy of %s and of the key that it is sealed under.\n"+
				"Next: catalyst org issue-node NAME --dir %s", org, *at.dir, filepath.Join(*at.dir, disk.KeyFile), *at.dir,
		)
		return nil
	}
	return cmd
}

// adminCredential writes the first administrator's certificate and key into the CA's directory.
func adminCredential(at *authAt) error {
	authority, err := at.authority()
	if err != nil {
		return err
	}
	return issueOperator(authority, filepath.Join(*at.dir, adminDir), "admin", ca.MaxByHand)
}

// adopt makes the CA of an organisation from files of the operator's own PKI.
func adopt(at *authAt, org bgp.Org, chain, key string) error {
	if chain == "" || key == "" {
		return usageError{errors.New("want both --certificate and --key, or neither")}
	}
	certs, err := os.ReadFile(chain)
	if err != nil {
		return usageError{err}
	}
	private, err := disk.ReadKey(key, at.sealing().Opener)
	if err != nil {
		return usageError{err}
	}
	authority, err := ca.Parse(certs, private)
	if err != nil {
		return usageError{fmt.Errorf("%s and %s: %w", chain, key, err)}
	}
	if authority.Org != org {
		return usageError{fmt.Errorf("%s: is the CA of %s, not of %s", chain, authority.Org, org)}
	}
	return disk.SaveCA(*at.dir, authority)
}

func (a *app) orgIssueNode(at *authAt) *cobra.Command {
	cmd := &cobra.Command{
		Use: "issue-node NAME", Short: "Write the bundle of a node: certificate, key and the organisation's root",
		Args: exactArgs(1, "a node name"),
	}
	out, life := issueFlags(cmd, "the node's name")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		authority, err := at.authority()
		if err != nil {
			return err
		}
		to := cmp.Or(*out, args[0])
		id, expires, err := disk.IssueNode(authority, to, args[0], *life)
		if err != nil {
			return usageError{err}
		}
		a.say("%s may identify itself with %s until %s.\nNext: catalyst node --identity %s", id.URI(), to,
			expires.Format(time.RFC3339), to)
		return nil
	}
	return cmd
}

func (a *app) orgIssueEnvoy(at *authAt) *cobra.Command {
	cmd := &cobra.Command{
		Use: "issue-envoy NODE NAME", Short: "Write the bundle of an Envoy that carries a node's traffic on another machine",
		Args: exactArgs(2, "a node and a name for its Envoy"),
	}
	out, life := issueFlags(cmd, "the Envoy's name")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		authority, err := at.authority()
		if err != nil {
			return err
		}
		to := cmp.Or(*out, args[1])
		id, expires, err := disk.IssueEnvoy(authority, to, args[0], args[1], *life)
		if err != nil {
			return usageError{err}
		}
		a.say("%s may identify itself with %s until %s: as the data plane of %s, and never as that node.\n"+
			"Next, on the Envoy's machine: catalyst envoy bootstrap --remote HOST:PORT --identity %s > bootstrap.json",
			id.URI(), at, expires.Format(time.RFC3339), id.Node, to)
		return nil
	}
	return cmd
}

// issueFlags are those of all that issues a bundle.
func issueFlags(cmd *cobra.Command, name string) (out *string, life *time.Duration) {
	out = cmd.Flags().String("out", "", "directory of the bundle (default: "+name+")")
	return out, cmd.Flags().Duration("life", ca.ByHand, "how long the certificate is valid, 1m to 2160h")
}
