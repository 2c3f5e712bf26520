package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/trace"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

const (
	maxNearest  = 3
	nearEnough  = 3    // edits, at the most, between a name and one that is much like it
	namesAtOnce = 5000 // looked at between two steps of the speaker
)

// Explain implements operator.Backend.
func (a *API) Explain(ctx context.Context, service string, ask bool) (*operator.Explanation, error) {
	svc, err := a.service(service)
	if err != nil {
		return nil, err
	}
	x := &operator.Explanation{
		Service:   string(svc),
		Told:      []operator.Told{},
		Nearest:   []string{},
		Hints:     []string{},
		Down:      []operator.PeerDown{},
		Asked:     []operator.PeerAnswer{},
		GoneSince: stamp(a.cfg.Forwarder.GoneSince(svc)),
	}
	var exports []rib.Export
	var peers []speaker.PeerView
	if err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		exports, peers = s.Table().Exports(svc),
			s.Peers()
	}); err != nil {
		return nil, err
	}
	if x.Route, err = a.Route(ctx, string(svc)); err != nil {
		return nil, err
	}
	if x.Route == nil {
		if exports, err = a.covered(ctx, svc, x, exports); err != nil {
			return nil, err
		}
	}
	for _, e := range exports {
		x.Told = append(x.Told, toldOf(e))
	}
	for i := range peers {
		if p := &peers[i]; p.State != fsm.Established {
			x.Down = append(x.Down, operator.PeerDown{
				Node:            p.Config.Node.String(),
				State:           p.State.String(),
				LastError:       cmp.Or(p.LastError, p.Notice),
				LastErrorByPeer: p.Remote,
			})
		}
	}
	if x.Route == nil && x.Verdict == "" {
		x.Hints = append(x.Hints, trace.Hints(svc, peers)...)
		if x.Nearest, err = a.nearest(ctx, svc); err != nil {
			return nil, err
		}
	} else {
		x.GoneSince = ""
	}
	x.Verdict = cmp.Or(x.Verdict, verdict(x, len(peers)))
	if ask {
		x.Asked = a.ask(ctx, svc, peers)
	}
	return x, nil
}

// covered finds what becomes of a name that has no route of its own. Either its calls go by the route of a pattern,
// as those of books.eu.acme.example by *.eu.acme.example; or it is itself a pattern that peers are told of, and what
// they are told is returned.
func (a *API) covered(ctx context.Context, svc bgp.Service, x *operator.Explanation, exports []rib.Export) (
	[]rib.Export, error,
) {
	var by bgp.Service
	var told []rib.Export
	err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		if sel, ok := s.Table().Covering(svc); ok {
			by = sel.Service
			told = s.Table().Exports(by)
		}
	})
	stands := func(e rib.Export) bool { return e.Stands > 0 }
	switch {
	case err != nil:
		return nil, err
	case slices.ContainsFunc(exports, stands):
		x.Verdict = fmt.Sprintf("no service has this name: peers are told of it in the place of what is below %s", svc[2:])
		return exports, nil
	case by == "":
		return exports, nil
	}
	x.Verdict = fmt.Sprintf("calls of %s go by %s: nobody announces the name itself", svc, by)
	x.Route, err = a.Route(ctx, string(by))
	return told, err
}

func toldOf(e rib.Export) operator.Told {
	t := operator.Told{Peer: e.Peer.String(), State: "not told", Why: e.Why.String(), Term: e.Term}
	switch {
	case e.Why == rib.WithheldDown:
		t.State = "down"
	case e.Pending:
		t.State, t.Why = "pending", "it has yet to read the newest state"
	case e.Told && e.As != "":
		t.State, t.Why = "told", "as "+string(e.As)+", in one with what else is below that"
	case e.Told && e.Stands > 0:
		t.State, t.Why = "told", fmt.Sprintf("in the place of %d services", e.Stands)
	case e.Told:
		t.State, t.Why = "told", ""
	}
	return t
}

// verdict says in one sentence what is the matter with a service; "" if nothing is.
func verdict(x *operator.Explanation, peers int) string {
	r := x.Route
	switch {
	case r == nil && x.GoneSince != "":
		return fmt.Sprintf("%s is known no more: its last route was withdrawn at %s", x.Service, x.GoneSince)
	case r == nil && peers == 0:
		return fmt.Sprintf("%s was never heard of: this node does not offer it and has no peers (catalyst peer add)",
			x.Service)
	case r == nil && len(x.Down) > 0:
		return fmt.Sprintf("%s was never heard of: this node does not offer it, and %d of %d peers are without a session",
			x.Service, len(x.Down), peers)
	case r == nil:
		return fmt.Sprintf("%s was never heard of: this node does not offer it, and none of its %d peers announces it",
			x.Service, peers)
	case r.Problem != "":
		return "the data plane could not be given it: " + r.Problem
	case !slices.ContainsFunc(r.Paths, func(p operator.Path) bool { return p.Rejected == "" }):
		return fmt.Sprintf("%s cannot be reached: %d path(s) are known and none is used", x.Service, len(r.Paths))
	}
	for _, e := range r.Envoys {
		if e.Error != "" {
			return fmt.Sprintf("%s refuses %s: %s", e.Node, e.Resource, e.Error)
		}
	}
	if r.Contested {
		return contestedWords(r)
	}
	if p := r.Paths[0]; p.Stale {
		return fmt.Sprintf("the best path is stale: %s has no session and its routes are kept for a while", p.Peer)
	} else if p.Health == "down" {
		return "every workload of it is announced as down"
	}
	return ""
}

// contestedWords says who offers a name that was another's, and what to do about it.
func contestedWords(r *operator.Route) string {
	first, newcomers := "", []string{}
	for _, o := range r.Offerers {
		switch {
		case !o.Agreed:
			newcomers = append(newcomers, o.Node)
		case first == "":
			first = o.Node
		}
	}
	return fmt.Sprintf("the name was that of %s before %s began to offer it: if that is meant to be, catalyst route "+
		"agree %s", first, strings.Join(newcomers, ", "), r.Service)
}

// nearest returns known names that are much like one that is not, nearest first. It looks at all of them, a part at a
// time.
func (a *API) nearest(ctx context.Context, svc bgp.Service) ([]string, error) {
	type near struct {
		name string
		far  int
	}
	var best []near
	for from := uint32(0); ; {
		var names []bgp.Service
		err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
			from = s.Table().Names(from, namesAtOnce, func(n bgp.Service) { names = append(names, n) })
		})
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if far := distance(string(svc), string(n), nearEnough); far <= nearEnough {
				best = append(best, near{string(n), far})
			}
		}
		slices.SortFunc(best, func(x, y near) int { return cmp.Or(x.far-y.far, strings.Compare(x.name, y.name)) })
		best = best[:min(len(best), maxNearest)]
		if from == 0 {
			break
		}
	}
	out := make([]string, 0, len(best))
	for _, n := range best {
		out = append(out, n.name)
	}
	return out, nil
}

// distance is the number of edits between two names (Levenshtein), or anything above limit if their lengths alone
// tell that there are more.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	return levenshtein.ComputeDistance(a, b)
}
