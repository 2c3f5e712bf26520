package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var errNoGraph = errors.New("this node runs no gateway: set gateway.listen in its configuration") //nolint:gochecknoglobals // a sentinel

func (a *app) graphCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "graph", Short: "The graph that a node composes of its graphql routes"}
	cmd.AddCommand(a.graphShow(), a.graphSDL(), a.graphPlan(), a.graphCheck(), a.graphSubgraphs(), a.graphHistory(),
		a.graphRefresh(), a.graphCompose())
	return cmd
}

func (a *app) graph(cmd *cobra.Command) (*client.GetGraphGraph, error) {
	resp, err := client.GetGraph(cmd.Context(), a.Client())
	if err != nil {
		return nil, err
	}
	if resp.Graph == nil {
		return nil, errNoGraph
	}
	return resp.Graph, nil
}

func (a *app) graphShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "The graph at a glance: where it answers, of what it is made, what is left out",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := a.graph(cmd)
			if err != nil {
				return err
			}
			return a.Print(g, func(w io.Writer) {
				in := 0
				for _, s := range g.Subgraphs {
					if inGraph(s.Status) {
						in++
					}
				}
				console.Row(w, "endpoint", g.Endpoint)
				console.Row(w, "subgraphs", fmt.Sprintf("%d in the graph, %d known", in, len(g.Subgraphs)))
				for _, s := range g.Subgraphs {
					if why := trouble(&s.SubgraphFields); why != "" {
						console.Row(w, s.Name, s.Status+": "+why)
					}
				}
				if g.Sdl == "" {
					console.Row(w, "graph", "none yet: every operation is refused")
				}
			})
		},
	}
}

func inGraph(status string) bool {
	switch status {
	case "serving", "stale", "outdated", "leaving":
		return true
	}
	return false
}

// trouble says in words what is wrong with a subgraph; "" if nothing is.
func trouble(s *client.SubgraphFields) string {
	switch {
	case s.Status == "leaving":
		return "its route is gone; leaves the graph at " + s.LeavesAt
	case len(s.Errors) > 0:
		return errorLine(&s.Errors[0].CompositionErrorFields)
	}
	return s.FetchError
}

func errorLine(e *client.CompositionErrorFields) string {
	line := e.Code + ": " + e.Message
	if len(e.Locations) > 0 {
		line += " (" + strings.Join(e.Locations, ", ") + ")"
	}
	return line
}

func (a *app) graphSubgraphs() *cobra.Command {
	return &cobra.Command{
		Use:   "subgraphs",
		Short: "Every subgraph and what became of it",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := a.graph(cmd)
			if err != nil {
				return err
			}
			return a.Print(g.Subgraphs, func(w io.Writer) {
				console.Row(w, "SUBGRAPH", "STATUS", "SCHEMA", "FETCHED", "URL", "WHY")
				for _, s := range g.Subgraphs {
					console.Row(w, s.Name, s.Status, s.Kind, s.FetchedAt, s.Url, trouble(&s.SubgraphFields))
				}
			})
		},
	}
}

func (a *app) graphSDL() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sdl", Short: "Print the schema that clients see",
		Args: console.ExactArgs(0, "no arguments"),
	}
	super := cmd.Flags().Bool("supergraph", false, "print the supergraph, in the notation of the join specification")
	one := cmd.Flags().String("subgraph", "", "print the schema of one subgraph, as it was had")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		g, err := a.graph(cmd)
		if err != nil {
			return err
		}
		text := g.ApiSchema
		switch {
		case *one != "":
			text = ""
			for _, s := range g.Subgraphs {
				if s.Name == *one {
					text = s.Schema
				}
			}
			if text == "" {
				return fmt.Errorf("no schema of a subgraph %q is known: catalyst graph subgraphs lists them", *one)
			}
		case *super:
			text = g.Sdl
		}
		if text == "" {
			return errors.New("there is no graph yet: catalyst graph subgraphs says why")
		}
		_, err = fmt.Fprintln(a.IO.Out, strings.TrimRight(text, "\n"))
		return err
	}
	return cmd
}

func (a *app) graphPlan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan QUERY",
		Short: "How an operation would be carried out: which subgraphs are asked what, in which order",
		Args:  console.ExactArgs(1, "an operation, or - to read it from standard input"),
		Example: "  catalyst graph plan '{ books { title adaptations { title } } }'\n  catalyst graph plan --supergraph " +
			"graph.graphql - < query.graphql",
	}
	name := cmd.Flags().String("operation", "", "name of the operation, if there are several")
	file := cmd.Flags().String("supergraph", "", "plan on a supergraph from a file, without a node")
	alone := cmd.Flags().String("gateway", "",
		"HOST:PORT of gateway.metrics of a gateway that runs alone, to plan on its graph")
	cmd.MarkFlagsMutuallyExclusive("supergraph", "gateway")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := a.readArgument(args[0])
		if err != nil {
			return err
		}
		var printed string
		switch {
		case *file != "":
			printed, err = planOn(*file, text, *name)
		case *alone != "":
			printed, err = planAt(cmd.Context(), *alone, text, *name)
		default:
			var resp *client.PlanOperationResponse
			if resp, err = client.PlanOperation(cmd.Context(), a.Client(), text, *name); err == nil {
				printed = resp.Plan
			}
		}
		if err != nil {
			return err
		}
		return a.Print(map[string]string{"plan": printed},
			func(w io.Writer) { fmt.Fprintln(w, strings.TrimRight(printed, "\n")) })
	}
	return cmd
}

// planAt has a gateway that runs alone plan.
func planAt(ctx context.Context, at, text, name string) (string, error) {
	ask, err := json.Marshal(map[string]string{"query": text, "operationName": name})
	if err != nil {
		return "", err
	}
	url := "http://" + strings.TrimPrefix(at, "http://") + "/plan"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(ask))
	if err != nil {
		return "", console.Usage(fmt.Errorf("--gateway: %w", err))
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the gateway (--gateway is its gateway.metrics): %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is read after it
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return "", fmt.Errorf("ask the gateway: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the gateway answers %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	return string(answer), nil
}

// planOn plans without a node.
func planOn(file, text, name string) (string, error) {
	sdl, err := os.ReadFile(file)
	if err != nil {
		return "", console.Usage(err)
	}
	g, err := graph.Read(string(sdl))
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	p := plan.New(g, plan.Options{})
	op, errs := p.Prepare(text, name)
	if len(errs) > 0 {
		return "", console.Usage(errs)
	}
	made, err := p.Plan(op, plan.Facts{})
	if err != nil {
		return "", err
	}
	return made.String(), nil
}

// readArgument returns what is given, or standard input for "-".
func (a *app) readArgument(given string) (string, error) {
	if given != "-" {
		return given, nil
	}
	b, err := io.ReadAll(io.LimitReader(a.IO.In, 1<<20))
	return string(b), err
}

func (a *app) graphCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check NAME FILE",
		Short: "What a schema would do to the graph, and which recorded operations it would break",
		Args:  console.ExactArgs(2, "a subgraph and the file of its schema"),
		Long: "Compose a schema, new or instead of the subgraph of its name, with the other subgraphs of the node's " +
			"graph, and tell what clients would see of it.\n" +
			"Operations that clients have sent are tried on the outcome. Nothing is changed. Exit status 1: it does not " +
			"compose, or breaks an operation.",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sdl, err := os.ReadFile(args[1])
		if err != nil {
			return console.Usage(err)
		}
		resp, err := client.CheckSubgraph(cmd.Context(), a.Client(), args[0], string(sdl))
		if err != nil {
			return err
		}
		c := resp.CheckSubgraph
		if err := a.Print(c, func(w io.Writer) { checkTable(w, c) }); err != nil {
			return err
		}
		switch {
		case len(c.Errors) > 0:
			return fmt.Errorf("%s does not compose with the other subgraphs", args[0])
		case len(c.Broken) > 0:
			return fmt.Errorf("%s would break %d of %d recorded operations", args[0], len(c.Broken), c.Checked)
		}
		return nil
	}
	return cmd
}

func checkTable(w io.Writer, c *client.CheckSubgraphCheckSubgraphGraphCheck) {
	for _, e := range c.Errors {
		console.Row(w, "error", errorLine(&e.CompositionErrorFields))
	}
	for _, ch := range c.Changes {
		console.Row(w, ch.Severity, ch.Coordinate+": "+ch.Text)
	}
	for _, b := range c.Broken {
		console.Row(w, "breaks",
			fmt.Sprintf("%s (sent %d times): %s", operationName(b.Name), b.Count, strings.Join(b.Errors, "; ")))
	}
	if len(c.Errors) == 0 {
		console.Row(w, "composes",
			fmt.Sprintf("%d changes, %d of %d recorded operations broken", len(c.Changes), len(c.Broken),
				c.Checked))
	}
}

func operationName(name string) string {
	if name == "" {
		return "an operation without name"
	}
	return name
}

func (a *app) graphHistory() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "The last compositions: why they were made, what they changed, what was left out",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	first := cmd.Flags().Int("first", 20, "how many")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *first < 1 {
			return console.Usage(fmt.Errorf("--first %d: want at least 1", *first))
		}
		resp, err := client.GraphHistory(cmd.Context(), a.Client(), *first)
		if err != nil {
			return err
		}
		if resp.Graph == nil {
			return errNoGraph
		}
		h := resp.Graph.History
		return a.Print(h, func(w io.Writer) {
			console.Row(w, "AT", "TOOK", "BECAUSE", "SUBGRAPHS", "CHANGES", "LEFT OUT", "ERROR")
			for _, c := range h {
				var out []string
				for _, x := range c.Excluded {
					out = append(out, x.Subgraph)
				}
				console.Row(w, c.At, fmt.Sprintf("%.1f ms", c.Milliseconds), c.Why, len(c.Subgraphs), countChanges(c.Changes),
					strings.Join(out, ","), c.Error)
			}
		})
	}
	return cmd
}

func countChanges(all []*client.GraphHistoryGraphHistoryCompositionChangesSchemaChange) string {
	breaking := 0
	for _, c := range all {
		if c.Severity == "breaking" {
			breaking++
		}
	}
	if breaking == 0 {
		return fmt.Sprint(len(all))
	}
	return fmt.Sprintf("%d, %d breaking", len(all), breaking)
}

func (a *app) graphRefresh() *cobra.Command {
	return &cobra.Command{
		Use:   "refresh",
		Short: "Ask every subgraph for its schema at once",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := client.RefreshGraph(cmd.Context(), a.Client()); err != nil {
				return err
			}
			a.Say("every subgraph is being asked")
			return nil
		},
	}
}

func (a *app) graphCompose() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "compose NAME=FILE...",
		Short:   "Compose schemas from files into a supergraph, without a node",
		Args:    cobra.MinimumNArgs(1),
		Example: "  catalyst graph compose books=books.graphql movies=movies.graphql > supergraph.graphql",
	}
	urls := cmd.Flags().StringToString("url", nil, "NAME=URL where a subgraph answers")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		var all []supergraph.Subgraph
		for _, arg := range args {
			name, file, ok := strings.Cut(arg, "=")
			if !ok || name == "" || file == "" {
				return console.Usage(fmt.Errorf("%q: want NAME=FILE", arg))
			}
			sdl, err := os.ReadFile(file)
			if err != nil {
				return console.Usage(err)
			}
			all = append(all, supergraph.Subgraph{Name: name, URL: (*urls)[name], SDL: string(sdl)})
		}
		r := supergraph.Compose(all, supergraph.Options{})
		for _, h := range r.Hints {
			fmt.Fprintf(a.IO.Err, "hint: %s: %s\n", h.Code, h.Message)
		}
		if len(r.Errors) > 0 {
			var lines []string
			for _, e := range r.Errors {
				lines = append(lines, e.Error())
			}
			return errors.New(strings.Join(lines, "\n"))
		}
		_, err := fmt.Fprintln(a.IO.Out, strings.TrimRight(r.SDL, "\n"))
		return err
	}
	return cmd
}
