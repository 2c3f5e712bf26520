package console

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

// Settings adds a flag for every field of the configuration, and returns what reads them.
func Settings(cmd *cobra.Command) func() (*config.Config, error) {
	file := cmd.Flags().String("config", os.Getenv("CATALYST_CONFIG"),
		"YAML file, - for standard input ($CATALYST_CONFIG)")
	for _, f := range config.Fields() {
		if f.Key == "socket" {
			continue // it is everybody's
		}
		if f.List() {
			cmd.Flags().Var(&listFlag{f.Default, false}, f.Flag(), f.Doc)
			continue
		}
		cmd.Flags().String(f.Flag(), f.Default, f.Doc)
		if f.Bool() {
			cmd.Flags().Lookup(f.Flag()).NoOptDefVal = "true"
		}
	}
	return func() (*config.Config, error) {
		given := map[string]string{}
		for _, f := range config.Fields() {
			if flag := cmd.Flags().Lookup(f.Flag()); flag != nil && flag.Changed {
				given[f.Flag()] = flag.Value.String()
			}
		}
		c, err := config.Load(*file, os.LookupEnv, given)
		if err != nil {
			return nil, UsageError{err}
		}
		return c, nil
	}
}

// listFlag is a list of text: given once in the notation of YAML, or as often as there are entries.
type listFlag struct {
	text  string
	given bool
}

func (f *listFlag) String() string { return f.text }

func (f *listFlag) Type() string { return "list" }

func (f *listFlag) Set(text string) error {
	if f.given {
		text = f.text + "," + text
	}
	f.text, f.given = text, true
	return nil
}

// Keep sets a field to what it was unless its flag was given.
func Keep[T any](f *pflag.FlagSet, flag string, field *T, was T) {
	if !f.Changed(flag) {
		*field = was
	}
}
