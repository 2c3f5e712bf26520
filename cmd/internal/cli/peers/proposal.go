package peers

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) peeringDiscover() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discover ORGANISATION",
		Short: "Show how an organisation's own web server says that it is trusted, ask, and keep that",
		Long: "Ask the web server of an organisation's name how its bundle is read (SPIFFE Discovery), say what would be " +
			"trusted, and ask.\nWhoever controls that name or a web authority controls the answer: compare the pins with " +
			"its operator over another channel. No session follows from it; catalyst peering offer makes one.",
		Example: "  catalyst peering discover bravo.example",
		Args:    console.ExactArgs(1, "an organisation"),
	}
	f := cmd.Flags()
	at := f.String("at", "", "HOST:PORT of its web server, where its name does not lead there")
	yes := f.Bool("yes", false, "do not ask")
	dryRun := f.Bool("dry-run", false, "say what it proposes, and keep nothing")
	server := f.String("server", "", "SPIFFE ID of its bundle's server, where it proposes https_spiffe")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.GetProposedPeering(cmd.Context(), a.Client(), args[0], *at)
		if err != nil {
			return err
		}
		p := resp.ProposedPeering
		if *dryRun {
			return a.Print(p, func(w io.Writer) { explainProposal(w, p) })
		}
		explainProposal(a.IO.Err, p)
		if !*yes {
			if ok, err := a.confirm("Keep this?"); err != nil || !ok {
				return errors.Join(err, errors.New("nothing was changed"))
			}
		}
		set, err := client.SetPeering(cmd.Context(), a.Client(), proposed(p, *server))
		if err != nil {
			return err
		}
		return a.Print(set.SetPeering, func(w io.Writer) { showPeering(w, &set.SetPeering.PeeringFields) })
	}
	return cmd
}

// proposed is the peering that keeps what is proposed, and what there was besides. The bundle that the operator was
// shown counts where none is held; elsewhere the one that is held goes on, and the endpoint gives newer ones.
func proposed(p *client.GetProposedPeeringProposedPeeringPeeringProposal, server string) *client.PeeringInput {
	in := &client.PeeringInput{
		Organisation: p.Organisation, Nodes: []*client.PeeringNodeInput{}, Terms: (&termsFlags{}).given(p.Organisation),
	}
	if p.Peering != nil {
		in = peeringInput(&p.Peering.PeeringFields)
	}
	in.BundleEndpoint = &client.BundleEndpointInput{
		Url: p.BundleEndpoint.Url, Profile: p.BundleEndpoint.Profile, Server: server,
	}
	if p.Peering == nil || p.Peering.Trust.State == "none" {
		in.Bundle = p.Bundle
	}
	return in
}

// explainProposal says in plain words what keeping it would do.
func explainProposal(w io.Writer, p *client.GetProposedPeeringProposedPeeringPeeringProposal) {
	fmt.Fprintf(w, "The web server of %s says that its bundle is at\n  %s (%s).\n\n", p.Organisation,
		p.BundleEndpoint.Url, p.BundleEndpoint.Profile)
	if p.Unread != "" {
		fmt.Fprintf(w, "It was not read there: %s.\nKept all the same, it is configured, no bundle yet: nobody of %s is "+
			"believed until it is read.\n", p.Unread, p.Organisation)
		return
	}
	fmt.Fprintf(w, "If you keep this, this node\n  * trusts, for names of %s and for nothing else, certificates that are "+
		"signed by\n", p.Organisation)
	for _, pin := range p.Pins {
		fmt.Fprintf(w, "      SHA-256 %s (valid until %s)\n", pin, p.RootsUntil)
	}
	fmt.Fprintf(w, "    and by those that follow them there (sequence %s, %d token keys).\n    Compare this with the "+
		"operator of %s over another channel: the web alone says so.\n", p.Sequence, p.TokenKeys, p.Organisation)
	if p.Peering == nil {
		fmt.Fprintf(w, "  * offers it nothing, and has no session with it.\n")
		return
	}
	if held := p.Peering.Trust; held.State == "held" {
		fmt.Fprintf(w, "The bundle that is held (sequence %s, %s) stays until that address serves a newer one.\n",
			held.Sequence, strings.Join(held.Pins, " "))
	}
}

func (a *app) peeringTokens() *cobra.Command {
	return &cobra.Command{
		Use:   "tokens ORGANISATION",
		Short: "What becomes of an organisation's tokens in calls of what it is offered: believed, exchanged or refused",
		Args:  console.ExactArgs(1, "an organisation"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.GetPeeringTokens(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			return a.Print(resp.PeeringTokens, func(w io.Writer) {
				console.Row(w, "SERVICE", "ITS TOKENS ARE", "WHY")
				for _, u := range resp.PeeringTokens {
					console.Row(w, u.Service, u.How, u.Why)
				}
			})
		},
	}
}
