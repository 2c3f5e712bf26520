package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/admin"
	"github.com/catalyst-router/catalyst/cmd/internal/judge"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/names"
	"github.com/catalyst-router/catalyst/cmd/internal/ondemand"
	"github.com/catalyst-router/catalyst/cmd/internal/tap"
	"github.com/catalyst-router/catalyst/cmd/internal/tokens"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// compiler is what the compiler has to know of this node.
func (d *Daemon) compiler(limits xds.Limits) xds.Config {
	to, from, _ := d.cfg.Envoy.Tunnels() // checked when the configuration was read
	return xds.Config{
		Socket: filepath.Join(d.data, tcpSocket), Self: d.self, Ingress: d.cfg.Envoy.Ingress, Egress: d.cfg.Envoy.Egress,
		EgressTLS: d.cfg.Envoy.TLS,
		AccessLog: d.cfg.Envoy.AccessLog, TunnelsTo: to, TunnelsFrom: from, Policy: d.policyCheck(),
		Limits: limits, Tap: d.tapShare(), Underway: d.underwaySocket(), OnDemand: d.onDemand(),
		EgressIP: d.cfg.Envoy.TCPIP, ClusterNamespace: d.clusterNamespace(),
	}
}

// onDemand tells whether Envoy is given those services alone that are called through it.
func (d *Daemon) onDemand() bool { return d.cfg.Envoy.Table == "used" }

// demanded makes what knows which services are used; nil if Envoy is given all.
func (d *Daemon) demanded(kept []xds.Resource) (*ondemand.Room, error) {
	if !d.onDemand() {
		return nil, nil //nolint:nilnil // all are used
	}
	return ondemand.Open(ondemand.Config{
		Path: filepath.Join(d.data, usedFile), Idle: d.cfg.Envoy.KeepUnused, Most: d.cfg.Envoy.MostUsed,
		Log: d.tel.Log, Meter: d.tel.Meter,
		Kept: func() []bgp.Service {
			var all []bgp.Service
			for i := range kept {
				if svc, ok := xds.Scoped(xds.Ref{Type: kept[i].Type, Name: kept[i].Name}); ok {
					all = append(all, svc)
				}
			}
			return all
		},
	})
}

// tapShare is of which calls Envoy tells; nil if of none.
func (d *Daemon) tapShare() *xds.Tap {
	if !d.cfg.Tap.Enabled {
		return nil
	}
	return &xds.Tap{Share: d.cfg.Tap.Share, Slow: d.cfg.Tap.Slow}
}

// calls makes what Envoy tells of calls, if it is to tell.
func (d *Daemon) calls() (err error) {
	if !d.cfg.Tap.Enabled {
		return nil
	}
	d.tap, err = tap.New(tap.Config{
		Bytes: d.cfg.Tap.Megabytes << 20, At: d.ports.At, Log: d.tel.Log, Meter: d.tel.Meter,
		Share: d.cfg.Tap.Share, Slow: d.cfg.Tap.Slow,
		Caller: func(ctx context.Context) (string, error) { return d.forwarder.ADS().Caller(ctx) },
	})
	return err
}

// underwaySocket is where Envoy tells of what other nodes have under way; "" where it does not: an Envoy on another
// machine does not reach it.
func (d *Daemon) underwaySocket() string {
	if d.cfg.Envoy.Ingress == "" || d.cfg.Envoy.ADS != "" {
		return ""
	}
	return filepath.Join(d.data, watchSocket)
}

// policyCheck is where Envoy asks; nil if it does not.
func (d *Daemon) policyCheck() *xds.PolicyCheck {
	if d.cfg.Policy.Enforce == "off" {
		return nil
	}
	return &xds.PolicyCheck{Socket: filepath.Join(d.data, policySocket), Ingress: true, Egress: d.cfg.Policy.Egress,
		Connections: filepath.Join(d.data, askedSocket), Hold: d.cfg.Policy.Enforce == "on"}
}

// lookups is how hosts are looked up.
func (d *Daemon) lookups() names.Config {
	c := d.cfg.Names
	keep := c.Keep
	if keep == 0 {
		keep = -1 // not at all
	}
	return names.Config{Lookup: names.Server(c.Server), Interval: c.Interval, Keep: keep}
}

// limits returns what streams, sources and services may take of an Envoy of this node.
func (d *Daemon) limits() xds.Limits {
	c := &d.cfg.Envoy
	descriptors := uint32(c.Descriptors) //nolint:gosec // configuration has checked these
	if descriptors == 0 {
		var err error
		if descriptors, err = envoy.Descriptors(); err != nil {
			d.tel.Log.Warn("how many files Envoy may open is not known: set envoy.descriptors", "error", err)
		}
	}
	return xds.Limits{
		StreamWindow: uint32(c.StreamWindow),
		Descriptors:  descriptors,
		HeaderKiB:    uint32(c.Headers), //nolint:gosec // as above
		RefuseHTTP10: !c.HTTP10, WorkloadIdle: c.WorkloadIdle, Connect: c.Connect,
		MeshStream: orNone(c.MeshStream), MeshConnection: orNone(c.MeshConnection),
	}.ForLeaves(d.id.Material().Life())
}

// orNone is a bound as the compiler has it: 0 there means its default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// overload returns what this node's own Envoy may take of the machine.
func (d *Daemon) overload(limits xds.Limits) envoy.Overload {
	o := envoy.Overload{
		Heap: uint64(d.cfg.Envoy.Memory) << 20, Connections: limits.Connections(), //nolint:gosec // as above
		Listeners: map[string]uint32{xds.IngressListener: limits.IngressConnections()},
		Pressure:  filepath.Join(d.data, "pressure", "descriptors"),
	}
	if o.Heap == 0 {
		var err error
		if o.Heap, err = envoy.HalfOfMemory(); err != nil {
			d.tel.Log.Warn("how much memory Envoy may take is not known: set envoy.memory", "error", err)
		}
	}
	return o
}

// checks are what has to hold before the node serves.
func (d *Daemon) checks() []admin.Check {
	n := admin.Node{
		Published: d.router.Published(), Envoy: d.envoy, Egress: d.cfg.Envoy.Egress, Ingress: d.cfg.Envoy.Ingress,
		CutOffs: func() []ads.CutOff { return d.forwarder.ADS().CutOffs() }, Identity: d.id,
	}
	if d.graph != nil {
		n.Gateway = d.graph.Gateway().NotListening
	}
	return n.Checks()
}

// directory makes the data directory.
func (d *Daemon) directory() error {
	if err := os.MkdirAll(d.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	var err error
	if d.data, err = filepath.Abs(d.cfg.Data); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if len(d.data) > maxDataPath {
		return fmt.Errorf("data: %s is longer than %d characters, and Unix sockets in it would be too long: choose a "+
			"shorter directory",
			d.data, maxDataPath)
	}
	return nil
}

// bootID draws the id of this run of the node; it is never 0.
func bootID() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("draw a boot id: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]) | 1, nil
}

// whichEnvoy names the Envoy that connects by TLS: this node's own are let in, and nobody else.
func (d *Daemon) whichEnvoy(state tls.ConnectionState) (string, error) {
	e, err := d.id.EnvoyOf(state)
	if err == nil && e.Node != d.self {
		err = fmt.Errorf("it is an Envoy of %s, and connects to %s", e.Node, d.self)
	}
	return e.String(), err
}

// believed returns what verifies the tokens that are believed; nil if none are.
func (d *Daemon) believed(ctx context.Context) (*tokens.Tokens, error) {
	c := d.cfg.Policy
	cfg := tokens.Config{
		Audience: cmp.Or(c.Audience, string(d.self.Org)), Identity: d.id,
		Peerings: d.trust.Book(), JWKS: c.JWKS, Issuer: c.Issuer, Log: d.tel.Log,
		Meter: d.tel.Meter, Data: d.data,
	}
	others, err := c.Others()
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		cfg.Others = append(cfg.Others, tokens.Other{Org: o.Org, Address: o.Address, Issuer: o.Name})
	}
	if d.member != nil {
		cfg.Exchanging = func(ctx context.Context) (string, []string, error) {
			at := d.member.Status().Address
			orgs, err := tokens.Exchanging(ctx, d.id.ServiceTLS(d.self.Org), at)
			return at, orgs, err
		}
	}
	switch {
	case c.Tokens == "" && c.JWKS.Reveal() == "" && len(c.Issuers) == 0:
		return nil, nil //nolint:nilnil // tokens are not looked at
	case c.Tokens != "" && d.member == nil:
		return nil, errors.New("policy.tokens: this node did not join by an identity service (its bundle was issued by " +
			"hand), so that nobody tells it which tokens are revoked: join with catalyst node --join, or give policy.jwks")
	case c.Tokens != "":
		cfg.Own = d.member.Feed()
	}
	return tokens.New(ctx, cfg)
}

// sharing is how policies are shared with other nodes; nil if they are not.
func (d *Daemon) sharing() *judge.Sharing {
	if len(d.cfg.Policy.Follow) == 0 {
		return nil
	}
	signing := judge.Signing{Identity: d.id}
	if d.member != nil {
		revoked := d.member.Revocations()
		signing.Revoked = func(leaf *x509.Certificate) error { return revoked.CheckCertificate(leaf) }
	}
	return &judge.Sharing{
		Self: d.self, Follow: judge.Follow(d.cfg.Policy.Follow), Identity: signing,
		Peers: judge.Neighbours{Org: d.self.Org, Router: d.router},
	}
}

// serving tells the peering whether this node's Envoy carries traffic; nil for a node that runs none.
func (d *Daemon) serving() func() bool {
	if d.envoy == nil {
		return nil
	}
	s := &envoy.Serving{PID: d.envoy.Running}
	return s.Now
}
