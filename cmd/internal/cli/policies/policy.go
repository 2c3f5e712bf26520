package policies

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
	"github.com/catalyst-router/catalyst/policy"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Who may call which service: Cedar policies, what they decided and why",
		Long: "Policies are files in Cedar (*.cedar), entities are lists in Cedar's JSON (*.json). Wherever PATH " +
			"stands, a file or a directory with such files may be given.\n" +
			"What is applied takes the place of all that was in force. Envoy asks by it where policy.enforce is on."}
	cmd.AddCommand(a.policyCheck(), a.policyDiff(), a.policyApply(), a.policyRollback(), a.policyList(), a.policyShow(),
		a.policyTest(), a.policyWhy(), a.policyDecisions(),
		a.policySimulate(), a.policyTemplate(), a.policySchema())
	return cmd
}

func pathArgs(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return console.Usage(errors.New("want at least one PATH: a file or a directory of *.cedar and *.json"))
	}
	return nil
}

func inputOf(src policy.Source) *client.PolicyInput {
	documents := func(all []policy.Document) []*client.PolicyDocumentInput {
		out := []*client.PolicyDocumentInput{}
		for _, d := range all {
			out = append(out, &client.PolicyDocumentInput{Name: d.Name, Text: d.Text})
		}
		return out
	}
	return &client.PolicyInput{Policies: documents(src.Policies), Entities: documents(src.Entities)}
}

func (a *app) policyCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check PATH…",
		Short: "Parse and validate policies and entities, without a node",
		Args:  pathArgs,
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		src, err := console.PolicyFiles(args)
		if err != nil {
			return err
		}
		snap, err := policy.Compile(src)
		if err != nil {
			return err
		}
		result := map[string]any{"hash": snap.Hash(), "policies": snap.Policies(), "entities": snap.Entities()}
		return a.Print(result, func(w io.Writer) {
			fmt.Fprintf(w, "%d policies (the defaults included) and %d entities are valid, hash %s.\n", len(snap.Policies()),
				snap.Entities(), snap.Hash())
		})
	}
	return cmd
}

// difference is what another set has, lacks and has otherwise.
type difference struct {
	Added    []string `json:"added"`
	Removed  []string `json:"removed"`
	Changed  []string `json:"changed"`
	Entities bool     `json:"entities"` // they differ
}

func differ(old, now policy.Source) (d difference, err error) {
	before, err := policy.Compile(old)
	if err != nil {
		return d, fmt.Errorf("what is in force: %w", err)
	}
	after, err := policy.Compile(now)
	if err != nil {
		return d, err
	}
	d = difference{[]string{}, []string{}, []string{}, !slices.Equal(old.Entities, now.Entities)}
	for _, id := range after.Policies() {
		switch before.Text(id) {
		case "":
			d.Added = append(d.Added, id)
		case after.Text(id):
		default:
			d.Changed = append(d.Changed, id)
		}
	}
	for _, id := range before.Policies() {
		if after.Text(id) == "" {
			d.Removed = append(d.Removed, id)
		}
	}
	return d, nil
}

func (a *app) policyDiff() *cobra.Command {
	cmd := &cobra.Command{Use: "diff PATH…", Short: "What applying would add, remove and change", Args: pathArgs}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, err := console.PolicyFiles(args)
		if err != nil {
			return err
		}
		resp, err := client.GetPolicyVersion(cmd.Context(), a.Client(), 0)
		if err != nil {
			return err
		}
		old := policy.Source{}
		for _, d := range resp.PolicyVersion.Policies {
			old.Policies = append(old.Policies, policy.Document{Name: d.Name, Text: d.Text})
		}
		for _, d := range resp.PolicyVersion.Entities {
			old.Entities = append(old.Entities, policy.Document{Name: d.Name, Text: d.Text})
		}
		d, err := differ(old, src)
		if err != nil {
			return err
		}
		return a.Print(d, func(w io.Writer) {
			for sign, ids := range map[string][]string{"+": d.Added, "-": d.Removed, "~": d.Changed} {
				for _, id := range ids {
					fmt.Fprintln(w, sign, id)
				}
			}
			if d.Entities {
				fmt.Fprintln(w, "~ entities")
			}
			if len(d.Added)+len(d.Removed)+len(d.Changed) == 0 && !d.Entities {
				fmt.Fprintln(w, "Nothing would change.")
			}
		})
	}
	return cmd
}

func (a *app) policyApply() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply PATH…",
		Short: "Put policies in force, instead of those that are; as a whole or not at all",
		Args:  pathArgs,
	}
	note := cmd.Flags().String("note", "", "why, for catalyst policy list")
	anyway := cmd.Flags().Bool("anyway", false, "also if nodes that share the policies are too old to understand them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, err := console.PolicyFiles(args)
		if err != nil {
			return err
		}
		resp, err := client.ApplyPolicy(cmd.Context(), a.Client(), inputOf(src), *note, *anyway)
		if err != nil {
			return err
		}
		return a.applied(resp.ApplyPolicy.PolicyVersionFields)
	}
	return cmd
}

func (a *app) applied(v client.PolicyVersionFields) error {
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "Version %d is in force, hash %s. Back: catalyst policy rollback %d\n", v.Number, v.Hash, v.Number-1)
	})
}

func (a *app) policyRollback() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback VERSION",
		Short: "Put an earlier version in force again; 0 for the defaults",
		Args:  console.ExactArgs(1, "the number of a version"),
	}
	note := cmd.Flags().String("note", "", "why, for catalyst policy list")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var n int
		if _, err := fmt.Sscanf(args[0], "%d", &n); err != nil || n < 0 {
			return console.Usage(fmt.Errorf("version %q: want a number of catalyst policy list", args[0]))
		}
		resp, err := client.RollbackPolicy(cmd.Context(), a.Client(), n, *note)
		if err != nil {
			return err
		}
		return a.applied(resp.RollbackPolicy.PolicyVersionFields)
	}
	return cmd
}

func (a *app) policyList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "What is in force, and the versions that were",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := client.GetPolicy(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		versions, err := client.ListPolicyVersions(cmd.Context(), a.Client(), 50)
		if err != nil {
			return err
		}
		nodes, err := client.ListPolicyNodes(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		all := map[string]any{"policy": set.Policy, "versions": versions.PolicyVersions, "nodes": nodes.PolicyNodes}
		return a.Print(all, func(w io.Writer) {
			p := set.Policy
			fmt.Fprintf(w, "In force: version %d, %d policies, %d entities; policy.enforce is %s.\n", p.Version,
				len(p.Policies), p.Entities, p.Enforce)
			console.Row(w, "VERSION", "SINCE", "HASH", "BY", "NOTE")
			for _, v := range versions.PolicyVersions {
				console.Row(w, v.Number, v.At, v.Hash, v.By, v.Note)
			}
			policyNodes(w, nodes.PolicyNodes)
		})
	}
	return cmd
}

// policyNodes are the nodes that share policies; nothing if this one does not.
func policyNodes(w io.Writer, nodes []*client.ListPolicyNodesPolicyNodesPolicyNode) {
	if len(nodes) == 0 {
		return
	}
	fmt.Fprintf(w, "\nShared by the organisation's nodes; the node that set them confirmed them %d s ago.\n", nodes[0].Age)
	console.Row(w, "NODE", "SET", "HASH", "CURRENT", "HEARD", "ERROR")
	for _, n := range nodes {
		console.Row(w, n.Node, n.Serial, n.Hash, n.Current, fmt.Sprintf("%d s ago", n.Heard), n.Error)
	}
}

func (a *app) policyShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the policies and entities of a version",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	number := cmd.Flags().Int("version", 0, "of catalyst policy list; 0 for what is in force")
	dir := cmd.Flags().String("out", "", "a directory to write them to, as files")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		resp, err := client.GetPolicyVersion(cmd.Context(), a.Client(), *number)
		if err != nil {
			return err
		}
		v := resp.PolicyVersion.PolicyVersionFields
		if *dir != "" {
			return a.writeVersion(v, *dir)
		}
		return a.Print(v, func(w io.Writer) {
			for _, d := range v.Policies {
				fmt.Fprintf(w, "// %s\n%s\n", d.Name, d.Text)
			}
			for _, d := range v.Entities {
				fmt.Fprintf(w, "// %s\n%s\n", d.Name, d.Text)
			}
		})
	}
	return cmd
}

func (a *app) writeVersion(v client.PolicyVersionFields, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	write := func(name, text string) error {
		path := filepath.Join(dir, filepath.Base(name))
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return console.Usage(fmt.Errorf("%s: it is there already", path))
		}
		return os.WriteFile(path, []byte(text), 0o600)
	}
	var errs []error
	for _, d := range v.Policies {
		errs = append(errs, write(d.Name, d.Text))
	}
	for _, d := range v.Entities {
		errs = append(errs, write(d.Name, d.Text))
	}
	return errors.Join(errs...)
}

func (a *app) policyTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test EXPECTATIONS PATH…",
		Short: "Try a file of expected decisions on policies, without a node",
		Long: "EXPECTATIONS is a YAML list of objects of name, call (peer, service, organisation, method, path, …) or " +
			"order, allow, and policies.\nExit status 1: a decision is not as expected.",
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) < 2 {
			return console.Usage(errors.New("want a file of expectations and at least one PATH"))
		}
		return nil
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		b, err := os.ReadFile(args[0])
		if err != nil {
			return console.Usage(err)
		}
		raw, err := yaml.YAMLToJSON(b)
		if err != nil {
			return console.Usage(fmt.Errorf("%s: %s", args[0], yaml.FormatError(err, false, false)))
		}
		expected, err := policy.ReadExpectations(raw)
		if err != nil {
			return console.Usage(fmt.Errorf("%s: %w", args[0], err))
		}
		src, err := console.PolicyFiles(args[1:])
		if err != nil {
			return err
		}
		snap, err := policy.Compile(src)
		if err != nil {
			return err
		}
		failed := 0
		for _, e := range expected {
			if problem := snap.Try(e); problem != "" {
				failed++
				fmt.Fprintf(a.IO.Err, "%s: %s\n", e.Name, problem)
			}
		}
		if failed > 0 {
			return fmt.Errorf("%d of %d decisions are not as expected", failed, len(expected))
		}
		a.Say("All %d decisions are as expected.", len(expected))
		return nil
	}
	return cmd
}

func (a *app) policyWhy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why DECISION",
		Short: "Why a call or an order was allowed or denied, by the id that the answer carried (x-catalyst-decision)",
		Args:  console.ExactArgs(1, "the id of a decision"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.Why(cmd.Context(), a.Client(), args[0])
		if err != nil {
			return err
		}
		return a.Print(resp.Why, func(w io.Writer) { whyTable(w, resp.Why) })
	}
	return cmd
}

func whyTable(w io.Writer, why *client.WhyWhyPolicyWhy) {
	d := why.Decision
	verdict := "denied"
	if d.Allow {
		verdict = "allowed"
	}
	console.Row(w, "decision", d.Id+", "+d.At)
	console.Row(w, "call", strings.Join(strings.Fields(d.Action+" "+d.Method+" "+d.Path), " ")+" of "+d.Service)
	console.Row(w, "principal", d.Principal)
	console.Row(w, "through node", d.Peer)
	by := strings.Join(d.Policies, ", ")
	if by == "" {
		by = "no policy: none matched"
	}
	console.Row(w, verdict+" by", by)
	for _, e := range d.Errors {
		console.Row(w, "error", e)
	}
	if d.Shadow {
		console.Row(w, "note", "it passed all the same: policy.enforce is shadow")
	}
	for _, t := range why.Texts {
		console.Row(w, t.Name, indented(t.Text))
	}
	if n := why.Nearest; n != nil {
		console.Row(w, "nearest", n.Policy)
		console.Row(w, "it wants", n.Failed)
		console.Row(w, "but", n.Fact)
		if n.Others > 0 {
			console.Row(w, "and", fmt.Sprintf("%d more of its conditions are not met", n.Others))
		}
		console.Row(w, n.Policy, indented(n.Text))
	}
}

func indented(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t") }

func (a *app) policyDecisions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "decisions",
		Short: "The newest decisions: every denial, and a sample of the others",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	denied := cmd.Flags().Bool("denied", false, "denials only")
	n := cmd.Flags().Int("last", 50, "how many, 1 to 1000")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		resp, err := client.ListDecisions(cmd.Context(), a.Client(), *n, *denied)
		if err != nil {
			return err
		}
		return a.Print(resp.Decisions, func(w io.Writer) {
			console.Row(w, "DECISION", "AT", "RESULT", "PRINCIPAL", "SERVICE", "CALL", "BY")
			for _, d := range resp.Decisions {
				result := "deny"
				if d.Allow {
					result = "allow"
				}
				console.Row(w, d.Id, d.At, result, d.Principal, d.Service,
					strings.Join(strings.Fields(d.Action+" "+d.Method+" "+d.Path), " "),
					strings.Join(append(d.Policies, d.Errors...), ", "))
			}
		})
	}
	return cmd
}

func (a *app) policySimulate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate PATH…",
		Short: "Who would lose or gain what, by the calls of the last hours",
		Args:  pathArgs,
		Long: "Decide the recorded calls anew by the given policies, and tell whose outcome would be another. Denials " +
			"are all recorded, allowances by sample (policy.sample): 100 for all.",
	}
	last := cmd.Flags().Duration("last", 24*time.Hour, "how far back")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, err := console.PolicyFiles(args)
		if err != nil {
			return err
		}
		resp, err := client.SimulatePolicy(cmd.Context(), a.Client(), inputOf(src), int(last.Seconds()))
		if err != nil {
			return err
		}
		s := resp.SimulatePolicy
		return a.Print(s, func(w io.Writer) {
			fmt.Fprintf(w, "%d recorded calls decided anew; %d could not be.\n", s.Replayed, s.NotReplayable)
			for _, c := range s.Changes {
				what := "gains"
				if c.Loses {
					what = "loses"
				}
				fmt.Fprintf(w, "%s %s %s (%d calls, such as %s)\n", c.Principal, what, c.Service, c.Calls, c.Example)
			}
			if len(s.Changes) == 0 {
				fmt.Fprintln(w, "Nobody's outcome would be another.")
			}
		})
	}
	return cmd
}

func (a *app) policyTemplate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "template", Short: "Print a policy for a usual case",
		Args: console.ExactArgs(0, "no arguments"),
	}
	var t policy.Template
	cmd.Flags().StringVar(&t.ID, "id", "", "of the policy")
	cmd.Flags().StringVar(&t.Organisation, "organisation", "", "whose nodes may call")
	cmd.Flags().StringVar(&t.Node, "node", "", "a single node that may, as spiffe://ORGANISATION/node/NAME")
	cmd.Flags().StringVar(&t.Role, "role", "",
		"of a token's principal: ADMIN, NODE, NODE_CUSTODIAN, DATA_CUSTODIAN or USER")
	cmd.Flags().StringVar(&t.Service, "service", "", "full name of the service that may be called; all if it is left out")
	cmd.Flags().StringSliceVar(&t.Methods, "method", nil,
		"HTTP methods; all, and connections of TCP services, if none is given")
	cmd.Flags().BoolVar(&t.Forbid, "forbid", false, "forbid it instead")
	cmd.RunE = func(*cobra.Command, []string) error {
		text, err := t.Cedar()
		if err != nil {
			return console.Usage(err)
		}
		_, err = io.WriteString(a.IO.Out, text)
		return err
	}
	return cmd
}

func (a *app) policySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the Cedar schema: principals, actions, resources and what a decision may look at",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.IO.Out, policy.Schema())
			return err
		},
	}
}
