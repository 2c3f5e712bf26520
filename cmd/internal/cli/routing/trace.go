package routing

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// errBroken is the outcome of a trace that found something; what it found has been printed.
var errBroken = errors.New("the way is broken") //nolint:gochecknoglobals // a sentinel

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trace NAME",
		Short: "Follow a call from here to the workload, over every node that answers, and name the first thing that is " +
			"broken",
		Long: "Follow a call from here to the workload over every node that answers: route, filter, what Envoy was given " +
			"and took, the next hop's listener and certificate,\n" +
			"and at that node the same again, to the workload itself. Nothing is sent to the workload but a TCP " +
			"connection.\n\nExit status 1 if something is broken.",
		Args: console.ExactArgs(1, "a service name"), RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.Trace(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			w := resp.Trace
			if err := a.Print(w, func(out io.Writer) { showTrace(out, w) }); err != nil {
				return err
			}
			if w.Broken != nil {
				return fmt.Errorf("%s: %w at %s: %s", w.Service, errBroken, w.Broken.Node, w.Broken.Step)
			}
			return nil
		},
	}
}

func showTrace(out io.Writer, w *client.TraceTrace) {
	for i, h := range w.Hops {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, h.Node)
		for _, s := range h.Steps {
			console.Row(out, "  "+mark(s.State), s.Name, took(s.Millis), s.Text)
		}
		if h.Note != "" {
			console.Row(out, "  "+mark("unknown"), "beyond", "", h.Note)
		}
	}
	fmt.Fprintln(out)
	switch {
	case w.Broken != nil:
		fmt.Fprintf(out, "Broken at %s, %s: %s\n", w.Broken.Node, w.Broken.Step, w.Broken.Text)
		if w.Broken.Advice != "" {
			fmt.Fprintf(out, "What to do: %s\n", w.Broken.Advice)
		}
	case w.Complete:
		fmt.Fprintf(out, "Everything on the way holds: %d node(s), looked at in %.1f ms.\n", len(w.Hops), w.Millis)
	default:
		fmt.Fprintln(out, "Nothing that could be looked at is broken; what is marked ? could not.")
	}
}

func mark(state string) string {
	switch state {
	case "ok":
		return "ok"
	case "failed":
		return "FAILED"
	}
	return "?"
}

// took is the time of a step that tried something.
func took(ms float64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f ms", ms)
}
