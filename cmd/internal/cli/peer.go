package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) peerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "peer", Short: "Neighbours"}
	cmd.AddCommand(a.peerSet("add", "Peer with a node; both sides have to add each other"), a.peerSet("update", "Replace a peer's configuration; rules change without a reset of the session"),
		a.peerRemove(), a.peerReset(), a.peerList(), a.peerShow())
	return cmd
}

func (a *app) peerSet(verb, short string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " NODE [ADDRESS...]", Short: short,
		Long: short + ".\n\nNODE is a name of this organisation, or ORGANISATION/NAME. ADDRESS is HOST:PORT where it listens; without one this node waits for it to dial.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("want a node: %s", cmd.UseLine())}
			}
			return nil
		}}
	in := client.PeerInput{}
	f := cmd.Flags()
	f.IntVar(&in.HoldTimeSeconds, "hold-time", 0, "seconds after which a silent peer is dropped (default 90)")
	f.BoolVar(&in.Client, "client", false, "reflect its routes (RFC 4456)")
	f.IntVar(&in.MaxRoutes, "max-routes", 0, "routes that it may announce (default: no limit inside an organisation, 1000 between two)")
	f.BoolVar(&in.CloseOverLimit, "close-over-limit", false, "close the session beyond max-routes, instead of leaving out what is beyond")
	f.IntVar(&in.AddPath, "add-path", 0, "paths a service to ask it for (RFC 7911)")
	f.BoolVar(&in.Disabled, "disabled", false, "keep it configured without a session")
	imports := f.String("import", "", "YAML file of import rules")
	exports := f.String("export", "", "YAML file of export rules")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Node, in.Addresses = args[0], append([]string{}, args[1:]...)
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

// rules reads a filter chain in YAML and returns it in JSON; nil for no file.
func rules(path string) (*string, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no rules
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	raw, err := yaml.YAMLToJSON(b)
	if err != nil || !json.Valid(raw) {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	text := string(raw)
	return &text, nil
}

func (a *app) peerRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "remove NODE", Short: "End peering with a node; its routes are withdrawn", Args: exactArgs(1, "a node")}
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
	cmd := &cobra.Command{Use: "reset NODE", Short: "Close the session with a node and begin another", Args: exactArgs(1, "a node")}
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
	return &cobra.Command{Use: "list", Short: "All peers", Args: exactArgs(0, "no arguments"), RunE: func(cmd *cobra.Command, _ []string) error {
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
	}}
}

func (a *app) peerShow() *cobra.Command {
	return &cobra.Command{Use: "show NODE", Short: "Everything about one peer", Args: exactArgs(1, "a node"), RunE: func(cmd *cobra.Command, args []string) error {
		resp, err := client.GetPeer(cmd.Context(), a.client(), args[0])
		if err != nil {
			return err
		}
		if resp.Peer == nil {
			return fmt.Errorf("%s is not a peer: see catalyst peer list", args[0])
		}
		return a.print(resp.Peer, func(w io.Writer) { showPeer(w, resp.Peer.PeerFields) })
	}}
}

func showPeer(w io.Writer, p client.PeerFields) {
	row(w, "peer", p.Node)
	row(w, "state", p.State)
	row(w, "up for", since(p.Since))
	row(w, "addresses", strings.Join(p.Addresses, " "))
	row(w, "hold time", fmt.Sprintf("%ds", p.HoldTimeSeconds))
	row(w, "its Envoy", p.Ingress)
	row(w, "received", fmt.Sprintf("%d routes, %d rejected, %d stale, %d over the limit", p.Received, p.Rejected, p.Stale, p.Blocked))
	row(w, "advertised", fmt.Sprintf("%d services, %d waiting", p.Advertised, p.Pending))
	row(w, "updates", fmt.Sprintf("%d in, %d out, %d sessions", p.UpdatesIn, p.UpdatesOut, p.Sessions))
	row(w, "whole table received", p.EndOfRib)
	for _, r := range p.Rejections {
		row(w, "rejected", fmt.Sprintf("%d: %s", r.Count, r.Name))
	}
	if p.Malformed > 0 {
		row(w, "malformed", p.Malformed)
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

// since says how long ago a time was.
func since(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}
