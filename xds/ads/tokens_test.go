package ads_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
	"github.com/catalyst-router/catalyst/xds"
)

const tokenIssuer = "https://auth.acme.example"

// believer signs tokens, revokes them, and verifies them as a node does.
type believer struct {
	t        *testing.T
	signer   *token.Signer
	set      *revoke.Set
	verifier *token.Verifier
}

func newBeliever(t *testing.T) *believer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newBelieverOf(t, key)
}

func newBelieverOf(t *testing.T, key *ecdsa.PrivateKey) *believer {
	t.Helper()
	signer, err := token.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	k := &believer{t: t, signer: signer, set: revoke.NewSet(tokenIssuer)}
	k.revoke()
	k.verifier, err = token.NewVerifier(token.Config{Audience: "acme.example", Revocations: k.set,
		Issuers: token.IssuerMap{tokenIssuer: {
			Name: tokenIssuer, TrustDomain: "acme.example", Keys: token.KeySet{k.signer.Key().ID: k.signer.Key()},
		}}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// revoke tells the set what is revoked by id, and that it is up to date.
func (k *believer) revoke(ids ...string) {
	k.t.Helper()
	var all []revoke.Entry
	for _, id := range ids {
		all = append(all, revoke.Entry{Kind: revoke.Token, Value: id})
	}
	k.tell(all...)
}

func (k *believer) revokeKind(kind revoke.Kind, value string) {
	k.t.Helper()
	k.tell(revoke.Entry{Kind: kind, Value: value})
}

func (k *believer) lift(kind revoke.Kind, value string) {
	k.t.Helper()
	k.tell(revoke.Entry{Kind: kind, Value: value, Lifted: true})
}

func (k *believer) tell(all ...revoke.Entry) {
	k.t.Helper()
	now := time.Now()
	d := &revoke.Delta{Issuer: tokenIssuer, After: k.set.Seq(), Seq: k.set.Seq(), Issued: now.Unix(), Interval: 300}
	for _, e := range all {
		d.Seq++
		e.Seq, e.At, e.Expires = d.Seq, now.Unix(), now.Add(time.Hour).Unix()
		d.Entries = append(d.Entries, e)
	}
	if err := k.set.Apply(d, time.Now()); err != nil {
		k.t.Fatal(err)
	}
}

// mint makes ada's token, as change changes it.
func (k *believer) mint(id string, change func(*token.Claims)) string {
	k.t.Helper()
	now := time.Now().Truncate(time.Second)
	c := &token.Claims{
		ID: id, Issuer: tokenIssuer, Subject: "ada", Audience: []string{"acme.example"}, IssuedAt: now,
		Expires: now.Add(time.Hour), Principal: token.User, Entity: token.Entity{ID: "ada", Name: "Ada", Type: "user"},
		Scopes: []string{"read"},
	}
	if change != nil {
		change(c)
	}
	raw, err := k.signer.Sign(c)
	if err != nil {
		k.t.Fatal(err)
	}
	return raw
}

func (k *believer) claims(ctx context.Context, raw string, certificate []byte) (*token.Claims, error) {
	var thumbprint token.Thumbprint
	copy(thumbprint[:], certificate)
	return k.verifier.Verify(ctx, raw, thumbprint)
}

// Verify implements extauthz.Tokens.
func (k *believer) Verify(ctx context.Context, s extauthz.Shown) (*policy.Bearer, error) {
	c, err := k.claims(ctx, s.Token, s.Certificate)
	if err != nil {
		return nil, err
	}
	b := &policy.Bearer{
		Principal: string(c.Principal), Subject: c.Subject, Organisation: "acme.example",
		Claims: map[string]string{"scope": strings.Join(c.Scopes, " ")}, Until: c.Expires,
	}
	if !c.Bound.IsZero() {
		b.Claims[extauthz.BoundClaim] = c.Bound.String()
	}
	return b, nil
}

// Changed is extproc.Config.Tokens.
func (k *believer) Changed() <-chan struct{} { return k.set.Changed() }

// leaf is the certificate that a plane shows.
func (p *plane) leaf() token.Thumbprint {
	p.t.Helper()
	pair, err := disk.Own(p.bundle).Pair()
	if err != nil {
		p.t.Fatal(err)
	}
	return token.ThumbprintOf(pair.Leaf)
}

// with is a request that shows a token.
func with(raw string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+raw) }
}

const onlyAda = `@id("ada-reads") permit (principal == CATALYST::USER::"ada", action == CATALYST::Action::"REQUEST",
	resource == CATALYST::Service::"books.acme.example") when { context.claims.hasTag("scope") && context.claims.getTag("scope") == "read" };`

// What a token says decides at the ingress, over a real Envoy, in place of the node that sends the request. A bound
// one is good from its certificate alone, whatever headers say; a revoked one is refused from the next request on.
func TestTokensAtTheIngress(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	b.server.Open()
	c.server.Open()
	k := newBeliever(t)
	judgedBy(t, a, k, onlyAda)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}))
	for _, p := range []*plane{b, c} {
		p.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	}
	c.eventually(books, 403, "not permitted")
	b.eventually(books, 403, "not permitted")
	bound := k.mint("bound", func(cl *token.Claims) { cl.Bound = c.leaf() })
	plain := k.mint("plain", nil)
	spoofed := func(raw string) func(*http.Request) {
		return func(r *http.Request) {
			with(raw)(r)
			leaf := c.leaf()
			r.Header.Set("X-Forwarded-Client-Cert", fmt.Sprintf("Hash=%x;URI=spiffe://acme.example/node/c", leaf[:]))
			r.Header.Set("X-Catalyst-Hold", "0")
		}
	}
	other := newBeliever(t)
	for name, tt := range map[string]struct {
		from   *plane
		change func(*http.Request)
		status int
	}{
		"a token":                          {c, with(plain), 200},
		"a bound one from its certificate": {c, with(bound), 200},
		"from another certificate":         {b, with(bound), 401},
		"which pretends to be it":          {b, spoofed(bound), 401},
		"another's key":                    {c, with(other.mint("1", nil)), 401},
		"another scope": {c,
			with(k.mint("2", func(cl *token.Claims) { cl.Scopes = []string{"write"} })), 403},
		"another subject": {c, with(k.mint("3", func(cl *token.Claims) { cl.Subject = "joe" })), 403},
		"for somebody else": {c,
			with(k.mint("4", func(cl *token.Claims) { cl.Audience = []string{"bravo.example"} })), 401},
		"expired": {c, with(k.mint("5", func(cl *token.Claims) {
			cl.IssuedAt = cl.IssuedAt.Add(-2 * time.Hour)
			cl.Expires = time.Now().Add(-time.Second)
		})), 401},
		"a header of ours": {c, func(r *http.Request) { r.Header.Set("X-Catalyst-Hold", "1") }, 403},
		"two": {c,
			func(r *http.Request) { with(plain)(r); r.Header.Add("Authorization", "Bearer "+plain) }, 403},
	} {
		status, body, header := tt.from.ask("GET", "/a", tt.change)
		if status != tt.status {
			t.Errorf("%s: got %d %s, want %d", name, status, body, tt.status)
		}
		if status == 200 && (!strings.Contains(body, `X-Catalyst-Principal=[USER::"ada"]`) ||
			!strings.Contains(body, "Authorization=[]")) {
			t.Errorf("%s: the workload sees %s", name, body)
		}
		if (status == 401) != (header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d with %v", name, status, header)
		}
	}
	k.revoke("bound")
	if status, body, _ := c.ask("GET", "/a", with(bound)); status != 401 {
		t.Errorf("the next request after it was revoked: %d %s", status, body)
	}
	if status, body, _ := c.ask("GET", "/a", with(plain)); status != 200 {
		t.Errorf("another token: %d %s", status, body)
	}
}

// A token that is not bound goes along over a node in the middle, so that the policies of the last one have its
// claims; one that is bound to the certificate of the first connection is worth nothing there, and stays.
func TestTokensOverTransit(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, b, c := newPlane(t, org, "a"), newPlane(t, org, "b"), newPlane(t, org, "c")
	c.server.Open()
	k := newBeliever(t)
	judgedBy(t, a, k, onlyAda)
	atB := judgedBy(t, b, k, onlyAda)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}))
	b.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	b.eventually(books, 403, "not permitted") // by a
	c.apply(to(books, bgp.HTTP, []xds.Target{b.hop()}))
	c.eventually(books, 403, "not permitted")
	status, body, _ := c.ask("GET", "/a", with(k.mint("1", nil)))
	if status != 200 || !strings.Contains(body, `USER::"ada"`) || !strings.Contains(body, "Authorization=[]") {
		t.Errorf("got %d %s", status, body)
	}
	status, body, _ = c.ask("GET", "/a", with(k.mint("2", func(cl *token.Claims) { cl.Bound = c.leaf() })))
	if last := atB.last(); status != 403 || !last.Decision.Allow || !slices.Contains(last.Decision.Policies, "ada-reads") {
		t.Errorf("a bound one: %d %s; at b %+v", status, body, last.Decision)
	}
}

// An answer that goes on for ever ends when the token of its request is revoked or expires, and no other does. One
// that was under way when the node was restarted goes on.
func TestOpenStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	k := newBeliever(t)
	j := judgedBy(t, a, k, onlyAda)
	srv := httptest.NewServer(ticking())
	t.Cleanup(srv.Close)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(strings.TrimPrefix(srv.URL, "http://"))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 403, "not permitted")
	bad, good := c.streamWith(k.mint("bad", nil)), c.streamWith(k.mint("good", nil))
	short := c.streamWith(k.mint("short", func(cl *token.Claims) { cl.Expires = time.Now().Add(3 * time.Second) }))
	for name, alive := range map[string]func() error{"bad": bad, "good": good, "short": short} {
		if err := alive(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	k.revoke("bad")
	ends(t, "the revoked one", bad)
	if status, body, _ := c.ask("GET", "/", with(k.mint("bad", nil))); status != 401 {
		t.Errorf("a new request with the revoked token: %d %s", status, body)
	}
	if err := good(); err != nil {
		t.Errorf("another stream: %v", err)
	}
	ends(t, "the expired one", short)
	j.stop()
	if err := good(); err != nil {
		t.Errorf("while the node is away: %v", err)
	}
	j.serve(a)
	if err := good(); err != nil {
		t.Errorf("after the node's restart: %v", err)
	}
}

func (p *plane) streamWith(raw string) (alive func() error) {
	p.t.Helper()
	return p.streamAs(books, with(raw))
}

// ends waits until a stream has ended.
func ends(t *testing.T, what string, alive func() error) {
	t.Helper()
	for until := time.Now().Add(patience); alive() == nil; {
		if time.Now().After(until) {
			t.Fatalf("%s goes on", what)
		}
	}
}
