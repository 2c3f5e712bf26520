package daemon

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/api"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
)

// warnings are what an operator has to look after: certificates that end, revocations that do not come, an identity
// that somebody else may have.
func (d *Daemon) warnings() []string {
	all := append(d.id.Warnings(), d.found.Warnings()...)
	if d.imported != nil {
		all = append(all, d.imported.Warnings()...)
	}
	if d.tokens != nil {
		all = append(all, d.tokens.Warnings()...)
	}
	if d.member != nil {
		all = append(all, d.member.Warnings()...)
	}
	return all
}

// revoked is what this node's organisation and others that it follows revoke, as far as that is known.
func (d *Daemon) revoked() map[bgp.Org]*revoke.Set {
	all := map[bgp.Org]*revoke.Set{}
	if d.tokens != nil {
		for _, f := range d.tokens.Followed() {
			all[f.Org()] = f.Revocations()
		}
	}
	if d.member != nil {
		all[d.self.Org] = d.member.Revocations()
	}
	return all
}

// renew returns what asks for the node's next certificate and has it used; nil if nobody renews it.
func (d *Daemon) renew() func(ctx context.Context) error {
	if d.member == nil {
		return nil
	}
	return func(ctx context.Context) error {
		err := d.member.Renew(ctx)
		if err == nil {
			_, err = d.id.Reload()
		}
		return err
	}
}

// serveOperators serves the operator API to those who are elsewhere.
func (d *Daemon) serveOperators(ctx context.Context, l net.Listener) error {
	var cfg api.RemoteConfig
	if d.tokens != nil {
		cfg.Tokens = d.tokens
	}
	if d.member != nil {
		cfg.Revocations = d.member.Revocations()
	}
	h, err := d.api.Remote(cfg)
	if err != nil {
		return err
	}
	secure := d.id.OperatorTLS()
	secure.NextProtos = []string{"h2", "http/1.1"}
	return listen.Serve(ctx, tls.NewListener(l, secure), h)
}
