package peers

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) peeringCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peering",
		Short: "Other organisations: what is trusted of them, and what they are offered",
	}
	cmd.AddCommand(a.peeringOffer(), a.peeringAccept(), a.peeringList(), a.peeringShow(), a.peeringUpdate(),
		a.peeringEnd(), a.peeringLedger(), a.peeringInvitations(), a.peeringBundle(), a.peeringDiscover(),
		a.peeringTokens())
	return cmd
}

func (a *app) peeringOffer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "offer --with ORGANISATION",
		Short: "Print an invitation to peer, for the operator of another organisation",
		Long: "Print an invitation to peer, for the operator of another organisation: who invites, how that can be " +
			"proved, what " +
			"is proposed, and a secret that is good once.\n" +
			"Send it as you would send a password, and let him compare the pin with you over another channel.",
		Example: "  catalyst peering offer --with bravo.example --export books --address 192.0.2.1:7443 > invitation",
		Args:    console.ExactArgs(0, "no arguments but --with ORGANISATION"),
	}
	in := &client.OfferInput{}
	var terms termsFlags
	var life time.Duration
	f := cmd.Flags()
	f.StringVar(&in.With, "with", "", "the organisation that is invited, such as bravo.example")
	f.StringVar(&in.Address, "address", "", "HOST:PORT by which it reaches this node's peering (default peering.listen)")
	f.DurationVar(&life, "life", 24*time.Hour, "how long the invitation can be accepted, 1m to 720h")
	terms.add(f)
	file := console.OutFlag(cmd)
	keep := keepFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if in.With == "" {
			return console.Usage(errors.New("want --with ORGANISATION"))
		}
		if *keep {
			if is, err := a.peersWith(cmd.Context(), in.With); is || err != nil {
				return err
			}
		}
		in.Terms, in.Life = terms.given(in.With), life.String()
		resp, err := client.OfferPeering(cmd.Context(), a.Client(), in)
		if err != nil {
			return err
		}
		inv := resp.OfferPeering.InvitationFields
		if a.Output != "table" {
			return a.Print(inv, nil)
		}
		if *file != "" {
			return a.WriteSecret(*file, inv.Text)
		}
		fmt.Fprintln(a.IO.Out, inv.Text) // alone, so that it can go into a file
		fmt.Fprintf(a.IO.Err, "\nThe operator of %s runs, until %s:\n\n    catalyst peering accept INVITATION\n\n",
			inv.With, inv.Expires)
		fmt.Fprintf(a.IO.Err, "Pin of %s to compare with him: %s\n", strings.SplitN(inv.Node, "/", 2)[0],
			strings.Join(inv.Pins, " "))
		return nil
	}
	return cmd
}

func (a *app) peeringAccept() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept INVITATION",
		Short: "Say what an invitation to peer would have trusted, ask, and peer",
		Long: "Say what an invitation to peer would have trusted, ask, and peer. INVITATION is what catalyst peering " +
			"offer printed, " +
			"@FILE, or - for standard input.",
		Args: console.ExactArgs(1, "an invitation, @FILE or -"),
	}
	in := &client.AcceptInput{}
	var terms termsFlags
	f := cmd.Flags()
	terms.add(f)
	f.StringVar(&in.Address, "address", "",
		"HOST:PORT by which the other side may dial this node (default: this node dials)")
	yes := f.Bool("yes", false, "do not ask")
	keep := keepFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Invitation, err = a.Given(args[0]); err != nil {
			return console.Usage(err)
		}
		read, err := client.ReadInvitation(cmd.Context(), a.Client(), in.Invitation)
		if err != nil {
			return err
		}
		inv := read.ReadInvitation.InvitationFields
		org, _, _ := strings.Cut(inv.Node, "/")
		if *keep {
			if is, err := a.peersWith(cmd.Context(), org); is || err != nil {
				return err
			}
		}
		in.Terms = terms.given(org)
		if terms.Role == "" {
			in.Terms.Role = opposite(inv.Terms.Role)
		}
		explainInvitation(a.IO.Err, &inv, in.Terms)
		if !*yes {
			if ok, err := a.confirm("Accept?"); err != nil || !ok {
				return errors.Join(err, errors.New("nothing was changed"))
			}
		}
		resp, err := client.AcceptPeering(cmd.Context(), a.Client(), in)
		if err != nil {
			return err
		}
		return a.Print(resp.AcceptPeering, func(w io.Writer) {
			fmt.Fprintf(w, "%s is peered with. Watch it with catalyst peering show %s\n", org, org)
		})
	}
	return cmd
}

func keepFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("keep", false, "content oneself with a peering with that organisation that is there already")
}

// peersWith tells whether there is a peering with an organisation, and says so.
func (a *app) peersWith(ctx context.Context, org string) (bool, error) {
	resp, err := client.ListPeerings(ctx, a.Client())
	if err != nil {
		return false, err
	}
	for _, p := range resp.Peerings {
		if p.Organisation == org {
			a.Say("there is a peering with %s already.", org)
			return true, nil
		}
	}
	return false, nil
}

// opposite is what the invited side takes the inviting one for.
func opposite(role string) string {
	switch role {
	case "customer":
		return "provider"
	case "provider":
		return "customer"
	}
	return role
}

// explainInvitation says in plain words what saying yes would do.
func explainInvitation(w io.Writer, inv *client.InvitationFields, mine *client.TermsInput) {
	org, _, _ := strings.Cut(inv.Node, "/")
	fmt.Fprintf(w, "%s invites %s to peer with its node %s at %s.\n\nIf you accept, this node\n", org, inv.With,
		inv.Node, inv.Address)
	fmt.Fprintf(w, "  * trusts, for names of %s and for nothing else, certificates that are signed by\n", org)
	for _, pin := range inv.Pins {
		fmt.Fprintf(w, "      SHA-256 %s, and by those that follow it (valid until %s)\n", pin, inv.RootsUntil)
	}
	fmt.Fprintf(w, "    Compare this with the operator of %s over another channel.\n", org)
	fmt.Fprintf(w, "  * takes routes for %s from it%s; its services can then be called by name from here\n",
		listed(mine.Take, "nothing"), atMost(mine.MaxRoutes))
	fmt.Fprintf(w, "  * lets it know of, and call, %s\n", listed(mine.Offer, "nothing"))
	if carried := others(inv.With, mine.Offer); len(carried) > 0 {
		fmt.Fprintf(w, "    and so carries calls of %s to other organisations\n", strings.Join(carried, ", "))
	}
	if carried := others(org, mine.Take); len(carried) > 0 {
		fmt.Fprintf(w, "    and lets it pass on what is other organisations': %s\n", strings.Join(carried, ", "))
	}
	if len(mine.Tokens) > 0 {
		fmt.Fprintf(w, "  * believes its tokens, of whom calls %s\n", listed(mine.Tokens, ""))
	}
	if mine.Role != "" {
		fmt.Fprintf(w, "  * treats it as its %s, so that neither becomes transit for the other's providers and peers "+
			"(RFC 9234)\n", mine.Role)
	}
	fmt.Fprintf(w, "\nIt says that it takes %s from you%s, and offers you %s.\n", listed(inv.Terms.Take, "nothing"),
		atMost(inv.Terms.MaxRoutes), listed(inv.Terms.Offer, "nothing"))
	fmt.Fprintf(w, "The invitation is good once, until %s. catalyst peering end %s takes everything back.\n",
		inv.Expires, org)
}

// others are the full names that do not lie below an organisation; a short name is one of this node's own.
func others(org string, names []string) []string {
	var all []string
	for _, n := range names {
		if strings.Contains(n, ".") && !strings.HasSuffix(n, "."+org) {
			all = append(all, n)
		}
	}
	return all
}

func listed(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

func atMost(n int) string {
	if n == 0 {
		return " (at most 1000)"
	}
	return fmt.Sprintf(" (at most %d)", n)
}

// confirm asks; only yes is yes.
func (a *app) confirm(question string) (bool, error) {
	fmt.Fprintf(a.IO.Err, "\n%s [y/N] ", question)
	line, err := bufio.NewReader(a.IO.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

func (a *app) peeringList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "All organisations that this node peers with",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.ListPeerings(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			return a.Print(resp.Peerings, func(w io.Writer) {
				console.Row(w, "ORGANISATION", "BUNDLE", "SEQUENCE", "SESSIONS", "RECEIVED", "ADVERTISED", "FAULTS")
				for _, p := range resp.Peerings {
					up, in, out := 0, 0, 0
					for _, n := range p.Nodes {
						if n.State == "Established" {
							up++
						}
						in, out = in+n.Received, out+n.Advertised
					}
					console.Row(w, p.Organisation, p.Trust.State, p.Trust.Sequence, fmt.Sprintf("%d of %d", up, len(p.Nodes)), in, out,
						kinds(p.Faults))
				}
			})
		},
	}
}

func kinds(faults []*client.PeeringFieldsFaultsTrustFault) string {
	var all []string
	for _, f := range faults {
		all = append(all, f.Kind)
	}
	return strings.Join(all, " ")
}

func (a *app) peeringShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ORGANISATION",
		Short: "What is trusted of an organisation, what it is offered, and what is wrong",
		Args:  console.ExactArgs(1, "an organisation"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.GetPeering(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			if resp.Peering == nil {
				return fmt.Errorf("there is no peering with %s: see catalyst peering list", args[0])
			}
			err = a.Print(resp.Peering, func(w io.Writer) { showPeering(w, &resp.Peering.PeeringFields) })
			if err != nil || a.Output != "table" || len(resp.Peering.Nodes) == 0 {
				return err
			}
			// The terms as rules, as peer show and filter explain print them. Those of all nodes are made of the same terms.
			return a.showRulesOf(cmd.Context(), resp.Peering.Nodes[0].Node, &client.FilterInput{})
		},
	}
}

func showPeering(w io.Writer, p *client.PeeringFields) {
	console.Row(w, "organisation", p.Organisation)
	console.Row(w, "since", p.Since)
	if p.Invitation != "" {
		console.Row(w, "made by", "invitation "+p.Invitation)
	}
	for _, n := range p.Nodes {
		text := fmt.Sprintf("%s: %s, %d routes received, %d advertised", n.Node, n.State, n.Received, n.Advertised)
		if n.LastError != "" {
			text += "; " + n.LastError
		}
		console.Row(w, "node", text)
	}
	console.Row(w, "its bundle", p.Trust.State)
	if p.Trust.State != "none" {
		console.Row(w, "sequence", fmt.Sprintf("%s, by %s, %s", p.Trust.Sequence, p.Trust.By, p.Trust.Since))
		for _, pin := range p.Trust.Pins {
			console.Row(w, "root", pin)
		}
		console.Row(w, "token keys", p.Trust.TokenKeys)
		console.Row(w, "valid until", p.Trust.Until)
		console.Row(w, "found current", p.Trust.CheckedAt)
	}
	if p.Trust.Refused != "" {
		console.Row(w, "not taken", fmt.Sprintf("%s (%s)", p.Trust.Refused, p.Trust.RefusedAt))
	}
	if e := p.BundleEndpoint; e != nil {
		console.Row(w, "bundle endpoint", strings.TrimSpace(e.Url+" "+e.Profile+" "+e.Server))
	}
	showTerms(w, "this side", &p.Terms.TermsFields)
	if p.Theirs != nil {
		showTerms(w, "its side", &p.Theirs.TermsFields)
	}
	showHandshakes(w, p.Handshakes)
	for _, f := range p.Faults {
		console.Row(w, f.Severity, fmt.Sprintf("%s: %s (seen by %s): %s", f.Kind, f.Text, f.SeenBy, f.Advice))
	}
}

// showHandshakes says of each certificate that one side did not believe whose it was, and by which bundle.
func showHandshakes(w io.Writer, all []*client.PeeringFieldsHandshakesRefusedHandshake) {
	for _, h := range all {
		console.Row(w, "refused",
			fmt.Sprintf("by %s, %d times, last %s: the certificate of %s (%s, serial %s, %s to %s) by the "+
				"bundle of sequence %s (%s): %s: %s", h.By, h.Times, h.Last, h.Of, cmp.Or(h.Name, "no single name"), h.Serial,
				h.From, h.Until, h.Sequence, listed(h.Roots, "no roots"), h.Kind, h.Text))
	}
}

func showTerms(w io.Writer, whose string, t *client.TermsFields) {
	text := fmt.Sprintf("takes %s%s, offers %s", listed(t.Take, "nothing"), atMost(t.MaxRoutes),
		listed(t.Offer, "nothing"))
	if len(t.Aggregate) > 0 {
		text += " (in one: " + listed(t.Aggregate, "") + ")"
	}
	if len(t.Tokens) > 0 {
		text += ", believes the other's tokens for " + listed(t.Tokens, "")
	}
	if t.Role != "" {
		text += ", the other is its " + t.Role
	}
	console.Row(w, whose, text)
}

func (a *app) peeringUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update ORGANISATION",
		Short: "Change what is given of a peering, and keep the rest; no session is reset",
		Args:  console.ExactArgs(1, "an organisation"),
		Example: "  catalyst peering update bravo.example --export books --export prices\n" +
			"  catalyst peering update bravo.example --bundle bravo.json   # by hand",
	}
	var terms termsFlags
	f := cmd.Flags()
	terms.add(f)
	file := f.String("bundle", "", "file with its bundle: JSON, or roots in PEM; it replaces what is held")
	endpoint := &client.BundleEndpointInput{}
	f.StringVar(&endpoint.Url, "bundle-url", "", "https address where its bundle is read as well; none for none")
	f.StringVar(&endpoint.Profile, "bundle-profile", "https_web",
		"how that address proves itself: https_web or https_spiffe")
	f.StringVar(&endpoint.Server, "bundle-server", "", "SPIFFE ID of its server, for https_spiffe")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		was, err := client.GetPeering(cmd.Context(), a.Client(), args[0])
		if err != nil {
			return err
		}
		if was.Peering == nil {
			return fmt.Errorf("there is no peering with %s: see catalyst peering list", args[0])
		}
		in := peeringInput(&was.Peering.PeeringFields)
		in.Terms = terms.over(f, in.Terms, args[0])
		if f.Changed("bundle-url") {
			in.BundleEndpoint = endpoint
			if endpoint.Url == "none" {
				in.BundleEndpoint = nil
			}
		}
		if *file != "" {
			b, err := os.ReadFile(*file)
			if err != nil {
				return console.Usage(err)
			}
			in.Bundle = string(b)
		}
		resp, err := client.SetPeering(cmd.Context(), a.Client(), in)
		if err != nil {
			return err
		}
		return a.Print(resp.SetPeering, func(w io.Writer) { showPeering(w, &resp.SetPeering.PeeringFields) })
	}
	return cmd
}

// peeringInput is a peering as it would be set.
func peeringInput(p *client.PeeringFields) *client.PeeringInput {
	in := &client.PeeringInput{
		Organisation: p.Organisation,
		Nodes:        []*client.PeeringNodeInput{},
		Terms:        termsAsSet(&p.Terms.TermsFields),
	}
	for _, n := range p.Nodes {
		in.Nodes = append(in.Nodes, &client.PeeringNodeInput{Node: n.Node, Addresses: n.Addresses})
	}
	if e := p.BundleEndpoint; e != nil {
		in.BundleEndpoint = &client.BundleEndpointInput{Url: e.Url, Profile: e.Profile, Server: e.Server}
	}
	return in
}

func (a *app) peeringEnd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "end ORGANISATION",
		Short: "End a peering: its routes, its trust and open invitations to it, at once",
		Args:  console.ExactArgs(1, "an organisation"),
	}
	text := cmd.Flags().String("text", "", "what to tell its operator")
	dryRun := cmd.Flags().Bool("dry-run", false, "say what it would hit, and end nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.WouldHit(cmd.Context(), args[0], "")
		if *dryRun {
			return nil
		}
		resp, err := client.EndPeering(cmd.Context(), a.Client(), args[0], *text)
		if err != nil {
			return err
		}
		if !resp.EndPeering {
			return fmt.Errorf("there is no peering with %s: see catalyst peering list", args[0])
		}
		a.Say("%s is no longer peered with: its routes are withdrawn, and nothing of it is trusted.", args[0])
		return nil
	}
	return cmd
}

func (a *app) peeringInvitations() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invitations",
		Short: "Invitations that this node made, and what became of them",
		Args:  console.ExactArgs(0, "no arguments"),
	}
	withdraw := cmd.Flags().String("withdraw", "", "the id of an invitation that shall be worthless")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *withdraw != "" {
			resp, err := client.WithdrawInvitation(cmd.Context(), a.Client(), *withdraw)
			if err != nil {
				return err
			}
			if !resp.WithdrawInvitation {
				return fmt.Errorf("there is no open invitation %s: see catalyst peering invitations", *withdraw)
			}
			a.Say("Invitation %s is worthless now.", *withdraw)
			return nil
		}
		resp, err := client.ListInvitations(cmd.Context(), a.Client())
		if err != nil {
			return err
		}
		return a.Print(resp.Invitations, func(w io.Writer) {
			console.Row(w, "ID", "WITH", "STATE", "EXPIRES", "USED BY", "USED AT")
			for _, i := range resp.Invitations {
				console.Row(w, i.Id, i.With, i.State, i.Expires, i.UsedBy, i.UsedAt)
			}
		})
	}
	return cmd
}

func (a *app) peeringBundle() *cobra.Command {
	return &cobra.Command{
		Use:   "bundle",
		Short: "Print this organisation's bundle, for another's operator or for SPIRE",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.GetOwnBundle(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			fmt.Fprintln(a.IO.Out, resp.OwnBundle)
			return nil
		},
	}
}
