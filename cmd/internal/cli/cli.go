// Package cli is the command line. It reads arguments, calls the operator API or the files, and prints; it decides
// nothing. The commands are in packages below it, by what an operator does, one file a command; console is what they
// share.
//
// Exit status: 0 done, 1 failed, 2 wrong usage or bad input, 3 no node answers.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/graph"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/identity"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/machine"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/node"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/peers"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/policies"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/routing"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// Exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// IO is where a command reads and writes.
type IO = console.IO

// app is what all commands share, and the root of them.
type app struct{ *console.App }

// Main runs a command line and returns the exit status.
func Main(ctx context.Context, args []string, std console.IO, version string) int {
	a := &app{&console.App{IO: std, Version: version}}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var said console.LoggedError
	if !errors.As(err, &said) {
		fmt.Fprintln(std.Err, "catalyst:", console.Message(err))
	}
	var usage console.UsageError
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
	return slices.ContainsFunc(console.Answered(err), func(e *gqlerror.Error) bool {
		code := e.Extensions["code"]
		return code == operator.BadInput || code == "GRAPHQL_VALIDATION_FAILED"
	})
}

// Commands returns the command line, for manual pages and completions. It is not to be run.
func Commands(version string) *cobra.Command { return (&app{&console.App{Version: version}}).root() }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "catalyst",
		Short:         "A decentralised service router: nodes peer as BGP speakers do, and Envoy carries the traffic",
		SilenceErrors: true, SilenceUsage: true, Version: a.Version,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			// Go's HTTP client writes there when a socket that is no HTTP server's speaks first, which is no word for a user.
			// What runs for long (node, gateway) captures the standard logger afterwards.
			log.SetOutput(io.Discard)
			switch a.Output {
			case "table", "json", "yaml":
				return a.Dial()
			}
			return console.Usage(fmt.Errorf("--output %q: want table, json or yaml", a.Output))
		},
	}
	socket := os.Getenv("CATALYST_SOCKET")
	if socket == "" {
		socket = console.DefaultSocket()
	}
	root.PersistentFlags().StringVar(&a.Socket, "socket", socket,
		"Unix socket of the node's operator API ($CATALYST_SOCKET)")
	a.RemoteFlags(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&a.Output, "output", "o", "table", "table, json or yaml")
	root.SetFlagErrorFunc(console.FlagError)
	shared := a.App
	root.AddCommand(slices.Concat(routing.Commands(shared), peers.Commands(shared), identity.Commands(shared),
		policies.Commands(shared), node.Commands(shared, peers.Export(shared)), graph.Commands(shared),
		machine.Commands(shared))...)
	root.AddCommand(a.versionCommand())
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
		} else {
			text += ": see " + cmd.CommandPath() + " --help"
		}
		return console.Usage(errors.New(text))
	}
}
