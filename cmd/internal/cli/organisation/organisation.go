// Package organisation is how commands reach an organisation: the directory of its CA, and its identity service.
package organisation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
)

// The identity service's files in the organisation's directory.
const (
	StoreFile  = "auth.db"
	SocketFile = "auth.sock"
	adminDir   = "admin"
)

// At says where the identity service is, by flags.
type At struct {
	Dir, Store, Seal  *string
	Address, Identity *string
}

// Flags adds the flags that say where; dir is another flag's, or nil for one of its own.
func Flags(cmd *cobra.Command, dir *string) *At {
	f := cmd.PersistentFlags()
	if dir == nil {
		dir = f.String("dir", console.DefaultOrg(), "directory of the organisation, as catalyst org init made it")
	}
	return &At{
		Dir: dir,
		Store: f.String("store", os.Getenv("CATALYST_AUTH_STORE"),
			"postgres:// URL or file of the identity store; empty for auth.db in the directory ($CATALYST_AUTH_STORE)"),
		Seal: f.String("seal-key", "",
			"file with the key that private keys are sealed under, mode 0600; empty for $CATALYST_AUTH_SEAL_KEY, or "+
				"seal.key in the directory"),
		Address: f.String("auth", os.Getenv("CATALYST_AUTH"),
			"HOST:PORT of an identity service elsewhere; wants --as ($CATALYST_AUTH)"),
		Identity: f.String("as", "", "directory of the certificate to show there, such as org/admin"),
	}
}

// Open opens the store and the service over it.
func (at *At) Open(ctx context.Context, a *console.App, cfg service.Config) (*service.Service, *store.Store, error) {
	authority, err := at.Authority()
	if err == nil {
		err = at.SealAuthority()
	}
	if err != nil {
		return nil, nil, err
	}
	where := *at.Store
	if where == "" {
		where = filepath.Join(*at.Dir, StoreFile)
	}
	st, err := store.Open(ctx, where)
	if err != nil {
		return nil, nil, err
	}
	cfg.Store, cfg.Org, cfg.Authority = st, authority.Org, authority
	if cfg.Sealer, err = at.Sealing().Sealer(); err == nil {
		if cfg.Log == nil {
			cfg.Log = telemetry.Logger(a.IO.Err, "warn", "text")
		}
		var svc *service.Service
		if svc, err = service.New(ctx, cfg); err == nil {
			return svc, st, nil
		}
	}
	return nil, nil, errors.Join(err, st.Close())
}

// Authority reads the CA in the directory.
func (at *At) Authority() (*ca.Authority, error) {
	return disk.LoadSealedCA(*at.Dir, at.Sealing().Opener)
}

// Sealing says where the key is that private keys are sealed under: in a file that the operator names, the environment,
// or the machine's own file.
func (at *At) Sealing() seal.Place {
	p := seal.Place{File: *at.Seal, Own: filepath.Join(*at.Dir, disk.SealFile)}
	if p.File == "" {
		p.Key = os.Getenv("CATALYST_AUTH_SEAL_KEY")
	}
	return p
}

// SealAuthority seals the CA's key, if it lies in clear.
func (at *At) SealAuthority() error {
	s, err := at.Sealing().Sealer()
	if err != nil {
		return err
	}
	_, err = disk.SealCA(*at.Dir, s)
	return err
}

// Client reaches the identity service: the one elsewhere that the flags name, that which runs over the directory, or
// the directory itself.
func (at *At) Client(ctx context.Context, a *console.App) (*server.Client, func(), error) {
	if *at.Address != "" {
		return at.remote()
	}
	socket := filepath.Join(*at.Dir, SocketFile)
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket); err == nil {
		_ = c.Close()
		return server.NewOwnerClient(socket), func() {}, nil
	}
	svc, st, err := at.Open(ctx, a, service.Config{})
	if err != nil {
		return nil, nil, err
	}
	srv := server.New(server.Config{Service: svc, Log: telemetry.Logger(a.IO.Err, "error", "text")})
	return server.NewLocalClient(srv.Owner()), func() { _ = st.Close() }, nil
}

// remote shows a certificate, and takes the service's by the root beside it.
func (at *At) remote() (*server.Client, func(), error) {
	if *at.Identity == "" {
		return nil, nil, console.Usage(errors.New("--auth wants --as: the directory of the certificate to show, such " +
			"as org/admin"))
	}
	pair, err := config.VaultIn(*at.Identity, "").Pair()
	if err != nil {
		return nil, nil, console.Usage(err)
	}
	roots := x509.NewCertPool()
	files, err := filepath.Glob(filepath.Join(*at.Identity, disk.BundleGlob))
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
	return server.NewClient("https://"+*at.Address, tr), tr.CloseIdleConnections, nil
}

// Call asks the identity service something.
func (at *At) Call(cmd *cobra.Command, a *console.App, do func(ctx context.Context, c *server.Client) error) error {
	c, end, err := at.Client(cmd.Context(), a)
	if err != nil {
		return err
	}
	defer end()
	return RefusedUsage(do(cmd.Context(), c))
}

// RefusedUsage makes what the service refused the caller's to mend.
func RefusedUsage(err error) error {
	if server.IsRefusal(err) {
		return console.Usage(err)
	}
	return err
}
