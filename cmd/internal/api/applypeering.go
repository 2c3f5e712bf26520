package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// peeringGivenBy is a peering as a file gives it, and the bundle that stands there; nil for none.
type peeringGivenBy struct {
	peering federation.Peering
	bundle  *bundle.Bundle
}

func (a *API) peeringsGiven(in *operator.ApplyInput) (map[bgp.Org]peeringGivenBy, error) {
	all := map[bgp.Org]peeringGivenBy{}
	var errs []error
	for i := range in.Peerings {
		p, by, err := a.peeringGiven(&in.Peerings[i])
		if err == nil && p.Org == a.cfg.Node.Org {
			err = errors.New("organisation: it is this node's own")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("peerings[%d] %s: %w", i, in.Peerings[i].Organisation, err))
			continue
		}
		if _, twice := all[p.Org]; twice {
			errs = append(errs, fmt.Errorf("peerings[%d] %s: given twice", i, p.Org))
		}
		p.Label = in.Label
		all[p.Org] = peeringGivenBy{p, by}
	}
	return all, errors.Join(errs...)
}

// planPeerings returns what has to be done about peerings. These steps take the lock of Apply themselves.
func (a *API) planPeerings(in *operator.ApplyInput, given map[bgp.Org]peeringGivenBy) (set, gone []step, err error) {
	for _, p := range a.cfg.Trust.Book().Peerings() {
		if _, stays := given[p.Org]; stays || !in.Prune || p.Label != in.Label {
			continue
		}
		gone = append(gone, step{operator.Applied{
			Kind: "peering", Name: string(p.Org), Action: removed, Changes: []operator.FieldChange{},
		}, func(ctx context.Context) error {
			_, err := a.cfg.Trust.End(ctx, p.Org, "removed by catalyst apply")
			return err
		}})
	}
	for _, org := range slices.Sorted(maps.Keys(given)) {
		g := given[org]
		old := a.cfg.Trust.Book().Peering(org)
		applied, err := a.peeringDifference(old, &g)
		if err != nil {
			return nil, nil, err
		}
		set = append(set, step{applied, func(ctx context.Context) error { return a.cfg.Trust.Set(ctx, g.peering, g.bundle) }})
	}
	return set, gone, nil
}

// peeringDifference says what a file would change of a peering, and drops from the file's peering what is not to be
// taken. If it names no nodes, they stay as they are. Its bundle counts only where none is held, or an older one: a
// file never takes back what came over the peering after it was written.
func (a *API) peeringDifference(old *federation.Peering, g *peeringGivenBy) (operator.Applied, error) {
	was := federation.Peering{Org: g.peering.Org}
	held := uint64(0)
	if old != nil {
		was.Nodes, was.Terms, was.Source, was.Label = old.Nodes, old.Terms.Clean(), old.Source, old.Label
		held = old.Trust.Sequence
		if len(g.peering.Nodes) == 0 {
			g.peering.Nodes = old.Nodes
		}
		if g.bundle != nil && len(old.Trust.Document) > 0 && g.bundle.Sequence <= held {
			g.bundle = nil
		}
	}
	now := g.peering
	was.Nodes, now.Nodes = byNode(was.Nodes), byNode(now.Nodes)
	applied, err := difference("peering", string(g.peering.Org), old != nil, was, now)
	if err == nil && old != nil && g.bundle != nil {
		applied.Action = updated
		applied.Changes = append(applied.Changes, operator.FieldChange{
			Field: "bundle", From: strconv.FormatUint(held, 10), To: strconv.FormatUint(g.bundle.Sequence, 10),
		})
	}
	return applied, err
}

func byNode(all []federation.Neighbour) []federation.Neighbour {
	return slices.SortedFunc(slices.Values(all), func(x, y federation.Neighbour) int {
		return strings.Compare(x.Node.String(), y.Node.String())
	})
}

// ofPeerings are the nodes that are peers because of a peering, as it is or is given: files of peers say nothing of
// them.
func (a *API) ofPeerings(given map[bgp.Org]peeringGivenBy) map[bgp.NodeID]bool {
	all := map[bgp.NodeID]bool{}
	add := func(nodes []federation.Neighbour) {
		for _, n := range nodes {
			all[n.Node] = true
		}
	}
	for _, p := range a.cfg.Trust.Book().Peerings() {
		add(p.Nodes)
	}
	for _, g := range given {
		add(g.peering.Nodes)
	}
	return all
}
