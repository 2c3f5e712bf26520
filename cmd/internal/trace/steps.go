package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

func step(name string, state bgp.TraceState, format string, args ...any) bgp.TraceStep {
	return bgp.TraceStep{Name: name, State: state, Text: fmt.Sprintf(format, args...)}
}

// egress tries where applications beside this node reach the service.
func (t *Tracer) egress(ctx context.Context, f *Facts) bgp.TraceStep {
	return timed(ctx, "listener", func(ctx context.Context) (string, error) {
		return "applications here reach it at " + f.Egress, t.src.Connect(ctx, f.Egress)
	}, func(error) string {
		return "this node's Envoy does not listen: see catalyst status and envoy.log in the data directory"
	})
}

// arrive tries a next hop's mesh ingress with this node's certificate.
func (t *Tracer) arrive(ctx context.Context, hop bgp.NextHop) []bgp.TraceStep {
	tunnelled := false
	tunnel := timed(ctx, "listener", func(ctx context.Context) (string, error) {
		var err error
		tunnelled, err = t.src.Tunnel(ctx, hop.Node)
		return fmt.Sprintf("by a tunnel that the Envoy of %s holds to this node's: it is not dialled", hop.Node), err
	}, func(error) string {
		return fmt.Sprintf("is %s's Envoy running, does its envoy.tunnels-to name this node's mesh ingress, and can it "+
			"reach that? See its envoy.log", hop.Node)
	})
	if tunnelled {
		return []bgp.TraceStep{tunnel}
	}
	if hop.Address == "" {
		s := step("listener", bgp.TraceFailed, "%s has told no address of its mesh ingress", hop.Node)
		s.Advice = "set envoy.ingress (and envoy.advertise) in its configuration"
		return []bgp.TraceStep{s}
	}
	steps := []bgp.TraceStep{timed(ctx, "listener", func(ctx context.Context) (string, error) {
		return "its mesh ingress at " + hop.Address, t.src.Connect(ctx, hop.Address)
	}, func(error) string {
		return fmt.Sprintf("is %s's Envoy running, does envoy.advertise name %s, and does a firewall let it through?",
			hop.Node, hop.Address)
	})}
	if steps[0].State == bgp.TraceOK {
		steps = append(steps, timed(ctx, "tls",
			func(ctx context.Context) (string, error) { return t.src.Handshake(ctx, hop) }, func(err error) string {
				if strings.Contains(err.Error(), "expired") {
					return fmt.Sprintf("issue %s another certificate: catalyst org issue-node", hop.Node)
				}
				return fmt.Sprintf("does %s answer at %s, with a certificate of its own organisation's CA?", hop.Node, hop.Address)
			}))
	}
	return steps
}

// learned says whence the best path came: session, route and filter.
func learned(f *Facts) []bgp.TraceStep {
	best := &f.Paths[0]
	if best.Local {
		return []bgp.TraceStep{step("route", bgp.TraceOK, "this node offers it, at %s", f.Workload.Address)}
	}
	return []bgp.TraceStep{session(f, best.Peer), route(f), filtered(best)}
}

func session(f *Facts, peer bgp.NodeID) bgp.TraceStep {
	i := slices.IndexFunc(f.Peers, func(p speaker.PeerView) bool { return p.Config.Node == peer })
	if i < 0 {
		return step("session", bgp.TraceUnknown, "%s is not a peer any more", peer)
	}
	p := &f.Peers[i]
	if p.State == fsm.Established {
		return step("session", bgp.TraceOK, "with %s since %s", peer, p.Since.UTC().Format(time.DateTime))
	}
	s := step("session", bgp.TraceUnknown, "with %s is %s: %s; its routes are kept as stale until %s", peer, p.State,
		because(p), p.StaleUntil.UTC().Format(time.TimeOnly))
	s.Advice = "traffic goes on meanwhile; see catalyst peer show " + peer.String()
	return s
}

// because is why a session is down.
func because(p *speaker.PeerView) string {
	switch {
	case p.LastError == "" && p.Notice != "":
		return p.Notice
	case p.LastError == "":
		return "no attempt has been made yet"
	case p.Remote:
		return "it says " + p.LastError
	}
	return p.LastError
}

func route(f *Facts) bgp.TraceStep {
	best := &f.Paths[0]
	path := make([]string, 0, len(best.Attrs.NodePath))
	for _, n := range best.Attrs.NodePath {
		path = append(path, n.String())
	}
	s := step("route", bgp.TraceOK, "by %s (%s), %s", best.NextHop.Node, strings.Join(path, " → "), best.Lost)
	if len(f.Paths) > 1 {
		s.Text += fmt.Sprintf(", of %d paths", len(f.Paths))
	}
	if f.Pattern != "" {
		s.Text += fmt.Sprintf(", as one of %s", f.Pattern)
	}
	if best.Attrs.Health == bgp.HealthDown {
		s.State, s.Advice = bgp.TraceUnknown, "the workload is announced as down: see the last hop"
	}
	return s
}

func filtered(best *rib.Candidate) bgp.TraceStep {
	if best.Term != "" {
		return step("filter", bgp.TraceOK, "import term %s accepts it from %s", best.Term, best.Peer)
	}
	return step("filter", bgp.TraceOK, "no import term is against it")
}

// rejected says why none of the paths that were heard of is used; nil if none was.
func rejected(f *Facts) *bgp.TraceStep {
	if len(f.Paths) == 0 {
		return nil
	}
	p := &f.Paths[0]
	name, advice := "route", "the announcement itself has to change, at "+p.Attrs.Origin().String()
	text := fmt.Sprintf("the path from %s is not used: %s", p.Peer, p.Reject)
	switch p.Reject {
	case rib.RejectFilter:
		name = "filter"
		if p.Term != "" {
			text = fmt.Sprintf("import term %s rejects the path from %s", p.Term, p.Peer)
		} else {
			text = fmt.Sprintf("the import rules for %s reject the path by their default", p.Peer)
		}
		advice = "change the rules: catalyst peer update " + p.Peer.String() + " --import FILE"
	case rib.RejectNoRule:
		name, advice = "filter", "add import rules: catalyst peer update "+p.Peer.String()+" --import FILE"
	case rib.RejectLoop, rib.RejectOrgLoop:
		advice = "a loop is no fault: another path has to come from somewhere"
	}
	if len(f.Paths) > 1 {
		text += fmt.Sprintf("; nor are the other %d", len(f.Paths)-1)
	}
	s := step(name, bgp.TraceFailed, "%s", text)
	s.Advice = advice
	return &s
}

// export says why an asker without a route was not told of what this node knows; nothing if it was, or there is
// nothing to tell.
func export(f *Facts, to bgp.NodeID) []bgp.TraceStep {
	i := slices.IndexFunc(f.Exports, func(e rib.Export) bool { return e.Peer == to })
	if i < 0 || f.Exports[i].Told || f.Exports[i].Why == rib.WithheldNoPath || f.Exports[i].Why == rib.NotWithheld {
		return nil
	}
	e := f.Exports[i]
	s := step("export", bgp.TraceFailed, "%s is not told of it: %s", to, e.Why)
	if e.Term != "" {
		s.Text += ": term " + e.Term
	}
	s.Advice = "see the export rules: catalyst peer show " + to.String()
	return []bgp.TraceStep{s}
}

// unheard says that neither this node nor anybody whom it asked knows the name. Where the trace begins, that is the
// failed step; a node that was asked by another only reports it, unless it knows the reason.
func unheard(svc bgp.Service, f *Facts, asked int, begun bool) []bgp.TraceStep {
	var down []string
	for i := range f.Peers {
		if p := &f.Peers[i]; p.State != fsm.Established {
			down = append(down, fmt.Sprintf("%s is %s: %s", p.Config.Node, p.State, because(p)))
		}
	}
	if len(down) > 0 {
		s := step("session", bgp.TraceFailed, "no path to it is known, and %s", strings.Join(down, "; "))
		s.Advice = "what these peers announce is not known here: see catalyst peer list"
		return []bgp.TraceStep{s}
	}
	if !begun {
		return []bgp.TraceStep{step("route", bgp.TraceUnknown, "no path to it is known here")}
	}
	if hints := Hints(svc, f.Peers); len(hints) > 0 {
		s := step("route", bgp.TraceFailed, "no path to it is known here; %s", strings.Join(hints, "; "))
		s.Advice = "change what is asked of the peer, or its limit: catalyst peer show"
		return []bgp.TraceStep{s}
	}
	s := step("route", bgp.TraceFailed, "no path to it is known here, nor to any of %d peers that could be "+
		"asked, nor beyond", asked)
	s.Advice = "is the name right, and does a node offer it? catalyst route explain names what is nearest"
	return []bgp.TraceStep{s}
}

// published says what Envoys were given of the service: compiled, sent, acknowledged.
func published(f *Facts) []bgp.TraceStep {
	switch {
	case f.Problem != "":
		s := step("compiled", bgp.TraceFailed, "%s", f.Problem)
		s.Advice = "what Envoy had before stays; catalyst route explain shows the paths"
		return []bgp.TraceStep{s}
	case f.Unused:
		return []bgp.TraceStep{step("compiled", bgp.TraceOK,
			"not in use here: Envoy asks this node for it when it is called (envoy.table)")}
	case len(f.Compiled) == 0:
		s := step("compiled", bgp.TraceFailed, "nothing was compiled for it")
		s.Advice = "a node without an Envoy compiles nothing: see catalyst status"
		return []bgp.TraceStep{s}
	}
	steps := []bgp.TraceStep{step("compiled", bgp.TraceOK, "%s", names(f.Compiled))}
	if len(f.Connected) == 0 {
		s := step("sent", bgp.TraceFailed, "no Envoy is connected to this node")
		s.Advice = "an Envoy that runs goes on with what it has; see catalyst status and envoy.log in the data directory"
		return append(steps, s)
	}
	return append(steps, sent(f.Envoys, len(f.Connected)), acknowledged(f.Envoys))
}

// names are those of the resources, each once: a cluster and its endpoints have one name.
func names(refs []xds.Ref) string {
	var all []string
	for _, r := range refs {
		if !slices.Contains(all, r.Name) {
			all = append(all, r.Name)
		}
	}
	return strings.Join(all, ", ")
}

func sent(all []ads.ServiceStatus, connected int) bgp.TraceStep {
	for _, e := range all {
		if e.Sent != e.Current {
			return step("sent", bgp.TraceUnknown, "%s waits to be sent %s %s", e.Node, e.Resource.Name, e.Current)
		}
	}
	return step("sent", bgp.TraceOK, "to %d Envoy(s)", connected)
}

func acknowledged(all []ads.ServiceStatus) bgp.TraceStep {
	var last, declared time.Time
	for _, e := range all {
		switch {
		case e.Error != "":
			s := step("acknowledged", bgp.TraceFailed, "%s refuses %s: %s", e.Node, e.Resource.Name, e.Error)
			s.Advice = "what it had before stays; see catalyst envoy status"
			return s
		case e.Acked != e.Current:
			s := step("acknowledged", bgp.TraceUnknown, "%s has not answered yet to %s %s", e.Node, e.Resource.Name, e.Current)
			s.Advice = "if that stays so, see catalyst envoy status"
			return s
		}
		if e.AckedAt.After(last) {
			last = e.AckedAt
		}
		if e.Declared.After(declared) {
			declared = e.Declared
		}
	}
	if last.IsZero() {
		return step("acknowledged", bgp.TraceOK, "Envoy had it when it connected")
	}
	s := step("acknowledged", bgp.TraceOK, "at %s", last.UTC().Format("2006-01-02 15:04:05.000"))
	if !declared.IsZero() && last.After(declared) {
		s.Text += fmt.Sprintf(", %.1f ms after it was ordered", float64(last.Sub(declared).Microseconds())/1000)
	}
	return s
}

// envoy asks this node's Envoy itself.
func (t *Tracer) envoy(ctx context.Context, f *Facts) bgp.TraceStep {
	if !f.Supervised {
		return step("envoy", bgp.TraceUnknown, "this node runs no Envoy of its own to be asked")
	}
	var clusters []string
	for _, r := range f.Compiled {
		if r.Type == xds.TypeCluster {
			clusters = append(clusters, r.Name)
		}
	}
	var hosts []Host
	s := timed(ctx, "envoy", func(ctx context.Context) (string, error) {
		has, all, err := t.src.Clusters(ctx, clusters)
		hosts = all
		if err != nil {
			return "", err
		}
		for _, want := range clusters {
			if !slices.Contains(has, want) {
				return "", fmt.Errorf("Envoy does not have cluster %s", want) //nolint:staticcheck // a name
			}
		}
		return fmt.Sprintf("has %d cluster(s) of it", len(has)), nil
	}, func(error) string {
		return "does it run? See catalyst status, and envoy.log in the data directory"
	})
	for _, h := range hosts {
		if s.State == bgp.TraceOK && h.Ejected && h.Address == f.Paths[0].NextHop.Address {
			s.State, s.Text = bgp.TraceUnknown, "has left "+h.Address+" out, because it did not answer"
		}
	}
	return s
}

// workload ends a trace at the node that offers the service: it tries the workload itself.
func (t *Tracer) workload(ctx context.Context, f *Facts, hop bgp.TraceHop) bgp.TraceHop {
	hop.Steps = append(hop.Steps, t.envoy(ctx, f), t.backend(ctx, f))
	if reached := hop.Steps[len(hop.Steps)-1].State != bgp.TraceFailed; reached {
		hop.Steps = append(hop.Steps, t.protocol(ctx, f)...)
	}
	if f.Workload.Check != "" {
		hop.Steps = append(hop.Steps, health(f))
	}
	return hop
}

func (t *Tracer) backend(ctx context.Context, f *Facts) bgp.TraceStep {
	s := timed(ctx, "backend", func(ctx context.Context) (string, error) {
		if len(f.Workload.At) == 0 {
			return "", errors.New(cmp.Or(f.Workload.Trouble, "no address of it is known yet"))
		}
		var places []string
		var errs []error
		for _, p := range f.Workload.At {
			places = append(places, strings.TrimSuffix(p.Address+" or "+p.Other, " or "))
			if err := t.src.Reach(ctx, p); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p.Address, err))
			}
		}
		if len(errs) < len(places) {
			return fmt.Sprintf("%d of %d workloads take connections: %s", len(places)-len(errs), len(places),
				strings.Join(places, ", ")), nil
		}
		return "", errors.Join(errs...)
	}, func(error) string {
		return fmt.Sprintf("start the workload, or correct its address %s: catalyst route update NAME --addr",
			f.Workload.Address)
	})
	if f.Workload.Trouble != "" && s.State == bgp.TraceOK {
		s.State, s.Text, s.Advice = bgp.TraceUnknown, f.Workload.Trouble, "is the name right, and does the DNS server answer?"
	}
	return s
}

// protocol says whether the workload speaks what the service was ordered with; nothing where that cannot be told. The
// first workload that can be told of speaks for all.
func (t *Tracer) protocol(ctx context.Context, f *Facts) []bgp.TraceStep {
	var found probe.Spoken
	s := timed(ctx, "protocol", func(ctx context.Context) (string, error) {
		for _, p := range f.Workload.At {
			var err error
			if found, err = t.src.Speaks(ctx, f.Service, p); err != nil {
				return "", fmt.Errorf("%s: %w", p.Address, err)
			}
			if found.Text != "" {
				return p.Address + ": " + found.Text, nil
			}
		}
		return "", nil
	}, func(error) string {
		return "is the workload's certificate signed by tlsCa and for tlsName, or that of tlsId? See catalyst route update " +
			"--tls-ca, --tls-name and --tls-id"
	})
	if s.State == bgp.TraceOK && s.Text == "" {
		return nil
	}
	if found.Wrong {
		s.State, s.Advice = bgp.TraceFailed, fmt.Sprintf("catalyst route update %s %s", f.Service, found.Order)
	}
	return []bgp.TraceStep{s}
}

func health(f *Facts) bgp.TraceStep {
	switch f.Workload.Health {
	case bgp.HealthDown:
		s := step("health", bgp.TraceFailed, "its check %s fails: %s", f.Workload.Check, f.Workload.Error)
		s.Advice = "ask the workload itself what is wrong: it gets no traffic while its check fails"
		return s
	case bgp.HealthUp:
		return step("health", bgp.TraceOK, "its check %s succeeds", f.Workload.Check)
	case bgp.HealthUnknown, bgp.HealthDraining:
	}
	return step("health", bgp.TraceUnknown, "its check %s says %s", f.Workload.Check, f.Workload.Health)
}

// withdrawn ends a trace at a node that offers the service but does not announce it now, for example because its
// workload is down.
func (t *Tracer) withdrawn(ctx context.Context, f *Facts) []bgp.TraceStep {
	return []bgp.TraceStep{step("route", bgp.TraceUnknown,
		"this node offers it, at %s, and has withdrawn it while its check fails", f.Workload.Address), t.backend(ctx, f),
		health(f)}
}

// Hints says why peers with a session may know a service that is not known here.
func Hints(svc bgp.Service, peers []speaker.PeerView) []string {
	var all []string
	for i := range peers {
		p := &peers[i]
		if p.State != fsm.Established {
			continue
		}
		if p.Config.Subscribe != nil && !slices.ContainsFunc(p.Config.Subscribe,
			func(s bgp.Service) bool { return filter.Covers(string(s), svc) }) {
			all = append(all, fmt.Sprintf("%s is asked for the names that this node subscribes to, and this is none of them",
				p.Config.Node))
		}
		if p.Routes.Blocked > 0 {
			all = append(all, fmt.Sprintf("%s announces more than it may, and what is beyond %d routes is not taken",
				p.Config.Node, p.Routes.Received))
		}
	}
	return all
}
