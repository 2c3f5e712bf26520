package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/e2e/postgres"
)

// TestSleepersReturn has nodes sleep for one, three and ten lives of the CA: each time the root that they know is
// long gone. They come back without a hand on the machine, and renew as before.
func TestSleepersReturn(t *testing.T) {
	spans := []int{0, 1, 3, 10}
	if testing.Short() {
		spans = []int{0, 10}
	}
	for _, lives := range spans {
		t.Run(fmt.Sprint(lives), func(t *testing.T) {
			s := start(t, options{})
			dir := s.enrol("edge-1")
			m, err := member.OpenAt(disk.Own(dir), log(t), s.clock.now)
			if err != nil {
				t.Fatal(err)
			}
			s.sleep(lives)
			if err := m.Awake(t.Context()); err != nil {
				t.Fatal(err)
			}
			n, err := s.store.Node(t.Context(), "edge-1")
			if err != nil || n.Credits != service.Credits-1 {
				t.Errorf("credits %d, %v; want one less than %d", n.Credits, err, service.Credits)
			}
			if st := m.Status(); st.Returns != service.Credits-1 || st.Anew.Before(s.clock.now()) ||
				!strings.Contains(strings.Join(m.Warnings(), "\n"), "it may 2 times more until") {
				t.Errorf("at the node: %d left, anew at %s, %v", st.Returns, st.Anew, m.Warnings())
			}
			if err := peer(t, dir, s.enrol("edge-2")); err != nil {
				t.Errorf("it does not peer with a node that did not sleep: %v", err)
			}
			s.clock.skip(31 * 24 * time.Hour)
			if err := m.Awake(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := m.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			if roots := s.service.Roots(); !bytes.Equal(firstPEM(roots),
				firstPEM(mustRead(t, filepath.Join(dir, "acme.example.bundle.pem")))) {
				t.Error("it does not know the root that signs")
			}
		})
	}
}

// peer has the nodes of two directories make a handshake, as they do to peer.
func peer(t *testing.T, dialler, listener string) error {
	t.Helper()
	a, err := identity.Open(dialler)
	if err != nil {
		return err
	}
	b, err := identity.Open(listener)
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", b.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), a.ClientTLS(b.Material().Node))
	if err != nil {
		return err
	}
	return errors.Join(<-done, conn.Close())
}

// sleep lets lives of the CA pass: each is followed by a root that it signed, and forgotten.
func (s *site) sleep(lives int) {
	s.t.Helper()
	s.clock.skip(ca.MaxLife)
	for range lives {
		if err := s.service.RotateCA(s.t.Context(), service.Owner(), true, false); err != nil {
			s.t.Fatal(err)
		}
		s.clock.skip(2 * ca.MaxLife)
		if err := service.Care(s.t.Context(), s.service); err != nil {
			s.t.Fatal(err)
		}
	}
	if n := bytes.Count(s.service.Roots(), []byte("BEGIN")); n != 1 {
		s.t.Fatalf("%d roots are trusted, want one", n)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWhoMayNotReturn has a thief with another key, with an old copy, a revoked node, and one that came back too
// often.
func TestWhoMayNotReturn(t *testing.T) {
	s := start(t, options{})
	copyOf := func(dir string, without ...string) string {
		to := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"key.pem", "node-key.pem", "member.json", "seal.key"} {
			if err := os.Chmod(filepath.Join(to, f), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range without {
			if err := os.Remove(filepath.Join(to, f)); err != nil {
				t.Fatal(err)
			}
		}
		return to
	}
	back := func(dir string) error {
		m, err := member.OpenAt(disk.Own(dir), log(t), s.clock.now)
		if err != nil {
			t.Fatal(err)
		}
		s.clock.skip(ca.MaxLife)
		return m.Awake(t.Context())
	}
	dir := s.enrol("edge-1")
	thief, stale := copyOf(dir, "node-key.pem"), copyOf(dir)
	if err := back(thief); err == nil || !strings.Contains(err.Error(), "not the key") {
		t.Errorf("with another key: %v", err)
	}
	if err := back(dir); err != nil {
		t.Fatal(err)
	}
	if err := back(stale); err == nil || !strings.Contains(err.Error(), "identity is copied") {
		t.Errorf("with an old copy: %v", err)
	}
	for range service.Credits - 1 {
		if err := back(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := back(dir); err == nil || !strings.Contains(err.Error(), "may not again before") {
		t.Errorf("came back too often: %v", err)
	}
	s.clock.skip(31 * 24 * time.Hour)
	if err := back(dir); err != nil {
		t.Errorf("a month later: %v", err)
	}
	if err := s.service.RevokeNode(t.Context(), service.Owner(), "edge-1", "test"); err != nil {
		t.Fatal(err)
	}
	if err := back(dir); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked: %v", err)
	}
	// A root that leaked signs no successor: whoever knows no other cannot be led astray with its key.
	other := s.enrol("edge-2")
	if err := s.service.RotateCA(t.Context(), service.Owner(), true, true); err != nil {
		t.Fatal(err)
	}
	m, err := member.OpenAt(disk.Own(other), log(t), s.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.skip(ca.MaxLife)
	if err := m.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("after the root leaked: %v", err)
	}
}

// provider is an external issuer with a JWKS.
type provider struct {
	key *ecdsa.PrivateKey
	srv *httptest.Server
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	b, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "p1", "alg": "ES256", "use": "sig", "x": enc(b[1:33]), "y": enc(b[33:]),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	p.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	t.Cleanup(p.srv.Close)
	return p
}

func (p *provider) token(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	tok.Header["kid"] = "p1"
	raw, err := tok.SignedString(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestExternalIssuer has people and a CI system of an OIDC issuer: they become principals, or nodes, by rules and not
// otherwise.
func TestExternalIssuer(t *testing.T) {
	p := newProvider(t)
	remote, err := bearer.NewRemoteKeys(bearer.RemoteConfig{
		Source: secret.NewURL(p.srv.URL), Algorithms: []string{token.ES256},
	})
	if err != nil {
		t.Fatal(err)
	}
	rules := []service.PrincipalRule{{Claims: map[string]string{"email": "ada@corp.example"},
		Principal: token.DataCustodian}}
	s := start(t, options{also: func(c *service.Config) {
		c.External = []service.External{{
			Issuer: &token.Issuer{Name: "https://idp.example", Keys: remote, Audience: "catalyst",
				Map: service.MapExternal(rules, true)},
			Joins: []service.JoinRule{{Node: "ci-1", Claims: map[string]string{"sub": "repo:acme/infra", "ref": "main"}}},
		}}
	}})
	with := func(more jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{
			"iss": "https://idp.example", "aud": "catalyst", "sub": "ada", "iat": time.Now().Unix(),
			"exp": time.Now().Add(time.Hour).Unix(),
		}
		for k, v := range more {
			c[k] = v
		}
		return c
	}
	c, err := s.service.Verifier().Verify(t.Context(), p.token(t, with(jwt.MapClaims{"email": "ada@corp.example"})),
		token.Thumbprint{})
	if err != nil || c.Principal != token.DataCustodian || !c.External {
		t.Errorf("got %+v, %v", c, err)
	}
	for name, claims := range map[string]jwt.MapClaims{
		"another audience": with(jwt.MapClaims{"aud": "other"}), "expired": with(jwt.MapClaims{"exp": time.Now().Unix() - 1}),
		"our own principal": with(jwt.MapClaims{"iss": s.service.Issuer(), "principal": "CATALYST::ADMIN"}),
		"another issuer":    with(jwt.MapClaims{"iss": "https://evil.example"}),
	} {
		if c, err := s.service.Verifier().Verify(t.Context(), p.token(t, claims), token.Thumbprint{}); err == nil {
			t.Errorf("%s: got %+v", name, c)
		}
	}
	join := func(node string, claims jwt.MapClaims) error {
		at := s.joinToken(node)
		at.Secret = nil
		return member.Enrol(t.Context(), member.Request{Token: at, Dir: filepath.Join(t.TempDir(), node),
			OIDC: p.token(t, claims)})
	}
	ci := jwt.MapClaims{"sub": "repo:acme/infra", "ref": "main"}
	if err := join("ci-1", with(ci)); err != nil {
		t.Error(err)
	}
	if err := join("ci-2", with(ci)); err == nil || !strings.Contains(err.Error(), "no rule") {
		t.Errorf("another node: %v", err)
	}
	if err := join("ci-1", with(jwt.MapClaims{"sub": "repo:acme/infra", "ref": "fork"})); err == nil {
		t.Error("other claims: want an error")
	}
}

// TestTwoReplicas runs two services over one PostgreSQL: they share keys, tokens, joins and revocations.
func TestTwoReplicas(t *testing.T) {
	where, sealer := postgres.Start(t).Database(t), newSealer(t)
	a := start(t, options{where: where, sealer: sealer})
	b := start(t, options{where: where, sealer: sealer})
	if !bytes.Equal(a.service.Roots(), b.service.Roots()) {
		t.Fatal("two authorities")
	}
	raw, c, err := a.service.Mint(t.Context(), service.Owner(), service.MintRequest{Principal: token.User, Subject: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(s *site) error {
		_, err := s.service.Verifier().Verify(t.Context(), raw,
			token.Thumbprint{})
		return err
	}
	if err := verify(b); err != nil {
		t.Error(err)
	}
	// A node joins at one with the token of the other, and not again at the first.
	tok := a.joinToken("edge-1")
	first := tok
	tok.Address = b.address
	dir := filepath.Join(t.TempDir(), "edge-1")
	if err := member.Enrol(t.Context(), member.Request{Token: tok, Dir: dir, Seal: disk.Own(dir).Seal}); err != nil {
		t.Fatal(err)
	}
	if err := member.Enrol(t.Context(), member.Request{Token: first, Dir: t.TempDir()}); err == nil {
		t.Error("the same token twice, at two replicas")
	}
	if err := b.service.Revoke(t.Context(), service.Owner(), "jti", c.ID, ""); err != nil {
		t.Fatal(err)
	}
	await(t, "revoked at the other replica", func() bool { return token.ReasonOf(verify(a)) == token.Revoked })
	if _, err := b.service.RotateKeys(t.Context(), service.Owner(), keys.How{Immediate: true}); err != nil {
		t.Fatal(err)
	}
	// The one that does not know of the rotation yet signs with the new key all the same.
	fresh, _, err := a.service.Mint(t.Context(), service.Owner(),
		service.MintRequest{Principal: token.User, Subject: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*site{a, b} {
		await(t, "a fresh token passes", func() bool {
			_, err := s.service.Verifier().Verify(t.Context(), fresh, token.Thumbprint{})
			return err == nil
		})
	}
	if _, _, err := a.store.VerifyAudit(t.Context(), 0, ""); err != nil {
		t.Error(err)
	}
}
