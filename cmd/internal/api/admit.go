package api

import (
	"context"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
)

// Introduce keeps a node of this organisation as a peer to dial, unless it is one already: the peers that a join token
// names. It is for a node that has not been started yet, which then restores them with all others.
func (a *API) Introduce(ctx context.Context, node, address string) error {
	id, err := bgp.NewNodeID(string(a.cfg.Node.Org), node)
	if err != nil {
		return err
	}
	labels, err := a.labels(ctx)
	if _, known := labels[id]; err != nil || known || id == a.cfg.Node {
		return err
	}
	return a.cfg.Journal.PutPeer(ctx, journal.Peer{Node: id, Addresses: []string{address}})
}

// Admit is called for a node that dials and is no peer. With peering.accept: organisation, a node of this
// organisation becomes a peer without rules, as by catalyst peer add, and stays one over restarts. A revoked node
// never comes so far, since it gets no session. To keep a node out, an operator adds it with --disabled.
func (a *API) Admit(ctx context.Context, remote bgp.NodeID) {
	if a.cfg.Config.Peering.Accept != "organisation" || remote.Org != a.cfg.Node.Org || remote == a.cfg.Node {
		return
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	labels, err := a.labels(ctx)
	if _, known := labels[remote]; known { // an operator was faster
		return
	}
	if err == nil {
		err = a.putPeer(ctx, journal.Peer{Node: remote})
	}
	if err != nil {
		a.cfg.Log.Error("a node of the organisation is not admitted as a peer", "peer", remote.String(), "error", err)
		return
	}
	a.cfg.Log.Info("a node of the organisation is a peer now, as peering.accept says", "peer", remote.String())
}
