// Package membership keeps a node a member of its organisation while it runs: its certificate is renewed, what the
// organisation revoked is refused in every handshake, and sessions with nodes that are revoked end.
package membership

import (
	"context"
	"crypto/x509"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Router closes sessions.
type Router interface {
	Do(ctx context.Context, ev speaker.Event) error
}

// Config is what a membership needs.
type Config struct {
	Member   *member.Member // required
	Identity *identity.Source
	Router   Router
	Log      *slog.Logger
}

// Run keeps the membership until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	set := cfg.Member.Revocations()
	cfg.Identity.Refuse(func(leaf *x509.Certificate) error { return set.CheckCertificate(leaf) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return cfg.Member.Run(ctx) })
	g.Go(func() error { return expel(ctx, cfg) })
	g.Go(func() error { return show(ctx, cfg) })
	return g.Wait()
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

// expel ends the sessions of nodes as they are revoked. They may dial again, and are refused in the handshake.
func expel(ctx context.Context, cfg Config) error {
	set := cfg.Member.Revocations()
	gone := map[string]bool{}
	for {
		changed := set.Changed()
		now := map[string]bool{}
		for _, uri := range set.Nodes() {
			now[uri] = true
			if gone[uri] {
				continue
			}
			id, err := bgp.ParseNodeID(uri)
			if err != nil {
				continue
			}
			cfg.Log.Warn("node is revoked: its session ends", "node", id.String())
			if err := cfg.Router.Do(ctx, speaker.PeerReset{Node: id, Text: "the certificate is revoked"}); err != nil &&
				ctx.Err() == nil {
				cfg.Log.Debug("no session to end", "node", id.String(), "reason", err)
			}
		}
		gone = now
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
