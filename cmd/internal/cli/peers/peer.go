package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/rulefile"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) peerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "peer", Short: "Neighbours"}
	cmd.AddCommand(a.peerSet("add", "Peer with a node; both sides have to add each other"),
		a.peerSet("update", "Change what is given of a peer's configuration, and keep the rest"),
		a.peerRemove(), a.peerReset(), a.peerList(), a.peerShow(), a.peerRoutes())
	return cmd
}

func (a *app) peerSet(verb, short string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " NODE [ADDRESS...]", Short: short,
		Long: short + ".\n\nNODE is a name of this organisation, or ORGANISATION/NAME. ADDRESS is HOST:PORT where it " +
			"listens; without one this node waits for it to dial.\n" +
			"Rules, limits and subscriptions change without a reset of the session; the times, add-path and client are " +
			"agreed on anew by one.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return console.Usage(fmt.Errorf("want a node: %s", cmd.UseLine()))
			}
			return nil
		}}
	var in client.PeerInput
	f := cmd.Flags()
	f.IntVar(&in.HoldTimeSeconds, "hold-time", 0, "seconds after which a silent peer is dropped (default 90)")
	f.StringVar(&in.Liveness, "liveness", "",
		"interval of fast keepalives, 50ms to 10s: three without a word and the session is lost; counts if both sides "+
			"have one (default none)")
	f.BoolVar(&in.Client, "client", false, "reflect its routes (RFC 4456)")
	f.IntVar(&in.MaxRoutes, "max-routes", 0,
		"routes that it may announce (default: 1000000 inside an organisation, 1000 between two)")
	f.IntVar(&in.MaxBytes, "max-bytes", 0,
		"bytes of names and attributes of all its routes (default 512 MiB inside an organisation, 4 MiB between two)")
	f.IntVar(&in.MaxRouteBytes, "max-route-bytes", 0,
		"bytes of attributes of one of its routes, up to 32768 (default 16384)")
	f.IntVar(&in.MaxLocalPref, "max-local-pref", 0,
		"highest local preference that is taken of it, inside an organisation; import rules come after it (default 100)")
	f.StringVar(&in.Role, "role", "",
		"what its organisation is to this one: provider, customer or peer (RFC 9234); both sides are compared (default none)")
	f.StringSliceVar(&in.Namespaces, "namespaces", nil,
		"a name that another organisation's node may announce, *.NAME for all below NAME, '*' for all, as often as needed "+
			"(default all below its own organisation)")
	f.BoolVar(&in.Attested, "attested", false,
		"take of another organisation's node only what its origin attests, verified here (catalyst attestation)")
	f.BoolVar(&in.AttestedPath, "attested-path", false,
		"take what it carries on for other organisations only by a path that each organisation on it has signed")
	f.StringSliceVar(&in.Pins, "pins", nil,
		"a name that may arrive through its organisation and no other neighbour, *.NAME for all below NAME, as often as "+
			"needed; '' for none (default none)")
	f.StringVar(&in.OverLimit, "over-limit", "",
		"what happens beyond max-routes: block (what is beyond is not taken), warn (all is taken) or close (the "+
			"session) (default block)")
	f.IntVar(&in.AddPath, "add-path", 0, "paths a service to ask it for (RFC 7911)")
	f.StringVar(&in.LongLivedStale, "long-lived-stale", "",
		"how long its routes may serve as last resort after its restart time (RFC 9494); 0s for not at all (default as "+
			"long as it asks)")
	f.BoolVar(&in.Disabled, "disabled", false, "keep it configured without a session")
	subscribe := f.StringSlice("subscribe", nil,
		"a name to ask it for, *.NAME for all below NAME, as often as needed; 'all' for everything (default all)")
	imports := f.String("import", "", "YAML file of import rules; none takes them away")
	exports := f.String("export", "", "YAML file of export rules; none takes them away")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Node, in.Addresses = args[0], append([]string{}, args[1:]...)
		if in.Subscribe = *subscribe; slices.Equal(in.Subscribe, []string{"all"}) {
			in.Subscribe = nil
		}
		var err error
		if in.Import, err = rulefile.Read(*imports); err != nil {
			return console.Usage(err)
		}
		if in.Export, err = rulefile.Read(*exports); err != nil {
			return console.Usage(err)
		}
		known, err := client.GetPeer(cmd.Context(), a.Client(), in.Node)
		if err != nil {
			return err
		}
		switch {
		case verb == "add" && known.Peer != nil:
			return fmt.Errorf("%s is a peer already: change it with catalyst peer update", known.Peer.Node)
		case verb == "update" && known.Peer == nil:
			return fmt.Errorf("%s is not a peer: add it with catalyst peer add", in.Node)
		case verb == "update":
			keepPeer(f, &in, known.Peer.Config)
		}
		resp, err := client.SetPeer(cmd.Context(), a.Client(), &in)
		if err != nil {
			return err
		}
		return a.Print(resp.SetPeer, func(w io.Writer) {
			fmt.Fprintf(w, "%s is a peer. Watch it with catalyst peer show %s\n", resp.SetPeer.Node, resp.SetPeer.Node)
			if resp.SetPeer.Notice != "" {
				fmt.Fprintf(w, "Note: %s\n", resp.SetPeer.Notice)
			}
		})
	}
	return cmd
}

// keepPeer leaves what no flag changes as it is.
func keepPeer(f *pflag.FlagSet, in *client.PeerInput, was *client.PeerFieldsConfigPeerConfig) {
	if len(in.Addresses) == 0 {
		in.Addresses = was.Addresses
	}
	console.Keep(f, "hold-time", &in.HoldTimeSeconds, was.HoldTimeSeconds)
	console.Keep(f, "liveness", &in.Liveness, was.Liveness)
	console.Keep(f, "client", &in.Client, was.Client)
	console.Keep(f, "max-routes", &in.MaxRoutes, was.MaxRoutes)
	console.Keep(f, "max-bytes", &in.MaxBytes, was.MaxBytes)
	console.Keep(f, "max-route-bytes", &in.MaxRouteBytes, was.MaxRouteBytes)
	console.Keep(f, "max-local-pref", &in.MaxLocalPref, was.MaxLocalPref)
	console.Keep(f, "role", &in.Role, was.Role)
	console.Keep(f, "namespaces", &in.Namespaces, was.Namespaces)
	console.Keep(f, "attested", &in.Attested, was.Attested)
	console.Keep(f, "attested-path", &in.AttestedPath, was.AttestedPath)
	console.Keep(f, "pins", &in.Pins, was.Pins)
	console.Keep(f, "over-limit", &in.OverLimit, was.OverLimit)
	console.Keep(f, "add-path", &in.AddPath, was.AddPath)
	console.Keep(f, "long-lived-stale", &in.LongLivedStale, was.LongLivedStale)
	console.Keep(f, "disabled", &in.Disabled, was.Disabled)
	console.Keep(f, "subscribe", &in.Subscribe, was.Subscribe)
	console.Keep(f, "import", &in.Import, was.Import)
	console.Keep(f, "export", &in.Export, was.Export)
}

func (a *app) peerRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "End peering with a node; its routes are withdrawn",
		Args:  console.ExactArgs(1, "a node"),
	}
	text := cmd.Flags().String("text", "", "what to tell its operator")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.RemovePeer(cmd.Context(), a.Client(), args[0], *text)
		if err != nil {
			return err
		}
		if !resp.RemovePeer {
			return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
		}
		a.Say("%s is no peer any more.", args[0])
		return nil
	}
	return cmd
}

func (a *app) peerReset() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset NODE",
		Short: "Close the session with a node and begin another",
		Args:  console.ExactArgs(1, "a node"),
	}
	text := cmd.Flags().String("text", "", "what to tell its operator")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.ResetPeer(cmd.Context(), a.Client(), args[0], *text)
		if err != nil {
			return err
		}
		if !resp.ResetPeer {
			return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
		}
		a.Say("The session with %s was closed.", args[0])
		return nil
	}
	return cmd
}

func (a *app) peerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "All peers",
		Args:  console.ExactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.ListPeers(cmd.Context(), a.Client())
			if err != nil {
				return err
			}
			return a.Print(resp.Peers, func(w io.Writer) {
				console.Row(w, "PEER", "STATE", "UP", "RECEIVED", "REJECTED", "ADVERTISED", "NOTE")
				for _, p := range resp.Peers {
					note := p.LastError
					if note == "" {
						note = p.Notice
					}
					console.Row(w, p.Node, p.State, console.Since(p.Since), p.Received, p.Rejected, p.Advertised, note)
				}
			})
		},
	}
}

func (a *app) peerShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NODE",
		Short: "Everything about one peer",
		Args:  console.ExactArgs(1, "a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.GetPeer(cmd.Context(), a.Client(), args[0])
			if err != nil {
				return err
			}
			if resp.Peer == nil {
				return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
			}
			refused, err := a.refusedHandshakes(cmd.Context(), resp.Peer.Node)
			if err != nil {
				return err
			}
			err = a.Print(resp.Peer, func(w io.Writer) {
				showPeer(w, resp.Peer.PeerFields)
				showHandshakes(w, refused)
			})
			if err != nil || a.Output != "table" {
				return err
			}
			return errors.Join(rulefile.Show(a.IO.Out, "import", resp.Peer.Config.Import),
				rulefile.Show(a.IO.Out, "export", resp.Peer.Config.Export))
		},
	}
}

// refusedHandshakes are those with the organisation of a node; none without a peering.
func (a *app) refusedHandshakes(
	ctx context.Context, node string,
) ([]*client.PeeringFieldsHandshakesRefusedHandshake, error) {
	org, _, _ := strings.Cut(node, "/")
	resp, err := client.GetPeering(ctx, a.Client(), org)
	if err != nil || resp.Peering == nil {
		return nil, err
	}
	var all []*client.PeeringFieldsHandshakesRefusedHandshake
	for _, h := range resp.Peering.Handshakes {
		if h.By == node || h.Of == node {
			all = append(all, h)
		}
	}
	return all, nil
}

func showPeer(w io.Writer, p client.PeerFields) {
	console.Row(w, "peer", p.Node)
	console.Row(w, "state", p.State)
	console.Row(w, "up for", console.Since(p.Since))
	console.Row(w, "addresses", strings.Join(p.Addresses, " "))
	console.Row(w, "hold time", fmt.Sprintf("%ds", p.HoldTimeSeconds))
	if p.Config.Liveness != "" {
		console.Row(w, "liveness", livenessWords(p))
	}
	console.Row(w, "its Envoy", p.Ingress)
	if p.External {
		showRelation(w, p)
	}
	console.Row(w, "received", fmt.Sprintf("%d routes, %d rejected, %d stale, %d over the limit", p.Received, p.Rejected,
		p.Stale, p.Blocked))
	console.Row(w, "advertised", fmt.Sprintf("%d services, %d waiting", p.Advertised, p.Pending))
	console.Row(w, "updates", fmt.Sprintf("%d in, %d out, %d sessions", p.UpdatesIn, p.UpdatesOut, p.Sessions))
	console.Row(w, "whole table received", p.EndOfRib)
	for _, r := range p.Rejections {
		console.Row(w, "rejected", fmt.Sprintf("%d: %s", r.Count, r.Name))
	}
	for _, f := range p.FaultCounts {
		console.Row(w, "malformed", fmt.Sprintf("%d: %s", f.Count, f.Name))
	}
	if n := len(p.Faults); n > 0 {
		f := p.Faults[n-1]
		console.Row(w, "last of them", fmt.Sprintf("%s %s %s: %s", f.At, f.Service, f.Reason, f.Bytes))
	}
	if p.Config.Subscribe != nil {
		console.Row(w, "asked for", strings.Join(p.Config.Subscribe, " "))
	}
	if p.Wants != nil {
		console.Row(w, "asks for", strings.Join(p.Wants, " "))
	}
	if p.StaleUntil != "" {
		console.Row(w, "stale until", p.StaleUntil)
	}
	if p.LastResortUntil != "" {
		console.Row(w, "last resort until", p.LastResortUntil)
	}
	if p.HeldUntil != "" {
		console.Row(w, "held down until", fmt.Sprintf("%s: %s", p.HeldUntil, p.HeldFor))
	}
	if p.LastError != "" {
		who := "this side"
		if p.LastErrorByPeer {
			who = "the peer"
		}
		console.Row(w, "last error", fmt.Sprintf("%s (by %s)", p.LastError, who))
	}
	if p.NextDial != "" {
		console.Row(w, "next attempt", p.NextDial)
	}
	if p.Notice != "" {
		console.Row(w, "note", p.Notice)
	}
}

// showRelation says what another organisation is to this one, and what it may announce.
func showRelation(w io.Writer, p client.PeerFields) {
	role := p.Config.Role
	if role == "" {
		role = "none given: nothing keeps its routes from another provider or peer but the rules (RFC 9234)"
	}
	console.Row(w, "it is to us", role)
	if p.Role != "" || p.Since != "" {
		console.Row(w, "it says we are", cmp.Or(p.Role, "nothing: it names no role"))
	}
	names := strings.Join(p.Config.Namespaces, " ")
	if names == "" {
		org, _, _ := strings.Cut(p.Node, "/")
		names = "*." + org
	}
	console.Row(w, "may announce", names)
	if p.Config.Attested {
		console.Row(w, "attested", "only what its origin attests is taken")
	}
	if p.Config.AttestedPath {
		console.Row(w, "attested path", "what it carries on is taken only by a path that each organisation on it has signed")
	}
	if len(p.Config.Pins) > 0 {
		console.Row(w, "pins", strings.Join(p.Config.Pins, " "), "arrive through its organisation alone")
	}
}

// livenessWords says what became of the wish for fast keepalives.
func livenessWords(p client.PeerFields) string {
	switch {
	case p.Liveness != "":
		return fmt.Sprintf("every %s; lost after three", p.Liveness)
	case p.Since != "":
		return "off: the peer has none configured"
	}
	return p.Config.Liveness + " is wanted"
}
