package cli

import (
	_ "embed"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
)

// licenses is the notice of the licences of what is linked into this program; make generate writes it.
//
//go:embed licenses.txt
var licenses string //nolint:gochecknoglobals // embed sets variables only

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Args: console.ExactArgs(0, "no arguments")}
	notice := cmd.Flags().Bool("licenses", false, "print the licences of the software of others in this program")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *notice {
			_, err := io.WriteString(a.IO.Out, licenses)
			return err
		}
		return a.Print(map[string]string{"version": a.Version}, func(w io.Writer) { fmt.Fprintln(w, "catalyst", a.Version) })
	}
	return cmd
}
