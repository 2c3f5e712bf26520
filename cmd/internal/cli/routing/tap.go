package routing

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) tapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tap [SERVICE]", Short: "Calls as they pass, or those of a while ago",
		Long: "Print each call as it ends: when, how long it took, its outcome, over which nodes it went, and what was " +
			"called.\n\nSERVICE is a name, or *.NAME for all below NAME; none is all. With --last or --recent the calls " +
			"that the node still remembers are searched, the newest at the end; those that failed or were denied are " +
			"remembered for longer. A node is told of calls where tap.enabled is set. Queries are left out of paths, and " +
			"no headers and bodies are told. With -o json one JSON object a line.",
		Example: "  catalyst tap books --from bravo.example\n  catalyst tap --edges --last 1m\n" +
			"  catalyst tap --denied --last 1h\n  catalyst tap --code 5xx --recent 20",
		Args: console.AtMostArgs(1, "at most one service"),
	}
	f := cmd.Flags()
	from := f.String("from", "", "of callers of this ORGANISATION, or ORGANISATION/NODE, alone")
	code := f.String("code", "", "with this status alone, such as 503 or 5xx")
	denied := f.Bool("denied", false, "those that were denied alone")
	failed := f.Bool("failed", false, "those that failed alone: 5xx, gRPC's like, no way, reset")
	slower := f.Duration("slower", 0, "those that took at least so long alone")
	last := f.Duration("last", 0, "search the calls of this time instead of waiting for new ones")
	recent := f.Int("recent", 0, "the newest so many of those that are remembered, 1 to 1000 (100 with --last)")
	edges := f.Bool("edges", false, "how many went from each node to the next, of the last minute or of --last")
	join := f.Bool("join", false, "with --recent or --last: what each node on the way of a call remembers of it, "+
		"those of other organisations as far as both sides want it (tap.join)")
	cmd.MarkFlagsMutuallyExclusive("denied", "failed")
	cmd.MarkFlagsMutuallyExclusive("edges", "join")
	cmd.MarkFlagsMutuallyExclusive("edges", "recent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter := client.CallFilter{
			From: *from, Code: *code, Slower: int(slower.Milliseconds()), Seconds: int(last.Seconds()),
		}
		switch {
		case *denied:
			filter.Outcome = "denied"
		case *failed:
			filter.Outcome = "failed"
		}
		if len(args) > 0 {
			filter.Service = args[0]
		}
		if *last < 0 || *last > 0 && *last < time.Second {
			return console.Usage(fmt.Errorf("--last %s: want at least 1s", *last))
		}
		if *recent == 0 && *last > 0 {
			*recent = 100
		}
		switch {
		case *edges:
			filter.Seconds = cmp.Or(filter.Seconds, 60)
			return a.callEdges(cmd, filter)
		case *join && *recent == 0:
			return console.Usage(errors.New("--join: want --recent or --last with it: calls that are over are asked about"))
		case *join:
			return a.joinedCalls(cmd, filter, *recent)
		case *recent > 0:
			return a.recentCalls(cmd, filter, *recent)
		}
		return a.followCalls(cmd, filter)
	}
	return cmd
}

func (a *app) recentCalls(cmd *cobra.Command, filter client.CallFilter, n int) error {
	resp, err := client.ListCalls(cmd.Context(), a.Client(), &filter, n)
	if err != nil {
		return err
	}
	return a.Print(resp.Calls, func(w io.Writer) {
		for i := len(resp.Calls) - 1; i >= 0; i-- {
			fmt.Fprintln(w, callLine(&resp.Calls[i].CallFields))
		}
	})
}

// joined is a call with what each node on its way remembers of it.
type joined struct {
	Call  *client.CallFields                           `json:"call"`
	Nodes []*client.GetCallPartsCallPartsNodesCallPart `json:"nodes"`
}

// mostJoined is how many calls are asked about at a time: each asks every node on its way.
const mostJoined = 20

func (a *app) joinedCalls(cmd *cobra.Command, filter client.CallFilter, n int) error {
	resp, err := client.ListCalls(cmd.Context(), a.Client(), &filter, min(n, mostJoined))
	if err != nil {
		return err
	}
	all := []joined{}
	for i := len(resp.Calls) - 1; i >= 0; i-- {
		j := joined{Call: &resp.Calls[i].CallFields}
		if j.Call.Id != "" && j.Call.Service != "" {
			parts, err := client.GetCallParts(cmd.Context(), a.Client(), j.Call.Service, j.Call.Id)
			if err != nil {
				return err
			}
			j.Nodes = parts.CallParts.Nodes
		}
		all = append(all, j)
	}
	return a.Print(all, func(w io.Writer) {
		for i := range all {
			fmt.Fprintln(w, callLine(all[i].Call))
			for _, node := range all[i].Nodes {
				if node.Note != "" {
					fmt.Fprintf(w, "    %s: %s\n", node.Node, node.Note)
				}
				for _, s := range node.Seen {
					fmt.Fprintf(w, "    %s: %s, %.1fms: %s\n", node.Node, s.Where, s.Took, s.Text)
					if s.More != "" {
						fmt.Fprintf(w, "        %s\n", s.More)
					}
				}
			}
		}
	})
}

func (a *app) callEdges(cmd *cobra.Command, filter client.CallFilter) error {
	resp, err := client.ListCallEdges(cmd.Context(), a.Client(), &filter)
	if err != nil {
		return err
	}
	return a.Print(resp.CallEdges, func(w io.Writer) {
		fmt.Fprintln(w, "FROM\tTO\tCALLS\tDENIED\tFAILED\tMEDIAN\t95 OF 100")
		for _, e := range resp.CallEdges {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1fms\t%.1fms\n", cmp.Or(e.From, "applications"), e.To, e.Calls, e.Denied,
				e.Failed, e.Median, e.P95)
		}
	})
}

func (a *app) followCalls(cmd *cobra.Command, filter client.CallFilter) error {
	enc := json.NewEncoder(a.IO.Out)
	return a.Client().Tap(cmd.Context(), filter, func(t client.Tapped) error {
		switch a.Output {
		case "json":
			return enc.Encode(t)
		case "yaml":
			fmt.Fprintln(a.IO.Out, "---")
			return a.Print(t, nil)
		}
		if t.Missed > 0 {
			fmt.Fprintf(a.IO.Out, "-- %d call(s) ended faster than they could be shown --\n", t.Missed)
		}
		_, err := fmt.Fprintln(a.IO.Out, callLine(&t.Call))
		return err
	})
}

// callLine is a call for people.
func callLine(c *client.CallFields) string {
	at, err := time.Parse(time.RFC3339Nano, c.At)
	when := c.At
	if err == nil {
		when = at.Local().Format("15:04:05.000")
	}
	status := strconv.Itoa(c.Status)
	switch {
	case c.GrpcStatus != "":
		status += "/grpc " + c.GrpcStatus
	case c.Status == 0:
		status = "–"
	}
	what := strings.TrimSpace(c.Method + " " + c.Service + c.Path)
	line := fmt.Sprintf("%s %8.1fms %-6s %-4s %s: %s", when, c.Took, c.Outcome, status, wayText(c.Way), what)
	if c.Organisation != "" {
		line += ", for " + c.Organisation
	}
	if c.Outcome != "ok" {
		why := c.Flags
		if c.Reason != "" {
			why = append(why, c.Reason)
		}
		line += " (" + strings.Join(why, ", ") + ")"
	}
	if c.Decision != "" && c.Outcome == "denied" {
		line += "; catalyst policy why " + c.Decision
	}
	return line
}

// wayText names the nodes of one organisation by their own names alone.
func wayText(way []string) string {
	orgs := map[string]bool{}
	for _, n := range way {
		org, _, _ := strings.Cut(n, "/")
		orgs[org] = true
	}
	if len(orgs) > 1 {
		return strings.Join(way, " → ")
	}
	return console.ShortPath(way)
}
