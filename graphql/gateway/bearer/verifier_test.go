package bearer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/graphql/gateway"
)

func newKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func jwk(t *testing.T, kid string, k *ecdsa.PrivateKey) map[string]string {
	t.Helper()
	b, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := (len(b) - 1) / 2
	enc := base64.RawURLEncoding.EncodeToString
	return map[string]string{"kty": "EC", "crv": k.Curve.Params().Name, "kid": kid, "use": "sig", "x": enc(b[1 : 1+n]),
		"y": enc(b[1+n:])}
}

func keySet(t *testing.T, keys ...map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
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

func good() jwt.MapClaims {
	return jwt.MapClaims{"iss": "https://auth.acme.example", "aud": "graph", "sub": "ada",
		"scope": "read:books write:books", "exp": time.Now().Add(time.Hour).Unix()}
}

func sign(t *testing.T, method jwt.SigningMethod, kid string, c jwt.MapClaims, key any, header ...any) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, c)
	if kid != "" {
		tok.Header["kid"] = kid
	}
	for i := 0; i < len(header); i += 2 {
		tok.Header[header[i].(string)] = header[i+1]
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verifier(t *testing.T, source string) *Verifier {
	t.Helper()
	v, err := New(t.Context(), Config{
		Source:   secret.NewURL(source),
		Issuer:   "https://auth.acme.example",
		Audience: "graph",
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	key, other, p256 := newKey(t, elliptic.P384()), newKey(t, elliptic.P384()), newKey(t, elliptic.P256())
	v := verifier(t, fileOf(t, keySet(t, jwk(t, "k1", key), jwk(t, "small", p256))))
	with := func(set ...any) jwt.MapClaims {
		c := good()
		for i := 0; i < len(set); i += 2 {
			if set[i+1] == nil {
				delete(c, set[i].(string))
			} else {
				c[set[i].(string)] = set[i+1]
			}
		}
		return c
	}
	cert := &x509.Certificate{Raw: []byte("a certificate")}
	bound := map[string]string{"x5t#S256": thumbprint(cert)}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	unix := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, c := range map[string]struct {
		token string
		cert  *x509.Certificate
		want  string // "" is accepted
	}{
		"good": {sign(t, jwt.SigningMethodES384, "k1", good(), key), nil, ""},
		"audience in a list": {sign(t, jwt.SigningMethodES384, "k1", with("aud", []string{"a", "graph"}), key), nil,
			""},
		"clocks differ a little": {sign(t, jwt.SigningMethodES384, "k1", with("nbf", unix(3*time.Second)), key), nil, ""},
		"bound, and its holder":  {sign(t, jwt.SigningMethodES384, "k1", with("cnf", bound), key), cert, ""},
		"bound, stolen": {sign(t, jwt.SigningMethodES384, "k1", with("cnf", bound), key),
			&x509.Certificate{Raw: []byte("another")}, "bound to another"},
		"bound, without any": {sign(t, jwt.SigningMethodES384, "k1", with("cnf", bound), key), nil, "bound to another"},
		"another key":        {sign(t, jwt.SigningMethodES384, "k1", good(), other), nil, "signature"},
		"unknown key":        {sign(t, jwt.SigningMethodES384, "k2", good(), key), nil, "unknown key"},
		"no kid":             {sign(t, jwt.SigningMethodES384, "", good(), key), nil, "unknown key"},
		"ES256":              {sign(t, jwt.SigningMethodES256, "small", good(), p256), nil, "algorithm"},
		"none": {sign(t, jwt.SigningMethodNone, "k1", good(), jwt.UnsafeAllowNoneSignatureType), nil,
			"algorithm"},
		"HMAC with the public key": {sign(t, jwt.SigningMethodHS256, "k1", good(), public), nil, "algorithm"},
		"crit": {sign(t, jwt.SigningMethodES384, "k1", good(), key, "crit", []string{"exp"}), nil,
			"unknown"},
		"expired":  {sign(t, jwt.SigningMethodES384, "k1", with("exp", unix(-time.Minute)), key), nil, "expired"},
		"for ever": {sign(t, jwt.SigningMethodES384, "k1", with("exp", nil), key), nil, "missing"},
		"not yet": {sign(t, jwt.SigningMethodES384, "k1", with("nbf", unix(time.Minute)), key), nil,
			"not valid yet"},
		"from the future":  {sign(t, jwt.SigningMethodES384, "k1", with("iat", unix(time.Minute)), key), nil, "future"},
		"another issuer":   {sign(t, jwt.SigningMethodES384, "k1", with("iss", "https://evil.example"), key), nil, "issuer"},
		"no issuer":        {sign(t, jwt.SigningMethodES384, "k1", with("iss", nil), key), nil, "missing"},
		"another audience": {sign(t, jwt.SigningMethodES384, "k1", with("aud", "other"), key), nil, "audience"},
		"no subject":       {sign(t, jwt.SigningMethodES384, "k1", with("sub", nil), key), nil, "subject"},
		"no JWT":           {"hello", nil, "not a JWT"},
		"long":             {strings.Repeat("a", longestToken+1), nil, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time from memory
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

// A change of keys takes effect, also for tokens that have been seen; tokens with invented keys do not make us ask
// again and again.
func TestKeysChange(t *testing.T) {
	first, second := newKey(t, elliptic.P384()), newKey(t, elliptic.P384())
	var asked atomic.Int32
	var served atomic.Value
	served.Store(keySet(t, jwk(t, "k1", first)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write(served.Load().([]byte))
	}))
	defer srv.Close()
	v := verifier(t, srv.URL)
	old, renewed := sign(t, jwt.SigningMethodES384, "k1", good(), first),
		sign(t, jwt.SigningMethodES384, "k2", good(), second)
	if _, err := v.Verify(t.Context(), old, nil); err != nil {
		t.Fatal(err)
	}
	served.Store(keySet(t, jwk(t, "k2", second)))
	for range 50 {
		if _, err := v.Verify(t.Context(), renewed, nil); err == nil {
			t.Fatal("a token of an unknown key passes")
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for keys, want 1", n)
	}
	v.attempted = time.Now().Add(-refreshPause)
	if _, err := v.Verify(t.Context(), renewed, nil); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := v.Verify(t.Context(), old, nil); err == nil {
		t.Error("a token of a key that was taken away passes")
	}
}

func TestKeysNotThereYet(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	key := newKey(t, elliptic.P384())
	if _, err := verifier(t, srv.URL).Verify(t.Context(), sign(t, jwt.SigningMethodES384, "k1", good(), key),
		nil); !errors.Is(err, gateway.ErrUnavailable) {
		t.Errorf("got %v, want that tokens cannot be verified", err)
	}
}

func TestKeySetsThatAreRefused(t *testing.T) {
	key := newKey(t, elliptic.P384())
	bad := jwk(t, "k1", key)
	bad["x"] = bad["y"]
	short := jwk(t, "k1", key)
	short["x"] = "AAAA"
	for name, raw := range map[string][]byte{
		"no JSON": []byte("x"), "empty": keySet(t), "not on the curve": keySet(t, bad), "short": keySet(t, short),
		"twice":         keySet(t, jwk(t, "k1", key), jwk(t, "k1", key)),
		"another curve": keySet(t, jwk(t, "k1", newKey(t, elliptic.P256()))),
	} {
		if _, err := New(t.Context(), Config{Source: secret.NewURL(fileOf(t, raw)), Issuer: "a", Audience: "b"}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, where := range []string{"http://auth.acme.example/jwks", "nowhere.json"} {
		if _, err := New(t.Context(), Config{Source: secret.NewURL(where), Issuer: "a", Audience: "b"}); err == nil {
			t.Errorf("%s: accepted", where)
		}
	}
}
