// Package identity is a node's own identity while it runs: its SVID, and for each trust domain the roots that are
// valid there and nowhere else. It reads the files that package ca writes, notices when they change, and keeps the
// last good ones when a change is bad.
package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
)

// pollInterval is how often the files are looked at.
const pollInterval = 2 * time.Second

// Material is one state of an identity, as PEM, for handing on to Envoy.
type Material struct {
	Node    bgp.NodeID
	Chain   []byte
	Key     []byte `json:"-"` // secret
	Roots   map[bgp.Org][]byte
	Expires time.Time
}

// String names the node and nothing secret.
func (m *Material) String() string {
	return fmt.Sprintf("%s until %s", m.Node, m.Expires.Format(time.RFC3339))
}

// LogValue keeps the key out of logs.
func (m *Material) LogValue() slog.Value { return slog.StringValue(m.String()) }

// Source is a node's identity. It is safe for concurrent use.
type Source struct {
	dir string

	mu      sync.RWMutex
	svid    *x509svid.SVID // guarded by mu, as all below
	bundles *x509bundle.Set
	now     *Material
	print   string // what the files looked like
	err     error  // of the last look; nil if it was good
	watch   []chan struct{}
}

// Open reads the bundle directory of a node.
func Open(dir string) (*Source, error) {
	s := &Source{dir: dir}
	if _, err := s.reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Run looks for changes until ctx ends.
func (s *Source) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		before := s.Err()
		changed, err := s.reload()
		switch {
		case err != nil && (before == nil || before.Error() != err.Error()):
			log.Error("identity not reloaded, the last good one stays", "dir", s.dir, "error", err)
		case changed:
			log.Info("identity reloaded", "identity", s.Material())
		}
	}
}

// Material returns the current identity. It is not to be changed.
func (s *Source) Material() *Material {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now
}

// Err returns why the last look at the files failed; nil if it did not.
func (s *Source) Err() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.err
}

// Changed returns a channel that receives after each change. Changes that are not received coalesce.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{}, 1)
	s.watch = append(s.watch, c)
	return c
}

// GetX509SVID implements x509svid.Source.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.svid, nil
}

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (s *Source) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bundles.GetX509BundleForTrustDomain(td)
}

// ServerTLS returns the TLS configuration of a listener that takes nodes of every organisation whose roots are known:
// TLS 1.3, both sides with certificates, post-quantum key exchange first.
func (s *Source) ServerTLS() *tls.Config {
	return harden(tlsconfig.MTLSServerConfig(s, s, tlsconfig.AdaptMatcher(isNode)))
}

// OwnServerTLS is ServerTLS for the nodes of this node's own organisation alone.
func (s *Source) OwnServerTLS() *tls.Config {
	own := s.Material().Node.Org
	return harden(tlsconfig.MTLSServerConfig(s, s, tlsconfig.AdaptMatcher(func(id spiffeid.ID) error {
		n, err := bgp.ParseNodeID(id.String())
		if err == nil && n.Org != own {
			err = fmt.Errorf("%s is of another organisation than %s", n, own)
		}
		return err
	})))
}

// ClientTLS returns the TLS configuration to dial exactly that node.
func (s *Source) ClientTLS(peer bgp.NodeID) *tls.Config {
	return harden(tlsconfig.MTLSClientConfig(s, s, tlsconfig.AdaptMatcher(func(id spiffeid.ID) error {
		if id.String() != peer.URI() {
			return fmt.Errorf("its certificate is that of %s, want %s", id, peer.URI())
		}
		return nil
	})))
}

func isNode(id spiffeid.ID) error {
	_, err := bgp.ParseNodeID(id.String())
	return err
}

func harden(c *tls.Config) *tls.Config {
	c.MinVersion = tls.VersionTLS13
	c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
	c.SessionTicketsDisabled = true // a resumed session would outlive its certificate
	return c
}

// PeerOf returns the node that a verified connection's certificate names.
func PeerOf(state tls.ConnectionState) (bgp.NodeID, error) {
	if len(state.PeerCertificates) == 0 {
		return bgp.NodeID{}, errors.New("no certificate")
	}
	id, err := x509svid.IDFromCert(state.PeerCertificates[0])
	if err != nil {
		return bgp.NodeID{}, err
	}
	return bgp.ParseNodeID(id.String())
}

// reload reads the files if they changed.
func (s *Source) reload() (changed bool, err error) {
	defer func() {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}()
	print, err := s.fingerprint()
	if err != nil {
		return false, err
	}
	s.mu.RLock()
	same := print == s.print
	s.mu.RUnlock()
	if same {
		return false, nil
	}
	m, svid, bundles, err := read(s.dir)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	s.now, s.svid, s.bundles, s.print = m, svid, bundles, print
	watch := slices.Clone(s.watch)
	s.mu.Unlock()
	for _, c := range watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return true, nil
}

// fingerprint tells whether the files are the same as before, by size and time.
func (s *Source) fingerprint() (string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", fmt.Errorf("read the node's bundle: %w", err)
	}
	var b strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it was replaced just now: the next look sees it
		}
		fmt.Fprintf(&b, "%s %d %d %o\n", e.Name(), info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	return b.String(), nil
}

func read(dir string) (*Material, *x509svid.SVID, *x509bundle.Set, error) {
	chain, err := os.ReadFile(filepath.Join(dir, disk.SVIDFile))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the node's certificate: %w: issue one with catalyst org issue-node", err)
	}
	key, err := disk.ReadPrivate(filepath.Join(dir, disk.SVIDKey))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the node's key: %w", err)
	}
	svid, err := x509svid.Parse(chain, key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	node, err := bgp.ParseNodeID(svid.ID.String())
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, disk.SVIDFile), err)
	}
	m := &Material{Node: node, Chain: chain, Key: key, Roots: map[bgp.Org][]byte{}, Expires: svid.Certificates[0].NotAfter}
	if !time.Now().Before(m.Expires) {
		return nil, nil, nil, fmt.Errorf(
			"%s expired at %s: issue another with catalyst org issue-node", filepath.Join(dir, disk.SVIDFile),
			m.Expires.Format(time.RFC3339),
		)
	}
	bundles := x509bundle.NewSet()
	files, err := filepath.Glob(filepath.Join(dir, disk.BundleGlob))
	if err != nil {
		return nil, nil, nil, err
	}
	for _, f := range files {
		org, err := bgp.ParseOrg(strings.TrimSuffix(filepath.Base(f), ".bundle.pem"))
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", f, err)
		}
		td, err := spiffeid.TrustDomainFromString(string(org))
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", f, err)
		}
		b, err := x509bundle.Load(td, f)
		if err != nil {
			return nil, nil, nil, err
		}
		if m.Roots[org], err = os.ReadFile(f); err != nil {
			return nil, nil, nil, err
		}
		bundles.Add(b)
	}
	if _, ok := m.Roots[node.Org]; !ok {
		return nil, nil, nil, fmt.Errorf("%s: has no %s", dir, disk.BundleFile(node.Org))
	}
	return m, svid, bundles, nil
}

// Orgs returns the organisations whose roots are known, sorted.
func (m *Material) Orgs() []bgp.Org { return slices.Sorted(maps.Keys(m.Roots)) }
