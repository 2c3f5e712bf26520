package console

import (
	"errors"
	"fmt"
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

// FlagError says which flag has a value that it cannot have, and what it wants, without the words of Go's parsers:
//
//	--weight abc: want a whole number
func FlagError(_ *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return UsageError{err}
	}
	var want string
	switch kind := wrong.GetFlag().Value.Type(); kind {
	case "bool":
		want = "true or false"
	case "duration":
		want = "a duration such as 90s"
	case "int", "int32", "int64":
		want = "a whole number"
	case "uint", "uint8", "uint16", "uint32", "uint64":
		want = "a whole number, and none below 0"
		if kind == "uint16" {
			want = "a whole number of 0 to 65535"
		}
	default:
		return UsageError{err}
	}
	return UsageError{fmt.Errorf("--%s %s: want %s", wrong.GetFlag().Name, wrong.GetValue(), want)}
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
