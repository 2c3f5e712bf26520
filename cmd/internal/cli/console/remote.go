package console

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// RemoteNode is a node whose operator API is asked over TLS.
type RemoteNode struct {
	API, identity, token string
	client               *client.Client // nil for the socket
}

// RemoteFlags adds --api, --as and --token-file.
func (a *App) RemoteFlags(f *pflag.FlagSet) {
	f.StringVar(&a.Remote.API, "api", os.Getenv("CATALYST_API"),
		"https://HOST:PORT of the operator API of a node elsewhere, in place of --socket; wants --as ($CATALYST_API)")
	f.StringVar(&a.Remote.identity, "as", os.Getenv("CATALYST_AS"),
		"with --api: directory with the organisation's roots and the certificate to show, such as org/admin "+
			"($CATALYST_AS)")
	f.StringVar(&a.Remote.token, "token-file", os.Getenv("CATALYST_TOKEN_FILE"),
		"with --api: file of a token to show as well ($CATALYST_TOKEN_FILE)")
}

// Dial prepares to ask the node that --api names.
func (a *App) Dial() error {
	r := &a.Remote
	if r.API == "" {
		if r.token != "" {
			return UsageError{errors.New("--token-file wants --api: the owner of a node's socket needs no token")}
		}
		return nil
	}
	u, err := url.Parse(r.API)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return UsageError{fmt.Errorf("--api %q: want https://HOST:PORT", r.API)}
	}
	if r.identity == "" {
		return UsageError{errors.New("--api wants --as: a directory with the organisation's roots, such as org/admin")}
	}
	secure, err := nodeTLS(r.identity)
	if err != nil {
		return UsageError{err}
	}
	text := ""
	if r.token != "" {
		if text, err = a.Given("@" + r.token); err != nil {
			return UsageError{err}
		}
	}
	r.client = client.NewRemote(r.API, text, secure)
	return nil
}

// nodeTLS reads the roots in a directory, which are those of one organisation, and the certificate to show, if there
// is one.
func nodeTLS(dir string) (*tls.Config, error) {
	files, err := filepath.Glob(filepath.Join(dir, disk.BundleGlob))
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("%s has the roots of %d organisations: want one %s", dir, len(files), disk.BundleGlob)
	}
	org, err := disk.BundleOrg(files[0])
	if err != nil {
		return nil, err
	}
	roots, err := x509bundle.Load(spiffeid.RequireTrustDomainFromString(string(org)), files[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files[0], err)
	}
	var mine tls.Certificate
	cert := filepath.Join(dir, disk.SVIDFile)
	if _, err := os.Stat(cert); err == nil {
		if mine, err = config.VaultIn(dir, "").Pair(); err != nil {
			return nil, err
		}
	}
	return identity.NodeTLS(org, roots.X509Authorities(), mine), nil
}

// Client is that of the node that the flags name.
func (a *App) Client() *client.Client {
	if a.Remote.client != nil {
		return a.Remote.client
	}
	return client.New(a.Socket)
}
