package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/drain"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

func (a *app) drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Move traffic away from this node before maintenance (RFC 8326); --off moves it back",
		Long: "Move traffic away from this node before maintenance (RFC 8326): peers are asked to prefer every other path. " +
			"With --wait, print what is under way whenever that changes, and return when other nodes have sent nothing for " +
			drain.Calm.String() + ". If the time is over before, the exit status is 1, and the node goes on draining.",
		Args: console.ExactArgs(0, "no arguments"),
	}
	off := cmd.Flags().Bool("off", false, "take traffic again")
	wait := cmd.Flags().Duration("wait", 0, "wait until traffic is gone, for at most this long")
	cmd.Flags().Lookup("wait").NoOptDefVal = "5m"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case *wait < 0:
			return console.Usage(fmt.Errorf("--wait %s: want a time such as 5m", *wait))
		case *wait > 0 && *off:
			return console.Usage(errors.New("--wait: there is nothing to wait for with --off"))
		}
		if _, err := client.Drain(cmd.Context(), a.Client(), !*off); err != nil {
			return err
		}
		switch {
		case *off:
			a.Say("Peers may use this node again.")
		case *wait == 0:
			a.Say("Peers are asked to prefer every other path. When traffic has moved (catalyst drain --wait), stop the node " +
				"with SIGINT.")
		default:
			return a.drained(cmd.Context(), *wait)
		}
		return nil
	}
	return cmd
}

// traffic is what is under way at the node.
type traffic struct{ *client.GetTrafficTraffic }

// FromNodes is what drain waits for.
func (t traffic) FromNodes() int { return t.GetTrafficTraffic.FromNodes }

// String is a line of figures by hop.
func (t traffic) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "under way: %d of other nodes, %d of applications here", t.FromNodes(), t.FromApplications)
	for i, h := range t.Hops {
		sep := ", "
		if i == 0 {
			sep = "; to "
		}
		name := h.Address
		if h.Node != "" {
			name = h.Node + " (" + h.Address + ")"
		}
		fmt.Fprintf(&b, "%s%s %d", sep, name, h.Requests)
	}
	return b.String()
}

// drained waits until traffic is gone, and says how it falls.
func (a *app) drained(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	last := traffic{&client.GetTrafficTraffic{}}
	err := drain.Wait(ctx, time.Second, func(ctx context.Context) (traffic, error) {
		resp, err := client.GetTraffic(ctx, a.Client())
		if err != nil {
			return last, err
		}
		return traffic{resp.Traffic}, nil
	}, func(t traffic) {
		last = t
		a.Say("%s", t)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%d requests of other nodes are under way after %s, and the node goes on draining: what nobody "+
			"else offers stays here (catalyst route explain at a peer), long calls end by themselves", last.FromNodes(), most)
	case err != nil:
		return err
	}
	return a.Print(last.GetTrafficTraffic, func(w io.Writer) {
		fmt.Fprintln(w, "Traffic has moved: stop the node with SIGINT.")
	})
}
