package routing

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) routeExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain NAME",
		Short: "Every path to a service and what decided, what each peer is told, and what each Envoy has of it; for an " +
			"unknown name, what is nearest",
		Args: console.ExactArgs(1, "a service name"),
	}
	ask := cmd.Flags().Bool("ask", false, "ask the peers too what they tell this node of it, and what they take of it; "+
		"those answer whose operators let them (peering.explain)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.Explain(cmd.Context(), a.Client(), args[0], *ask)
		if err != nil {
			return err
		}
		x := resp.Explain
		if err := a.Print(x, func(w io.Writer) { showExplanation(w, x) }); err != nil {
			return err
		}
		if x.Route == nil && !toldOf(x) {
			return fmt.Errorf("%s is not known here", x.Service)
		}
		return nil
	}
	return cmd
}

// toldOf tells whether a peer is told of a name.
func toldOf(x *client.ExplainExplainExplanation) bool {
	return slices.ContainsFunc(x.Told, func(t *client.ExplainExplainExplanationTold) bool { return t.State == "told" })
}

// explainAsked shows what peers say when they are asked.
func explainAsked(w io.Writer, x *client.ExplainExplainExplanation) {
	if len(x.Asked) == 0 {
		return
	}
	fmt.Fprintln(w, "\nASKED")
	console.Row(w, "PEER", "TELLS US", "TAKES OURS")
	for _, p := range x.Asked {
		if p.Error != "" {
			console.Row(w, p.Peer, p.Error, "")
			continue
		}
		taken := "we announce nothing of it"
		if p.Announced {
			taken = fateWords(p.Taken, p.TakenWhy, p.TakenTerm)
		}
		console.Row(w, p.Peer, fateWords(p.Told, p.ToldWhy, p.ToldTerm), taken)
	}
}

// fateWords says what became of a route at a peer.
func fateWords(ok bool, why, term string) string {
	text := "no: " + why
	if ok {
		text = "yes"
	}
	if term != "" {
		text += ", by its term " + term
	}
	return text
}

func showExplanation(w io.Writer, x *client.ExplainExplainExplanation) {
	if x.Route == nil && toldOf(x) {
		fmt.Fprintln(w, x.Verdict+".")
		explainTold(w, x)
		return
	}
	if x.Route == nil {
		explainUnknown(w, x)
		explainAsked(w, x)
		return
	}
	r := &x.Route.RouteFields
	head(w, r)
	if x.Verdict != "" {
		console.Row(w, "verdict", x.Verdict)
	}
	explainPaths(w, r)
	explainChanged(w, r)
	explainTold(w, x)
	explainAsked(w, x)
	explainEnvoys(w, r)
}

// explainUnknown says what there is to say of a name that nothing is known of.
func explainUnknown(w io.Writer, x *client.ExplainExplainExplanation) {
	fmt.Fprintln(w, x.Verdict+".")
	for _, n := range x.Nearest {
		fmt.Fprintf(w, "Known, and much like it: %s\n", n)
	}
	for _, h := range x.Hints {
		fmt.Fprintf(w, "It may be known to a peer: %s\n", h)
	}
	for _, p := range x.Down {
		by := "this side"
		if p.LastErrorByPeer {
			by = "the other side"
		}
		fmt.Fprintf(w, "Without a session: %s (%s); the last word was that of %s: %s\n", p.Node, p.State, by, p.LastError)
	}
	fmt.Fprintf(w, "For it to be known here, a node has to offer it (catalyst route add), and each on the way has to "+
		"pass it on: catalyst trace %s asks them.\n", x.Service)
}

func explainPaths(w io.Writer, r *client.RouteFields) {
	fmt.Fprintln(w, "\nPATHS")
	console.Row(w, "USE", "FROM", "NEXT HOP", "NODE PATH", "PREF", "HEALTH", "WHY")
	for i, p := range r.Paths {
		from := p.Peer
		if p.Local {
			from = "this node"
		}
		console.Row(w, use(p.Tier, p.Health), from, p.NextHop, console.ShortPath(p.NodePath), p.LocalPref, p.Health,
			why(r, i))
	}
}

// explainChanged says what import made of what was received.
func explainChanged(w io.Writer, r *client.RouteFields) {
	for _, p := range r.Paths {
		if p.OnlyToCustomer != "" {
			fmt.Fprintf(w, "From %s: received with only-to-customer %s\n", p.Peer, p.OnlyToCustomer)
		}
		if p.OriginState != "" && p.OriginState != "not-found" {
			fmt.Fprintf(w, "From %s: its origin is %s%s\n", p.Peer, p.OriginState, console.Colon(p.OriginReason))
		}
		if p.Rejected != "" && p.OriginReason != "" && p.OriginState == "not-found" {
			fmt.Fprintf(w, "From %s: %s\n", p.Peer, p.OriginReason)
		}
		if p.PathSignedUntil != "" {
			fmt.Fprintf(w, "From %s: its path is signed by every organisation on it, until %s\n", p.Peer, p.PathSignedUntil)
		}
		for _, c := range p.Changed {
			fmt.Fprintf(w, "From %s: changed on import: %s\n", p.Peer, c)
		}
	}
}

// why is what decided of a path.
func why(r *client.RouteFields, i int) string {
	p := r.Paths[i]
	var text string
	switch {
	case p.Rejected != "" && p.ImportTerm != "":
		text = p.Rejected + ": term " + p.ImportTerm
	case p.Rejected != "":
		text = p.Rejected
	case i == 0 && len(r.Paths) == 1:
		text = p.DecidedBy
	case i == 0:
		text = "best: " + p.DecidedBy
	case p.Tier == 0:
		text = "equal to the best, used together with it"
	default:
		text = "the best has: " + p.DecidedBy
	}
	if p.Rejected == "" && p.ImportTerm != "" {
		text += ", by import term " + p.ImportTerm
	}
	if p.Stale {
		text += " (" + staleWords(p.StaleSince, p.StaleUntil) + ")"
	}
	return text
}

func explainTold(w io.Writer, x *client.ExplainExplainExplanation) {
	if len(x.Told) == 0 {
		return
	}
	fmt.Fprintln(w, "\nPEERS")
	console.Row(w, "PEER", "IS", "WHY", "EXPORT TERM")
	for _, t := range x.Told {
		console.Row(w, t.Peer, t.State, t.Why, t.Term)
	}
}

func explainEnvoys(w io.Writer, r *client.RouteFields) {
	fmt.Fprintln(w, "\nENVOY")
	if len(r.Envoys) == 0 {
		fmt.Fprintln(w, "no Envoy has anything of it: see catalyst envoy status")
		return
	}
	console.Row(w, "NODE", "RESOURCE", "GIVEN", "ACKNOWLEDGED", "AT", "REFUSED BECAUSE")
	for _, e := range r.Envoys {
		at := e.AcknowledgedAt
		if at == "" && e.Acknowledged != "" {
			at = "had it before"
		}
		refused := e.Error
		if refused != "" {
			refused = e.Refused + " at " + e.RefusedAt + ": " + refused
		}
		console.Row(w, e.Node, e.Resource, e.Version, e.Acknowledged, at, refused)
	}
}
