// Package identity is a node's own identity while it runs: its SVID, and for each trust domain the roots that are
// valid there and nowhere else. It reads the files that package ca writes, notices when they change, and keeps the
// last good ones when a change is bad.
package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/catalyst-router/catalyst/auth/ca"
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
	Issued  time.Time
	Expires time.Time
}

// String names the node and nothing secret.
func (m *Material) String() string {
	return fmt.Sprintf("%s until %s", m.Node, m.Expires.Format(time.RFC3339))
}

// Life is how long certificates of this node are valid from their signing: they are backdated for clocks that are
// behind.
func (m *Material) Life() time.Duration {
	if life := m.Expires.Sub(m.Issued) - ca.Backdate; life > 0 {
		return life
	}
	return m.Expires.Sub(m.Issued)
}

// LogValue keeps the key out of logs.
func (m *Material) LogValue() slog.Value { return slog.StringValue(m.String()) }

// holds tells whether two materials are the same.
func (m *Material) holds(o *Material) bool {
	return m != nil && bytes.Equal(m.Chain, o.Chain) && bytes.Equal(m.Key, o.Key) &&
		maps.EqualFunc(m.Roots, o.Roots, bytes.Equal)
}

// Source is a node's identity. It is safe for concurrent use.
type Source struct {
	v      disk.Vault
	refuse atomic.Pointer[func(leaf *x509.Certificate) error] // nil: nothing is revoked

	mu      sync.RWMutex
	svid    *x509svid.SVID // guarded by mu, as all below
	bundles *x509bundle.Set
	now     *Material
	print   string // what the files looked like
	sealed  string // what they looked like when the key was seen to be sealed, or could not be
	err     error  // of the last look; nil if it was good
	watch   []chan struct{}
}

// Open reads the bundle directory of a node. A key that is sealed there is opened with the machine's own sealing key.
func Open(dir string) (*Source, error) { return OpenVault(disk.Own(dir)) }

// OpenVault is Open for a directory whose key is sealed as the operator says. Run seals a key that lies in clear there.
func OpenVault(v disk.Vault) (*Source, error) {
	s := &Source{v: v}
	if _, err := s.reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Run looks for changes, and says what ends soon, until ctx ends.
func (s *Source) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var ending reminder
	s.sealKey(log)
	for {
		for _, warning := range ending.due(time.Now(), s.Validities()) {
			log.Warn(warning, "dir", s.v.Dir)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		before := s.Err()
		changed, err := s.reload()
		switch {
		case err != nil && (before == nil || before.Error() != err.Error()):
			log.Error("identity not reloaded, the last good one stays", "dir", s.v.Dir, "error", err)
		case changed:
			log.Info("identity reloaded", "identity", s.Material())
		case err == nil: // whoever replaces the files has finished
			s.sealKey(log)
		}
	}
}

// sealKey seals the certificate's key, if it lies in clear: it was issued elsewhere, or before keys were sealed.
func (s *Source) sealKey(log *slog.Logger) {
	s.mu.RLock()
	print, tried := s.print, s.sealed
	s.mu.RUnlock()
	if print == tried {
		return
	}
	did, err := s.v.SealAll(disk.SVIDKey)
	if len(did) > 0 {
		log.Info("the node's private key is sealed", "file", filepath.Join(s.v.Dir, disk.SVIDKey), "under", s.v.Seal)
	}
	if err != nil {
		log.Warn("the node's private key stays in clear: make its directory writable, or set seal-key to none if it is to",
			"error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = print
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
// TLS 1.3, both sides with certificates, post-quantum key exchange first. Each certificate is judged as NodeOf does.
func (s *Source) ServerTLS() *tls.Config {
	return s.harden(tlsconfig.MTLSServerConfig(s, s, tlsconfig.AuthorizeAny()), func(state tls.ConnectionState) error {
		_, err := nodeOf(state)
		return err
	})
}

// OwnServerTLS returns that of a listener which takes whoever this node's own organisation gave a certificate, nodes
// and Envoys. Which of them may stay is for the caller to decide, who can say why not.
func (s *Source) OwnServerTLS() *tls.Config {
	own := spiffeid.RequireTrustDomainFromString(string(s.Material().Node.Org))
	return s.harden(tlsconfig.MTLSServerConfig(
		s, s, tlsconfig.AuthorizeMemberOf(own),
	), func(state tls.ConnectionState) error {
		_, err := idOf(state)
		return err
	})
}

// EndpointTLS returns that of an endpoint which anybody may ask, showing a certificate or none. None is verified but
// for its key, and one that is revoked is refused: whoever decides by it verifies it.
func (s *Source) EndpointTLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12, // SPIFFE Federation §5.2.2: any client of today
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		ClientAuth:             tls.RequestClientCert,
		SessionTicketsDisabled: true,
		GetCertificate:         tlsconfig.GetCertificate(s),
		VerifyConnection:       s.notRefused,
	}
}

// Certificate is what this node shows of itself.
func (s *Source) Certificate() (*tls.Certificate, error) {
	return tlsconfig.GetClientCertificate(s)(nil)
}

// OperatorTLS returns that of a listener which also takes clients without a certificate, who have to say otherwise who
// they are. A certificate that is shown is judged as by OwnServerTLS.
func (s *Source) OperatorTLS() *tls.Config {
	c := s.OwnServerTLS()
	verify, judge := c.VerifyPeerCertificate, c.VerifyConnection
	c.ClientAuth = tls.RequestClientCert
	c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		if len(raw) == 0 {
			return nil
		}
		return verify(raw, chains)
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return judge(state)
	}
	return c
}

// NodeTLS returns that to dial a listener of some node of the organisation whose roots are given, with a certificate
// of it, or without (the zero value).
func NodeTLS(org bgp.Org, roots []*x509.Certificate, mine tls.Certificate) *tls.Config {
	td := spiffeid.RequireTrustDomainFromString(string(org))
	c := tlsconfig.TLSClientConfig(x509bundle.FromX509Authorities(td, roots), tlsconfig.AdaptMatcher(
		func(id spiffeid.ID) error {
			_, err := bgp.ParseNodeID(id.String())
			if err == nil && id.TrustDomain() != td {
				err = fmt.Errorf("whoever answers there is %s, want a node of %s", id, org)
			}
			return err
		}))
	if len(mine.Certificate) > 0 {
		c.Certificates = []tls.Certificate{mine}
	}
	c.MinVersion = tls.VersionTLS13
	return c
}

// ClientTLS returns the TLS configuration to dial exactly that node.
func (s *Source) ClientTLS(peer bgp.NodeID) *tls.Config {
	return s.clientTLS(peer, func(string) bool { return false })
}

// IngressTLS returns that to dial a node's mesh ingress, where one of its Envoys may stand in for it.
func (s *Source) IngressTLS(node bgp.NodeID) *tls.Config {
	return s.clientTLS(node, func(id string) bool {
		e, err := bgp.ParseEnvoyID(id)
		return err == nil && e.Node == node
	})
}

// ServiceTLS returns that to dial the identity service of an organisation whose roots are known. Nobody else whom that
// organisation gave a certificate may pose as it.
func (s *Source) ServiceTLS(org bgp.Org) *tls.Config {
	want := ca.ServiceURI(org)
	match := tlsconfig.AdaptMatcher(func(id spiffeid.ID) error {
		if id.String() != want {
			return fmt.Errorf("whoever answers there is %s, want %s", id, want)
		}
		return nil
	})
	return s.harden(tlsconfig.MTLSClientConfig(s, s, match), func(state tls.ConnectionState) error {
		_, err := idOf(state)
		return err
	})
}

func (s *Source) clientTLS(node bgp.NodeID, also func(id string) bool) *tls.Config {
	// The chain has to end at the roots of that very organisation, whatever other names the certificate has.
	own := tlsconfig.AdaptMatcher(func(id spiffeid.ID) error {
		if td := id.TrustDomain().Name(); td != string(node.Org) {
			return fmt.Errorf("its certificate is of %s, want %s", td, node.URI())
		}
		return nil
	})
	return s.harden(tlsconfig.MTLSClientConfig(s, s, own), func(state tls.ConnectionState) error {
		id, err := idOf(state)
		if err == nil && id != node.URI() && !also(id) {
			err = fmt.Errorf("its certificate is that of %s, want %s", id, node.URI())
		}
		return err
	})
}

// harden adds what every connection of ours has. judge runs in VerifyConnection, which a resumed session would not
// escape.
func (s *Source) harden(c *tls.Config, judge func(tls.ConnectionState) error) *tls.Config {
	c.MinVersion = tls.VersionTLS13
	c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
	c.SessionTicketsDisabled = true // a resumed session would outlive its certificate
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if err := judge(state); err != nil {
			return err
		}
		return s.notRefused(state)
	}
	return c
}

// notRefused returns an error if the other side showed a certificate that is to be refused.
func (s *Source) notRefused(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return s.Refused(state.PeerCertificates[0])
}

// Refused returns why a certificate is to be refused though it is valid, as Refuse has it; nil if it is not.
func (s *Source) Refused(leaf *x509.Certificate) error {
	if refuse := s.refuse.Load(); refuse != nil {
		return (*refuse)(leaf)
	}
	return nil
}

// Refuse has every handshake from now on ask whether the other side's certificate is to be refused though it is
// valid: whether it is revoked.
func (s *Source) Refuse(refuse func(leaf *x509.Certificate) error) { s.refuse.Store(&refuse) }

// Reload looks for changes of the files now, and tells whether there were any.
func (s *Source) Reload() (changed bool, err error) { return s.reload() }

// Dir is where the files are.
func (s *Source) Dir() string { return s.v.Dir }

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
	m, svid, bundles, err := read(s.v)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	if s.now.holds(m) { // a key was sealed where it lies, for example
		s.print = print
		s.mu.Unlock()
		return false, nil
	}
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
	entries, err := os.ReadDir(s.v.Dir)
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

func read(v disk.Vault) (*Material, *x509svid.SVID, *x509bundle.Set, error) {
	dir := v.Dir
	m, svid, err := readSVID(v)
	if err != nil {
		return nil, nil, nil, err
	}
	if m.Node, err = bgp.ParseNodeID(svid.ID.String()); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, disk.SVIDFile), err)
	}
	bundles, err := m.readRoots(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	if _, ok := m.Roots[m.Node.Org]; !ok {
		return nil, nil, nil, fmt.Errorf("%s: has no %s", dir, disk.BundleFile(m.Node.Org))
	}
	return m, svid, bundles, nil
}

// Envoy returns whose bundle is in a directory: that of an Envoy on another machine than its node.
func Envoy(dir string) (bgp.EnvoyID, error) {
	m, svid, err := readSVID(disk.Own(dir))
	if err != nil {
		return bgp.EnvoyID{}, err
	}
	id, err := bgp.ParseEnvoyID(svid.ID.String())
	if err != nil {
		return id, fmt.Errorf(
			"%s is no Envoy's: issue one with catalyst org issue-envoy: %w", filepath.Join(dir, disk.SVIDFile), err,
		)
	}
	if _, err := m.readRoots(dir); err != nil {
		return id, err
	}
	if _, ok := m.Roots[id.Node.Org]; !ok {
		return id, fmt.Errorf("%s: has no %s", dir, disk.BundleFile(id.Node.Org))
	}
	return id, nil
}

// readSVID reads a certificate and its key, whosever they are.
func readSVID(v disk.Vault) (*Material, *x509svid.SVID, error) {
	dir := v.Dir
	chain, err := os.ReadFile(filepath.Join(dir, disk.SVIDFile))
	if err != nil {
		return nil, nil, fmt.Errorf("read the certificate: %w: issue one with catalyst org issue-node", err)
	}
	key, err := v.Read(disk.SVIDKey)
	if err != nil {
		return nil, nil, fmt.Errorf("read the key: %w", err)
	}
	svid, err := x509svid.Parse(chain, key)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	leaf := svid.Certificates[0]
	if _, err := Judge(leaf); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, disk.SVIDFile), err)
	}
	m := &Material{Chain: chain, Key: key, Roots: map[bgp.Org][]byte{}, Issued: leaf.NotBefore, Expires: leaf.NotAfter}
	if !time.Now().Before(m.Expires) {
		return nil, nil, fmt.Errorf("%s expired at %s: issue another with catalyst org issue-node",
			filepath.Join(dir, disk.SVIDFile), m.Expires.Format(time.RFC3339))
	}
	return m, svid, nil
}

// readRoots reads the roots of every organisation in a directory, each valid for its own trust domain alone.
func (m *Material) readRoots(dir string) (*x509bundle.Set, error) {
	bundles := x509bundle.NewSet()
	files, err := filepath.Glob(filepath.Join(dir, disk.BundleGlob))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		org, err := disk.BundleOrg(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		td, err := spiffeid.TrustDomainFromString(string(org))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		b, err := x509bundle.Parse(td, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		m.Roots[org] = text
		bundles.Add(b)
	}
	return bundles, nil
}

// Orgs returns the organisations whose roots are known, sorted.
func (m *Material) Orgs() []bgp.Org { return slices.Sorted(maps.Keys(m.Roots)) }
