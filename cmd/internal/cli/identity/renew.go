package identity

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) renewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Renew this node's certificate now, with a new key", Args: console.ExactArgs(0, "no arguments"),
		Long: "Renew this node's certificate now, with a new key. A node that joined its organisation renews it by itself " +
			"in the middle of its life, and when another root begins to sign; this is for a key that somebody may have seen. " +
			"The former certificate stays valid until it ends: revoke it with catalyst token revoke --serial.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := client.RenewCertificate(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			return a.Print(out, func(w io.Writer) { fmt.Fprintln(w, "certificate until", out.RenewCertificate) })
		},
	}
}
