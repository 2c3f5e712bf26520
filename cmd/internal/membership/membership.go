// Package membership keeps a node a member of its organisation while it runs: its certificate is renewed, what its own
// organisation and those that it follows revoked is refused in every handshake and at the mesh ingress, and sessions
// with nodes that are revoked end.
package membership

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"math/big"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Router closes sessions. peering.Router is one.
type Router interface {
	// Review ends the sessions whose other side showed a certificate that is refused now, and returns whose they were.
	Review(ctx context.Context, refuse func(leaf *x509.Certificate) error) []bgp.NodeID
}

// Ingress keeps nodes out of the data plane. forwarding.Forwarder is one.
type Ingress interface {
	// Refuse replaces the nodes and the certificates of one organisation that are kept out.
	Refuse(org bgp.Org, nodes []bgp.NodeID, leaves []xds.Leaf) error
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

// expel keeps an organisation's nodes and certificates out as it revokes them, and ends their sessions. They may dial
// again, and are refused in the handshake unless they show another certificate.
func expel(ctx context.Context, cfg Config, org bgp.Org, set *revoke.Set) error {
	for {
		changed := set.Changed()
		// Until something was heard, what was known before a restart stays.
		if heard, _ := set.Freshness(); !heard.IsZero() {
			if err := cfg.Ingress.Refuse(org, revokedNodes(org, set), cfg.revokedLeaves(org, set)); err != nil {
				cfg.Log.Error("what is revoked is kept out of sessions, and maybe not of the mesh ingress", "error", err)
			}
			for _, id := range cfg.Router.Review(ctx, cfg.refuse) {
				cfg.Log.Warn("a certificate is revoked: the session ends", "node", id.String())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// revokedNodes returns the organisation's own nodes that it revoked.
func revokedNodes(org bgp.Org, set *revoke.Set) (all []bgp.NodeID) {
	for _, uri := range set.Values(revoke.Node) {
		if id, err := bgp.ParseNodeID(uri); err == nil && id.Org == org {
			all = append(all, id)
		}
	}
	return all
}

// mostLeaves is how many certificates of an organisation Envoys are told of one by one: each costs every request of its
// nodes some nanoseconds. Sessions know no such limit.
const mostLeaves = 1000

// longestSerial is the most bytes of a serial number (RFC 5280 §4.1.2.2).
const longestSerial = 20

// revokedLeaves returns the certificates that it revoked one by one.
func (cfg *Config) revokedLeaves(org bgp.Org, set *revoke.Set) (all []xds.Leaf) {
	for _, text := range set.Values(revoke.Serial) {
		if serial, ok := new(big.Int).SetString(text, 16); ok && serial.Sign() > 0 && len(text) <= 2*longestSerial {
			all = append(all, xds.Leaf{Org: org, Serial: serial.Text(16)})
		}
	}
	for _, text := range set.Values(revoke.Certificate) {
		if sum, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(sum) == sha256.Size {
			all = append(all, xds.Leaf{Org: org, SHA256: hex.EncodeToString(sum)})
		}
	}
	if len(all) > mostLeaves {
		cfg.Log.Error("more certificates are revoked one by one than the mesh ingress looks at: revoke their nodes",
			"organisation", org, "certificates", len(all), "looked_at", mostLeaves)
		all = all[:mostLeaves]
	}
	return all
}
