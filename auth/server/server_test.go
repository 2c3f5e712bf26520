package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
)

const org = "acme.example"

// clock is the time of a service under test; it goes on by itself, and can be set ahead.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// site is an organisation's identity service on a real port.
type site struct {
	t       testing.TB
	clock   *clock
	store   *store.Store
	service *service.Service
	address string
	owner   http.Handler
	stop    func()
}

type options struct {
	where  string // of the store; "" for a SQLite file of its own
	sealer *seal.Sealer
	life   time.Duration
	org    bgp.Org
	also   func(*service.Config)
	// followers is server.Config.Followers.
	followers string
}

func log(t testing.TB) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil { // a log after the test is nobody's
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

func newSealer(t testing.TB) *seal.Sealer {
	t.Helper()
	key, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, o options) *site {
	t.Helper()
	if o.org == "" {
		o.org = org
	}
	if o.where == "" {
		o.where = filepath.Join(t.TempDir(), "auth.db")
	}
	if o.sealer == nil {
		o.sealer = newSealer(t)
	}
	st, err := store.Open(t.Context(), o.where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	root, err := ca.NewRoot(o.org, ca.RootLife)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, clock: &clock{}, store: st, address: l.Addr().String()}
	cfg := service.Config{
		Org: o.org, Store: st, Sealer: o.sealer, Log: log(t), Authority: root, Address: s.address, Life: o.life,
		Now: s.clock.now,
	}
	if o.also != nil {
		o.also(&cfg)
	}
	if s.service, err = service.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	srv := server.New(server.Config{Service: s.service, Hosts: []string{"127.0.0.1", "localhost"}, Log: log(t),
		Followers: o.followers})
	s.owner = srv.Owner()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.service.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() {
		if err := srv.Serve(ctx, l, nil); err != nil {
			t.Error(err)
		}
	})
	s.stop = func() { cancel(); all.Wait() }
	t.Cleanup(s.stop)
	return s
}

func (s *site) joinToken(node string) join.Token {
	s.t.Helper()
	text, _, err := s.service.JoinToken(s.t.Context(), service.Owner(), node, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	t, err := join.ParseToken(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// enrol joins a node and returns its directory.
func (s *site) enrol(node string) string {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), node)
	in := member.Request{Token: s.joinToken(node), Dir: dir, Seal: disk.Own(dir).Seal}
	if err := member.Enrol(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// member runs a node that joined, until the test ends.
func (s *site) member(dir string) *member.Member {
	s.t.Helper()
	m, err := member.Open(disk.Own(dir), log(s.t))
	if err != nil || m == nil {
		s.t.Fatal(m, err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return m
}

// await waits until something holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *site) audit(outcome string) (all []store.Entry) {
	s.t.Helper()
	entries, err := s.store.Audit(s.t.Context(), 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Outcome == outcome {
			all = append(all, e)
		}
	}
	return all
}

func leafOf(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	pair, err := disk.Own(dir).Pair()
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestJoin(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	leaf := leafOf(t, dir)
	if leaf.URIs[0].String() != "spiffe://acme.example/node/edge-1" {
		t.Errorf("joined as %s", leaf.URIs[0])
	}
	for _, f := range []string{disk.SVIDKey, "node-key.pem", "member.json"} {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", f, info.Mode(), err)
		}
		text, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil || !strings.HasPrefix(string(text), "catalyst sealed key\n") {
			t.Errorf("%s is not sealed: %v", f, err)
		}
	}
	m := s.member(dir)
	await(t, "the feed is up", func() bool { return m.Status().Feed == nil && !m.Status().Heard.IsZero() })
	v, err := token.NewVerifier(token.Config{
		Audience: org, Issuers: token.IssuerMap{m.Issuer().Name: m.Issuer()}, Revocations: m.Revocations(),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Verify(t.Context(), m.Token(), token.ThumbprintOf(leaf))
	if err != nil || c.Subject != leaf.URIs[0].String() || c.Principal != token.Node {
		t.Errorf("the node's token: %+v, %v", c, err)
	}
	if _, err := v.Verify(t.Context(), m.Token(), token.Thumbprint{1}); token.ReasonOf(err) != token.WrongBinding {
		t.Errorf("the node's token with another certificate: %v", err)
	}
	rows, err := s.store.Certificates(t.Context(), leaf.URIs[0].String(), time.Now())
	if err != nil || len(rows) != 1 {
		t.Errorf("got %v, %v", rows, err)
	}
}

// TestJoinMisused has every way to use a join token that is not meant: each is refused for its own reason, and
// audited.
func TestJoinMisused(t *testing.T) {
	s, other := start(t, options{}), start(t, options{org: "globex.example"})
	used := s.joinToken("edge-1")
	if err := member.Enrol(t.Context(), member.Request{Token: used, Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	another := s.joinToken("edge-1")
	another.Node = "edge-2"
	unknown := s.joinToken("edge-1")
	unknown.Secret = bytes.Repeat([]byte{1}, join.SecretBytes)
	expired := s.joinToken("edge-3")
	foreign := other.joinToken("edge-1")
	foreign.Address, foreign.Pin = s.address, used.Pin // somebody carries it to the wrong organisation
	for name, c := range map[string]struct {
		token join.Token
		want  string // in the error
		audit string
		ahead time.Duration
	}{
		"used by another key":       {used, "was used at", "used", 0},
		"for another node":          {another, "is for node edge-1", "node", 0},
		"never issued":              {unknown, "is not known", "secret", 0},
		"of another organisation":   {foreign, "is for globex.example", "organisation", 0},
		"expired":                   {expired, "expired at", "expired", service.DefaultJoinTTL},
		"used, and long after, too": {used, "was used at", "used", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s.clock.skip(c.ahead)
			defer s.clock.skip(-c.ahead)
			before := len(s.audit(store.Refused))
			dir := t.TempDir()
			if c.token.Org != org {
				c.token.Org = "globex.example"
			}
			err := enrolAs(t, s, c.token, dir)
			if _, refused := errors.AsType[*member.Refused](err); !refused || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, disk.SVIDFile)); err == nil {
				t.Error("there is a certificate")
			}
			if all := s.audit(store.Refused); len(all) != before+1 || all[before].Detail != c.audit {
				t.Errorf("audited %+v, want %s", all[before:], c.audit)
			}
		})
	}
}

// enrolAs enrols with a token whose organisation may not be that of the service: the client's own check of whom it
// speaks to is not what is tested.
func enrolAs(t *testing.T, s *site, tok join.Token, dir string) error {
	t.Helper()
	if tok.Org == org {
		return member.Enrol(t.Context(), member.Request{Token: tok, Dir: dir, Seal: disk.Own(dir).Seal})
	}
	key := leafOf(t, s.enrol("helper"))
	_, err := s.service.Join(t.Context(), service.JoinRequest{Org: string(tok.Org), Node: tok.Node, Secret: tok.Secret,
		Key: key})
	if e, ok := errors.AsType[*service.Error](err); ok {
		return &member.Refused{Text: e.Text}
	}
	return err
}

// TestJoinAnswerLost has a node ask again because the answer did not come: with the same keys it gets the same
// certificate, for a minute.
func TestJoinAnswerLost(t *testing.T) {
	s := start(t, options{})
	tok, dir := s.joinToken("edge-1"), t.TempDir()
	enrol := func() error {
		return member.Enrol(t.Context(), member.Request{Token: tok, Dir: dir, Seal: disk.Own(dir).Seal})
	}
	if err := enrol(); err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, dir)
	// As if it had been killed before it kept the answer: the pending key is there still.
	back := func() {
		v := disk.Own(dir)
		key, err := v.Read(disk.SVIDKey)
		if err == nil {
			err = v.Write("pending-key.pem", key)
		}
		if err = errors.Join(err, os.Remove(filepath.Join(dir, disk.SVIDKey))); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, disk.SVIDFile)); err != nil {
			t.Fatal(err)
		}
	}
	back()
	if err := enrol(); err != nil {
		t.Fatal(err)
	}
	if again := leafOf(t, dir); !again.Equal(leaf) {
		t.Error("another certificate was issued")
	}
	m, err := member.Open(disk.Own(dir), log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Renew(t.Context()); err != nil {
		t.Errorf("renewal afterwards: %v", err)
	}
	s.clock.skip(61 * time.Second)
	back()
	if err := enrol(); err == nil || !strings.Contains(err.Error(), "was used at") {
		t.Errorf("after a minute: got %v", err)
	}
}

// TestJoinToTheWrongService has somebody else answer at the service's address.
func TestJoinToTheWrongService(t *testing.T) {
	s, evil := start(t, options{}), start(t, options{})
	tok := s.joinToken("edge-1")
	tok.Address = evil.address
	if err := member.Enrol(t.Context(), member.Request{Token: tok, Dir: t.TempDir()}); err == nil ||
		!strings.Contains(err.Error(), "is not the identity service") {
		t.Errorf("got %v", err)
	}
	if n := len(evil.audit(store.Refused)); n != 0 {
		t.Errorf("the secret was shown to it: %d refusals", n)
	}
}

// TestRenewThreeTimes follows a node through three renewals; each time the wire shows the new certificate, and the
// old token goes along.
func TestRenewThreeTimes(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	m, err := member.Open(disk.Own(dir), log(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := leafOf(t, dir)
		if err := m.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := leafOf(t, dir)
		if after.Equal(before) || bytes.Equal(after.RawSubjectPublicKeyInfo, before.RawSubjectPublicKeyInfo) {
			t.Fatal("the certificate or its key is the one before")
		}
		c, err := s.service.Verifier().Verify(t.Context(), m.Token(), token.ThumbprintOf(after))
		if err != nil || c.Bound != token.ThumbprintOf(after) {
			t.Errorf("the token is not bound to the new certificate: %v", err)
		}
	}
}

// TestBoundTokensGoAlong keeps a token that is bound to a node's certificate in a file beside it: at each of three
// renewals it is minted anew for the next certificate, the same in all else; what is no such token stays as it is.
func TestBoundTokensGoAlong(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	m, err := member.Open(disk.Own(dir), log(t))
	if err != nil {
		t.Fatal(err)
	}
	mint := func(leaf *x509.Certificate) string {
		r := service.MintRequest{Principal: token.User, Subject: "ada", Audience: []string{org}, Scopes: []string{"read"}}
		if leaf != nil {
			r.Bound = token.ThumbprintOf(leaf)
		}
		raw, _, err := s.service.Mint(t.Context(), service.Owner(), r)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	file := func(name string) string { return filepath.Join(dir, "bound", name) }
	unbound := mint(nil)
	err = errors.Join(os.Mkdir(filepath.Join(dir, "bound"), 0o700),
		os.WriteFile(file("ada"), []byte(mint(leafOf(t, dir))+"\n"), 0o600),
		os.WriteFile(file("unbound"), []byte(unbound), 0o600), os.WriteFile(file("nonsense"), []byte("x"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := leafOf(t, dir)
		if err := m.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := strings.TrimSpace(string(mustRead(t, file("ada"))))
		c, err := s.service.Verifier().Verify(t.Context(), raw, token.ThumbprintOf(leafOf(t, dir)))
		if err != nil || c.Subject != "ada" || c.Scopes[0] != "read" {
			t.Errorf("the token after a renewal: %+v, %v", c, err)
		}
		// Connections that were made with the certificate before go on, and it is sent over them too.
		if _, err := s.service.Verifier().Verify(t.Context(), raw, token.ThumbprintOf(before)); err != nil {
			t.Errorf("with the certificate before: %v", err)
		}
		if _, err := s.service.Verifier().Verify(t.Context(), raw, token.Thumbprint{1}); token.ReasonOf(err) !=
			token.WrongBinding {
			t.Errorf("with somebody else's: %v", err)
		}
		if got := string(mustRead(t, file("unbound"))); got != unbound {
			t.Errorf("a token that is not bound is %q", got)
		}
		if got := string(mustRead(t, file("nonsense"))); got != "x" {
			t.Errorf("what is no token is %q", got)
		}
	}
}

// TestCopiedIdentity has a machine's disk copied: whoever of the two renews second is refused, and an alarm stands on
// the node for both to see.
func TestCopiedIdentity(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	thief := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(thief, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{disk.SVIDKey, "node-key.pem", "member.json", disk.SealFile} { // CopyFS widens modes
		if err := os.Chmod(filepath.Join(thief, f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own, err := member.Open(disk.Own(dir), log(t))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := member.Open(disk.Own(thief), log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := copied.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "identity is copied") {
		t.Fatalf("the copy renewed: %v", err)
	}
	if all := strings.Join(copied.Warnings(), "\n"); !strings.Contains(all, "identity is copied") {
		t.Errorf("the copy is not warned: %s", all)
	}
	n, err := s.store.Node(t.Context(), "edge-1")
	if err != nil || n.Alarm == "" {
		t.Fatalf("no alarm: %+v, %v", n, err)
	}
	if err := own.Renew(t.Context()); err != nil || own.Status().Continuity == "" {
		t.Errorf("the owner is not told: %v, %+v", err, own.Status())
	}
	if all := strings.Join(own.Warnings(), "\n"); !strings.Contains(all, "identity is copied") {
		t.Errorf("the owner is not warned: %s", all)
	}
	if err := s.service.RevokeNode(t.Context(), service.Owner(), "edge-1", "copied"); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*member.Member{own, copied} {
		if err := m.Renew(t.Context()); err == nil {
			t.Error("renewed after the node was revoked")
		}
	}
	// It joins anew, and the alarm is over.
	again := member.Request{Token: s.joinToken("edge-1"), Dir: dir, Seal: disk.Own(dir).Seal}
	if err := member.Enrol(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if own, err = member.Open(disk.Own(dir), log(t)); err != nil {
		t.Fatal(err)
	}
	if err := own.Renew(t.Context()); err != nil || own.Status().Continuity != "" {
		t.Errorf("after it joined anew: %v, %+v", err, own.Status())
	}
	if err := copied.Renew(t.Context()); err == nil {
		t.Error("the copy renewed after the node joined anew")
	}
}

// TestRevocationReachesNodes measures nothing: it waits until a revocation at the service is in force at a node.
func TestRevocationReachesNodes(t *testing.T) {
	s := start(t, options{})
	m := s.member(s.enrol("edge-1"))
	v, err := token.NewVerifier(token.Config{
		Audience: org, Issuers: token.IssuerMap{m.Issuer().Name: m.Issuer()}, Revocations: m.Revocations(),
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, c, err := s.service.Mint(t.Context(), service.Owner(), service.MintRequest{Principal: token.User, Subject: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the token passes at the node", func() bool {
		_,
			err := v.Verify(t.Context(), raw, token.Thumbprint{})
		return err == nil
	})
	if err := s.service.Revoke(t.Context(), service.Owner(), "jti", c.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.service.Verifier().Verify(t.Context(), raw, token.Thumbprint{}); token.ReasonOf(err) != token.Revoked {
		t.Errorf("at the service, after the answer: %v", err)
	}
	await(t, "the token is refused at the node", func() bool {
		_, err := v.Verify(t.Context(), raw, token.Thumbprint{})
		return token.ReasonOf(err) == token.Revoked
	})
}

// A revocation has every node ask for the same. It is signed for them once: two signatures of one delta differ.
func TestADeltaIsSignedOnceForAll(t *testing.T) {
	now := atomic.Pointer[time.Time]{}
	at := time.Now()
	now.Store(&at)
	s := start(t, options{also: func(c *service.Config) { c.Now = func() time.Time { return *now.Load() } }})
	delta := func(after int64) string {
		t.Helper()
		var all sync.WaitGroup
		raw := make([]string, 20)
		for i := range raw {
			all.Go(func() {
				var err error
				if raw[i], _, err = s.service.Delta(t.Context(), after); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if all := slices.Compact(slices.Sorted(slices.Values(raw))); len(all) != 1 {
			t.Errorf("%d nodes were told %d deltas after %d", len(raw), len(all), after)
		}
		return raw[0]
	}
	first := delta(0)
	if err := s.service.Revoke(t.Context(), service.Owner(), "jti", "one", "test"); err != nil {
		t.Fatal(err)
	}
	second := delta(0)
	if second == first {
		t.Error("after a revocation they are told what was said before")
	}
	later := at.Add(time.Second)
	now.Store(&later)
	if third := delta(0); third == second {
		t.Error("a second later they are told one with the time of before")
	}
}

// TestRotateCAThreeTimes rotates the authority while a node follows: each time the new root reaches it before
// anything is signed with it.
func TestRotateCAThreeTimes(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	m := s.member(dir)
	for i := range 3 {
		before := bytes.Clone(s.service.Roots())
		if err := s.service.RotateCA(t.Context(), service.Owner(), false, false); err != nil {
			t.Fatal(err)
		}
		await(t, "the new root signs", func() bool {
			now := s.service.Roots()
			return !bytes.HasPrefix(now, before[:len(before)/(i+1)])
		})
		node, err := os.ReadFile(filepath.Join(dir, disk.BundleFile(org)))
		if err != nil || bytes.Count(node, []byte("BEGIN")) != i+2 {
			t.Fatalf("the node knows %d roots, %v; want %d", bytes.Count(node, []byte("BEGIN")), err, i+2)
		}
		if err := m.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(firstPEM(s.service.Roots()))
		if _, err := leafOf(t, dir).Verify(x509.VerifyOptions{Roots: roots}); err != nil {
			t.Errorf("rotation %d: the certificate is not signed by the new root: %v", i+1, err)
		}
	}
	// A certificate's life later the former roots are gone.
	s.clock.skip(ca.MaxLife + 2*time.Hour)
	for range 4 {
		if err := service.Care(t.Context(), s.service); err != nil {
			t.Fatal(err)
		}
	}
	if n := bytes.Count(s.service.Roots(), []byte("BEGIN")); n != 1 {
		t.Errorf("%d roots are trusted, want one", n)
	}
}

// TestRenewedWhenAnotherRootSigns waits for nodes to renew by themselves, long before half the life of their
// certificates: the former root is then needed by nobody.
func TestRenewedWhenAnotherRootSigns(t *testing.T) {
	s := start(t, options{life: 2 * time.Minute})
	dir := s.enrol("edge-1")
	s.member(dir)
	for i := range 3 {
		before := leafOf(t, dir)
		if err := s.service.RotateCA(t.Context(), service.Owner(), false, false); err != nil {
			t.Fatal(err)
		}
		await(t, fmt.Sprintf("the certificate is by root %d", i+2), func() bool {
			roots, leaf := x509.NewCertPool(), readLeaf(dir)
			roots.AppendCertsFromPEM(firstPEM(s.service.Roots()))
			if leaf == nil || leaf.Equal(before) {
				return false
			}
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots})
			return err == nil
		})
	}
	if n, err := s.store.Node(t.Context(), "edge-1"); err != nil || n.Alarm != "" {
		t.Errorf("alarm %q, %v", n.Alarm, err)
	}
}

// readLeaf returns a node's certificate; nil while it is being replaced.
func readLeaf(dir string) *x509.Certificate {
	pair, err := disk.Own(dir).Pair()
	if err != nil {
		return nil
	}
	return pair.Leaf
}

func firstPEM(text []byte) []byte {
	const end = "-----END CERTIFICATE-----\n"
	i := bytes.Index(text, []byte(end))
	return text[:i+len(end)]
}

// client is an HTTP client with a certificate of a node or an operator.
func (s *site) client(dir string) *http.Client {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.service.Roots())
	cfg := &tls.Config{RootCAs: pool}
	if dir != "" {
		pair, err := disk.Own(dir).Pair()
		if err != nil {
			s.t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (s *site) post(c *http.Client, path string, form url.Values) (int, map[string]any) {
	s.t.Helper()
	resp, err := c.PostForm("https://"+s.address+path, form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&body)
	return resp.StatusCode, body
}

func TestOAuth(t *testing.T) {
	s := start(t, options{})
	a, b := s.enrol("edge-1"), s.enrol("edge-2")
	ca, cb, nobody := s.client(a), s.client(b), s.client("")
	bound, _, err := s.service.Mint(t.Context(), service.Owner(), service.MintRequest{
		Principal: token.User, Subject: "ada", Scopes: []string{"read", "write"}, Bound: token.ThumbprintOf(leafOf(t, a)),
		Audience: []string{org, "books"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/oauth/token", "/oauth/introspect", "/oauth/revoke"} {
		if code, _ := s.post(nobody, path, url.Values{"token": {bound}}); code != http.StatusUnauthorized {
			t.Errorf("%s without authentication: %d", path, code)
		}
	}
	code, body := s.post(cb, "/oauth/introspect", url.Values{"token": {bound}})
	if code != 200 || body["active"] != true || body["sub"] != "ada" || body["cnf"].(map[string]any)["x5t#S256"] == "" {
		t.Errorf("introspection: %d %v", code, body)
	}
	for name, raw := range map[string]string{"nonsense": "x", "empty": "",
		"another signature": bound[:len(bound)-4] + "AAAA"} {
		if code, body := s.post(cb, "/oauth/introspect", url.Values{"token": {raw}}); code != 200 || len(body) != 1 ||
			body["active"] != false {
			t.Errorf("introspection of %s: %d %v", name, code, body)
		}
	}
	exchange := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {bound},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {"books"}, "scope": {"read"},
	}
	if code, body := s.post(cb, "/oauth/token", exchange); code != 400 {
		t.Errorf("exchanged by somebody else: %d %v", code, body)
	}
	code, body = s.post(ca, "/oauth/token", exchange)
	if code != 200 || body["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" ||
		body["scope"] != "read" {
		t.Fatalf("exchange: %d %v", code, body)
	}
	exchanged := body["access_token"].(string) // meant for somebody else than this service
	if _, body := s.post(ca, "/oauth/introspect", url.Values{"token": {exchanged}}); body["active"] != true {
		t.Errorf("introspection of a token for another audience: %v", body)
	}
	for name, more := range map[string]url.Values{"a wider scope": {"scope": {"admin"}},
		"another audience": {"audience": {"films"}}, "a scope twice": {"scope": {"read", "read"}}} {
		wide := url.Values{}
		for k, v := range exchange {
			wide[k] = v
		}
		for k, v := range more {
			wide[k] = v
		}
		if code, body := s.post(ca, "/oauth/token", wide); code != 400 {
			t.Errorf("%s: %d %v", name, code, body)
		}
	}
	// One that is meant for somebody else is revoked by its text as any other.
	elsewhere, claims, err := s.service.Mint(t.Context(), service.Owner(),
		service.MintRequest{Principal: token.User, Subject: "eve", Audience: []string{"mesh"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.service.RevokeToken(t.Context(), service.Owner(), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := s.service.Revocations().Check(claims, time.Now()); token.ReasonOf(err) != token.Revoked {
		t.Errorf("a token for another audience, revoked by its text: %v", err)
	}
	// Revoked by its holder, and what was exchanged for it with it; by somebody else it is not.
	if code, _ := s.post(cb, "/oauth/revoke", url.Values{"token": {bound}}); code != http.StatusForbidden {
		t.Errorf("revoked by somebody else: %d", code)
	}
	for range 2 {
		if code, _ := s.post(ca, "/oauth/revoke", url.Values{"token": {bound}}); code != 200 {
			t.Errorf("revocation: %d", code)
		}
	}
	for _, raw := range []string{bound, exchanged} {
		if _, body := s.post(ca, "/oauth/introspect", url.Values{"token": {raw}}); body["active"] != false {
			t.Errorf("after revocation: %v", body)
		}
	}
}

func TestAdministrationWantsAnAdmin(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	thumb := token.ThumbprintOf(leafOf(t, dir))
	mint := func(p token.Principal, bound token.Thumbprint) string {
		raw, _, err := s.service.Mint(t.Context(), service.Owner(),
			service.MintRequest{Principal: p, Subject: "ada", Bound: bound})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, c := range map[string]struct {
		dir, token string
		want       int
	}{
		"nobody":                        {"", "", 401},
		"a node":                        {dir, "", 403},
		"a user":                        {dir, mint(token.User, thumb), 403},
		"an admin":                      {dir, mint(token.Admin, thumb), 200},
		"an admin's token, not bound":   {dir, mint(token.Admin, token.Thumbprint{}), 403},
		"an admin's token, not his":     {dir, mint(token.Admin, token.Thumbprint{1}), 401},
		"an admin's token, alone":       {"", mint(token.Admin, thumb), 401},
		"an admin's token with a space": {dir, mint(token.Admin, thumb) + " ", 401},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/v1/tokens", "/v1/nodes", "/v1/keys", "/v1/authorities",
				"/v1/audit?after=0&limit=10", "/v1/audit/verify"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if c.token != "" {
					r.Header["Authorization"] = []string{"Bearer " + c.token}
				}
				resp, err := s.client(c.dir).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != c.want {
					t.Errorf("%s: %d, want %d", path, resp.StatusCode, c.want)
				}
			}
		})
	}
}

func TestKeySetAndMetadata(t *testing.T) {
	s := start(t, options{})
	get := func(path string) (*http.Response, []byte) {
		resp, err := s.client("").Get("https://" + s.address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, b
	}
	resp, b := get("/.well-known/jwks.json")
	set, err := token.ParseJWKS(b, token.ES384)
	if err != nil || len(set) != 2 || resp.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("got %d keys, %v, %v", len(set), err, resp.Header)
	}
	_, b = get("/.well-known/oauth-authorization-server")
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil || m["issuer"] != "https://auth.acme.example" ||
		m["tls_client_certificate_bound_access_tokens"] != true {
		t.Errorf("got %v, %v", m, err)
	}
	block, _ := pem.Decode(s.service.Roots())
	if _, b := get("/v1/roots.der"); !bytes.Equal(b, block.Bytes) {
		t.Errorf("got %x", b)
	}
	if _, b := get("/v1/roots.pem"); !bytes.Equal(b, s.service.Roots()) {
		t.Errorf("got %s", b)
	}
	if resp, _ := get("/v1/revocations?after=0"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("revocations without authentication: %d", resp.StatusCode)
	}
}

// TestLiesUnderTheSealingKey looks for private keys in what is kept.
func TestLiesUnderTheSealingKey(t *testing.T) {
	where := filepath.Join(t.TempDir(), "auth.db")
	s := start(t, options{where: where})
	tok := s.joinToken("edge-1")
	s.stop()
	for _, f := range []string{where, where + "-wal"} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"PRIVATE KEY", string(tok.Secret), fmt.Sprintf("%x", tok.Secret)} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds a secret in clear", f)
			}
		}
	}
	st, err := store.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, err = service.New(t.Context(), service.Config{Org: org, Store: st, Sealer: newSealer(t), Log: log(t)})
	if err == nil || !strings.Contains(err.Error(), "give the former key") {
		t.Errorf("opened under another key: %v", err)
	}
}
