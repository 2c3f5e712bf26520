package identity

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
)

// orgMembers are the commands about who belongs to the organisation.
func (a *app) orgMembers(at *organisation.At) []*cobra.Command {
	return []*cobra.Command{a.orgJoinToken(at), a.orgNodes(at), a.orgRevokeNode(at), a.orgRotateCA(at),
		a.orgIssueOperator(at), a.orgSeal(), a.orgOpenKey()}
}

func (a *app) orgJoinToken(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "join-token", Short: "Print a token with which a node joins, once", Args: console.ExactArgs(0, "no arguments"),
		Long: "Print a token with which one node joins the organisation, once: catalyst node --join TOKEN. It is secret " +
			"until it is used.",
	}
	node := cmd.Flags().String("node", "", "name of the node; required")
	ttl := cmd.Flags().Duration("ttl", service.DefaultJoinTTL, "how long it may be used, up to 24h")
	oidc := cmd.Flags().Bool("oidc", false,
		"print one without a secret, for a node that joins by a token of an external issuer")
	peers := cmd.Flags().StringArray("peer", nil,
		"NODE=HOST:PORT of a node that it peers with once it has joined; as often as needed. That node has to know it "+
			"too: peer add there, or peering.accept")
	file := console.OutFlag(cmd)
	wait := cmd.Flags().Duration("wait", 0, "wait for the identity service to be there, for at most this long")
	cmd.Flags().Lookup("wait").NoOptDefVal = "1m"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *node == "" {
			return console.Usage(fmt.Errorf("want --node NAME"))
		}
		ask := server.JoinToken{Node: *node, Seconds: int64(*ttl / time.Second), OIDC: *oidc}
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			var out server.Joining
			if err := console.Retried(ctx, *wait, func(ctx context.Context) error {
				return c.Post(ctx, "/v1/joins", ask, &out)
			}); err != nil {
				return err
			}
			var err error
			if out.Token, err = organisation.Introduced(out.Token, *peers); err != nil {
				return err
			}
			if *file != "" {
				return a.WriteSecret(*file, out.Token)
			}
			return a.Print(out, func(w io.Writer) { console.Row(w, out.Token) })
		})
	}
	return cmd
}

func (a *app) orgNodes(at *organisation.At) *cobra.Command {
	return &cobra.Command{
		Use: "nodes", Short: "Nodes that joined, their certificates and what is wrong with them",
		Args: console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
				var out []server.NodeInfo
				if err := c.Get(ctx, "/v1/nodes", &out); err != nil {
					return err
				}
				return a.Print(out, func(w io.Writer) {
					console.Row(w, "NODE", "STATE", "JOINED", "CERTIFICATE UNTIL", "RETURNS LEFT", "ALARM")
					for _, n := range out {
						console.Row(w, n.Name, n.State, console.Stamp(n.Joined), console.Stamp(n.Expires),
							fmt.Sprintf("%d since %s", n.Credits, console.Stamp(n.Since)), n.Alarm)
					}
				})
			})
		},
	}
}

func (a *app) orgRevokeNode(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke-node NAME",
		Short: "End a node: its certificates, its tokens and its right to renew, until it joins anew",
		Args:  console.ExactArgs(1, "a node name"),
	}
	reason := cmd.Flags().String("reason", "", "for the audit log")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			if err := c.Post(ctx, "/v1/nodes/revoke", server.RevokeNode{Node: args[0], Reason: *reason}, nil); err != nil {
				return err
			}
			a.Say("node %s is revoked. Let it join anew with catalyst org join-token --node %s", args[0], args[0])
			return nil
		})
	}
	return cmd
}

func (a *app) orgRotateCA(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate-ca", Short: "Replace the organisation's root: published first, signing when every node has it",
		Args: console.ExactArgs(0, "no arguments"),
		Long: "Replace the organisation's root without a hand on any node. The new one is published at once, signs as " +
			"soon as every node uses it (or after an hour), " +
			"and the former is dropped when the last certificate that it signed has ended.",
	}
	immediate := cmd.Flags().Bool("immediate", false, "sign with the new root at once")
	compromised := cmd.Flags().Bool("compromised", false,
		"the former root's key leaked: trust it no more; every node has to join anew")
	show := cmd.Flags().Bool("show", false, "show the roots and change nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return at.Call(cmd, a.App, func(ctx context.Context, c *server.Client) error {
			var out []server.AuthorityInfo
			var err error
			if *show {
				err = c.Get(ctx, "/v1/authorities", &out)
			} else {
				err = c.Post(ctx, "/v1/authorities/rotate", server.RotateCA{Immediate: *immediate, Compromised: *compromised}, &out)
			}
			if err != nil {
				return err
			}
			return a.Print(out, func(w io.Writer) {
				console.Row(w, "ROOT", "SLOT", "PUBLISHED", "SIGNS SINCE", "TRUSTED UNTIL")
				for _, k := range out {
					console.Row(w, k.ID[:16], k.Slot, k.Published.Format(time.RFC3339), console.Stamp(k.Signs), console.Stamp(k.Ends))
				}
			})
		})
	}
	return cmd
}

func (a *app) orgIssueOperator(at *organisation.At) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue-operator NAME",
		Short: "Write an operator's certificate and key: who shows it to the identity service is an ADMIN",
		Args:  console.ExactArgs(1, "a name"),
	}
	out := cmd.Flags().String("out", "", "directory (default: the operator's name)")
	life := cmd.Flags().Duration("life", ca.ByHand, "how long the certificate is valid, 1m to 2160h")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		authority, err := at.Authority()
		if err != nil {
			return err
		}
		if *out == "" {
			*out = args[0]
		}
		if err := organisation.IssueOperator(authority, *out, args[0], *life); err != nil {
			return console.Usage(err)
		}
		a.Say("%s may administer %s with %s. Keep it secret.", args[0], authority.Org, *out)
		return nil
	}
	return cmd
}

func readLeaf(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: is not PEM", path)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return leaf, nil
}
