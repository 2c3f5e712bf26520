package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// What is done to a peer or a service that is applied.
const (
	created   = "created"
	updated   = "updated"
	removed   = "removed"
	unchanged = "unchanged"
)

// maxLabel is the longest label, in characters.
const maxLabel = 63

// step is one change of an application, which do carries out.
type step struct {
	operator.Applied
	do func(ctx context.Context) error
}

// Apply implements operator.Backend. Everything is checked before the first change. Then peers and services are set,
// and only after that is removed what is to be pruned: a service that moves from one name to another is always there
// under one of them. Peerings come last, since they make peers of their own.
func (a *API) Apply(ctx context.Context, in operator.ApplyInput) ([]operator.Applied, error) {
	peerings, err := a.peeringsGiven(&in)
	if err != nil {
		return nil, operator.Input(err)
	}
	set, gone, err := a.planPeerings(&in, peerings)
	if err != nil {
		return nil, err
	}
	all, err := a.applyPeers(ctx, &in, a.ofPeerings(peerings))
	if err != nil {
		return nil, err
	}
	more, err := carryOut(ctx, slices.Concat(set, gone), in.DryRun)
	return append(all, more...), err
}

// applyPeers applies all but peerings.
func (a *API) applyPeers(
	ctx context.Context, in *operator.ApplyInput, apart map[bgp.NodeID]bool,
) ([]operator.Applied, error) {
	a.applying.Lock()
	defer a.applying.Unlock()
	steps, err := a.plan(ctx, in, apart)
	if err != nil {
		return nil, err
	}
	defer a.ordersChanged()
	return carryOut(ctx, steps, in.DryRun)
}

func carryOut(ctx context.Context, steps []step, dryRun bool) ([]operator.Applied, error) {
	all := make([]operator.Applied, 0, len(steps))
	for i := range steps {
		s := &steps[i]
		if !dryRun && s.Action != unchanged {
			if err := s.do(ctx); err != nil {
				return nil, fmt.Errorf("%s %s: %w; %d of %d were done, apply again for the rest", s.Kind, s.Name, err, i,
					len(steps))
			}
		}
		all = append(all, s.Applied)
	}
	return all, nil
}

// plan returns what has to be done, or every problem of what is given. Nodes that are apart stay as they are.
func (a *API) plan(ctx context.Context, in *operator.ApplyInput, apart map[bgp.NodeID]bool) ([]step, error) {
	errs := checkLabel(in)
	peers, err := a.peersGiven(in)
	errs = append(errs, err)
	services, err := a.servicesGiven(in)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, operator.Input(err)
	}
	for n := range peers {
		if apart[n] {
			return nil, operator.Input(fmt.Errorf("peers: %s is part of the peering with %s: say so there", n, n.Org))
		}
	}
	peerSteps, peersGone, err := a.planPeers(ctx, in, peers, apart)
	if err != nil {
		return nil, err
	}
	serviceSteps, servicesGone, err := a.planServices(ctx, in, services)
	return slices.Concat(peerSteps, serviceSteps, servicesGone, peersGone), err
}

func checkLabel(in *operator.ApplyInput) []error {
	var errs []error
	if in.Prune && in.Label == "" {
		errs = append(errs, errors.New("prune: give a label: only what has it is removed"))
	}
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(in.Label) > maxLabel || strings.ContainsFunc(in.Label, odd) {
		errs = append(errs, fmt.Errorf("label: %q: want at most %d printable ASCII characters without spaces", in.Label,
			maxLabel))
	}
	return errs
}

func (a *API) peersGiven(in *operator.ApplyInput) (map[bgp.NodeID]journal.Peer, error) {
	all := map[bgp.NodeID]journal.Peer{}
	var errs []error
	for i := range in.Peers {
		p, err := a.checkPeer(in.Peers[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("peers[%d] %s: %w", i, in.Peers[i].Node, err))
			continue
		}
		if _, twice := all[p.Node]; twice {
			errs = append(errs, fmt.Errorf("peers[%d] %s: given twice", i, p.Node))
		}
		p.Label = in.Label
		all[p.Node] = p
	}
	return all, errors.Join(errs...)
}

func (a *API) servicesGiven(in *operator.ApplyInput) (map[bgp.Service]journal.Service, error) {
	all := map[bgp.Service]journal.Service{}
	var errs []error
	for i := range in.Services {
		s, err := a.checkService(in.Services[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("services[%d] %s: %w", i, in.Services[i].Service, err))
			continue
		}
		if _, twice := all[s.Name]; twice {
			errs = append(errs, fmt.Errorf("services[%d] %s: given twice", i, s.Name))
		}
		s.Label = in.Label
		all[s.Name] = s
	}
	return all, errors.Join(errs...)
}

func (a *API) planPeers(
	ctx context.Context, in *operator.ApplyInput, given map[bgp.NodeID]journal.Peer, apart map[bgp.NodeID]bool,
) (set, gone []step, err error) {
	kept, err := a.cfg.Journal.Peers(ctx)
	if err != nil {
		return nil, nil, err
	}
	before := map[bgp.NodeID]journal.Peer{}
	for _, p := range kept {
		before[p.Node] = p
		if _, stays := given[p.Node]; !stays && in.Prune && p.Label == in.Label && !apart[p.Node] {
			gone = append(gone, step{operator.Applied{
				Kind:    "peer",
				Name:    p.Node.String(),
				Action:  removed,
				Changes: []operator.FieldChange{},
			},
				func(ctx context.Context) error {
					_, err := a.RemovePeer(ctx, p.Node.String(), "removed by catalyst apply")
					return err
				}})
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(given),
		func(x, y bgp.NodeID) int { return strings.Compare(x.String(), y.String()) }) {
		p := given[id]
		old, had := before[id]
		applied, err := difference("peer", id.String(), had, old, p)
		if err != nil {
			return nil, nil, err
		}
		set = append(set, step{applied, func(ctx context.Context) error { return a.putPeer(ctx, p) }})
	}
	return set, gone, nil
}

func (a *API) planServices(
	ctx context.Context, in *operator.ApplyInput, given map[bgp.Service]journal.Service,
) (set, gone []step, err error) {
	kept, err := a.cfg.Offer.Kept(ctx)
	if err != nil {
		return nil, nil, err
	}
	before := map[bgp.Service]journal.Service{}
	for _, s := range kept {
		before[s.Name] = s
		if _, stays := given[s.Name]; !stays && in.Prune && s.Label == in.Label && s.Found == nil {
			gone = append(gone, step{operator.Applied{
				Kind:    "service",
				Name:    string(s.Name),
				Action:  removed,
				Changes: []operator.FieldChange{},
			},
				func(ctx context.Context) error {
					_, err := a.cfg.Offer.Remove(ctx, s.Name)
					return err
				}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		s := given[name]
		old, had := before[name]
		applied, err := difference("service", string(name), had, old, s)
		if err != nil {
			return nil, nil, err
		}
		set = append(set, step{applied, func(ctx context.Context) error { return a.putService(ctx, s) }})
	}
	return set, gone, nil
}

// putPeer keeps a peer and tells the router of it.
func (a *API) putPeer(ctx context.Context, p journal.Peer) error {
	if err := a.cfg.Journal.PutPeer(ctx, p); err != nil {
		return err
	}
	if err := a.cfg.Router.Do(ctx, speaker.PeerSet{Peer: PeerOf(p)}); err != nil {
		return err
	}
	return a.cfg.Forwarder.PeersChanged(ctx)
}

// difference says what setting a record to now does to it. The fields are those that the journal keeps, so that a new
// one is compared without a word here.
func difference[T any](kind, name string, had bool, before, now T) (operator.Applied, error) {
	applied := operator.Applied{Kind: kind, Name: name, Action: created, Changes: []operator.FieldChange{}}
	if !had {
		return applied, nil
	}
	old, err := fieldsOf(before)
	if err != nil {
		return applied, err
	}
	fresh, err := fieldsOf(now)
	if err != nil {
		return applied, err
	}
	all := maps.Clone(old)
	maps.Copy(all, fresh)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if from, to := string(old[field]), string(fresh[field]); from != to {
			applied.Changes = append(applied.Changes, operator.FieldChange{Field: field, From: from, To: to})
		}
	}
	if applied.Action = updated; len(applied.Changes) == 0 {
		applied.Action = unchanged
	}
	return applied, nil
}

func fieldsOf(v any) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	maps.DeleteFunc(fields, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	return fields, nil
}
