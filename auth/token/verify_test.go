package token

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"
)

// revoking revokes what it is told to.
type revoking struct {
	mu  sync.Mutex
	jti map[string]bool
}

func (r *revoking) Check(c *Claims, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jti[c.ID] {
		return refuse(Revoked, "revoked")
	}
	return nil
}

func (r *revoking) revoke(jti string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jti[jti] = true
}

// TestCacheForgetsWhatIsOver has a token that passed before, and passes no more when something around it changes.
func TestCacheForgetsWhatIsOver(t *testing.T) {
	bound := func(w *world) *Claims { c := w.claims(); c.Bound = w.leaf; return c }
	for name, c := range map[string]struct {
		change func(w *world, r *revoking) Thumbprint
		want   Reason
	}{
		"time": {func(w *world, _ *revoking) Thumbprint { w.now = w.now.Add(time.Hour); return w.leaf },
			Expired},
		"revoked": {func(w *world, r *revoking) Thumbprint { r.revoke(w.claims().ID); return w.leaf }, Revoked},
		"key gone": {func(w *world, _ *revoking) Thumbprint { w.issuers[acme].Keys = KeySet{}; return w.leaf },
			UnknownKey},
		"issuer gone": {func(w *world, _ *revoking) Thumbprint { delete(w.issuers, acme); return w.leaf },
			UnknownIssuer},
		"another caller": {func(w *world, _ *revoking) Thumbprint { return w.stranger }, WrongBinding},
		"caller without": {func(*world, *revoking) Thumbprint { return Thumbprint{} }, WrongBinding},
		"issuer on terms": {func(w *world,
			_ *revoking) Thumbprint {
			i := *w.issuers[acme]
			w.issuers[acme] = &i
			return w.leaf
		}, UnknownIssuer},
		"clock turned back": {func(w *world, _ *revoking) Thumbprint { w.now = w.now.Add(-time.Minute); return w.leaf },
			NotYet},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := newWorld(t), &revoking{jti: map[string]bool{}}
			v := w.verifier(r)
			raw := w.mint(bound(w))
			for range 2 {
				if _, err := v.Verify(t.Context(), raw, w.leaf); err != nil {
					t.Fatal(err)
				}
			}
			leaf := c.change(w, r)
			if _, err := v.Verify(t.Context(), raw, leaf); ReasonOf(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// A token that was minted anew at a renewal is good with the certificates that its holder had before, as those before
// it were, and with nobody else's; one of them that is revoked is worth nothing, and neither are more of them than
// there may be.
func TestFormerCertificates(t *testing.T) {
	w := newWorld(t)
	former, older := Thumbprint{1}, Thumbprint{2}
	revoked := map[Thumbprint]bool{}
	v := w.verifier(boundRevoked(revoked))
	c := w.claims()
	c.Bound, c.Former = w.leaf, []Thumbprint{former, older}
	raw := w.mint(c)
	for range 2 { // the second time it is remembered
		for who, want := range map[Thumbprint]Reason{
			w.leaf: "", former: "", older: "", w.stranger: WrongBinding, {}: WrongBinding,
		} {
			if _, err := v.Verify(t.Context(), raw, who); ReasonOf(err) != want {
				t.Errorf("with %s: %v, want %q", who, err, want)
			}
		}
	}
	revoked[former] = true
	for who, want := range map[Thumbprint]Reason{w.leaf: "", former: Revoked, older: ""} {
		if _, err := v.Verify(t.Context(), raw, who); ReasonOf(err) != want {
			t.Errorf("with %s when a former one is revoked: %v, want %q", who, err, want)
		}
	}
	many := make([]string, MaxFormer+1)
	for i := range many {
		many[i] = Thumbprint{byte(i + 1)}.String()
	}
	for name, r := range map[string]reader{
		"too many": {}, "of an unbound token": {}, "no thumbprint": {},
	} {
		text, bound := `{"cnf_former":["`+strings.Join(many, `","`)+`"]}`, w.leaf
		switch name {
		case "of an unbound token":
			text, bound = `{"cnf_former":["`+former.String()+`"]}`, Thumbprint{}
		case "no thumbprint":
			text = `{"cnf_former":["x"]}`
		}
		var err error
		if r.v, err = ParseJSON(text); err != nil {
			t.Fatal(err)
		}
		if r.former(bound); ReasonOf(r.err) != BadClaim {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}

// boundRevoked revokes what is bound to certificates.
type boundRevoked map[Thumbprint]bool

func (r boundRevoked) Check(c *Claims, _ time.Time) error {
	if r[c.Bound] {
		return refuse(Revoked, "its certificate")
	}
	return nil
}

// TestTwinSignature has the twin (r, n−s) of a signature, which anybody can make: it is as good, takes no place of
// its own in the cache, and a revocation hits both.
func TestTwinSignature(t *testing.T) {
	w, r := newWorld(t), &revoking{jti: map[string]bool{}}
	v := w.verifier(r)
	raw := w.mint(w.claims())
	twin := twinOf(t, raw)
	for _, one := range []string{raw, twin, raw, twin} {
		if _, err := v.Verify(t.Context(), one, Thumbprint{}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for i := range v.cache.good {
		n += v.cache.good[i].len()
	}
	if n != 1 {
		t.Errorf("the cache has %d entries, want 1", n)
	}
	bad := raw[:len(raw)-8] + "AAAAAAAA"
	if _, err := v.Verify(t.Context(), bad, Thumbprint{}); ReasonOf(err) != BadSignature {
		t.Errorf("another signature on what is in the cache: %v", err)
	}
	r.revoke(w.claims().ID)
	for _, one := range []string{raw, twin} {
		if _, err := v.Verify(t.Context(), one, Thumbprint{}); ReasonOf(err) != Revoked {
			t.Errorf("got %v, want revoked", err)
		}
	}
}

func twinOf(t testing.TB, raw string) string {
	t.Helper()
	i := strings.LastIndexByte(raw, '.')
	sig, err := base64.RawURLEncoding.DecodeString(raw[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(elliptic.P384().Params().N, new(big.Int).SetBytes(sig[48:]))
	s.FillBytes(sig[48:])
	return raw[:i+1] + b64(string(sig))
}

// TestCacheIsBounded has more tokens than the cache may hold.
func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t)
	v, err := NewVerifier(Config{Audience: "acme.example", Issuers: w.issuers, Revocations: NothingRevoked{},
		Entries: 16, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		c := w.claims()
		c.ID = fmt.Sprint(i)
		if _, err := v.Verify(t.Context(), w.mint(c), Thumbprint{}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for i := range v.cache.good {
		n += v.cache.good[i].len()
	}
	if n > 16 {
		t.Errorf("the cache has %d entries, want at most 16", n)
	}
}

// slowRevocations revokes the token while its signature is being checked.
type slowRevocations struct{ asked atomic.Int64 }

func (s *slowRevocations) Check(*Claims, time.Time) error {
	if s.asked.Add(1) > 1 {
		return refuse(Revoked, "revoked meanwhile")
	}
	return nil
}

func TestRevokedWhileTheSignatureIsChecked(t *testing.T) {
	w := newWorld(t)
	if _, err := w.verifier(&slowRevocations{}).Verify(t.Context(), w.mint(w.claims()),
		Thumbprint{}); ReasonOf(err) != Revoked {
		t.Errorf("got %v, want revoked", err)
	}
}

type noKeys struct{}

func (noKeys) Key(context.Context, string) (*Key, error) { return nil, errors.New("no way to them") }

func TestKeysThatCannotBeHad(t *testing.T) {
	w := newWorld(t)
	raw := w.mint(w.claims())
	if _, err := w.v.Verify(t.Context(), raw, Thumbprint{}); err != nil {
		t.Fatal(err)
	}
	w.issuers[acme].Keys = noKeys{}
	for _, one := range []string{raw, w.mint(&Claims{
		ID: "2", Issuer: acme, Subject: "s", Audience: []string{"acme.example"}, IssuedAt: w.now,
		Expires: w.now.Add(time.Minute), Principal: User,
		Entity: Entity{ID: "1", Name: "n", Type: "user"},
	})} {
		if c, err := w.v.Verify(t.Context(), one, Thumbprint{}); c != nil || !errors.Is(err, ErrUnavailable) ||
			ReasonOf(err) != "" {
			t.Errorf("got %v, %v; want unavailable", c, err)
		}
	}
}

func TestRequireBound(t *testing.T) {
	w := newWorld(t)
	v, err := NewVerifier(Config{Audience: "acme.example", Issuers: w.issuers, Revocations: NothingRevoked{},
		RequireBound: true, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), w.mint(w.claims()), w.leaf); ReasonOf(err) != Unbound {
		t.Errorf("got %v, want unbound", err)
	}
	c := w.claims()
	c.Bound = w.leaf
	if _, err := v.Verify(t.Context(), w.mint(c), w.leaf); err != nil {
		t.Error(err)
	}
}

func TestVerifierWantsAllItNeeds(t *testing.T) {
	for name, cfg := range map[string]Config{
		"audience":    {Issuers: IssuerMap{}, Revocations: NothingRevoked{}},
		"issuers":     {Audience: "a", Revocations: NothingRevoked{}},
		"revocations": {Audience: "a", Issuers: IssuerMap{}},
	} {
		if _, err := NewVerifier(cfg); err == nil {
			t.Errorf("without %s: want an error", name)
		}
	}
}

// TestMintedTokensAreRead draws claims, signs them and reads them back.
func TestMintedTokensAreRead(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 20, 60)
		c := &Claims{
			ID: text.Draw(t, "jti"), Issuer: acme, Subject: "u-" + text.Draw(t, "sub"), Audience: []string{"acme.example",
				text.Draw(t, "aud")}, IssuedAt: w.now,
			Expires: w.now.Add(time.Duration(rapid.IntRange(1, 86400).Draw(t,
				"ttl")) * time.Second), Principal: rapid.SampledFrom(Principals()).Draw(t, "principal"),
			Entity: Entity{ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Type: "service",
				TrustedNodes: []string{text.Draw(t, "node")}},
		}
		raw, err := w.signer.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.v.Verify(context.Background(), raw, Thumbprint{})
		if err != nil {
			t.Fatal(err)
		}
		c.KeyID = w.signer.Key().ID
		if fmt.Sprint(got) != fmt.Sprint(c) {
			t.Fatalf("got  %v\nwant %v", got, c)
		}
	})
}

// FuzzParseJSON holds the strict reader to the standard library: what it takes, encoding/json takes too, and means
// the same.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[true,null,"x\u0041"]}`, `{"a":{"b":{}}}`, `{"":-0.5e-3}`, "{\"a\":\"\xff\"}",
		`{"a":1,"A":2}`, `{"\ud83d\ude00":1}`, `[]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseJSON(s)
		if err != nil {
			return
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(s), &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", s, err)
		}
		if len(want) != len(v.Names()) {
			t.Fatalf("%q: %d names, want %d", s, len(v.Names()), len(want))
		}
		for name, w := range want {
			m, ok := v.Member(name)
			if got, isText := m.Text(); !ok || isText && got != w {
				t.Fatalf("%q: %q is %q, want %v", s, name, got, w)
			}
		}
	})
}

// BenchmarkVerify compares a verification with plain golang-jwt's, in one run.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	c := w.claims()
	c.Bound = w.leaf
	raw := w.mint(c)
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.v.Verify(b.Context(), raw, w.leaf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("uncached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.v.judge(b.Context(), raw[:strings.LastIndexByte(raw, '.')], raw[strings.LastIndexByte(raw, '.')+1:],
				&w.leaf, w.now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		i := strings.LastIndexByte(raw, '.')
		for b.Loop() {
			t, err := parse(raw[:i], raw[i+1:])
			if err == nil {
				_, err = readClaims(t.payload)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("golang-jwt", func(b *testing.B) {
		b.ReportAllocs()
		p := jwt.NewParser(jwt.WithValidMethods([]string{"ES384"}), jwt.WithIssuer(acme), jwt.WithAudience("acme.example"),
			jwt.WithExpirationRequired(),
			jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return w.now }))
		for b.Loop() {
			if _, err := p.ParseWithClaims(raw, &jwt.RegisteredClaims{},
				func(*jwt.Token) (any, error) { return &w.acme.PublicKey, nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("mint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.signer.Sign(c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestFloodOfTokens has every place at which signatures are checked taken: tokens that can be told by less are refused
// all the same, and of the others no more wait than are allowed.
func TestFloodOfTokens(t *testing.T) {
	w := newWorld(t)
	v, err := NewVerifier(Config{Audience: "acme.example", Issuers: w.issuers, Revocations: NothingRevoked{}, Workers: 1,
		Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	v.workers <- struct{}{}
	for name, c := range map[string]struct {
		raw  string
		want Reason
	}{
		"expired":         {w.forge(w.header(), w.with(`"iat":1800000000,"exp":1800003600`, `"iat":1799990000,"exp":1799999999`)), Expired},
		"somebody else's": {w.forge(w.header(), w.with(`["acme.example"],"iat"`, `["x"],"iat"`)), WrongAudience},
		"unknown issuer":  {w.forge(w.header(), w.with(acme, "https://evil.example")), UnknownIssuer},
		"unknown key":     {w.forge(strings.Replace(w.header(), w.signer.Key().ID, "x", 1), w.payload()), UnknownKey},
		"bound":           {w.mint(bindTo(w.claims(), w.leaf)), WrongBinding},
	} {
		if _, err := v.Verify(t.Context(), c.raw, w.stranger); ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	var flood sync.WaitGroup
	var turnedAway atomic.Int64
	head := w.mint(w.claims())
	for i := range maxWaiting + 100 {
		c := w.claims()
		c.ID = fmt.Sprint(i)
		raw := head[:strings.Index(head, ".")+1] + b64(encoded(t, c)) + head[strings.LastIndex(head, "."):]
		flood.Go(func() {
			_, err := v.Verify(t.Context(), raw, Thumbprint{})
			if err == nil {
				t.Error("a token with another's signature passes")
			}
			if errors.Is(err, ErrUnavailable) {
				turnedAway.Add(1)
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); turnedAway.Load() < 100; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d were turned away while %d wait", turnedAway.Load(), v.waiting.Load())
		}
	}
	<-v.workers
	flood.Wait()
	if _, err := v.Verify(t.Context(), head, Thumbprint{}); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

func bindTo(c *Claims, leaf Thumbprint) *Claims {
	c.Bound = leaf
	return c
}

func encoded(t *testing.T, c *Claims) string {
	t.Helper()
	b, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
