package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
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
				return usageError{fmt.Errorf("want a node: %s", cmd.UseLine())}
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
		if in.Import, err = rules(*imports); err != nil {
			return usageError{err}
		}
		if in.Export, err = rules(*exports); err != nil {
			return usageError{err}
		}
		known, err := client.GetPeer(cmd.Context(), a.client(), in.Node)
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
		resp, err := client.SetPeer(cmd.Context(), a.client(), &in)
		if err != nil {
			return err
		}
		return a.print(resp.SetPeer, func(w io.Writer) {
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
	keep(f, "hold-time", &in.HoldTimeSeconds, was.HoldTimeSeconds)
	keep(f, "liveness", &in.Liveness, was.Liveness)
	keep(f, "client", &in.Client, was.Client)
	keep(f, "max-routes", &in.MaxRoutes, was.MaxRoutes)
	keep(f, "max-bytes", &in.MaxBytes, was.MaxBytes)
	keep(f, "max-route-bytes", &in.MaxRouteBytes, was.MaxRouteBytes)
	keep(f, "max-local-pref", &in.MaxLocalPref, was.MaxLocalPref)
	keep(f, "role", &in.Role, was.Role)
	keep(f, "namespaces", &in.Namespaces, was.Namespaces)
	keep(f, "attested", &in.Attested, was.Attested)
	keep(f, "attested-path", &in.AttestedPath, was.AttestedPath)
	keep(f, "pins", &in.Pins, was.Pins)
	keep(f, "over-limit", &in.OverLimit, was.OverLimit)
	keep(f, "add-path", &in.AddPath, was.AddPath)
	keep(f, "long-lived-stale", &in.LongLivedStale, was.LongLivedStale)
	keep(f, "disabled", &in.Disabled, was.Disabled)
	keep(f, "subscribe", &in.Subscribe, was.Subscribe)
	keep(f, "import", &in.Import, was.Import)
	keep(f, "export", &in.Export, was.Export)
}

// keep sets a field to what it was unless its flag was given.
func keep[T any](f *pflag.FlagSet, flag string, field *T, was T) {
	if !f.Changed(flag) {
		*field = was
	}
}

// rules reads a filter chain in YAML and returns it in JSON; nil for no file, or "none".
func rules(path string) (*string, error) {
	if path == "" || path == "none" {
		return nil, nil //nolint:nilnil // no rules
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	raw, err := config.Document(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain(raw), nil
}

func (a *app) peerRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "End peering with a node; its routes are withdrawn",
		Args:  exactArgs(1, "a node"),
	}
	text := cmd.Flags().String("text", "", "what to tell its operator")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.RemovePeer(cmd.Context(), a.client(), args[0], *text)
		if err != nil {
			return err
		}
		if !resp.RemovePeer {
			return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
		}
		a.say("%s is no peer any more.", args[0])
		return nil
	}
	return cmd
}

func (a *app) peerReset() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset NODE",
		Short: "Close the session with a node and begin another",
		Args:  exactArgs(1, "a node"),
	}
	text := cmd.Flags().String("text", "", "what to tell its operator")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := client.ResetPeer(cmd.Context(), a.client(), args[0], *text)
		if err != nil {
			return err
		}
		if !resp.ResetPeer {
			return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
		}
		a.say("The session with %s was closed.", args[0])
		return nil
	}
	return cmd
}

func (a *app) peerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "All peers",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := client.ListPeers(cmd.Context(), a.client())
			if err != nil {
				return err
			}
			return a.print(resp.Peers, func(w io.Writer) {
				row(w, "PEER", "STATE", "UP", "RECEIVED", "REJECTED", "ADVERTISED", "NOTE")
				for _, p := range resp.Peers {
					note := p.LastError
					if note == "" {
						note = p.Notice
					}
					row(w, p.Node, p.State, since(p.Since), p.Received, p.Rejected, p.Advertised, note)
				}
			})
		},
	}
}

func (a *app) peerShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NODE",
		Short: "Everything about one peer",
		Args:  exactArgs(1, "a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := client.GetPeer(cmd.Context(), a.client(), args[0])
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
			err = a.print(resp.Peer, func(w io.Writer) {
				showPeer(w, resp.Peer.PeerFields)
				showHandshakes(w, refused)
			})
			if err != nil || a.output != "table" {
				return err
			}
			return errors.Join(showRules(a.io.Out, "import", resp.Peer.Config.Import),
				showRules(a.io.Out, "export", resp.Peer.Config.Export))
		},
	}
}

// refusedHandshakes are those with the organisation of a node; none without a peering.
func (a *app) refusedHandshakes(
	ctx context.Context, node string,
) ([]*client.PeeringFieldsHandshakesRefusedHandshake, error) {
	org, _, _ := strings.Cut(node, "/")
	resp, err := client.GetPeering(ctx, a.client(), org)
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

// showRules prints a filter chain as the file that --import and --export read; nothing where there is none.
func showRules(w io.Writer, what string, chain *string) error {
	if chain == nil || *chain == "" {
		return nil
	}
	text, err := rulesText(*chain)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n# %s rules in force\n%s", what, text)
	return nil
}

// rulesText turns a filter chain as the API gives it into a rule file, without what is empty.
func rulesText(chain string) (string, error) {
	var v any
	if err := json.Unmarshal([]byte(chain), &v); err != nil {
		return "", fmt.Errorf("read the rules: %w", err)
	}
	text, err := yaml.Marshal(filled(v))
	return string(text), err
}

// filled is a value without what is empty, its keys beginning in lower case, as people write them.
func filled(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, below := range x {
			// 0 is for any; elsewhere a zero is somebody's wish
			if f := filled(below); f != nil && (key != "MaxHops" || f != int64(0)) {
				name := strings.ToLower(key[:1]) + key[1:]
				if key == strings.ToUpper(key) { // MED
					name = strings.ToLower(key)
				}
				out[name] = f
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		for i := range x {
			x[i] = filled(x[i])
		}
		if len(x) == 0 {
			return nil
		}
	case float64: // all numbers of rules are whole
		return int64(x)
	case string:
		if x == "" {
			return nil
		}
	}
	return v
}

func showPeer(w io.Writer, p client.PeerFields) {
	row(w, "peer", p.Node)
	row(w, "state", p.State)
	row(w, "up for", since(p.Since))
	row(w, "addresses", strings.Join(p.Addresses, " "))
	row(w, "hold time", fmt.Sprintf("%ds", p.HoldTimeSeconds))
	if p.Config.Liveness != "" {
		row(w, "liveness", livenessWords(p))
	}
	row(w, "its Envoy", p.Ingress)
	if p.External {
		showRelation(w, p)
	}
	row(w, "received", fmt.Sprintf("%d routes, %d rejected, %d stale, %d over the limit", p.Received, p.Rejected,
		p.Stale, p.Blocked))
	row(w, "advertised", fmt.Sprintf("%d services, %d waiting", p.Advertised, p.Pending))
	row(w, "updates", fmt.Sprintf("%d in, %d out, %d sessions", p.UpdatesIn, p.UpdatesOut, p.Sessions))
	row(w, "whole table received", p.EndOfRib)
	for _, r := range p.Rejections {
		row(w, "rejected", fmt.Sprintf("%d: %s", r.Count, r.Name))
	}
	for _, f := range p.FaultCounts {
		row(w, "malformed", fmt.Sprintf("%d: %s", f.Count, f.Name))
	}
	if n := len(p.Faults); n > 0 {
		f := p.Faults[n-1]
		row(w, "last of them", fmt.Sprintf("%s %s %s: %s", f.At, f.Service, f.Reason, f.Bytes))
	}
	if p.Config.Subscribe != nil {
		row(w, "asked for", strings.Join(p.Config.Subscribe, " "))
	}
	if p.Wants != nil {
		row(w, "asks for", strings.Join(p.Wants, " "))
	}
	if p.StaleUntil != "" {
		row(w, "stale until", p.StaleUntil)
	}
	if p.LastResortUntil != "" {
		row(w, "last resort until", p.LastResortUntil)
	}
	if p.HeldUntil != "" {
		row(w, "held down until", fmt.Sprintf("%s: %s", p.HeldUntil, p.HeldFor))
	}
	if p.LastError != "" {
		who := "this side"
		if p.LastErrorByPeer {
			who = "the peer"
		}
		row(w, "last error", fmt.Sprintf("%s (by %s)", p.LastError, who))
	}
	if p.NextDial != "" {
		row(w, "next attempt", p.NextDial)
	}
	if p.Notice != "" {
		row(w, "note", p.Notice)
	}
}

// showRelation says what another organisation is to this one, and what it may announce.
func showRelation(w io.Writer, p client.PeerFields) {
	role := p.Config.Role
	if role == "" {
		role = "none given: nothing keeps its routes from another provider or peer but the rules (RFC 9234)"
	}
	row(w, "it is to us", role)
	if p.Role != "" || p.Since != "" {
		row(w, "it says we are", cmp.Or(p.Role, "nothing: it names no role"))
	}
	names := strings.Join(p.Config.Namespaces, " ")
	if names == "" {
		org, _, _ := strings.Cut(p.Node, "/")
		names = "*." + org
	}
	row(w, "may announce", names)
	if p.Config.Attested {
		row(w, "attested", "only what its origin attests is taken")
	}
	if p.Config.AttestedPath {
		row(w, "attested path", "what it carries on is taken only by a path that each organisation on it has signed")
	}
	if len(p.Config.Pins) > 0 {
		row(w, "pins", strings.Join(p.Config.Pins, " "), "arrive through its organisation alone")
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

// since says how long ago a time was.
func since(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}
