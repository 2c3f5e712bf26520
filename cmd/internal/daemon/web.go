package daemon

import (
	"context"
	"net"
	"strings"

	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/seen"
	"github.com/catalyst-router/catalyst/graphql/operator/web"
)

// serveWeb serves the looking glass until ctx ends.
func (d *Daemon) serveWeb(ctx context.Context, l net.Listener) error {
	token, err := web.KeptToken(d.data)
	if err != nil {
		return err
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, name := range d.cfg.WebHosts {
		hosts = append(hosts, strings.ToLower(name))
	}
	api := seen.Through("whoever has the token of the looking glass", d.api.Handler())
	cfg := web.Config{API: api, Token: token, Hosts: hosts}
	if d.mesh != nil {
		cfg.Mesh = d.mesh.ForOperator()
	}
	h, err := web.Handler(cfg)
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	if d.cfg.WebTLSCert != "" {
		base = "https://" + l.Addr().String()
		if _, port, err := net.SplitHostPort(l.Addr().String()); err == nil && len(d.cfg.WebHosts) > 0 {
			base = "https://" + net.JoinHostPort(d.cfg.WebHosts[0], port)
		}
	}
	if err := web.KeepLink(d.data, base, token); err != nil {
		return err
	}
	d.tel.Log.Info("the looking glass is up: catalyst web prints a link to it", "listen", l.Addr().String())
	return listen.Serve(ctx, l, h)
}
