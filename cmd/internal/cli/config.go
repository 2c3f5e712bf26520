package cli

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "The configuration of a node"}
	check := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Tell every problem of a configuration; FILE may be - for standard input",
		Args:    atMostArgs(1, "one file at the most"),
		Example: "  catalyst config check node.yaml\n  catalyst config show --config node.yaml | catalyst config check -",
	}
	loadCheck := settings(check)
	check.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			if err := cmd.Flags().Set("config", args[0]); err != nil {
				return err
			}
		}
		if _, err := loadCheck(); err != nil {
			return err
		}
		a.say("The configuration is good.")
		return nil
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Print what is in force, with file, variables and flags put together, as a configuration file",
		Args:  exactArgs(0, "no arguments"),
	}
	loadShow := settings(show)
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
		Args:  exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.io.Out, config.Reference())
			return err
		},
	}
	cmd.AddCommand(check, show, reference, a.exportCommand())
	return cmd
}

// showConfig prints a configuration as config check reads it: in YAML, whose keys are those of the file, or as the
// same in JSON.
func (a *app) showConfig(c *config.Config) error {
	text, err := yaml.Marshal(c)
	if err == nil && a.output == "json" {
		text, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		return err
	}
	_, err = a.io.Out.Write(text)
	return err
}
