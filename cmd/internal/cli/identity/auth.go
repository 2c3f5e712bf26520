package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/organisation"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/policy"
)

// nameless asks the service elsewhere without a certificate, by its roots in a file.
func nameless(at *organisation.At, file string) (*server.Client, func(), error) {
	if *at.Address == "" {
		return nil, nil, errors.New("--roots wants --auth: HOST:PORT of the identity service that is asked")
	}
	roots, err := rootsIn(file)
	if err != nil {
		return nil, nil, fmt.Errorf("--roots: %w", err)
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots,
	}}
	return server.NewClient("https://"+*at.Address, tr), tr.CloseIdleConnections, nil
}

func (a *app) authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "auth", Short: "Run the organisation's identity service: joining, certificates, tokens, revocation",
		Args: console.ExactArgs(0, "no arguments"),
		Long: "Run the identity service over the organisation's directory until it is told to stop.\n\n" +
			"Nodes and services reach it by TLS; catalyst on this machine by a Unix socket in the directory, whose owner " +
			"may do everything.\n" +
			"Several may run over one PostgreSQL (--store), each with the same directory and sealing key.",
	}
	at := organisation.Flags(cmd, nil)
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
			return console.Usage(fmt.Errorf("--advertise: want HOST:PORT: %w", err))
		}
		log := telemetry.Logger(a.IO.Err, *level, "text")
		outside, err := readExternal(*external, log)
		if err != nil {
			return console.Usage(err)
		}
		set, err := compiled(*policies)
		if err != nil {
			return console.Usage(fmt.Errorf("--policies: %w", err))
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		svc, st, err := at.Open(ctx, a.App, service.Config{
			Address: *advertise, Issuer: *issuer, Life: *life, MaxTTL: *most, Log: log, Policies: set,
			External: outside.issuers, Foreign: outside.foreign,
		})
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		srv := server.New(server.Config{Service: svc, Hosts: []string{host}, Followers: *followers, Log: log})
		return serveAuth(ctx, a, *at.Dir, *address, svc, srv, outside)
	}
	return cmd
}

// compiled are the policies of files, with the defaults.
func compiled(paths []string) (*policy.Snapshot, error) {
	src, err := console.PolicyFiles(paths)
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
	owner, err := listen.On(ctx, "unix", filepath.Join(dir, organisation.SocketFile), "dir")
	if err != nil {
		return err
	}
	defer func() { _ = owner.Close() }()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return svc.Run(ctx) })
	g.Go(func() error { return srv.Serve(ctx, network, owner) })
	outside.mine.Store(srv)
	g.Go(func() error { return outside.run(ctx) })
	a.Say("The identity service of %s answers at %s.", svc.Org(), svc.Address())
	return g.Wait()
}
