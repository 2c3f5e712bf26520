package cli

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/bgp"
)

func (a *app) orgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Short: "The organisation's certificate authority, on files"}
	dir := cmd.PersistentFlags().String("dir", "org", "directory of the CA; keep it off the nodes")
	var keep *bool
	initialise := &cobra.Command{
		Use: "init ORGANISATION", Short: "Make the CA of an organisation, such as acme.example", Args: exactArgs(1, "an organisation"),
		RunE: func(_ *cobra.Command, args []string) error {
			org, err := bgp.ParseOrg(args[0])
			if err != nil {
				return usageError{err}
			}
			if there, err := ca.Load(*dir); *keep && err == nil && there.Org == org {
				a.say("%s has a CA in %s already, which stays as it is.", org, *dir)
				return nil
			}
			if err := ca.Init(*dir, org); err != nil {
				return err
			}
			a.say("%s has a CA in %s. Keep %s secret.\nNext: catalyst org issue-node NAME --dir %s", org, *dir, filepath.Join(*dir, ca.KeyFile), *dir)
			return nil
		},
	}
	keep = initialise.Flags().Bool("keep", false, "content oneself with a CA of the organisation that is there already")
	issue := &cobra.Command{Use: "issue-node NAME", Short: "Write the bundle of a node: certificate, key and the organisation's root", Args: exactArgs(1, "a node name")}
	out := issue.Flags().String("out", "", "directory of the bundle (default: the node's name)")
	life := issue.Flags().Duration("life", ca.DefaultLife, "how long the certificate is valid, 1m to 2160h")
	issue.RunE = func(_ *cobra.Command, args []string) error {
		authority, err := ca.Load(*dir)
		if err != nil {
			return err
		}
		at := *out
		if at == "" {
			at = args[0]
		}
		id, expires, err := authority.IssueNode(at, args[0], *life)
		if err != nil {
			return usageError{err}
		}
		a.say("%s may identify itself with %s until %s.\nNext: catalyst node --identity %s", id.URI(), at, expires.Format(time.RFC3339), at)
		return nil
	}
	cmd.AddCommand(initialise, issue)
	return cmd
}
