package peers

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// peerViews are the views of a peer's routes, and what the flag of each says.
//
//nolint:gochecknoglobals // a constant table
var peerViews = []struct{ name, help string }{
	{"received", "all that it announces, as it sent it"},
	{"accepted", "of that, what may be used, and what rules made of it"},
	{"rejected", "of that, what is not used, and why (default)"},
	{"told", "what it was told, as it was sent"},
	{"withheld", "what it was not told, and why"},
}

func (a *app) peerRoutes() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes NODE [PATTERN...]",
		Short: "What a peer announces and is told, with the reason where a route is not taken or not told",
		Long: "What a peer announces and is told, with the reason where a route is not taken or not told. A pattern is a " +
			"service,\nor *.NAME for all below NAME. Reasons are those of the decision itself: catalyst filter explain says " +
			"more about a term.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return console.Usage(fmt.Errorf("want a node: %s", cmd.UseLine()))
			}
			return nil
		},
	}
	for _, v := range peerViews {
		cmd.Flags().Bool(v.name, false, v.help)
	}
	limit := cmd.Flags().Int("limit", 1000, "routes to show at the most, at least 1")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		view := ""
		for _, v := range peerViews {
			if on, _ := cmd.Flags().GetBool(v.name); on {
				if view != "" {
					return console.Usage(fmt.Errorf("want --%s or --%s, not both", view, v.name))
				}
				view = v.name
			}
		}
		if *limit < 1 {
			return console.Usage(errors.New("--limit: want at least 1"))
		}
		if view == "" {
			view = "rejected"
		}
		return a.showPeerRoutes(cmd, args[0], view, args[1:], *limit)
	}
	return cmd
}

// showPeerRoutes reads pages until there is nothing more, or enough.
func (a *app) showPeerRoutes(cmd *cobra.Command, node, view string, match []string, limit int) error {
	all := []*client.PeerRoutesPeerRoutesPeerRoutePageRoutesPeerRoute{}
	more := true
	for after := 0; more && len(all) < limit; {
		resp, err := client.PeerRoutes(cmd.Context(), a.Client(), node, view, match, after, min(1000, limit))
		if err != nil {
			return err
		}
		all = append(all, resp.PeerRoutes.Routes...)
		after = resp.PeerRoutes.Next
		more = after != 0
	}
	if more = more || len(all) > limit; more {
		all = all[:min(len(all), limit)]
	}
	slices.SortStableFunc(all, func(x, y *client.PeerRoutesPeerRoutesPeerRoutePageRoutesPeerRoute) int {
		return strings.Compare(x.Service, y.Service)
	})
	err := a.Print(all, func(w io.Writer) {
		console.Row(w, "SERVICE", "IS", "NODE PATH", "PREF", "MARKS", "WHY")
		for _, r := range all {
			console.Row(w, r.Service, r.State, console.ShortPath(r.NodePath), r.LocalPref, marks(r), peerRouteWhy(r))
		}
	})
	if more {
		fmt.Fprintf(a.IO.Err, "There are more: --limit %d, or a pattern of names.\n", 10*limit)
	}
	return err
}

// marks are what a route carries beside its path.
func marks(r *client.PeerRoutesPeerRoutesPeerRoutePageRoutesPeerRoute) string {
	all := append(slices.Clone(r.Communities), r.Tags...)
	if r.OnlyToCustomer != "" {
		all = append(all, "only-to-customer="+r.OnlyToCustomer)
	}
	if r.Stale {
		all = append(all, "stale")
	}
	return strings.Join(all, " ")
}

// peerRouteWhy is what decided of a route, in words.
func peerRouteWhy(r *client.PeerRoutesPeerRoutesPeerRoutePageRoutesPeerRoute) string {
	text := r.Why
	if r.Reason != "" {
		text += console.Colon(r.Reason)
	}
	switch {
	case r.Term != "" && text != "":
		text += ": term " + r.Term
	case r.Term != "":
		text = "by term " + r.Term
	}
	if len(r.Changed) > 0 {
		text = strings.TrimPrefix(text+"; "+strings.Join(r.Changed, ", "), "; ")
	}
	return text
}
