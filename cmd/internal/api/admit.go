package api

import (
	"context"
	"fmt"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Introduce keeps a node of this organisation as a peer to dial, unless it is one already: the peers that a join token names. It is for a node that has not
// been started yet, which then restores them with all others.
func (a *API) Introduce(ctx context.Context, node, address string) error {
	id, err := bgp.NewNodeID(string(a.cfg.Node.Org), node)
	if err != nil {
		return err
	}
	if known, err := a.kept(ctx, id); err != nil || known || id == a.cfg.Node {
		return err
	}
	return a.cfg.Journal.PutPeer(ctx, journal.Peer{Node: id, Addresses: []string{address}})
}

// Admit decides about a node that dials and is no peer. With peering.accept: organisation, one of this organisation becomes a peer without rules, and stays one
// over restarts; whoever was revoked has no session in which to ask. An operator who wants none of it adds the node with --disabled.
func (a *API) Admit(ctx context.Context, remote bgp.NodeID) (speaker.Peer, bool) {
	if a.cfg.Config.Peering.Accept != "organisation" || remote.Org != a.cfg.Node.Org || remote == a.cfg.Node {
		return speaker.Peer{}, false
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	p := journal.Peer{Node: remote}
	known, err := a.kept(ctx, remote)
	if err == nil && !known {
		err = a.cfg.Journal.PutPeer(ctx, p)
	}
	if err != nil || known { // one that is known by now is the router's already, or soon
		if err != nil {
			a.cfg.Log.Error("a node of the organisation is not admitted as a peer", "peer", remote.String(), "error", err)
		}
		return speaker.Peer{}, false
	}
	a.cfg.Log.Info("a node of the organisation is a peer now, as peering.accept says", "peer", remote.String())
	return PeerOf(p), true
}

// kept tells whether a peer is in the journal.
func (a *API) kept(ctx context.Context, id bgp.NodeID) (bool, error) {
	peers, err := a.cfg.Journal.Peers(ctx)
	if err != nil {
		return false, fmt.Errorf("read the peers: %w", err)
	}
	for i := range peers {
		if peers[i].Node == id {
			return true, nil
		}
	}
	return false, nil
}
