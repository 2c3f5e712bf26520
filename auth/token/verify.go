package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"
)

const (
	defaultMaxLife = 24 * time.Hour
	defaultLeeway  = 30 * time.Second
	maxWaiting     = 512 // signatures that wait to be checked: a second of work for one core
)

// Issuer is somebody whose tokens are believed, and how far.
type Issuer struct {
	// Name is its iss, exactly. Required.
	Name string
	// Keys are its keys, and nobody else's (RFC 8725 §3.8). Required.
	Keys Keys
	// Audience that its tokens must name; "" for the verifier's.
	Audience string
	// MaxLife is the longest that a token may be valid, from iat to exp. Zero means 24 h.
	MaxLife time.Duration
	// AnyLife takes tokens however long they are valid, and without iat, which RFC 7519 §4.1.6 leaves to the issuer: for
	// an external issuer whose tokens are somebody else's to bound.
	AnyLife bool
	// TrustDomain of the issuer: a subject that is a SPIFFE id, and every trusted domain, must be of it or below. ""
	// does not look.
	TrustDomain string
	// Principals that its tokens may name; nil for all five.
	Principals []Principal
	// Map makes a principal and an entity of the claims of an external issuer. The registered claims are filled in
	// already, iat and jti where the token has them. nil: the tokens are Catalyst's own, signed with ES384.
	Map func(payload Value, c *Claims) error
}

// Issuers finds issuers. It is asked at every verification, of tokens in the cache too. As long as an issuer stays
// the same, so does the pointer.
type Issuers interface {
	// Issuer returns the issuer of that name; nil for nobody we trust.
	Issuer(name string) *Issuer
}

// IssuerMap is a fixed set of issuers, by name.
type IssuerMap map[string]*Issuer

// Issuer implements Issuers.
func (m IssuerMap) Issuer(name string) *Issuer { return m[name] }

// Revocations tells what is revoked. It is asked at every verification, of tokens in the cache too, so it must be
// quick and must not block.
type Revocations interface {
	// Check returns a *Refusal with Revoked or Stale, or nil.
	Check(c *Claims, now time.Time) error
}

// Config is what a Verifier is made of.
type Config struct {
	// Audience is whom tokens must be meant for: exactly one name. Required, since a token for somebody else must not
	// pass.
	Audience string
	// AnyAudience takes tokens whomever they are meant for: for an issuer who is asked about its own (RFC 7009, 7662), and
	// for nobody who lets anybody in by them.
	AnyAudience bool
	// Issuers that are trusted. Required.
	Issuers Issuers
	// Revocations is required: NothingRevoked says in words that nothing ever is.
	Revocations Revocations
	// RequireBound refuses tokens that are not bound to a certificate.
	RequireBound bool
	// Leeway for clocks that differ, for iat and nbf. Zero means 30 s. exp is taken at its word.
	Leeway time.Duration
	// Entries is how many verified tokens are remembered, about 1.5 KiB each. Zero means 32,768.
	Entries int
	// Workers is how many signatures are checked at a time. Zero means as many as there are processors.
	Workers int
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// NothingRevoked revokes nothing: for tests, and for services that live with tokens until they expire.
type NothingRevoked struct{}

// Check implements Revocations.
func (NothingRevoked) Check(*Claims, time.Time) error { return nil }

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	cache   *cache
	workers chan struct{}
	waiting atomic.Int64
	flights singleflight.Group
}

// NewVerifier returns a verifier.
func NewVerifier(cfg Config) (*Verifier, error) {
	if cfg.Audience == "" && !cfg.AnyAudience || cfg.Issuers == nil || cfg.Revocations == nil {
		return nil, errors.New("a verifier wants an audience, issuers and revocations")
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = defaultLeeway
	}
	if cfg.Entries == 0 {
		cfg.Entries = defaultEntries
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verifier{cfg: cfg, cache: newCache(cfg.Entries), workers: make(chan struct{}, cfg.Workers)}, nil
}

// Verify returns what a token says if it may be believed, now and from a caller with that certificate (zero: without
// one). The error is a *Refusal, or wraps ErrUnavailable. What costs little is looked at first: a signature costs a
// thousand times the rest.
func (v *Verifier) Verify(ctx context.Context, raw string, certificate Thumbprint) (*Claims, error) {
	return v.verify(ctx, raw, &certificate)
}

// Inspect is Verify for somebody who is told of a token instead of being shown it (RFC 7662): whom it is bound to is
// not looked at.
func (v *Verifier) Inspect(ctx context.Context, raw string) (*Claims, error) {
	return v.verify(ctx, raw, nil)
}

func (v *Verifier) verify(ctx context.Context, raw string, certificate *Thumbprint) (*Claims, error) {
	signed, signature, err := split(raw)
	if err != nil {
		return nil, err
	}
	now := v.cfg.Now()
	hash := sha256.Sum256([]byte(signed))
	shard := v.cache.at(hash)
	if e, ok := shard.get(hash); ok && e.by(signature) {
		err := v.standing(ctx, e.claims, e.issuer, e.key, certificate, now)
		switch ReasonOf(err) {
		case Expired, UnknownKey, UnknownIssuer:
			shard.drop(hash)
		}
		if err != nil {
			return nil, err
		}
		return e.claims, nil
	}
	e, err := v.judge(ctx, signed, signature, certificate, now)
	if err != nil {
		return nil, err
	}
	shard.put(hash, e)
	return e.claims, nil
}

// judge verifies a token that is not remembered.
func (v *Verifier) judge(ctx context.Context, signed, signature string, certificate *Thumbprint,
	now time.Time) (*verified, error) {
	t, err := parse(signed, signature)
	if err != nil {
		return nil, err
	}
	iss, _ := t.payload.Member("iss")
	name, _ := iss.Text()
	issuer := v.cfg.Issuers.Issuer(name)
	if issuer == nil {
		return nil, refuse(UnknownIssuer, "its issuer is not trusted")
	}
	c, err := issuer.read(t)
	if err != nil {
		return nil, err
	}
	c.KeyID = t.kid
	if err := v.checkOnce(c, issuer); err != nil {
		return nil, err
	}
	key, err := issuer.Keys.Key(ctx, t.kid)
	if err != nil {
		return nil, fmt.Errorf("keys of the issuer: %w: %w", ErrUnavailable, err)
	}
	if err := v.standing(ctx, c, issuer, key, certificate, now); err != nil {
		return nil, err
	}
	if key.Algorithm != t.alg || issuer.Map == nil && t.alg != ES384 {
		return nil, refuse(WrongAlgorithm, "its algorithm is not that of the key")
	}
	if err := v.checkSignature(t, key); err != nil {
		return nil, err
	}
	// The signature took its time: what was revoked meanwhile does not pass.
	if err := v.standing(ctx, c, issuer, key, certificate, v.cfg.Now()); err != nil {
		return nil, err
	}
	e := &verified{claims: c, issuer: issuer, key: key, first: []byte(signature)}
	if len(t.signature) == signatureBytes {
		e.first, e.second = twins(t.signature)
	}
	return e, nil
}

// read reads the claims by the rules of the issuer.
func (i *Issuer) read(t *compact) (*Claims, error) {
	if t.typ != TypeJWT && t.typ != TypeAccess && (i.Map == nil || t.typ != "") {
		return nil, refuse(WrongType, "it is another kind of token")
	}
	if i.Map == nil {
		return readClaims(t.payload)
	}
	r := reader{v: t.payload}
	c := &Claims{
		ID: r.text("jti", false), Issuer: r.text("iss", true), Subject: r.text("sub", true), Audience: r.texts("aud", true),
		IssuedAt: r.date("iat", !i.AnyLife), NotBefore: r.date("nbf", false), Expires: r.date("exp", true),
		Bound: r.binding(), External: true,
	}
	if r.err != nil {
		return nil, r.err
	}
	c.Extra = map[string]string{}
	for _, name := range t.payload.Names() {
		if v, _ := t.payload.Member(name); v.kind == jsonString {
			c.Extra[name] = v.text
		}
	}
	if err := i.Map(t.payload, c); err != nil {
		return nil, refuse(BadClaim, "its claims make no principal here: %v", err)
	}
	if !c.Principal.known() {
		return nil, refuse(BadClaim, "its claims make no principal here")
	}
	return c, nil
}

// checkOnce looks at what cannot change while the issuer stays the same.
func (v *Verifier) checkOnce(c *Claims, issuer *Issuer) error {
	audience := issuer.Audience
	if audience == "" {
		audience = v.cfg.Audience
	}
	longest := issuer.MaxLife
	if longest == 0 {
		longest = defaultMaxLife
	}
	switch {
	case !v.cfg.AnyAudience && !slices.Contains(c.Audience, audience):
		return refuse(WrongAudience, "it is meant for somebody else")
	case !c.Expires.After(c.IssuedAt) || !issuer.AnyLife && c.Expires.Sub(c.IssuedAt) > longest:
		return refuse(TooLong, "it is valid for longer than %s", longest)
	case issuer.Principals != nil && !slices.Contains(issuer.Principals, c.Principal):
		return refuse(BadClaim, "its issuer may not speak for a principal %s", c.Principal)
	case v.cfg.RequireBound:
		if err := c.CheckBound(); err != nil {
			return err
		}
	}
	if issuer.TrustDomain == "" {
		return nil
	}
	if id, ok := strings.CutPrefix(c.Subject, "spiffe://"); ok {
		if domain, path, _ := strings.Cut(id, "/"); domain != issuer.TrustDomain || path == "" {
			return refuse(BadClaim, "its subject is of another trust domain than its issuer")
		}
	}
	for _, d := range c.Entity.TrustedDomains {
		if d != issuer.TrustDomain && !strings.HasSuffix(d, "."+issuer.TrustDomain) {
			return refuse(BadClaim, "it trusts a domain that is not its issuer's")
		}
	}
	return nil
}

// standing looks at what can change from one use of a token to the next.
func (v *Verifier) standing(ctx context.Context, c *Claims, issuer *Issuer, key *Key, certificate *Thumbprint,
	now time.Time) error {
	switch {
	case !now.Before(c.Expires):
		return refuse(Expired, "it has expired")
	case c.IssuedAt.After(now.Add(v.cfg.Leeway)), c.NotBefore.After(now.Add(v.cfg.Leeway)):
		return refuse(NotYet, "it is not valid yet: compare the clocks")
	case v.cfg.Issuers.Issuer(c.Issuer) != issuer:
		return refuse(UnknownIssuer, "its issuer is not trusted any more, or on other terms")
	}
	current, err := issuer.Keys.Key(ctx, c.KeyID)
	if err != nil {
		return fmt.Errorf("keys of the issuer: %w: %w", ErrUnavailable, err)
	}
	if current == nil || key == nil || current != key {
		return refuse(UnknownKey, "it is signed by a key that its issuer does not have, or not any more")
	}
	if certificate != nil && !c.Bound.IsZero() {
		by, ok := c.boundTo(*certificate)
		if !ok {
			return refuse(WrongBinding, "it is bound to another certificate than the caller's")
		}
		if by != c.Bound { // whether that one is revoked counts too
			former := *c
			former.Bound = by
			if err := v.cfg.Revocations.Check(&former, now); err != nil {
				return err
			}
		}
	}
	return v.cfg.Revocations.Check(c, now)
}

// checkSignature checks the signature of a token; one that was found wrong before is not checked again, and the same
// token is checked by one at a time.
func (v *Verifier) checkSignature(t *compact, key *Key) error {
	whole := sha256.Sum256(append([]byte(t.signed), t.signature...))
	if k, ok := v.cache.bad.get(whole); ok && k == key {
		return refuse(BadSignature, "its signature is wrong")
	}
	_, err, _ := v.flights.Do(string(whole[:])+key.ID, func() (any, error) {
		defer v.waiting.Add(-1)
		if v.waiting.Add(1) > maxWaiting {
			return nil, fmt.Errorf("%w: more than %d signatures wait to be checked", ErrUnavailable, maxWaiting)
		}
		v.workers <- struct{}{}
		defer func() { <-v.workers }()
		method := jwt.GetSigningMethod(key.Algorithm)
		if method == nil {
			return nil, refuse(WrongAlgorithm, "its algorithm is not known")
		}
		if method.Verify(t.signed, t.signature, key.Public) != nil {
			v.cache.bad.put(whole, key)
			return nil, refuse(BadSignature, "its signature is wrong")
		}
		return nil, nil
	})
	return err
}
