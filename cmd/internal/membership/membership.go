// Package membership keeps a node a member of its organisation while it runs: its certificate is renewed, what its own
// organisation and those that it follows revoked is refused in every handshake and at the mesh ingress, and sessions
// with nodes that are revoked end.
package membership

import (
	"context"
	"crypto/x509"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Router closes sessions.
type Router interface {
	Do(ctx context.Context, ev speaker.Event) error
}

// Ingress keeps nodes out of the data plane. forwarding.Forwarder is one.
type Ingress interface {
	// Refuse replaces the nodes of one organisation that are kept out.
	Refuse(org bgp.Org, nodes []bgp.NodeID) error
}

// Config is what a membership needs; all of it is required but for what says otherwise.
type Config struct {
	Member *member.Member // nil for a node whose certificates are issued by hand
	// Revoked is what each organisation revoked. It speaks for its own nodes and for no others.
	Revoked  map[bgp.Org]*revoke.Set
	Identity *identity.Source
	Router   Router
	Ingress  Ingress
	Log      *slog.Logger
}

// Run keeps the membership until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	cfg.Identity.Refuse(cfg.refuse)
	g, ctx := errgroup.WithContext(ctx)
	if cfg.Member != nil {
		g.Go(func() error { return cfg.Member.Run(ctx) })
		g.Go(func() error { return show(ctx, cfg) })
	}
	for org, set := range cfg.Revoked {
		g.Go(func() error { return expel(ctx, cfg, org, set) })
	}
	g.Go(func() error { <-ctx.Done(); return nil }) // with nobody to follow, too
	return g.Wait()
}

// refuse says whether a certificate is revoked by the organisation that it is of.
func (cfg *Config) refuse(leaf *x509.Certificate) error {
	if len(leaf.URIs) != 1 {
		return nil // it is refused for that
	}
	if set := cfg.Revoked[bgp.Org(leaf.URIs[0].Host)]; set != nil {
		return set.CheckCertificate(leaf)
	}
	return nil
}

// show has the node use each new certificate, and new roots, as soon as they are on the disk.
func show(ctx context.Context, cfg Config) error {
	for {
		changed := cfg.Member.Changed()
		if _, err := cfg.Identity.Reload(); err != nil {
			cfg.Log.Debug("the identity is looked at again soon", "reason", err) // its own Run says what stays wrong
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// expel keeps an organisation's nodes out as it revokes them, and ends their sessions. They may dial again, and are
// refused in the handshake.
func expel(ctx context.Context, cfg Config, org bgp.Org, set *revoke.Set) error {
	gone := map[bgp.NodeID]bool{}
	for {
		changed := set.Changed()
		// Until something was heard, what was known before a restart stays.
		if heard, _ := set.Freshness(); !heard.IsZero() {
			now := revoked(org, set)
			if err := cfg.Ingress.Refuse(org, now); err != nil {
				cfg.Log.Error("revoked nodes are kept out of sessions, and maybe not of the mesh ingress", "error", err)
			}
			gone = cfg.end(ctx, now, gone)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// revoked returns the organisation's own nodes that it revoked.
func revoked(org bgp.Org, set *revoke.Set) (all []bgp.NodeID) {
	for _, uri := range set.Nodes() {
		if id, err := bgp.ParseNodeID(uri); err == nil && id.Org == org {
			all = append(all, id)
		}
	}
	return all
}

// end ends the sessions of nodes that were not revoked before, and returns those that are now.
func (cfg *Config) end(ctx context.Context, now []bgp.NodeID, before map[bgp.NodeID]bool) map[bgp.NodeID]bool {
	gone := map[bgp.NodeID]bool{}
	for _, id := range now {
		gone[id] = true
		if before[id] {
			continue
		}
		cfg.Log.Warn("node is revoked: its session ends", "node", id.String())
		err := cfg.Router.Do(ctx, speaker.PeerReset{Node: id, Text: "the certificate is revoked"})
		if err != nil && ctx.Err() == nil {
			cfg.Log.Debug("no session to end", "node", id.String(), "reason", err)
		}
	}
	return gone
}
