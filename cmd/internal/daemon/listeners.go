package daemon

import (
	"context"
	"net"
	"path/filepath"

	"github.com/catalyst-router/catalyst/cmd/internal/listen"
)

// listeners are what a node listens on; nil for what is not asked for.
type listeners struct {
	peering, ads, remoteADS, api, admin, policy net.Listener
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
		{&l.admin, "tcp", d.cfg.Admin, "admin"},
		{&l.policy, "unix", policy, "data"},
	} {
		var err error
		if *o.into, err = listen.On(ctx, o.network, o.address, o.key); err != nil {
			l.close()
			return nil, err
		}
	}
	if l.admin != nil && d.cfg.AdminTLSCert != "" {
		secure := listen.TLS{
			Cert:     d.cfg.AdminTLSCert,
			Key:      d.cfg.AdminTLSKey,
			ClientCA: d.cfg.AdminClientCA,
			Field:    "admin-tls-cert",
		}
		wrapped, err := secure.Wrap(l.admin, nil)
		if err != nil {
			l.close()
			return nil, err
		}
		l.admin = wrapped
	}
	return &l, nil
}

func (l *listeners) close() {
	for _, o := range []net.Listener{l.peering, l.ads, l.remoteADS, l.api, l.admin, l.policy} {
		if o != nil {
			_ = o.Close()
		}
	}
}
