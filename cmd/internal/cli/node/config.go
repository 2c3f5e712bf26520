package node

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

func (a *app) configCommand(export *cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "The configuration of a node"}
	check := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Tell every problem of a configuration; FILE may be - for standard input",
		Args:    console.AtMostArgs(1, "one file at the most"),
		Example: "  catalyst config check node.yaml\n  catalyst config show --config node.yaml | catalyst config check -",
	}
	loadCheck := console.Settings(check)
	check.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			if err := cmd.Flags().Set("config", args[0]); err != nil {
				return err
			}
		}
		if _, err := loadCheck(); err != nil {
			return err
		}
		if file := cmd.Flags().Lookup("config").Value.String(); file == "" {
			a.Say("The configuration is good: that of flags and variables. No file was read; name one, or - for standard input.")
			return nil
		}
		a.Say("The configuration is good.")
		return nil
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Print what is in force, with file, variables and flags put together, as a configuration file",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	loadShow := console.Settings(show)
	show.RunE = func(*cobra.Command, []string) error {
		c, err := loadShow()
		if err != nil {
			return err
		}
		return a.showConfig(c)
	}
	reference := &cobra.Command{
		Use:   "reference",
		Short: "Print the configuration reference in Markdown",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.IO.Out, config.Reference())
			return err
		},
	}
	cmd.AddCommand(check, show, reference, export)
	return cmd
}

// showConfig prints a configuration as config check reads it: in YAML, whose keys are those of the file, or as the
// same in JSON.
func (a *app) showConfig(c *config.Config) error {
	text, err := yaml.Marshal(c)
	if err == nil && a.Output == "json" {
		text, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		return err
	}
	_, err = a.IO.Out.Write(text)
	return err
}
