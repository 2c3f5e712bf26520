package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/seen"
	"github.com/catalyst-router/catalyst/cmd/internal/tap"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

var errNoTap = errors.New("this node is not told of calls: " + //nolint:gochecknoglobals // a sentinel
	"start it with --tap-enabled (tap.enabled in its configuration)")

// callFilter checks what a caller wants to see.
func (a *API) callFilter(in operator.CallFilter) (tap.Filter, error) {
	if a.cfg.Tap == nil {
		return tap.Filter{}, errNoTap
	}
	f := tap.Filter{Service: strings.ToLower(in.Service), From: strings.ToLower(in.From), Code: in.Code,
		Outcome: tap.Outcome(in.Outcome), Slower: time.Duration(in.Slower) * time.Millisecond}
	if f.Service != "" && !strings.Contains(f.Service, "*") {
		svc, err := a.service(f.Service)
		if err != nil {
			return f, operator.Input(fmt.Errorf("service: %w", err))
		}
		f.Service = string(svc)
	}
	if org, node, ok := strings.Cut(f.From, "/"); !ok && org != "" && !strings.Contains(org, ".") {
		f.From = string(a.cfg.Node.Org) + "/" + org // a node of this organisation, by its name alone
	} else if ok && node == "" {
		f.From = org
	}
	if in.Seconds < 0 {
		return f, operator.Input(fmt.Errorf("seconds: %d: want at least 0", in.Seconds))
	}
	if in.Seconds > 0 {
		f.Since = time.Now().Add(-time.Duration(in.Seconds) * time.Second)
	}
	if err := f.Check(); err != nil {
		return f, operator.Input(err)
	}
	return f, nil
}

// Calls implements operator.Backend.
func (a *API) Calls(ctx context.Context, in operator.CallFilter, first int) ([]operator.Call, error) {
	f, err := a.callFilter(in)
	if err != nil {
		return nil, err
	}
	if first, err = clamp(first); err != nil {
		return nil, operator.Input(err)
	}
	a.tapped(ctx, "calls of a while ago are shown", in)
	ways := newWays(a)
	out := []operator.Call{}
	for _, c := range a.cfg.Tap.Find(f, first) {
		out = append(out, *a.call(c, ways.ahead(ctx, c)))
	}
	return out, nil
}

// CallEdges implements operator.Backend. It shows no single call, so that nobody is told who looked.
func (a *API) CallEdges(ctx context.Context, in operator.CallFilter) ([]operator.CallEdge, error) {
	f, err := a.callFilter(in)
	if err != nil {
		return nil, err
	}
	ways := newWays(a)
	out := []operator.CallEdge{}
	for _, e := range a.cfg.Tap.Edges(a.cfg.Tap.Find(f, tap.MostOnEdges), func(c *tap.Call) []bgp.NodeID {
		return c.Way(a.cfg.Node, ways.ahead(ctx, c))
	}) {
		edge := operator.CallEdge{To: e.To.String(), Calls: e.Calls, Denied: e.Denied, Failed: e.Failed,
			Median: float64(e.Median.Microseconds()) / 1000, P95: float64(e.P95.Microseconds()) / 1000}
		if !e.From.IsZero() {
			edge.From = e.From.String()
		}
		out = append(out, edge)
	}
	return out, nil
}

// Tap implements operator.Backend.
func (a *API) Tap(ctx context.Context, in operator.CallFilter) (<-chan *operator.Tapped, error) {
	f, err := a.callFilter(in)
	if err != nil {
		return nil, err
	}
	w, err := a.cfg.Tap.Watch(f)
	if err != nil {
		return nil, operator.Input(err)
	}
	a.tapped(ctx, "calls are watched", in)
	out := make(chan *operator.Tapped)
	go func() { // ends with the subscriber, or with the node
		defer close(out)
		defer w.Close()
		ways := newWays(a)
		for {
			c, missed, err := w.Next(ctx)
			if err != nil {
				return
			}
			select {
			case out <- &operator.Tapped{Call: *a.call(c, ways.ahead(ctx, c)), Missed: missed}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// tapped leaves a trace of who looked at what.
func (a *API) tapped(ctx context.Context, text string, in operator.CallFilter) {
	a.cfg.Log.Info(text, "by", seen.Who(ctx), "service", bgp.Printable(in.Service), "from", bgp.Printable(in.From), "code",
		bgp.Printable(in.Code), "outcome", bgp.Printable(in.Outcome))
}

// wayKept is for how long the way of a service's calls is not asked of the router again.
const wayKept = time.Second

// ways knows where calls went on to, by the routes that there are now.
type ways struct {
	api   *API
	since time.Time
	paths map[bgp.Service][]pathAhead
}

type pathAhead struct {
	address string // of the next hop
	nodes   []bgp.NodeID
}

func newWays(a *API) *ways { return &ways{api: a, paths: map[bgp.Service][]pathAhead{}} }

// ahead is the nodes that a call went on to after this one; none if it ended here, or nobody knows.
func (w *ways) ahead(ctx context.Context, c *tap.Call) []bgp.NodeID {
	if c.Upstream == "" {
		return nil
	}
	if time.Since(w.since) > wayKept {
		clear(w.paths)
		w.since = time.Now()
	}
	all, known := w.paths[c.Service]
	if !known {
		_ = w.api.cfg.Router.Query(ctx, func(s *speaker.Speaker) { // a node that stops shows no way
			sel, _ := s.Table().Selected(c.Service)
			for _, tier := range sel.Tiers {
				for i := range tier {
					if p := &tier[i]; !p.Local {
						all = append(all, pathAhead{p.NextHop.Address, slices.Clone(p.Attrs.NodePath)})
					}
				}
			}
		})
		w.paths[c.Service] = all
	}
	if i := slices.IndexFunc(all, func(p pathAhead) bool { return p.address == c.Upstream }); i >= 0 {
		return all[i].nodes
	}
	return nil
}

func (a *API) call(c *tap.Call, ahead []bgp.NodeID) *operator.Call {
	out := &operator.Call{
		Number: int(c.Seq), //nolint:gosec // fewer than 2^63
		At:     stamp(c.At), Took: float64(c.Took.Microseconds()) / 1000, Seen: c.Seen, Envoy: c.Envoy,
		Service: string(c.Service), Method: c.Method, Path: c.Path, Status: c.Status, GrpcStatus: c.GRPC,
		Flags: append([]string{}, c.Flags...), Reason: c.Reason, Outcome: string(c.Outcome), Caller: c.Caller,
		Organisation: string(c.Org), Way: []string{}, Upstream: c.Upstream,
		Sent: int(c.Sent), Received: int(c.Received), //nolint:gosec // fewer than 2^63
		Trace: c.Trace, ID: c.ID, Principal: c.Principal, Policies: c.Policies, Decision: c.Decision,
	}
	for _, n := range c.Way(a.cfg.Node, ahead) {
		out.Way = append(out.Way, n.String())
	}
	return out
}
