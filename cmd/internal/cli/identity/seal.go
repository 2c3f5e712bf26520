package identity

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

func (a *app) orgSeal() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "seal DIR",
		Short: "Seal the private keys in the directory of a node or an operator, or seal them under another key",
		Long: "Seal the private keys and tokens in the directory of a node or an operator where they lie, in clear or " +
			"sealed under another key (--from). The node is not to run meanwhile.\n" +
			"A node does this by itself when it starts. A key: head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE.",
		Example: "  catalyst org seal identity --under /etc/catalyst/seal.key   # from the machine's own key to this one",
		Args:    console.ExactArgs(1, "a directory"),
	}
	key := sealFlag(cmd, "under", "to seal under")
	from := sealFlag(cmd, "from", "that they are sealed under now")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		before, after := config.VaultIn(args[0], *from), config.VaultIn(args[0], *key)
		did, err := member.Reseal(before, after)
		if err != nil {
			return console.Usage(err)
		}
		for _, name := range did {
			a.Say("%s is %s.", filepath.Join(args[0], name), sealedHow(after.Seal))
		}
		return nil
	}
	return cmd
}

func sealedHow(p seal.Place) string {
	if p.Clear {
		return "in clear"
	}
	return "sealed under " + p.String()
}

func sealFlag(cmd *cobra.Command, name, which string) *string {
	return cmd.Flags().String(name, "", "file with the key "+which+"; empty for $"+config.NodeSealKey+
		", or seal.key in the directory; none: in clear")
}

func (a *app) orgOpenKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "open-key DIR",
		Short: "Print the private key in the directory of a node or an operator, for a program that shows the certificate",
		Long: "Print the private key of the certificate in a directory, as PEM, for a program of your own that shows the " +
			"certificate. It is secret. A node's key changes when its certificate is renewed.",
		Args: console.ExactArgs(1, "a directory"),
	}
	key := sealFlag(cmd, "under", "that it is sealed under")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		b, err := config.VaultIn(args[0], *key).Read(disk.SVIDKey)
		if err != nil {
			return console.Usage(err)
		}
		_, err = a.IO.Out.Write(b)
		return err
	}
	return cmd
}
