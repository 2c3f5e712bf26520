// Package cli is the command line: one file a command. It reads arguments, calls the operator API or the files, and
// prints; it decides nothing.
//
// Exit status: 0 done, 1 failed, 2 wrong usage or bad input, 3 no node answers.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/Khan/genqlient/graphql"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// app is what commands share.
type app struct {
	io      IO
	version string
	socket  string
	remote  remoteNode
	output  string
}

// usageError is a mistake in what was typed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs a command line and returns the exit status.
func Main(ctx context.Context, args []string, std IO, version string) int {
	a := &app{io: std, version: version}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var said loggedError
	if !errors.As(err, &said) {
		fmt.Fprintln(std.Err, "catalyst:", message(err))
	}
	var usage usageError
	switch {
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown "), badInput(err):
		return exitUsage
	}
	return exitFailed
}

// badInput tells whether the node says that the mistake is in what it was asked.
func badInput(err error) bool {
	return slices.ContainsFunc(answered(err), func(e *gqlerror.Error) bool {
		code := e.Extensions["code"]
		return code == operator.BadInput || code == "GRAPHQL_VALIDATION_FAILED"
	})
}

// answered returns the errors in a node's answer.
func answered(err error) gqlerror.List {
	var list gqlerror.List
	var status *graphql.HTTPError
	if errors.As(err, &status) {
		return status.Response.Errors
	}
	errors.As(err, &list)
	return list
}

// message is an error in the words of the one who finally shows it.
func message(err error) string {
	if list := answered(err); len(list) > 0 {
		var lines []string
		for _, e := range list {
			lines = append(lines, e.Message)
		}
		return strings.Join(lines, "\n")
	}
	if i := strings.Index(err.Error(), client.ErrUnreachable.Error()); i > 0 {
		return err.Error()[i:]
	}
	return err.Error()
}

// Commands returns the command line, for manual pages and completions. It is not to be run.
func Commands(version string) *cobra.Command { return (&app{version: version}).root() }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "catalyst",
		Short:         "A decentralised service router: nodes peer as BGP speakers do, and Envoy carries the traffic",
		SilenceErrors: true, SilenceUsage: true, Version: a.version,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch a.output {
			case "table", "json", "yaml":
				return a.dial()
			}
			return usageError{fmt.Errorf("--output %q: want table, json or yaml", a.output)}
		},
	}
	socket := os.Getenv("CATALYST_SOCKET")
	if socket == "" {
		socket = defaultSocket()
	}
	root.PersistentFlags().StringVar(&a.socket, "socket", socket,
		"Unix socket of the node's operator API ($CATALYST_SOCKET)")
	a.remoteFlags(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.siteCommand(), a.nodeCommand(), a.gatewayCommand(), a.orgCommand(), a.authCommand(),
		a.tokenCommand(),
		a.keysCommand(), a.auditCommand(),
		a.peerCommand(), a.peeringCommand(), a.filterCommand(), a.attestationCommand(), a.routeCommand(), a.envoyCommand(),
		a.graphCommand(), a.statusCommand(), a.webCommand(), a.watchCommand(), a.tapCommand(),
		a.traceCommand(), a.dnsCommand(), a.discoverCommand(), a.policyCommand(), a.authzCommand(),
		a.doctorCommand(), a.backupCommand(), a.restoreCommand(),
		a.replayCommand(),
		a.probeCommand(), a.drainCommand(), a.renewCommand(), a.applyCommand(), a.configCommand(), a.versionCommand())
	groups(root)
	a.completion(root)
	return root
}

// groups has commands that only hold others refuse what they do not know, with what is nearest; without it cobra
// prints their help and is content.
func groups(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		groups(c)
	}
	if !cmd.HasSubCommands() || cmd.Runnable() {
		return
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("unknown command %q for %s", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += ": did you mean " + strings.Join(near, " or ") + "?"
		}
		return usageError{errors.New(text)}
	}
}

// exactArgs is cobra's, as a usage error that says what is wanted.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("want %s: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

// atMostArgs is cobra's, in the same way.
func atMostArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError{fmt.Errorf("want %s: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

// print writes v as JSON or YAML, or as the table that rows makes of it.
func (a *app) print(v any, table func(w io.Writer)) error {
	switch a.output {
	case "json":
		enc := json.NewEncoder(a.io.Out)
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
		_, err = a.io.Out.Write(b)
		return err
	}
	w := tabwriter.NewWriter(a.io.Out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// row writes one line of a table. Names and reasons in it may be another node's or Envoy's words: they cannot move the
// cursor.
func row(w io.Writer, cells ...any) {
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

// say writes a line for people, which programs do not want.
func (a *app) say(format string, args ...any) {
	if a.output == "table" {
		fmt.Fprintf(a.io.Out, format+"\n", args...)
	}
}
