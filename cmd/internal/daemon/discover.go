package daemon

import (
	"cmp"
	"context"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/dir"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/docker"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/kubernetes"
	"github.com/catalyst-router/catalyst/cmd/internal/imported"
)

// discovery makes what finds services. Without a source it removes what was found when there was one.
func (d *Daemon) discovery() error {
	sources, err := d.cfg.Sources()
	if err != nil {
		return err
	}
	cfg := discover.Config{Hold: d.cfg.DiscoverHold, Log: d.tel.Log, Meter: d.tel.Meter}
	for _, s := range sources {
		switch s.Kind {
		case config.SourceDirectory:
			cfg.Sources = append(cfg.Sources, dir.New(s.Text, s.Path, d.tel.Log))
		case config.SourceDocker:
			cfg.Sources = append(cfg.Sources, docker.New(s.Text, s.Path))
		case config.SourceKubernetes:
			cfg.Sources = append(cfg.Sources, kubernetes.New(s.Text, d.cluster, d.cfg.Kubernetes.Namespaces, d.tel.Log))
		}
	}
	if d.found, err = discover.New(cfg); err != nil || len(d.cfg.Kubernetes.Import) == 0 {
		return err
	}
	return d.imports()
}

// connect makes the client of the Kubernetes cluster, if one is asked for.
func (d *Daemon) connect() (err error) {
	if d.cfg.NeedsCluster() {
		d.cluster, err = cluster.Connect(d.cfg.Kubernetes.Kubeconfig)
	}
	return err
}

// clusterNamespace is the namespace into which services are brought; "" for none.
func (d *Daemon) clusterNamespace() string {
	if len(d.cfg.Kubernetes.Import) == 0 {
		return ""
	}
	return cmp.Or(d.cfg.Kubernetes.Namespace, d.cluster.Namespace())
}

// imports makes what brings services of other nodes into the cluster.
func (d *Daemon) imports() (err error) {
	k := &d.cfg.Kubernetes
	egress, err := bgp.ParseEndpoint(d.cfg.Envoy.Egress)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(k.Address)
	if err != nil {
		return err
	}
	pod, uid := k.PodName()
	d.imported, err = imported.New(imported.Config{
		Cluster: d.cluster, Namespace: d.clusterNamespace(), Select: k.Import, Node: d.self, Address: address.Unmap(),
		Egress: egress.Port, Pod: pod, PodUID: uid, Owner: k.Owner, Router: d.router, Port: d.ports.Of,
		Hidden: d.judge.Hidden, Hold: d.cfg.DiscoverHold, Log: d.tel.Log, Meter: d.tel.Meter,
	})
	return err
}

// discover offers what is found, once what was found before the restart is offered again.
func (d *Daemon) discover(ctx context.Context, tasks *errgroup.Group) {
	tasks.Go(func() error { return d.found.Run(ctx, d.api) })
	if d.imported != nil {
		tasks.Go(func() error { return d.imported.Run(ctx) })
	}
}
