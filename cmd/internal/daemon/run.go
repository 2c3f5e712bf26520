package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/admin"
	"github.com/catalyst-router/catalyst/cmd/internal/api"
	"github.com/catalyst-router/catalyst/cmd/internal/attested"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/membership"
	"github.com/catalyst-router/catalyst/cmd/internal/offerers"
	"github.com/catalyst-router/catalyst/cmd/internal/release"
)

// Run runs the node until ctx ends. The cause of ctx says how: ErrFarewell for good, anything else for a restart, in
// which Envoy and the peers go on with what they have.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	l, err := d.listen(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if err := d.forwarder.Begin(); err != nil {
		return err
	}
	// The router outlives the others, so that it can say farewell.
	routerCtx, stopRouter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRouter()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks, ctx := errgroup.WithContext(ctx)
	recordCtx, stopRecord := context.WithCancel(context.WithoutCancel(ctx))
	tasks.Go(func() error { defer stopRecord(); return d.router.Run(routerCtx, l.peering) })
	if d.recorder != nil {
		tasks.Go(func() error { return d.recorder.Run(recordCtx) }) // to the router's last event
	}
	d.start(ctx, tasks, l)
	if err := d.restore(ctx); err != nil {
		cancel()
		stopRouter()
		return errors.Join(err, tasks.Wait())
	}
	d.discover(ctx, tasks)
	d.tel.Log.Info("node is up", "node", d.self.String(), "peering", d.cfg.Peering.Listen, "egress", d.cfg.Envoy.Egress,
		"ingress", d.cfg.Envoy.Ingress, "socket", d.cfg.Socket)
	<-ctx.Done()
	d.farewell(context.Cause(ctx))
	stopRouter()
	return tasks.Wait()
}

// Complete is closed once Envoys are given the whole of the tables.
func (d *Daemon) Complete() <-chan struct{} { return d.forwarder.Complete() }

// start starts everything that ends with ctx.
func (d *Daemon) start(ctx context.Context, tasks *errgroup.Group, l *listeners) {
	tasks.Go(func() error { return d.id.Run(ctx, d.tel.Log) })
	tasks.Go(func() error {
		return membership.Run(ctx, membership.Config{
			Member: d.member, Revoked: d.revoked(), Identity: d.id, Router: d.router, Ingress: d.forwarder, Log: d.tel.Log,
		})
	})
	tasks.Go(func() error { return d.trust.Run(ctx) })
	tasks.Go(func() error { return d.ledger.Run(ctx) })
	tasks.Go(func() error { return d.offer.Run(ctx) })
	tasks.Go(func() error { return release.Run(ctx) })
	tasks.Go(func() error { return offerers.Keep(ctx, d.router, d.journal) })
	tasks.Go(func() error { return d.attested().Keep(ctx) })
	tasks.Go(func() error { return d.judge.Run(ctx, l.policy) })
	if l.underway != nil {
		tasks.Go(func() error { return d.underway.Serve(ctx, l.underway) })
	}
	tasks.Go(func() error { return d.judge.FollowRoutes(ctx, d.router) })
	if d.tokens != nil {
		tasks.Go(func() error { return d.tokens.Run(ctx) })
	}
	tasks.Go(func() error { return d.forwarder.Run(ctx) })
	tasks.Go(func() error { return d.forwarder.ADS().Serve(ctx, l.ads) })
	tasks.Go(func() error { return listen.Serve(ctx, l.api, d.api.Handler()) })
	if l.remoteAPI != nil {
		tasks.Go(func() error { return d.serveOperators(ctx, l.remoteAPI) })
	}
	if l.remoteADS != nil {
		creds := grpc.Creds(credentials.NewTLS(d.id.OwnServerTLS()))
		tasks.Go(func() error { return d.forwarder.ADS().Serve(ctx, l.remoteADS, creds) })
	}
	if d.graph != nil {
		tasks.Go(func() error { return d.graph.Run(ctx, l.graph) })
	}
	if d.mesh != nil {
		tasks.Go(func() error { return d.mesh.Run(ctx, d.api, d.graph.Registry()) })
	}
	if l.admin != nil {
		tasks.Go(func() error {
			return listen.Serve(ctx, l.admin, admin.Handler(d.tel.Metrics, d.checks(), d.warnings))
		})
	}
	if l.web != nil {
		tasks.Go(func() error { return d.serveWeb(ctx, l.web) })
	}
	if l.bundle != nil {
		tasks.Go(func() error { return d.trust.ServeWeb(ctx, l.bundle, d.cfg.BundleEndpoint.URL) })
	}
	if d.names != nil {
		tasks.Go(func() error { return d.names.Run(ctx, l.dns) })
	}
	if d.envoy != nil {
		tasks.Go(func() error { return d.envoy.Run(ctx) })
	}
}

// pathKey reads the key with which the node signs paths, if it is given one.
func (d *Daemon) pathKey() (id string, sign func([]byte) ([]byte, error), err error) {
	if d.cfg.Peering.PathKey == "" {
		return "", nil, nil
	}
	key, err := attested.ReadKey(d.cfg.Peering.PathKey)
	if err != nil {
		return "", nil, fmt.Errorf("peering.path-key: %w", err)
	}
	return key.ID, key.SignHop, nil
}

// attested keeps what organisations attest of their origins.
func (d *Daemon) attested() *attested.Keeper {
	k := &attested.Keeper{Dir: filepath.Join(d.cfg.Data, "attestations"), Log: d.tel.Log}
	if d.router != nil { // a nil pointer would be a Router all the same
		k.Router = d.router
	}
	return k
}

// restore gives the router what the operator ordered before.
func (d *Daemon) restore(ctx context.Context) error {
	if err := offerers.Restore(ctx, d.router, d.journal); err != nil {
		return err
	}
	if err := d.attested().Restore(ctx); err != nil {
		return err
	}
	if err := d.offer.Restore(ctx); err != nil {
		return err
	}
	if err := d.judge.GuardRoutes(ctx, d.router); err != nil {
		return err
	}
	peers, err := d.journal.Peers(ctx)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if err := d.router.Do(ctx, speaker.PeerSet{Peer: api.PeerOf(p)}); err != nil {
			return err
		}
	}
	d.forwarder.Restored()
	return d.router.Do(ctx, speaker.Restored{})
}
