// Package member is a node's membership of its organisation: the first certificate for a join token, and from then on
// the renewal of certificates at half their life, the organisation's roots and token keys, and the feed of what it
// revoked. Private keys are made here and never leave the machine.
//
//	err := member.Enrol(ctx, member.Request{Token: t, Dir: "data/identity"})   // once
//	m, err := member.Open(disk.Own("data/identity"), log)                      // at every start
//	go m.Run(ctx)
package member

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
	"github.com/catalyst-router/catalyst/bgp"
)

// Waits between attempts.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Member is a node that joined, while it runs. It is safe for concurrent use.
type Member struct {
	v    disk.Vault
	log  *slog.Logger
	now  func() time.Time
	feed *follow.Feed

	refused chan struct{} // the identity service does not take the certificate

	renewing sync.Mutex // held while the next certificate is asked for

	mu      sync.Mutex
	state   state     // guarded by mu, as all below
	expires time.Time // of the certificate on the disk
	begins  time.Time
	err     error         // of the last attempt to renew
	renewed chan struct{} // closed at each renewal
	// signer is the root that signs now if the certificate is by another: it is renewed soon. nil: by that one.
	signer *x509.Certificate
	asked  *x509.Certificate // the signer for which it was renewed last
	turned chan struct{}     // closed when there is a signer of whom nothing is held
	wrote  chan struct{}     // closed when the certificate or the roots on the disk are others
}

// Open reads a member's directory; nil if nobody joined there, which is so for a bundle that catalyst org issue-node
// wrote. Secrets that lie in clear there are sealed, if they are to be.
func Open(v disk.Vault, log *slog.Logger) (*Member, error) { return OpenAt(v, log, time.Now) }

// OpenAt is Open with a clock, which says whether the certificate has ended.
func OpenAt(v disk.Vault, log *slog.Logger, now func() time.Time) (*Member, error) {
	if err := finish(v); err != nil {
		return nil, fmt.Errorf("put the certificate that was issued in its place: %w", err)
	}
	s, err := readState(v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nobody joined
	}
	if err != nil {
		return nil, err
	}
	if _, err := v.SealAll(secretFiles()...); err != nil {
		return nil, err
	}
	m := &Member{v: v, log: log, now: now, state: *s, renewed: make(chan struct{}), turned: make(chan struct{}),
		wrote: make(chan struct{}), refused: make(chan struct{}, 1)}
	m.feed = follow.New(follow.Config{
		Issuer: s.Issuer, Org: s.Org, Log: log, Keep: filepath.Join(v.Dir, revokedFile), Connect: m.connectFeed,
		KeepRoots: m.keepRoots, Refused: m.refusedOne,
		Roots: func() ([]byte, error) { _, text, err := rootsOf(v.Dir, s.Org); return text, err },
		Again: func() <-chan struct{} { m.mu.Lock(); defer m.mu.Unlock(); return m.renewed }, // it may go at once
	})
	return m, m.look()
}

// Node is who the member is.
func (m *Member) Node() bgp.NodeID { m.mu.Lock(); defer m.mu.Unlock(); return m.state.id() }

// Introduce hands over whom the join token says to peer with, once: a node that is killed before take has returned
// without an error for each of them is told again at its next start.
func (m *Member) Introduce(take func(p join.Peer) error) error {
	m.renewing.Lock() // a renewal writes the state too
	defer m.renewing.Unlock()
	m.mu.Lock()
	s := m.state
	m.mu.Unlock()
	if len(s.Peers) == 0 {
		return nil
	}
	for _, p := range s.Peers {
		if err := take(p); err != nil {
			return err
		}
	}
	s.Peers = nil
	if err := s.write(m.v); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
	return nil
}

// Issuer is the organisation's, for verifiers on this node.
func (m *Member) Issuer() *token.Issuer { return m.feed.Issuer() }

// Feed is that of the organisation's keys and revocations.
func (m *Member) Feed() *follow.Feed { return m.feed }

// Keys are the organisation's token keys, as the feed last told them; empty before it has.
func (m *Member) Keys() token.KeySet { return m.feed.Keys() }

// Revocations is what the organisation revoked, as far as the feed told.
func (m *Member) Revocations() *revoke.Set { return m.feed.Revocations() }

// Token is the node's own, bound to its current certificate. It is secret.
func (m *Member) Token() string { m.mu.Lock(); defer m.mu.Unlock(); return m.state.Token }

// Status is how it stands with a membership.
type Status struct {
	Expires    time.Time // of the certificate
	Renew      time.Time // when the next is asked for
	Err        error     // of the last attempt to renew; nil if it went well
	Feed       error     // why revocations do not come; nil if they do
	Heard      time.Time // when they last came
	Seq        int64
	Address    string // HOST:PORT of the identity service
	Continuity string // the alarm of the organisation; "" for none
	// Returns is how often the node may come back after its certificate ended; Anew is when that is counted anew, zero
	// if none of them is used.
	Returns int
	Anew    time.Time
}

// Status tells how it stands.
func (m *Member) Status() Status {
	set := m.Revocations()
	heard, _ := set.Freshness()
	m.mu.Lock()
	defer m.mu.Unlock()
	var anew time.Time
	if m.state.Anew != 0 {
		anew = time.Unix(m.state.Anew, 0)
	}
	return Status{
		Returns: m.state.Returns, Anew: anew, Address: m.state.Address,
		Expires: m.expires, Renew: m.half(), Err: m.err, Feed: m.feed.Err(), Heard: heard, Seq: set.Seq(),
		Continuity: m.state.Alarm,
	}
}

// Warnings are what the operator has to look after: a suspicion that the identity is copied, and a certificate that is
// not renewed.
func (m *Member) Warnings() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	if m.state.Alarm != "" {
		all = append(all, "the organisation suspects that this node's identity is copied ("+m.state.Alarm+
			"): revoke it with catalyst org revoke-node, and let it join anew")
	}
	if m.state.Anew != 0 {
		all = append(all, fmt.Sprintf("the node came back by the key that it joined with, since its certificate had ended "+
			"or was revoked: it may %d times more until %s, and needs a join token then", m.state.Returns,
			time.Unix(m.state.Anew, 0).UTC().Format(time.RFC3339)))
	}
	if m.err != nil {
		all = append(all, fmt.Sprintf("the certificate, which ends at %s, is not renewed: %v",
			m.expires.UTC().Format(time.RFC3339), m.err))
	}
	return all
}

// half is the middle of the certificate's life; it wants mu.
func (m *Member) half() time.Time {
	issued := m.begins.Add(5 * time.Minute) // it is backdated for clocks that are behind
	if !issued.Before(m.expires) {
		issued = m.begins
	}
	return issued.Add(m.expires.Sub(issued) / 2)
}

// look reads when the certificate on the disk begins and ends.
func (m *Member) look() error {
	cert, err := m.current()
	if err != nil {
		return err
	}
	roots, _, err := rootsOf(m.v.Dir, m.Node().Org)
	if err != nil {
		return fmt.Errorf("read the organisation's roots: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begins, m.expires = cert.Leaf.NotBefore, cert.Leaf.NotAfter
	close(m.wrote)
	m.wrote = make(chan struct{})
	m.signer = nil
	if !signedUnder(roots[0], cert) && !roots[0].Equal(m.asked) {
		m.signer = roots[0]
		close(m.turned)
		m.turned = make(chan struct{})
	}
	return nil
}

// signedUnder tells whether a chain ends at a root.
func signedUnder(root *x509.Certificate, cert tls.Certificate) bool {
	last, err := x509.ParseCertificate(cert.Certificate[len(cert.Certificate)-1])
	return err == nil && (last.Equal(root) || last.CheckSignatureFrom(root) == nil)
}

func (m *Member) current() (tls.Certificate, error) {
	cert, err := m.v.Pair()
	if err != nil {
		return cert, fmt.Errorf("read the node's certificate: %w", err)
	}
	return cert, nil
}

// Awake has a certificate that is valid before it returns: a node that slept for too long comes back first. It gives
// up with ctx, or when it is refused.
func (m *Member) Awake(ctx context.Context) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		m.mu.Lock()
		over := !m.now().Before(m.expires)
		m.mu.Unlock()
		if !over {
			return nil
		}
		err := m.renew(ctx)
		if _, refused := errors.AsType[*Refused](err); err == nil || refused {
			return err
		}
		m.log.Warn("the node's certificate has ended, and it cannot come back yet", "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// Run renews the certificate and follows the feed until ctx ends.
func (m *Member) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.renewals(ctx) })
	g.Go(func() error { return m.feed.Run(ctx) })
	return g.Wait()
}

// renewals asks for the next certificate in the middle of each one's life, a tenth of it earlier or later so that
// nodes that started together do not ask together; at once if it is revoked; and within a sixtieth of it when another
// root has begun to sign, so that the former is not needed for long.
func (m *Member) renewals(ctx context.Context) error {
	wait := firstRetry
	for {
		m.mu.Lock()
		at := m.half()
		life := m.expires.Sub(at) * 2
		failed, other := m.err != nil, m.signer != nil
		turned, renewed := m.turned, m.renewed
		m.mu.Unlock()
		next := time.Until(at) + jitter(life/10)
		if other {
			next = min(next, (life/60+jitter(life/60))/2)
		}
		if failed {
			next = wait + jitter(wait/4)
			wait = min(2*wait, lastRetry, max(firstRetry, life/20))
		} else {
			wait = firstRetry
		}
		due, stop := context.WithTimeout(ctx, max(0, next))
		var watch sync.WaitGroup
		if !failed {
			watch.Go(func() { m.untilRevoked(due, stop) })
		}
		select {
		case <-turned:
		case <-renewed: // because somebody asked for it
		case <-due.Done():
			if ctx.Err() == nil {
				_ = m.Renew(ctx)
			}
		}
		stop()
		watch.Wait()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
	}
}

// Renew asks for the next certificate now, whether or not it is due: Run does so when it is. It returns when the
// certificate is on the disk.
func (m *Member) Renew(ctx context.Context) error {
	m.renewing.Lock()
	defer m.renewing.Unlock()
	err := m.renew(ctx)
	if ctx.Err() == nil {
		m.note(err)
	}
	return err
}

// Changed returns a channel that is closed when the certificate or the organisation's roots on the disk are others.
func (m *Member) Changed() <-chan struct{} { m.mu.Lock(); defer m.mu.Unlock(); return m.wrote }

func (m *Member) note(err error) {
	m.mu.Lock()
	before := m.err
	m.err = err
	until, alarm := m.expires, m.state.Alarm
	if err == nil {
		close(m.renewed)
		m.renewed = make(chan struct{})
	}
	m.mu.Unlock()
	switch {
	case err == nil:
		m.log.Info("certificate renewed", "until", until)
		if alarm != "" {
			m.log.Error("the organisation suspects that this node's identity is copied: revoke it and let it join anew",
				"alarm", alarm)
		}
	case before == nil || before.Error() != err.Error():
		m.log.Error("certificate not renewed, trying again", "valid_until", until, "error", err)
	}
}

// jitter is a random time of up to d to either side.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(2*d)))
	if err != nil {
		return 0
	}
	return time.Duration(n.Int64()) - d
}

// renew asks for the next certificate once.
func (m *Member) renew(ctx context.Context) error {
	m.mu.Lock()
	over := !m.now().Before(m.expires)
	m.mu.Unlock()
	if !over && !m.revoked() {
		err := m.next(ctx, false)
		if no, ok := errors.AsType[*Refused](err); !ok || !no.Unknown {
			return err
		}
		// The certificate is not taken any more, and whoever says so may not have reached this node yet.
		m.log.Warn("the certificate is refused: the node comes back by the key that it joined with", "reason", err)
	}
	return m.next(ctx, true)
}

// revoked tells whether the certificate itself is revoked, as far as this node has heard.
func (m *Member) revoked() bool {
	mine, err := m.current()
	return err == nil && m.feed.Revocations().CheckCertificate(mine.Leaf) != nil
}

func (m *Member) refusedOne() {
	select {
	case m.refused <- struct{}{}:
	default:
	}
}

// untilRevoked calls then when the certificate is revoked or is not taken any more, unless ctx ends before.
func (m *Member) untilRevoked(ctx context.Context, then func()) {
	for {
		told := m.feed.Revocations().Changed()
		if m.revoked() {
			then()
			return
		}
		select {
		case <-told:
		case <-m.refused:
			then()
			return
		case <-ctx.Done():
			return
		}
	}
}

// next gets the next certificate, for the one that this node has or, where that is over, for its node key.
func (m *Member) next(ctx context.Context, over bool) error {
	m.mu.Lock()
	s := m.state
	m.mu.Unlock()
	key, csr, err := pending(m.v)
	if err != nil {
		return err
	}
	cfg, err := m.dialTLS(ctx, over)
	if err != nil {
		return err
	}
	client, end, err := follow.Dial(s.Address, cfg)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	call := client.Renew
	if over {
		call = client.Return
	}
	var bound, tokens []string
	if !over { // those of a certificate that has ended are worth nothing
		if bound, tokens, err = boundTokens(m.v.Dir); err != nil {
			return err
		}
	}
	out, err := call(ctx, &authv1.RenewRequest{Node: s.Node, Csr: csr, Continuity: s.Continuity, Tokens: tokens})
	if err != nil {
		return callError(s.Address, err)
	}
	if err := s.keep(m.v, key, out, bound); err != nil {
		return err
	}
	m.mu.Lock()
	m.state = s
	if m.signer != nil {
		m.asked = m.signer // once for each: an operator's own PKI may have roots that sign nothing here
	}
	m.mu.Unlock()
	return m.look()
}

// dialTLS shows the certificate, or for one that came back the node key; and it follows the roots, if they changed
// while it slept.
func (m *Member) dialTLS(ctx context.Context, over bool) (*tls.Config, error) {
	s := m.Node()
	roots, _, err := rootsOf(m.v.Dir, s.Org)
	if err != nil {
		return nil, err
	}
	if !over {
		mine, err := m.current()
		if err != nil {
			return nil, err
		}
		return serviceTLS(s.Org, roots, mine), nil
	}
	key, err := keyIn(m.v, nodeKeyFile)
	if err != nil {
		return nil, err
	}
	mine, err := selfSigned(key, s.Name)
	if err != nil {
		return nil, err
	}
	root, err := m.awakeRoot(ctx, roots[0], mine)
	if err != nil {
		return nil, err
	}
	return serviceTLS(s.Org, append(roots, root), mine), nil
}

// awakeRoot asks whoever answers at the service's address how the roots followed one another. The answer proves
// itself.
func (m *Member) awakeRoot(ctx context.Context, known *x509.Certificate, mine tls.Certificate) (*x509.Certificate,
	error) {
	m.mu.Lock()
	address := m.state.Address
	m.mu.Unlock()
	client, end, err := follow.Dial(address, dial(mine, func([]*x509.Certificate) error { return nil }))
	if err != nil {
		return nil, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	sum := sha256.Sum256(known.Raw)
	out, err := client.Roots(ctx, &authv1.RootsRequest{Known: sum[:]})
	if err != nil {
		return nil, callError(address, err)
	}
	var steps []join.Succession
	for _, s := range out.GetSteps() {
		steps = append(steps, join.Succession{Root: s.GetRoot(), Signature: s.GetSignature()})
	}
	return join.FollowRoots(known, steps, time.Now())
}

// connectFeed dials the identity service for the feed.
func (m *Member) connectFeed(ctx context.Context) (authv1.IdentityClient, func(), error) {
	cfg, err := m.dialTLS(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return follow.Dial(m.state.Address, cfg)
}

// keepRoots takes over roots that the feed tells.
func (m *Member) keepRoots(text []byte) error {
	org := m.Node().Org
	if _, err := parseCerts(text); err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	if _, before, err := rootsOf(m.v.Dir, org); err == nil && bytes.Equal(text, before) {
		return nil
	}
	if err := disk.Replace(filepath.Join(m.v.Dir, disk.BundleFile(org)), text, 0o644); err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	m.log.Info("roots of the organisation changed", "sha256", hex.EncodeToString(sum[:8]))
	return m.look()
}
