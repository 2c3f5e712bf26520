package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/policy"
)

// The identity service's files in the organisation's directory.
const (
	authStore  = "auth.db"
	authSocket = "auth.sock"
	adminDir   = "admin"
)

// authAt says where the identity service is, by flags.
type authAt struct {
	dir, store, seal  *string
	address, identity *string
}

func (a *app) authFlags(cmd *cobra.Command, dir *string) *authAt {
	f := cmd.PersistentFlags()
	if dir == nil {
		dir = f.String("dir", defaultOrg(), "directory of the organisation, as catalyst org init made it")
	}
	return &authAt{
		dir: dir,
		store: f.String("store", os.Getenv("CATALYST_AUTH_STORE"),
			"postgres:// URL or file of the identity store; empty for auth.db in the directory ($CATALYST_AUTH_STORE)"),
		seal: f.String("seal-key", "",
			"file with the key that private keys are sealed under, mode 0600; empty for $CATALYST_AUTH_SEAL_KEY, or "+
				"seal.key in the directory"),
		address: f.String("auth", os.Getenv("CATALYST_AUTH"),
			"HOST:PORT of an identity service elsewhere; wants --as ($CATALYST_AUTH)"),
		identity: f.String("as", "", "directory of the certificate to show there, such as org/admin"),
	}
}

// open opens the store and the service over it.
func (at *authAt) open(ctx context.Context, a *app, cfg service.Config) (*service.Service, *store.Store, error) {
	authority, err := at.authority()
	if err == nil {
		err = at.sealAuthority()
	}
	if err != nil {
		return nil, nil, err
	}
	where := *at.store
	if where == "" {
		where = filepath.Join(*at.dir, authStore)
	}
	st, err := store.Open(ctx, where)
	if err != nil {
		return nil, nil, err
	}
	cfg.Store, cfg.Org, cfg.Authority = st, authority.Org, authority
	if cfg.Sealer, err = at.sealing().Sealer(); err == nil {
		if cfg.Log == nil {
			cfg.Log = telemetry.Logger(a.io.Err, "warn", "text")
		}
		var svc *service.Service
		if svc, err = service.New(ctx, cfg); err == nil {
			return svc, st, nil
		}
	}
	return nil, nil, errors.Join(err, st.Close())
}

// authority reads the CA in the directory.
func (at *authAt) authority() (*ca.Authority, error) {
	return disk.LoadSealedCA(*at.dir, at.sealing().Opener)
}

// sealing says where the key is that private keys are sealed under: in a file that the operator names, the environment,
// or the machine's own file.
func (at *authAt) sealing() seal.Place {
	p := seal.Place{File: *at.seal, Own: filepath.Join(*at.dir, disk.SealFile)}
	if p.File == "" {
		p.Key = os.Getenv("CATALYST_AUTH_SEAL_KEY")
	}
	return p
}

// sealAuthority seals the CA's key, if it lies in clear.
func (at *authAt) sealAuthority() error {
	s, err := at.sealing().Sealer()
	if err != nil {
		return err
	}
	_, err = disk.SealCA(*at.dir, s)
	return err
}

// client reaches the identity service: the one elsewhere that the flags name, that which runs over the directory, or
// the directory itself.
func (at *authAt) client(ctx context.Context, a *app) (*server.Client, func(), error) {
	if *at.address != "" {
		return at.remote()
	}
	socket := filepath.Join(*at.dir, authSocket)
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket); err == nil {
		_ = c.Close()
		return server.NewOwnerClient(socket), func() {}, nil
	}
	svc, st, err := at.open(ctx, a, service.Config{})
	if err != nil {
		return nil, nil, err
	}
	srv := server.New(server.Config{Service: svc, Log: telemetry.Logger(a.io.Err, "error", "text")})
	return server.NewLocalClient(srv.Owner()), func() { _ = st.Close() }, nil
}

// remote shows a certificate, and takes the service's by the root beside it.
func (at *authAt) remote() (*server.Client, func(), error) {
	if *at.identity == "" {
		return nil, nil, usageError{errors.New("--auth wants --as: the directory of the certificate to show, such " +
			"as org/admin")}
	}
	pair, err := config.VaultIn(*at.identity, "").Pair()
	if err != nil {
		return nil, nil, usageError{err}
	}
	roots := x509.NewCertPool()
	files, err := filepath.Glob(filepath.Join(*at.identity, disk.BundleGlob))
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, nil, err
		}
		roots.AppendCertsFromPEM(b)
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{pair},
	}}
	return server.NewClient("https://"+*at.address, tr), tr.CloseIdleConnections, nil
}

// call asks the identity service something.
func (at *authAt) call(cmd *cobra.Command, a *app, do func(ctx context.Context, c *server.Client) error) error {
	c, end, err := at.client(cmd.Context(), a)
	if err != nil {
		return err
	}
	defer end()
	return refusedUsage(do(cmd.Context(), c))
}

// refusedUsage makes what the service refused the caller's to mend.
func refusedUsage(err error) error {
	if server.IsRefusal(err) {
		return usageError{err}
	}
	return err
}

// nameless asks the service elsewhere without a certificate, by its roots in a file.
func (at *authAt) nameless(file string) (*server.Client, func(), error) {
	if *at.address == "" {
		return nil, nil, errors.New("--roots wants --auth: HOST:PORT of the identity service that is asked")
	}
	roots, err := rootsIn(file)
	if err != nil {
		return nil, nil, fmt.Errorf("--roots: %w", err)
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots,
	}}
	return server.NewClient("https://"+*at.address, tr), tr.CloseIdleConnections, nil
}

func (a *app) authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "auth", Short: "Run the organisation's identity service: joining, certificates, tokens, revocation",
		Args: exactArgs(0, "no arguments"),
		Long: "Run the identity service over the organisation's directory until it is told to stop.\n\n" +
			"Nodes and services reach it by TLS; catalyst on this machine by a Unix socket in the directory, whose owner " +
			"may do everything.\n" +
			"Several may run over one PostgreSQL (--store), each with the same directory and sealing key.",
	}
	at := a.authFlags(cmd, nil)
	f := cmd.Flags()
	address := f.String("listen", "127.0.0.1:7480", "HOST:PORT for nodes and services, over TLS")
	advertise := f.String("advertise", "", "HOST:PORT under which they reach it; empty for --listen")
	issuer := f.String("issuer", "", "iss of the organisation's tokens, an https URL; empty for https://auth.ORGANISATION")
	life := f.Duration("life", ca.DefaultLife,
		"how long nodes' certificates are valid, 1m to 24h; they are renewed at half of it")
	most := f.Duration("max-ttl", 24*time.Hour, "the longest that a token may be asked for, 1m to 24h")
	external := f.String("external", "",
		"YAML file of external issuers (OIDC) whose tokens are accepted, or exchanged for another organisation")
	followers := f.String("followers", "",
		"directory with ORGANISATION.bundle.pem of other organisations, whose nodes may follow what this one revokes")
	policies := f.StringArray("policies", nil,
		"file or directory of Cedar policies and entities that say who may mint, list and revoke tokens and manage the "+
			"rest, besides the defaults; read at the start, as often as needed")
	level := f.String("log-level", "info", "debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *advertise == "" {
			*advertise = *address
		}
		host, _, err := net.SplitHostPort(*advertise)
		if err != nil {
			return usageError{fmt.Errorf("--advertise: want HOST:PORT: %w", err)}
		}
		log := telemetry.Logger(a.io.Err, *level, "text")
		outside, err := readExternal(*external, log)
		if err != nil {
			return usageError{err}
		}
		set, err := compiled(*policies)
		if err != nil {
			return usageError{fmt.Errorf("--policies: %w", err)}
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		svc, st, err := at.open(ctx, a, service.Config{
			Address: *advertise, Issuer: *issuer, Life: *life, MaxTTL: *most, Log: log, Policies: set,
			External: outside.issuers, Foreign: outside.foreign,
		})
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		srv := server.New(server.Config{Service: svc, Hosts: []string{host}, Followers: *followers, Log: log})
		return serveAuth(ctx, a, *at.dir, *address, svc, srv, outside)
	}
	return cmd
}

// compiled are the policies of files, with the defaults.
func compiled(paths []string) (*policy.Snapshot, error) {
	src, err := sources(paths)
	if err != nil {
		return nil, err
	}
	return policy.Compile(src)
}

func serveAuth(
	ctx context.Context, a *app, dir, address string, svc *service.Service, srv *server.Server, outside *externals,
) error {
	network, err := listen.On(ctx, "tcp", address, "listen")
	if err != nil {
		return err
	}
	defer func() { _ = network.Close() }()
	owner, err := listen.On(ctx, "unix", filepath.Join(dir, authSocket), "dir")
	if err != nil {
		return err
	}
	defer func() { _ = owner.Close() }()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return svc.Run(ctx) })
	g.Go(func() error { return srv.Serve(ctx, network, owner) })
	outside.mine.Store(srv)
	g.Go(func() error { return outside.run(ctx) })
	a.say("The identity service of %s answers at %s.", svc.Org(), svc.Address())
	return g.Wait()
}
