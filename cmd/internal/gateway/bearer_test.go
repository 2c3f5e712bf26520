package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
)

func newKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keySet is a JWKS of keys by their kid.
func keySet(t *testing.T, keys map[string]*ecdsa.PrivateKey) []byte {
	t.Helper()
	all := []map[string]string{}
	for kid, k := range keys {
		b, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		n := (len(b) - 1) / 2
		enc := base64.RawURLEncoding.EncodeToString
		all = append(all, map[string]string{"kty": "EC", "crv": k.Curve.Params().Name, "kid": kid, "use": "sig",
			"x": enc(b[1 : 1+n]), "y": enc(b[1+n:])})
	}
	b, err := json.Marshal(map[string]any{"keys": all})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fileOf(t *testing.T, b []byte) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(f, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// claimsWith are those of a token that is taken, with some changed; nil takes a claim out.
func claimsWith(set ...any) jwt.MapClaims {
	c := jwt.MapClaims{"iss": "https://auth.acme.example", "aud": "graph", "sub": "ada",
		"scope": "read:books write:books", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(set); i += 2 {
		if c[set[i].(string)] = set[i+1]; set[i+1] == nil {
			delete(c, set[i].(string))
		}
	}
	return c
}

func sign(t *testing.T, method jwt.SigningMethod, kid string, c jwt.MapClaims, key any) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, c)
	if kid != "" {
		tok.Header["kid"] = kid
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func callers(t *testing.T, source string, revoked bearer.Revocations) (*verifier, error) {
	t.Helper()
	tel, err := telemetry.New(t.Context(), slog.New(slog.DiscardHandler), "test", "test")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gateway{tel: tel, cfg: config.Gateway{
		JWKS: secret.NewURL(source), Issuer: "https://auth.acme.example", Audience: "graph",
	}}
	return g.verifier(t.Context(), revoked)
}

// Everything that is not a good token of the issuer for this gateway is refused, the first time and from memory. What
// auth/token refuses beyond that has its own tests.
func TestVerify(t *testing.T) {
	key, other, p256 := newKey(t, elliptic.P384()), newKey(t, elliptic.P384()), newKey(t, elliptic.P256())
	v, err := callers(t, fileOf(t, keySet(t, map[string]*ecdsa.PrivateKey{"k1": key, "small": p256})),
		nil)
	if err != nil {
		t.Fatal(err)
	}
	es384 := func(set ...any) string { return sign(t, jwt.SigningMethodES384, "k1", claimsWith(set...), key) }
	cert := &x509.Certificate{Raw: []byte("a certificate")}
	bound := map[string]string{"x5t#S256": token.ThumbprintOf(cert).String()}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, c := range map[string]struct {
		token string
		cert  *x509.Certificate
		want  string // "" is accepted
	}{
		"good":                   {es384(), nil, ""},
		"audience in a list":     {es384("aud", []string{"a", "graph"}), nil, ""},
		"valid for long":         {es384("iat", in(-time.Hour), "exp", in(1000*time.Hour)), nil, ""},
		"clocks differ a little": {es384("nbf", in(3*time.Second)), nil, ""},
		"scopes in a list":       {es384("scope", nil, "scopes", []string{"read:books", "write:books"}), nil, ""},
		"bound, and its holder":  {es384("cnf", bound), cert, ""},
		"bound, stolen":          {es384("cnf", bound), &x509.Certificate{Raw: []byte("another")}, "bound to another"},
		"bound, without any":     {es384("cnf", bound), nil, "bound to another"},
		"bound to a DPoP key":    {es384("cnf", map[string]string{"jkt": "x"}), nil, "cnf"},
		"another key":            {sign(t, jwt.SigningMethodES384, "k1", claimsWith(), other), nil, "signature"},
		"unknown key":            {sign(t, jwt.SigningMethodES384, "k2", claimsWith(), key), nil, "key that its issuer"},
		"no kid":                 {sign(t, jwt.SigningMethodES384, "", claimsWith(), key), nil, "kid"},
		"ES256":                  {sign(t, jwt.SigningMethodES256, "small", claimsWith(), p256), nil, "key that its issuer"},
		"none": {sign(t, jwt.SigningMethodNone, "k1", claimsWith(), jwt.UnsafeAllowNoneSignatureType), nil,
			"algorithm"},
		"expired":          {es384("exp", in(-time.Minute)), nil, "expired"},
		"for ever":         {es384("exp", nil), nil, "exp"},
		"not yet":          {es384("nbf", in(time.Minute)), nil, "not valid yet"},
		"from the future":  {es384("iat", in(40*time.Second)), nil, "not valid yet"},
		"another issuer":   {es384("iss", "https://evil.example"), nil, "issuer"},
		"no issuer":        {es384("iss", nil), nil, "issuer"},
		"another audience": {es384("aud", "other"), nil, "somebody else"},
		"no subject":       {es384("sub", nil), nil, "sub"},
		"scope a list":     {es384("scope", []string{"read:books"}), nil, "scope"},
		"no JWT":           {"hello", nil, "three parts"},
		"long":             {strings.Repeat("a", token.MaxBytes+1), nil, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				p, err := v.Verify(t.Context(), c.token, c.cert)
				switch {
				case c.want == "" && err != nil:
					t.Fatal(err)
				case c.want == "" && (p.Subject != "ada" || len(p.Scopes) != 2 || p.Scopes[1] != "write:books" ||
					p.Expires.IsZero()):
					t.Fatalf("got %+v", p)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Fatalf("got %v, want %q", err, c.want)
				case err != nil && len(c.token) > 20 && strings.Contains(err.Error(), c.token[:20]):
					t.Fatalf("the error repeats the token: %v", err)
				}
			}
		})
	}
}

// What is revoked is refused, and a stream that runs with it learns of it.
func TestARevokedTokenIsRefused(t *testing.T) {
	key := newKey(t, elliptic.P384())
	set := revoke.NewSet("https://auth.acme.example")
	heard := func(seq int64, entries ...revoke.Entry) {
		now := time.Now()
		d := &revoke.Delta{Issuer: "https://auth.acme.example", After: seq - 1, Seq: seq, Issued: now.Unix(), Interval: 60,
			Entries: entries}
		if err := set.Apply(d, now); err != nil {
			t.Fatal(err)
		}
	}
	heard(1)
	v, err := callers(t, fileOf(t, keySet(t, map[string]*ecdsa.PrivateKey{"k1": key})), set)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(sub string) (*server.Principal, error) {
		claims := claimsWith("sub", sub, "iat", time.Now().Add(-time.Minute).Unix())
		return v.Verify(t.Context(), sign(t, jwt.SigningMethodES384, "k1", claims, key), nil)
	}
	ada, err := verify("ada")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- ada.Watch(t.Context()) }()
	heard(2, revoke.Entry{Seq: 2, Kind: revoke.Subject, Value: "ada", At: time.Now().Unix(),
		Expires: time.Now().Add(time.Hour).Unix()})
	if err := <-ended; token.ReasonOf(err) != token.Revoked {
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := verify("ada"); token.ReasonOf(err) != token.Revoked {
		t.Errorf("got %v, want that it is revoked", err)
	}
	if _, err := verify("bob"); err != nil {
		t.Error(err)
	}
}

func TestKeysNotThereYet(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	v, err := callers(t, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := sign(t, jwt.SigningMethodES384, "k1", claimsWith(), newKey(t, elliptic.P384()))
	if _, err := v.Verify(t.Context(), signed, nil); !errors.Is(err, server.ErrUnavailable) {
		t.Errorf("got %v, want that tokens cannot be verified", err)
	}
}

func TestKeySetsThatAreRefused(t *testing.T) {
	for name, source := range map[string]string{
		"no JSON": fileOf(t, []byte("x")), "empty": fileOf(t, keySet(t, nil)),
		"another curve": fileOf(t, keySet(t, map[string]*ecdsa.PrivateKey{"k1": newKey(t, elliptic.P256())})),
		"not https":     "http://auth.acme.example/jwks", "no file": "nowhere.json",
	} {
		if _, err := callers(t, source, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
