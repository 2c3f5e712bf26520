package bearer

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/graphql/gateway"
)

// Config is what a Verifier is made of.
type Config struct {
	// Source of the keys: a file, or an https URL (http on loopback). Required.
	Source secret.URL
	// Issuer and Audience that tokens must have. Required.
	Issuer, Audience string
	// Leeway for clocks that differ. Zero means 5 s.
	Leeway time.Duration
	// Refresh is how often keys are read anew. Zero means 5 minutes for a URL; files are looked at each 5 s.
	Refresh time.Duration
	Log     *slog.Logger
}

// The bounds of a Verifier.
const (
	longestToken = 16 << 10 // bytes
	remembered   = 10_000   // verified tokens
	// refreshPause is the least time between two attempts to get keys because a token names one that is not known:
	// tokens are anybody's.
	refreshPause = 10 * time.Second
)

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	source source
	parser *jwt.Parser
	known  *lru.Cache[[sha256.Size]byte, verified]

	mu        sync.Mutex
	keys      map[string]*ecdsa.PublicKey // nil until they were got once
	version   int                         // counts changes of keys
	attempted time.Time                   // guarded by fetching
	fetching  sync.Mutex                  // one attempt at a time
}

// verified is a token that has passed.
type verified struct {
	principal *gateway.Principal
	version   int // of the keys
}

var _ gateway.Verifier = (*Verifier)(nil)

// New returns a verifier. A file that holds no keys is an error; a URL is tried again by Run.
func New(ctx context.Context, cfg Config) (*Verifier, error) {
	if cfg.Issuer == "" || cfg.Audience == "" {
		return nil, errors.New("want an issuer and an audience: a token for somebody else must not pass")
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = 5 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	src, err := newSource(cfg.Source)
	if err != nil {
		return nil, err
	}
	v := &Verifier{cfg: cfg, source: src, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodES384.Alg()}), jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(cfg.Leeway), jwt.WithStrictDecoding())}
	v.known, _ = lru.New[[sha256.Size]byte, verified](remembered) // fails on sizes below 1 only
	err = v.refresh(ctx)
	if _, file := src.(local); err != nil && file {
		return nil, err
	}
	if err != nil {
		cfg.Log.Warn("keys of tokens not had, trying again", "source", cfg.Source, "error", err)
	}
	return v, nil
}

// Run reads the keys anew from time to time, until ctx ends.
func (v *Verifier) Run(ctx context.Context) error {
	every := v.cfg.Refresh
	if _, file := v.source.(local); file && every == 0 {
		every = 5 * time.Second
	} else if every == 0 {
		every = 5 * time.Minute
	}
	told := ""
	for {
		wait := every
		if v.current() == nil {
			wait = min(wait, time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := v.refresh(ctx)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			v.cfg.Log.Error("keys of tokens not had, the former ones stay", "source", v.cfg.Source, "error", err)
		}
	}
}

// refresh reads the keys.
func (v *Verifier) refresh(ctx context.Context) error {
	v.fetching.Lock()
	defer v.fetching.Unlock()
	v.attempted = time.Now()
	raw, err := v.source.get(ctx)
	if err != nil {
		return err
	}
	keys, err := parseKeys(raw)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !equal(keys, v.keys) {
		v.keys = keys
		v.version++
	}
	return nil
}

func equal(a, b map[string]*ecdsa.PublicKey) bool {
	if len(a) != len(b) {
		return false
	}
	for kid, k := range a {
		if o := b[kid]; o == nil || !k.Equal(o) {
			return false
		}
	}
	return true
}

func (v *Verifier) current() map[string]*ecdsa.PublicKey {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.keys
}

// key finds the key a token names; one that is not known may be new, and is looked for once in a while.
func (v *Verifier) key(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	keys := v.current()
	if k := keys[kid]; k != nil {
		return k, nil
	}
	if v.mayRefresh() {
		if err := v.refresh(ctx); err != nil {
			v.cfg.Log.Warn("keys of tokens not had", "source", v.cfg.Source, "error", err)
		}
		keys = v.current()
	}
	if keys == nil {
		return nil, fmt.Errorf("no keys yet: %w", gateway.ErrUnavailable)
	}
	if k := keys[kid]; k != nil {
		return k, nil
	}
	return nil, errors.New("signed by an unknown key")
}

func (v *Verifier) mayRefresh() bool {
	v.fetching.Lock()
	defer v.fetching.Unlock()
	return time.Since(v.attempted) >= refreshPause
}

// claims of a token.
type claims struct {
	jwt.RegisteredClaims
	Scope  string   `json:"scope"`
	Scopes []string `json:"scopes"`
	Cnf    struct {
		Thumbprint string `json:"x5t#S256"`
	} `json:"cnf"`
}

// Verify implements gateway.Verifier. The errors name what is wrong with a token and hold nothing of it.
func (v *Verifier) Verify(ctx context.Context, token string, cert *x509.Certificate) (*gateway.Principal, error) {
	if len(token) > longestToken {
		return nil, fmt.Errorf("longer than %d bytes", longestToken)
	}
	hash := sha256.Sum256([]byte(token))
	v.mu.Lock()
	version := v.version
	v.mu.Unlock()
	known, ok := v.known.Get(hash)
	if !ok || known.version != version || time.Now().After(known.principal.Expires.Add(v.cfg.Leeway)) {
		p, err := v.verify(ctx, token)
		if err != nil {
			return nil, err
		}
		known = verified{p, version}
		v.known.Add(hash, known)
	}
	if want := known.principal.Key; want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(thumbprint(cert))) != 1 {
		return nil, errors.New("bound to another certificate than the caller's")
	}
	return known.principal, nil
}

// verify checks signature and claims.
func (v *Verifier) verify(ctx context.Context, token string) (*gateway.Principal, error) {
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("wants an extension that is not known (crit)")
		}
		kid, _ := t.Header["kid"].(string)
		if kid == "" {
			return nil, errors.New("names no key (kid)")
		}
		return v.key(ctx, kid)
	})
	switch {
	case errors.Is(err, gateway.ErrUnavailable):
		return nil, gateway.ErrUnavailable
	case err != nil:
		return nil, reason(err)
	case c.Subject == "":
		return nil, errors.New("names no subject (sub)")
	}
	return &gateway.Principal{
		Subject: c.Subject,
		Issuer:  c.Issuer,
		Scopes:  append(strings.Fields(c.Scope), c.Scopes...),
		Key:     c.Cnf.Thumbprint,
		Expires: c.ExpiresAt.Time,
	}, nil
}

// reason is what is wrong with a token, in words of ours: the library's may repeat pieces of it.
func reason(err error) error {
	for _, r := range []struct {
		is   error
		text string
	}{
		{jwt.ErrTokenMalformed, "not a JWT"}, {jwt.ErrTokenSignatureInvalid, "the signature or its algorithm is wrong"},
		{jwt.ErrTokenExpired, "expired"}, {jwt.ErrTokenNotValidYet, "not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "issued in the future"},
		{jwt.ErrTokenInvalidIssuer, "of another issuer"}, {jwt.ErrTokenInvalidAudience, "for another audience"},
		{jwt.ErrTokenRequiredClaimMissing, "a claim is missing"},
		{jwt.ErrTokenUnverifiable, "signed by an unknown key, or wanting what is not known"},
	} {
		if errors.Is(err, r.is) {
			return errors.New(r.text)
		}
	}
	return errors.New("not valid")
}

// thumbprint is the x5t#S256 of a certificate (RFC 8705 §3.1), or "".
func thumbprint(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
