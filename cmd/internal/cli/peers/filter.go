package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/cmd/internal/api"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/playback"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/rulefile"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) filterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "filter", Short: "Rules of peers: check them, see what they would change, apply them"}
	cmd.AddCommand(a.filterCheck(), a.filterDiff(), a.filterApply(), a.filterExplain())
	return cmd
}

func (a *app) filterCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Tell what is wrong with files of rules; no node is needed",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return console.Usage(fmt.Errorf("want files of rules: %s", cmd.UseLine()))
			}
			return nil
		},
	}
	org := cmd.Flags().String("org", "",
		"the organisation whose node has the rules: communities that they set or take away have to be its own")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		var errs []error
		for _, path := range args {
			c, err := readChain(path)
			if err == nil && *org != "" {
				var own bgp.Org
				if own, err = bgp.ParseOrg(*org); err != nil {
					return console.Usage(fmt.Errorf("--org: %w", err))
				}
				err = c.CheckOwnership(own)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
				continue
			}
			a.Say("%s: %d terms, and what none decides is %s.", path, len(c.Terms), defaultWords(c))
		}
		return errors.Join(errs...)
	}
	return cmd
}

func defaultWords(c *filter.Chain) string {
	if c.Default == filter.Reject {
		return "rejected"
	}
	return "accepted"
}

// readChain reads a file of rules and checks it.
func readChain(path string) (*filter.Chain, error) {
	text, err := rulefile.Read(path)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, errors.New("holds no rules")
	}
	return filter.Parse([]byte(*text))
}

// filterFlags are the rules to be put in the place of a peer's own.
type filterFlags struct{ imports, exports string }

func (f *filterFlags) on(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.imports, "import", "", "YAML file of import rules; none takes them away")
	cmd.Flags().StringVar(&f.exports, "export", "", "YAML file of export rules; none takes them away")
}

// input reads the files; what is not given stays as it is.
func (f *filterFlags) input(node string) (*client.FilterInput, error) {
	in := &client.FilterInput{Node: node}
	for _, x := range []struct {
		path string
		to   **string
	}{{f.imports, &in.Import}, {f.exports, &in.Export}} {
		if x.path == "" {
			continue
		}
		text, err := rulefile.Read(x.path)
		if err != nil {
			return nil, console.Usage(err)
		}
		if *x.to = text; text == nil {
			*x.to = new(string)
		}
	}
	return in, nil
}

func (a *app) filterDiff() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff NODE --import FILE --export FILE",
		Short: "Say which known routes other rules of a peer would change; nothing is changed",
		Long: "Say which routes would be taken or told in another way if a peer's rules were those of the files. The " +
			"routes " +
			"are those that the node knows now,\nrejected ones included, or with --recording those at the end of a " +
			"recording (catalyst replay), for which no node is needed.",
		Args: console.ExactArgs(1, "a node"),
	}
	var f filterFlags
	f.on(cmd)
	recording := cmd.Flags().String("recording", "", "a recording, or the directory of all, in the place of the node")
	until := cmd.Flags().String("until", "", "with --recording: the step or the time to stop at, as of catalyst replay")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.imports == "" && f.exports == "" {
			return console.Usage(errors.New("want --import FILE, --export FILE or both"))
		}
		if *recording != "" {
			return a.diffRecording(args[0], &f, *until, *recording)
		}
		in, err := f.input(args[0])
		if err != nil {
			return err
		}
		resp, err := client.FilterDiff(cmd.Context(), a.Client(), in)
		if err != nil {
			return err
		}
		return a.Print(resp.FilterDiff, func(w io.Writer) { showDiff(w, resp.FilterDiff) })
	}
	return cmd
}

// diffRecording plays a recording to its end and tries the rules there.
func (a *app) diffRecording(name string, f *filterFlags, until, recording string) error {
	node, err := bgp.ParseNodeID(name)
	if err != nil {
		return console.Usage(fmt.Errorf("%w, since a recording does not know short names", err))
	}
	p, err := playback.Open(recording, until)
	if err != nil {
		return err
	}
	for s, err := p.NextStep(); s != nil || err != nil; s, err = p.NextStep() {
		if err != nil {
			return errors.Join(err, p.Close())
		}
	}
	sp := p.Speaker()
	if sp == nil {
		return errors.Join(fmt.Errorf("%s: holds nothing", recording), p.Close())
	}
	v, ok := sp.Peer(node)
	id, _ := sp.PeerID(node)
	if !ok {
		return errors.Join(fmt.Errorf("%s is no peer at the end of the recording", node), p.Close())
	}
	imports, exports := v.Config.Import, v.Config.Export
	if imports, err = replaced(f.imports, imports); err == nil {
		exports, err = replaced(f.exports, exports)
	}
	if err != nil {
		return errors.Join(console.Usage(err), p.Close())
	}
	out := &client.FilterDiffFilterDiff{Node: node.String()}
	counts := map[string]int{}
	for from, more := uint32(0), true; more; more = from != 0 {
		from = sp.Table().Try(id, imports, exports, from, 1000, func(x rib.Trial) {
			c := client.FilterDiffFilterDiffChangesFilterChange(api.FilterChange(&x))
			counts[c.Becomes]++
			out.Changes = append(out.Changes, &c)
		})
	}
	for _, becomes := range []string{"accepted", "rejected", "told", "withheld", "changed"} {
		if n := counts[becomes]; n > 0 {
			out.Counts = append(out.Counts, &client.FilterDiffFilterDiffCountsCount{Name: becomes, Count: n})
		}
	}
	return errors.Join(a.Print(out, func(w io.Writer) { showDiff(w, out) }), p.Close())
}

// replaced reads a file of rules; "" leaves what was, and none takes it away.
func replaced(path string, was *filter.Chain) (*filter.Chain, error) {
	switch path {
	case "":
		return was, nil
	case "none":
		return nil, nil //nolint:nilnil // no rules
	}
	c, err := readChain(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func showDiff(w io.Writer, d *client.FilterDiffFilterDiff) {
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "No route that is known now would change.")
		return
	}
	console.Row(w, "RULES", "SERVICE", "WOULD BE", "NOW", "THEN")
	for _, c := range d.Changes {
		console.Row(w, c.Direction, c.Service, c.Becomes, c.Was, c.Would)
	}
	total := 0
	words := make([]string, 0, len(d.Counts))
	for _, c := range d.Counts {
		words = append(words, fmt.Sprintf("%d %s", c.Count, c.Name))
		total += c.Count
	}
	fmt.Fprintf(w, "%d routes of %s: %s\n", total, d.Node, strings.Join(words, ", "))
}

func (a *app) filterApply() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply NODE --import FILE --export FILE",
		Short: "Give a peer other rules, and say what that changes; its session stays up",
		Args:  console.ExactArgs(1, "a node"),
	}
	var f filterFlags
	f.on(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.imports == "" && f.exports == "" {
			return console.Usage(errors.New("want --import FILE, --export FILE or both"))
		}
		in, err := f.input(args[0])
		if err != nil {
			return err
		}
		diff, err := client.FilterDiff(cmd.Context(), a.Client(), in)
		if err != nil {
			return err
		}
		known, err := client.GetPeer(cmd.Context(), a.Client(), args[0])
		if err != nil {
			return err
		}
		if known.Peer == nil {
			return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
		}
		peer := client.PeerInput{Node: known.Peer.Node}
		update := a.peerSet("update", "")
		keepPeer(update.Flags(), &peer, known.Peer.Config)
		if in.Import != nil {
			peer.Import = in.Import
		}
		if in.Export != nil {
			peer.Export = in.Export
		}
		if _, err := client.SetPeer(cmd.Context(), a.Client(), &peer); err != nil {
			return err
		}
		return a.Print(diff.FilterDiff, func(w io.Writer) {
			showDiff(w, diff.FilterDiff)
			fmt.Fprintf(w, "The rules of %s are in force.\n", peer.Node)
		})
	}
	return cmd
}

func (a *app) filterExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain NODE NAME",
		Short: "What each term of a peer's rules makes of the routes to a service, and which condition fails",
		Long: "What each term of a peer's rules makes of the routes to a service: of what the peer announces, and of what " +
			"it " +
			"would be told. With --import or --export the rules of the files are tried instead.",
		Args: console.ExactArgs(2, "a node and a service name"),
	}
	var f filterFlags
	f.on(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := f.input(args[0])
		if err != nil {
			return err
		}
		resp, err := client.FilterExplain(cmd.Context(), a.Client(), in, args[1])
		if err != nil {
			return err
		}
		if len(resp.FilterExplain) == 0 {
			return fmt.Errorf("%s: nothing is known of it that could come from or go to %s: see catalyst route explain %s",
				args[1], args[0], args[1])
		}
		err = a.Print(resp.FilterExplain, func(w io.Writer) { showFilterSteps(w, resp.FilterExplain) })
		if err != nil || a.Output != "table" {
			return err
		}
		return a.showRulesOf(cmd.Context(), args[0], in)
	}
	return cmd
}

// showRulesOf prints the rules of a peer as files of rules, those that were given in the place of its own.
func (a *app) showRulesOf(ctx context.Context, node string, given *client.FilterInput) error {
	known, err := client.GetPeer(ctx, a.Client(), node)
	if err != nil || known.Peer == nil {
		return err
	}
	imports, exports := known.Peer.Config.Import, known.Peer.Config.Export
	if given.Import != nil {
		imports = given.Import
	}
	if given.Export != nil {
		exports = given.Export
	}
	return errors.Join(rulefile.Show(a.IO.Out, "import", imports), rulefile.Show(a.IO.Out, "export", exports))
}

func showFilterSteps(w io.Writer, all []*client.FilterExplainFilterExplainFilterTrace) {
	console.Row(w, "RULES", "TERM", "OUTCOME")
	for _, x := range all {
		for _, s := range x.Steps {
			outcome := s.Action
			switch {
			case s.Unmet != "":
				outcome = "passed over: does not meet " + s.Unmet
			case s.Set:
				outcome += ", after changing the route"
			}
			console.Row(w, x.Direction, s.Term, outcome)
		}
		verdict := "rejected"
		if x.Accepted {
			verdict = "accepted"
		}
		switch {
		case x.Before != "":
			verdict = "not by rules: " + x.Before
		case x.Term != "":
			verdict += " by term " + x.Term
		default:
			verdict += " by default"
		}
		console.Row(w, x.Direction, "=", verdict)
	}
}
