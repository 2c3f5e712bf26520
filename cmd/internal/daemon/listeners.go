package daemon

import (
	"context"
	"net"
	"path/filepath"

	"golang.org/x/net/netutil"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/nameserver"
	"github.com/catalyst-router/catalyst/cmd/internal/trust"
)

// listeners are what a node listens on; nil for what is not asked for.
type listeners struct {
	peering, ads, remoteADS, api, remoteAPI, admin, policy, underway, web, bundle, graph net.Listener
	dns                                                                                  *nameserver.Listener
}

// listen opens all listeners, or none.
func (d *Daemon) listen(ctx context.Context) (*listeners, error) {
	var l listeners
	policy := ""
	if check := d.policyCheck(); check != nil {
		policy = check.Socket
	}
	for _, o := range []struct {
		into                  *net.Listener
		network, address, key string
	}{
		{&l.peering, "tcp", d.cfg.Peering.Listen, "peering.listen"},
		{&l.ads, "unix", filepath.Join(d.cfg.Data, adsSocket), "data"},
		{&l.remoteADS, "tcp", d.cfg.Envoy.ADS, "envoy.ads"},
		{&l.api, "unix", d.cfg.Socket, "socket"},
		{&l.remoteAPI, "tcp", d.cfg.API, "api"},
		{&l.admin, "tcp", d.cfg.Admin, "admin"},
		{&l.policy, "unix", policy, "data"},
		{&l.underway, "unix", d.underwaySocket(), "data"},
		{&l.web, "tcp", d.cfg.Web, "web"},
		{&l.bundle, "tcp", d.cfg.BundleEndpoint.Listen, "bundle-endpoint.listen"},
	} {
		var err error
		if *o.into, err = listen.On(ctx, o.network, o.address, o.key); err != nil {
			l.close()
			return nil, err
		}
	}
	if d.graph != nil {
		var err error
		if l.graph, err = d.graph.Gateway().Listen(ctx); err != nil {
			l.close()
			return nil, err
		}
	}
	if d.names != nil {
		var err error
		if l.dns, err = nameserver.Listen(ctx, d.cfg.DNS); err != nil {
			l.close()
			return nil, err
		}
	}
	if err := l.secure(d.cfg); err != nil {
		l.close()
		return nil, err
	}
	return &l, nil
}

// secure puts TLS before what is reached beyond loopback.
func (l *listeners) secure(c *config.Config) error {
	if l.bundle != nil {
		l.bundle = netutil.LimitListener(l.bundle, trust.MostWeb)
	}
	b := c.BundleEndpoint
	for _, o := range []struct {
		of *net.Listener
		by listen.TLS
	}{
		{&l.admin, listen.TLS{Cert: c.AdminTLSCert, Key: c.AdminTLSKey, ClientCA: c.AdminClientCA, Field: "admin-tls-cert"}},
		{&l.web, listen.TLS{Cert: c.WebTLSCert, Key: c.WebTLSKey, Field: "web-tls-cert"}},
		{&l.bundle, listen.TLS{Cert: b.TLSCert, Key: b.TLSKey, Field: "bundle-endpoint.tls-cert"}},
	} {
		if *o.of == nil || o.by.Cert == "" {
			continue
		}
		wrapped, err := o.by.Wrap(*o.of, nil)
		if err != nil {
			return err
		}
		*o.of = wrapped
	}
	return nil
}

func (l *listeners) close() {
	for _, o := range []net.Listener{
		l.peering, l.ads, l.remoteADS, l.api, l.remoteAPI, l.admin, l.policy, l.underway, l.web, l.bundle, l.graph,
	} {
		if o != nil {
			_ = o.Close()
		}
	}
	if l.dns != nil {
		_ = l.dns.Close()
	}
}
