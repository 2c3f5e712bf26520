// Package daemon wires a node together: the router, the compiler and its ADS server, the supervised Envoy, the journal, the operator API and the
// metrics endpoint, as a short list of tasks of which the first to fail ends the others.
package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/record"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/probe"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/cmd/internal/walk"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
	"github.com/catalyst-router/catalyst/xds/fib"
)

// Daemon is a node.
type Daemon struct {
	cfg        *config.Config
	version    string
	tel        *telemetry.Telemetry
	id         *identity.Source
	self       bgp.NodeID
	data       string // absolute
	bootID     uint64
	started    time.Time
	journal    *journal.Journal
	router     *peering.Router
	ads        *ads.Server
	store      *fib.Store
	restarted  bool           // forwarding goes on over this start: the tables have to be complete before it is changed
	left       []xds.Resource // what an earlier process kept; nil once it is restored
	ports      *envoy.PortPool
	sup        *envoy.Supervisor // nil without Envoy
	fwd        *forwarder
	quarantine *quarantine
	graph      *federation // nil without gateway
	probes     *probe.Set
	met        *metrics
	walker     *walk.Walker
	recorder   *record.Recorder // nil if nothing is recorded
	listeners  []net.Listener   // closed at the end

	mu       sync.Mutex
	draining bool // guarded by mu

	announcing sync.Mutex // held while the router is told of a service of this node, so that the newest word is the last
}

// Paths of a node's files below its data directory.
const (
	journalFile = "journal.db"
	adsSocket   = "ads.sock"
	adminSocket = "envoy-admin.sock"
	tcpSocket   = "tcp.sock"
	recordings  = "recording"
	maxDataPath = 85 // a Unix socket's path may have 107 characters
)

// New opens what a node needs and starts nothing.
func New(ctx context.Context, cfg *config.Config, version string, tel *telemetry.Telemetry, id *identity.Source) (*Daemon, error) {
	d := &Daemon{cfg: cfg, version: version, tel: tel, id: id, self: id.Material().Node, started: time.Now()}
	var boot [8]byte
	if _, err := rand.Read(boot[:]); err != nil {
		return nil, fmt.Errorf("draw a boot id: %w", err)
	}
	d.bootID = binary.LittleEndian.Uint64(boot[:]) | 1
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	var err error
	if d.data, err = filepath.Abs(cfg.Data); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if len(d.data) > maxDataPath {
		return nil, fmt.Errorf("data: %s is longer than %d characters, and Unix sockets in it would be too long: choose a shorter directory", d.data, maxDataPath)
	}
	if d.journal, err = journal.Open(ctx, filepath.Join(cfg.Data, journalFile)); err != nil {
		return nil, err
	}
	if err := d.dataPlane(ctx); err != nil {
		return nil, errors.Join(err, d.journal.Close())
	}
	d.restarted = d.preserved()
	d.met = newMetrics(tel.Meter)
	d.walker = newWalker(d)
	recorder, err := d.openRecorder()
	if err != nil {
		return nil, errors.Join(err, d.journal.Close())
	}
	d.router = peering.New(peering.Config{
		Identity: id, Log: tel.Log, Observe: d.met.stepped, Answer: d.answer(), Recorder: recorder,
		Speaker: speaker.Config{
			Self: d.self, BootID: d.bootID, Ingress: cfg.Envoy.Advertise, GracefulRestart: cfg.Peering.GracefulRestart,
			LongLivedStale: cfg.Peering.LongLivedStale, Deferral: cfg.Peering.Deferral, Restarting: d.restarted,
		},
	})
	d.fwd = newForwarder(d)
	if cfg.Gateway.Listen != "" {
		if d.graph, err = newFederation(ctx, d); err != nil {
			return nil, errors.Join(err, d.journal.Close())
		}
	}
	d.probes = probe.NewSet(probe.Config{Log: tel.Log, Changed: d.healthChanged})
	return d, d.met.observe(d)
}

// dataPlane prepares ports, ADS and the supervisor.
func (d *Daemon) dataPlane(ctx context.Context) error {
	ports, err := envoy.ParsePorts(d.cfg.Envoy.TCPPorts)
	if err != nil {
		return err
	}
	kept, err := d.journal.Ports(ctx)
	if err != nil {
		return err
	}
	d.ports = envoy.NewPortPool(ports, kept, d.journal)
	d.openStore()
	d.quarantine = newQuarantine(d)
	d.ads = ads.NewServer(ads.Config{
		Log: d.tel.Log, Store: d.store, OnQuarantine: d.quarantine.poke,
		OnAck: func(a ads.Acknowledged) { d.fwd.acknowledged(a) }, OnNack: func(r ads.Refused) { d.met.refused(r) },
	})
	if !d.cfg.Envoy.Enabled {
		return nil
	}
	binary, err := envoy.Find(d.cfg.Envoy.Binary)
	if err != nil {
		return err
	}
	d.sup = envoy.NewSupervisor(envoy.SupervisorConfig{Binary: binary, Dir: d.data, Log: d.tel.Log, Concurrency: d.cfg.Envoy.Workers, Bootstrap: d.bootstrap(d.data)})
	return nil
}

func (d *Daemon) bootstrap(dir string) envoy.BootstrapConfig {
	return envoy.BootstrapConfig{NodeID: d.self.String(), ADS: filepath.Join(dir, adsSocket), Admin: filepath.Join(dir, adminSocket)}
}

func (d *Daemon) compilerConfig() xds.Config {
	return xds.Config{Socket: filepath.Join(d.data, tcpSocket), Self: d.self, Ingress: d.cfg.Envoy.Ingress, Egress: d.cfg.Envoy.Egress, AccessLog: d.cfg.Envoy.AccessLog, Ports: d.ports}
}

// Run runs the node until ctx ends. The cause of ctx says how: ErrFarewell for good, anything else for a restart, in which Envoy and the
// peers go on with what they have.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	peers, err := d.listen("tcp", d.cfg.Peering.Listen, "peering.listen")
	if err != nil {
		return err
	}
	adsListener, err := d.listen("unix", filepath.Join(d.cfg.Data, adsSocket), "data")
	if err != nil {
		return err
	}
	remoteADS, err := d.listen("tcp", d.cfg.Envoy.ADS, "envoy.ads")
	if err != nil {
		return err
	}
	api, err := d.listen("unix", d.cfg.Socket, "socket")
	if err != nil {
		return err
	}
	admin, err := d.listen("tcp", d.cfg.Admin, "admin")
	if err != nil {
		return err
	}
	if err := d.restoreForwarding(); err != nil {
		return err
	}
	// The router outlives the others, so that it can say farewell.
	routerCtx, stopRouter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRouter()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	recordCtx, stopRecord := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error { defer stopRecord(); return d.router.Run(routerCtx, peers) })
	if d.recorder != nil {
		g.Go(func() error { return d.recorder.Run(recordCtx) }) // to the router's last event
	}
	g.Go(func() error { return d.id.Run(ctx, d.tel.Log) })
	g.Go(func() error { return d.fwd.run(ctx) })
	g.Go(func() error { return d.quarantine.run(ctx) })
	g.Go(func() error { return d.store.Run(ctx) })
	g.Go(func() error { return d.probes.Run(ctx) })
	g.Go(func() error { return d.ads.Serve(ctx, adsListener) })
	if remoteADS != nil {
		g.Go(func() error {
			return d.ads.Serve(ctx, remoteADS, grpc.Creds(credentials.NewTLS(d.id.OwnServerTLS())))
		})
	}
	g.Go(func() error { return serveHTTP(ctx, api, d.operatorAPI()) })
	if d.graph != nil {
		g.Go(func() error { return d.graph.run(ctx) })
	}
	if admin != nil {
		g.Go(func() error { return serveHTTP(ctx, admin, d.adminHTTP()) })
	}
	if d.sup != nil {
		g.Go(func() error { return d.sup.Run(ctx) })
	}
	if err := d.restore(ctx); err != nil {
		cancel()
		stopRouter()
		return errors.Join(err, g.Wait())
	}
	d.tel.Log.Info("node is up", "node", d.self.String(), "peering", d.cfg.Peering.Listen, "egress", d.cfg.Envoy.Egress, "ingress", d.cfg.Envoy.Ingress, "socket", d.cfg.Socket)
	<-ctx.Done()
	d.farewell(context.Cause(ctx))
	stopRouter()
	return g.Wait()
}

// ErrFarewell as the cause of Run's context ends the node for good: peers are told, and its Envoy is stopped.
var ErrFarewell = errors.New("stopped by the operator") //nolint:gochecknoglobals // a sentinel

func (d *Daemon) farewell(cause error) {
	if !errors.Is(cause, ErrFarewell) {
		d.tel.Log.Info("node stops, Envoy and peers go on with what they have", "cause", cause)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := d.router.Do(ctx, speaker.Shutdown{Text: "stopped by the operator"})
	if d.sup != nil {
		err = errors.Join(err, d.sup.Stop(ctx))
	}
	d.tel.Log.Info("node stopped, peers are told", "error", err)
}

func (d *Daemon) close() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
	if err := d.journal.Close(); err != nil {
		d.tel.Log.Error("close the journal", "error", err)
	}
}

// listen opens a listener, which is nil for an empty address. A Unix socket that nobody listens on any more is replaced; one that is in
// use belongs to a node that runs.
func (d *Daemon) listen(network, address, key string) (net.Listener, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no listener is asked for
	}
	if network == "unix" {
		if c, err := net.DialTimeout(network, address, time.Second); err == nil { //nolint:noctx // local
			_ = c.Close()
			return nil, fmt.Errorf("%s: %s is in use: another node runs over this data directory", key, address)
		}
		_ = os.Remove(address)
	}
	l, err := net.Listen(network, address) //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	d.listeners = append(d.listeners, l)
	if network == "unix" {
		if err := os.Chmod(address, 0o600); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return l, nil
}

// restore gives the router what the operator ordered before.
func (d *Daemon) restore(ctx context.Context) error {
	if err := d.restoreServices(ctx); err != nil {
		return err
	}
	peers, err := d.journal.Peers(ctx)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if err := d.router.Do(ctx, speaker.PeerSet{Peer: peerOf(p)}); err != nil {
			return err
		}
	}
	d.fwd.restored()
	return d.router.Do(ctx, speaker.Restored{})
}

func (d *Daemon) operatorAPI() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", operator.Handler(&backend{d}, owner{}))
	return mux
}

// owner allows everything: whoever can open the Unix socket owns the node.
type owner struct{}

// Authorize implements operator.Authorizer.
func (owner) Authorize(context.Context, string) error { return nil }

func (d *Daemon) adminHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.tel.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if why := d.notReady(r.Context()); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return mux
}

// notReady says what is missing before the node serves; "" if nothing is.
func (d *Daemon) notReady(ctx context.Context) string {
	select {
	case <-d.router.Published():
	default:
		return "waiting for the tables of peers"
	}
	if d.sup != nil && !d.sup.Admin().Ready(ctx) {
		return "Envoy is not ready"
	}
	if err := d.id.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// openRecorder opens the recording, if one is asked for.
func (d *Daemon) openRecorder() (peering.Recorder, error) {
	if !d.cfg.Recording.Enabled {
		return nil, nil //nolint:nilnil // none is asked for
	}
	dir := d.cfg.Recording.Directory
	if dir == "" {
		dir = filepath.Join(d.data, recordings)
	}
	var err error
	d.recorder, err = record.Open(record.Config{Dir: dir, Bytes: int64(d.cfg.Recording.Megabytes) << 20, Version: d.version, Log: d.tel.Log})
	return d.recorder, err
}
