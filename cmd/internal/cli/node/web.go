package node

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/web"
)

func (a *app) webCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "web", Short: "A link to the node's page for a browser", Args: console.ExactArgs(0, "no arguments"),
		Long: "Print a link to the looking glass of the node (catalyst node --web HOST:PORT). The link signs you in: " +
			"whoever has it may do what the command line may do here.",
	}
	data := cmd.Flags().String("data", "", "the node's data directory; empty for the one that holds --socket")
	cmd.RunE = func(*cobra.Command, []string) error {
		dir := *data
		if dir == "" {
			dir = filepath.Dir(a.Socket)
		}
		link, err := web.Link(dir)
		if err != nil {
			return err
		}
		return a.Print(map[string]string{"link": link.Reveal()}, func(w io.Writer) { fmt.Fprintln(w, link.Reveal()) })
	}
	return cmd
}
