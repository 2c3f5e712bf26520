// Package daemon wires a node together: the rooms beside it (offer, forwarding, trace, gateway, api), the router, the
// supervised Envoy and the journal, as a short list of tasks of which the first to fail ends the others. What a node
// does is in those rooms; here is only who is given what, and in which order things begin and end.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/record"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/admin"
	"github.com/catalyst-router/catalyst/cmd/internal/api"
	"github.com/catalyst-router/catalyst/cmd/internal/audit"
	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/cmd/internal/forwarding"
	"github.com/catalyst-router/catalyst/cmd/internal/gateway"
	"github.com/catalyst-router/catalyst/cmd/internal/imported"
	"github.com/catalyst-router/catalyst/cmd/internal/judge"
	"github.com/catalyst-router/catalyst/cmd/internal/ledger"
	"github.com/catalyst-router/catalyst/cmd/internal/localports"
	"github.com/catalyst-router/catalyst/cmd/internal/metrics"
	"github.com/catalyst-router/catalyst/cmd/internal/nameserver"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/cmd/internal/ondemand"
	"github.com/catalyst-router/catalyst/cmd/internal/tap"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/cmd/internal/tokens"
	"github.com/catalyst-router/catalyst/cmd/internal/trace"
	"github.com/catalyst-router/catalyst/cmd/internal/trust"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/underway"
)

// Daemon is a node.
type Daemon struct {
	cfg     *config.Config
	tel     *telemetry.Telemetry
	id      *identity.Source
	member  *member.Member // nil for a bundle that was issued by hand
	self    bgp.NodeID
	data    string // absolute
	started time.Time

	journal   *journal.Journal
	router    *peering.Router
	offer     *offer.Offer
	ports     *localports.Book
	envoy     *envoy.Supervisor // nil without Envoy
	demand    *ondemand.Room    // nil where Envoy has all services
	forwarder *forwarding.Forwarder
	tracer    *trace.Tracer
	api       *api.API
	graph     *gateway.Routes  // nil without gateway
	mesh      *api.Mesh        // nil unless gateway.operator
	recorder  *record.Recorder // nil if nothing is recorded
	judge     *judge.Judge
	tap       *tap.Tap // nil if calls are not told of
	underway  *underway.Server
	tokens    *tokens.Tokens // nil if tokens are not looked at
	trust     *trust.Room
	ledger    *ledger.Ledger
	audit     *audit.Log
	names     *nameserver.Server // nil without dns
	found     *discover.Room
	cluster   *cluster.Cluster // nil without Kubernetes
	imported  *imported.Room   // nil unless services are brought into a cluster
}

// Paths of a node's files below its data directory.
const (
	journalFile  = "journal.db"
	adsSocket    = "ads.sock"
	adminSocket  = "envoy-admin.sock"
	tcpSocket    = "tcp.sock"
	askedSocket  = "asked.sock"
	policySocket = "policy.sock"
	watchSocket  = "underway.sock"
	usedFile     = "used.json"
	recordings   = "recording"
	maxDataPath  = 85 // a Unix socket's path may have 107 characters
)

// New opens what a node needs and starts nothing. m is nil for a node whose bundle was issued by hand.
func New(
	ctx context.Context, cfg *config.Config, version string, tel *telemetry.Telemetry, id *identity.Source,
	m *member.Member,
) (*Daemon, error) {
	d := &Daemon{cfg: cfg, tel: tel, id: id, member: m, self: id.Material().Node, started: time.Now()}
	if err := d.directory(); err != nil {
		return nil, err
	}
	var err error
	if d.journal, err = journal.Open(ctx, filepath.Join(cfg.Data, journalFile)); err != nil {
		return nil, err
	}
	for _, damage := range d.journal.Damage() {
		tel.Log.Error("the journal is damaged, and this is not served", "kind", damage.Kind, "key", damage.Key, "why",
			damage.Why, "found", damage.At)
	}
	if err := d.rooms(ctx, version); err != nil {
		return nil, errors.Join(err, d.journal.Close())
	}
	return d, nil
}

// Introduce keeps a node of this organisation as a peer, before Run.
func (d *Daemon) Introduce(ctx context.Context, node, address string) error {
	return d.api.Introduce(ctx, node, address)
}

// rooms makes everything that a node consists of, each part after those that it needs.
func (d *Daemon) rooms(ctx context.Context, version string) error {
	limits := d.limits()
	if err := d.supervisor(limits); err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	kept, err := d.localPorts(ctx, forwarding.Kept(d.data, d.tel.Log))
	if err != nil {
		return err
	}
	// Forwarding goes on over this start if Envoy runs still, or can be given at once what it had (RFC 4724 §4.1).
	restarted := d.envoy != nil && d.envoy.Running() != 0 || len(kept) > 0
	met := metrics.New(d.tel.Meter)
	if d.audit, err = audit.Open(filepath.Join(d.data, audit.File), d.tel.Log); err != nil {
		return err
	}
	if err := d.others(ctx); err != nil {
		return err
	}
	if err := d.routing(boot, version, restarted, met); err != nil {
		return err
	}
	if err := d.policies(ctx); err != nil {
		return err
	}
	if err := d.connect(); err != nil {
		return err
	}
	compiler := d.compiler(limits)
	d.offer = offer.New(offer.Config{
		Node: d.self, Router: d.router, Journal: d.journal, Log: d.tel.Log, Tracer: d.tel.Tracer, Names: d.lookups(),
		Identity: d.id,
	})
	peers, err := d.journal.Peers(ctx)
	if err != nil {
		return err
	}
	if err := d.calls(); err != nil {
		return err
	}
	if d.demand, err = d.demanded(kept); err != nil {
		return err
	}
	d.forwarder = d.forwarding(compiler, kept, restarted, met, peers)
	if err := d.nameserver(peers); err != nil {
		return err
	}
	policy := trace.Organisation
	if d.cfg.Peering.Trace == "given" {
		policy = trace.Given
	}
	d.tracer = trace.New(trace.NewNode(trace.NodeConfig{
		Node: d.self, Router: d.router, Offer: d.offer, Forwarding: d.forwarder, Identity: d.id, Envoy: d.envoy,
		Egress: d.cfg.Envoy.Egress, Port: d.ports.Of, Tunnel: compiler.TunnelSocket, Calls: d.remembered(),
		Join: d.joined(),
	}), policy, peering.NewTraceID)
	if err := d.gateway(ctx); err != nil {
		return err
	}
	if err := d.discovery(); err != nil {
		return err
	}
	d.api = api.New(api.Config{
		Node:     d.self,
		Version:  version,
		Log:      d.tel.Log,
		BootID:   boot,
		Started:  d.started,
		Config:   d.cfg,
		Identity: d.id,
		Router:   d.router,
		Journal:  d.journal,
		Attested: d.attested(),
		Offer:    d.offer, Forwarder: d.forwarder, Tracer: d.tracer, Ports: d.ports, Demand: d.demand, Envoy: d.envoy,
		Graph:    d.graph,
		Warnings: d.warnings, Renew: d.renew(), Judge: d.judge, Trust: d.trust, Ledger: d.used(), Names: d.names, Tap: d.tap,
		Tokens: d.tokens, Discover: d.found, Imported: d.imported, Audit: d.audit, Member: d.memberStatus(),
		Missing: func(ctx context.Context) []string { return admin.Missing(ctx, d.checks()) },
	})
	if d.envoy != nil {
		if err := d.tel.Collect(metrics.NewCalls(d.envoy.Admin().Get, d.tel.Log)); err != nil {
			return err
		}
	}
	return met.Observe(metrics.Sources{
		Query: d.router.Query, Damage: len(d.journal.Damage()), Checked: d.offer.Checked, Problems: d.forwarder.Problems,
		Validity: d.id.Validities, Underway: d.underway.Counts,
		CutOff: func() int { return len(d.forwarder.ADS().CutOffs()) }, Ports: func() (taken, free int) {
			all, free, _ := d.ports.List()
			return len(all), free
		},
	})
}

// supervisor prepares that of this node's own Envoy, if it is to have one.
func (d *Daemon) supervisor(limits xds.Limits) error {
	if !d.cfg.Envoy.Enabled {
		return nil
	}
	binary, err := envoy.Find(d.cfg.Envoy.Binary)
	if err != nil {
		return err
	}
	d.envoy = envoy.NewSupervisor(envoy.SupervisorConfig{
		Binary: binary, Dir: d.data, Log: d.tel.Log, Concurrency: d.cfg.Envoy.Workers,
		Bootstrap: envoy.BootstrapConfig{
			NodeID: d.self.String(), ADS: filepath.Join(d.data, adsSocket), Admin: filepath.Join(d.data, adminSocket),
			Tunnels:  len(d.cfg.Envoy.TunnelsTo)+len(d.cfg.Envoy.TunnelsFrom) > 0,
			Overload: d.overload(limits),
		},
	})
	return nil
}

// routing makes the recorder, if one is asked for, and the router.
func (d *Daemon) routing(boot uint64, version string, restarted bool, met *metrics.Metrics) error {
	var recorder peering.Recorder
	if c := d.cfg.Recording; c.Enabled {
		dir := c.Directory
		if dir == "" {
			dir = filepath.Join(d.data, recordings)
		}
		var err error
		d.recorder, err = record.Open(record.Config{
			Dir:     dir,
			Bytes:   int64(c.Megabytes) << 20,
			Version: version,
			Log:     d.tel.Log,
		})
		if err != nil {
			return err
		}
		recorder = d.recorder
	}
	var answer peering.Answer // nil declines what peers ask
	if d.cfg.Peering.Trace != "off" {
		answer = func(ctx context.Context, from bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop {
			return d.tracer.Answer(ctx, from, req)
		}
	}
	explain, err := speaker.ParseExplain(d.cfg.Peering.Explain)
	if err != nil {
		return err
	}
	pathKey, signHop, err := d.pathKey()
	if err != nil {
		return err
	}
	d.router = peering.New(peering.Config{
		Identity: d.id, Log: d.tel.Log, Observe: met.Stepped, Answer: answer, Recorder: recorder,
		Admit:    func(ctx context.Context, remote bgp.NodeID) { d.api.Admit(ctx, remote) },
		Endpoint: d.trust, SignHop: signHop,
		Bulletin: func(from bgp.NodeID, body []byte) { d.judge.Heard(from, body) },
		Serving:  d.serving(),
		Speaker: speaker.Config{
			Self: d.self, BootID: boot, Ingress: d.cfg.Envoy.Advertise, GracefulRestart: d.cfg.Peering.GracefulRestart,
			LongLivedStale: d.cfg.Peering.LongLivedStale, Deferral: d.cfg.Peering.Deferral, Restarting: restarted,
			HoldNames: d.cfg.Peering.HoldNames, Explain: explain, PathKey: pathKey,
			Guards: func(ev speaker.Guarded) speaker.Guards { return d.judge.Guards(ev) },
		},
	})
	return nil
}

// policies makes what decides by policy.
func (d *Daemon) policies(ctx context.Context) (err error) {
	c := d.cfg.Policy
	if d.tokens, err = d.believed(ctx); err != nil {
		return err
	}
	cfg := judge.Config{
		Data: d.data, Log: d.tel.Log, Meter: d.tel.Meter, Tracer: d.tel.Tracer, ServiceHeader: xds.ServiceHeader,
		Headers: c.Headers,
		Shadow:  c.Enforce == "shadow", Sample: c.Sample, Egress: c.Egress && c.Enforce == "on",
		Routes:  c.Enforce == "on",
		Sharing: d.sharing(),
	}
	if d.tokens != nil {
		cfg.Tokens = d.tokens
	}
	d.judge, err = judge.Open(ctx, cfg)
	return err
}

func (d *Daemon) forwarding(
	compiler xds.Config, kept []xds.Resource, restarted bool, met *metrics.Metrics, peers []journal.Peer,
) *forwarding.Forwarder {
	d.underway = underway.New(underway.Config{Org: d.self.Org, Log: d.tel.Log})
	cfg := forwarding.Config{
		Node:       d.self,
		Data:       d.data,
		Router:     d.router,
		Offer:      d.offer,
		Identity:   d.id,
		Metrics:    met,
		Log:        d.tel.Log,
		Tracer:     d.tel.Tracer,
		Supervised: d.envoy != nil, Kept: kept, Ports: d.ports, Envoys: d.whichEnvoy,
		Compiler: compiler, Admitted: d.underway.Admit, Demand: d.demand, ListenTCP: d.cfg.Envoy.TCP,
		Dialled: func(svc bgp.Service) {
			if d.names != nil {
				d.names.Dialled(svc)
			}
		},
	}
	if d.tap != nil {
		cfg.Register = d.tap.Register
	}
	cfg.AdmitOrganisation = d.cfg.Envoy.Admit == "organisation"
	for _, p := range peers {
		if !p.Disabled {
			cfg.Peers = append(cfg.Peers, p.Node)
		}
	}
	if restarted {
		cfg.Deferral = d.started.Add(d.cfg.Peering.Deferral)
	}
	return forwarding.New(cfg)
}

// gateway makes the gateway over the routes, if one is asked for.
func (d *Daemon) gateway(ctx context.Context) error {
	if d.cfg.Gateway.Listen == "" {
		return nil
	}
	rules := d.cfg.Gateway
	rules.Memory = cmp.Or(rules.Memory, filepath.Join(d.cfg.Data, "graph.json"))
	var revoked bearer.Revocations // nil: nobody is followed
	if d.tokens != nil {
		revoked = d.tokens.Revocations()
	}
	g, err := gateway.New(ctx, rules, revoked, d.tel)
	if err != nil {
		return err
	}
	cfg := gateway.RoutesConfig{Router: d.router, Egress: d.cfg.Envoy.Egress, Schemas: d.cfg.Gateway.Schemas}
	if d.cfg.Gateway.Operator {
		d.mesh, err = api.NewMesh(ctx, api.MeshConfig{
			Node: d.self, Egress: d.cfg.Envoy.Egress, Offer: d.offer, Verifier: g.Verifier(), Identity: d.id,
			Client: &http.Client{Transport: g.H2C()}, Log: d.tel.Log,
		})
		if err != nil {
			return err
		}
		cfg.Seen = d.mesh.Seen
	}
	d.graph = g.Routes(cfg)
	return nil
}
