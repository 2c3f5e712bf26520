package trust

import (
	"context"
	"net"

	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/bgp"
)

// MostWeb is how many connections ServeWeb has at once.
const MostWeb = 256

// ServeWeb serves this organisation's bundle on a listener that proves itself as a server of the web does, until ctx
// ends. url is what SPIFFE Discovery names; "" for no such document.
func (r *Room) ServeWeb(ctx context.Context, l net.Listener, url string) error {
	h, err := r.endpoint.Web(r.cfg.Node.Org, url)
	if err != nil {
		return err
	}
	return federation.Serve(ctx, l, h, r.cfg.Log)
}

// Discover returns what an organisation's web server proposes; see federation.Asker.Discover. It shows no certificate.
func (r *Room) Discover(ctx context.Context, org bgp.Org, at string) (*federation.Proposal, error) {
	return federation.Asker{}.Discover(ctx, org, at, r.cfg.Web)
}
