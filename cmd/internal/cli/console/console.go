// Package console is what all commands share: where they read and write, how they print, which node they ask, and the
// mistakes that they tell.
package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/bgp"
)

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// App is what commands share. Output is table, json or yaml.
type App struct {
	IO      IO
	Version string
	Socket  string
	Remote  RemoteNode
	Output  string
}

// ExactArgs is cobra's, as a usage error that says what is wanted.
func ExactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return UsageError{fmt.Errorf("want %s: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

// AtMostArgs is cobra's, in the same way.
func AtMostArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return UsageError{fmt.Errorf("want %s: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

// Print writes v as JSON or YAML, or as the table that rows makes of it.
func (a *App) Print(v any, table func(w io.Writer)) error {
	switch a.Output {
	case "json":
		enc := json.NewEncoder(a.IO.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b, err := yaml.JSONToYAML(raw)
		if err != nil {
			return err
		}
		_, err = a.IO.Out.Write(b)
		return err
	}
	w := tabwriter.NewWriter(a.IO.Out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// Row writes one line of a table. Names and reasons in it may be another node's or Envoy's words: they cannot move the
// cursor.
func Row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		if s, ok := c.(string); ok {
			c = cmp.Or(bgp.Printable(s), "-")
		}
		fmt.Fprint(w, c)
	}
	fmt.Fprintln(w)
}

// Say writes a line for people, which programs do not want.
func (a *App) Say(format string, args ...any) {
	if a.Output == "table" {
		fmt.Fprintln(a.IO.Out, fmt.Sprintf(format, args...)) // so go vet sees that Say takes a format
	}
}
