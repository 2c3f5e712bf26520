package bearer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/token"
)

const issuer = "https://auth.acme.example"

func signer() *token.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		panic(err)
	}
	s, err := token.NewSigner(key)
	if err != nil {
		panic(err)
	}
	return s
}

func claims(id string, life time.Duration) *token.Claims {
	now := time.Now().Truncate(time.Second)
	return &token.Claims{
		ID: id, Issuer: issuer, Subject: "ada", Audience: []string{"acme.example"}, IssuedAt: now, Expires: now.Add(life),
		Principal: token.User, Entity: token.Entity{ID: "ada", Name: "Ada", Type: "user"},
	}
}

func mint(s *token.Signer, c *token.Claims) string {
	raw, err := s.Sign(c)
	if err != nil {
		panic(err)
	}
	return raw
}

type world struct {
	signer *token.Signer
	set    *revoke.Set
	guard  *bearer.Guard
}

func newWorld(allow func(context.Context, *token.Claims) error) *world {
	w := &world{signer: signer(), set: revoke.NewSet(issuer)}
	v, err := token.NewVerifier(token.Config{Audience: "acme.example", Revocations: w.set, Issuers: token.IssuerMap{
		issuer: {Name: issuer, Keys: token.KeySet{w.signer.Key().ID: w.signer.Key()}},
	}})
	if err != nil {
		panic(err)
	}
	if w.guard, err = bearer.NewGuard(bearer.Config{Verifier: v, Revocations: w.set, Allow: allow}); err != nil {
		panic(err)
	}
	w.revoke()
	return w
}

// revoke tells the set what is revoked: the ids, and that it is up to date.
func (w *world) revoke(ids ...string) {
	d := &revoke.Delta{Issuer: issuer, After: w.set.Seq(), Seq: w.set.Seq(), Issued: time.Now().Unix(), Interval: 60}
	for _, id := range ids {
		d.Seq++
		d.Entries = append(d.Entries, revoke.Entry{Seq: d.Seq, Kind: revoke.Token, Value: id,
			Expires: time.Now().Add(time.Hour).Unix()})
	}
	if err := w.set.Apply(d, time.Now()); err != nil {
		panic(err)
	}
}

// Example serves whoever has a good token, and learns from the request's context when that is over.
func Example() {
	w := newWorld(nil)
	srv := httptest.NewServer(w.guard.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "hello %s", bearer.Claims(r.Context()).Subject)
	})))
	defer srv.Close()
	ask := func(raw string) {
		r, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, string(b))
	}
	raw := mint(w.signer, claims("1", time.Hour))
	ask(raw)
	w.revoke("1")
	ask(raw)
	// Output:
	// 200 hello ada
	// 401 the bearer token is not valid
}

func TestHandlerRefuses(t *testing.T) {
	w := newWorld(func(_ context.Context, c *token.Claims) error {
		if c.ID == "forbidden" {
			return fmt.Errorf("no")
		}
		return nil
	})
	good := mint(w.signer, claims("1", time.Hour))
	bound := claims("2", time.Hour)
	bound.Bound = token.Thumbprint{1}
	h := w.guard.Handler(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "in") }))
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"good": {[]string{"Bearer " + good}, 200}, "lower case": {[]string{"bearer " + good}, 200}, "none": {nil, 401},
		"two":    {[]string{"Bearer " + good, "Bearer " + good}, 401},
		"joined": {[]string{"Bearer " + good + ",Bearer " + good}, 401},
		"basic":  {[]string{"Basic " + good}, 401}, "two spaces": {[]string{"Bearer  " + good}, 401},
		"nonsense":                     {[]string{"Bearer x"}, 401},
		"another's":                    {[]string{"Bearer " + mint(signer(), claims("1", time.Hour))}, 401},
		"bound, without a certificate": {[]string{"Bearer " + mint(w.signer, bound)}, 401},
		"not allowed":                  {[]string{"Bearer " + mint(w.signer, claims("forbidden", time.Hour))}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/?access_token="+good, nil)
			r.Header["Authorization"] = c.headers
			r.Header.Set("X-Forwarded-Client-Cert", "Hash="+bound.Bound.String())
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != c.want || (rec.Code == 401) != (rec.Header().Get("WWW-Authenticate") != "" && c.want == 401) {
				t.Errorf("got %d %v, want %d", rec.Code, rec.Header(), c.want)
			}
		})
	}
}

func TestBoundToTheConnection(t *testing.T) {
	w := newWorld(nil)
	leaf := &x509.Certificate{Raw: []byte("leaf")}
	c := claims("1", time.Hour)
	c.Bound = token.ThumbprintOf(leaf)
	h := w.guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for name, state := range map[string]*tls.ConnectionState{
		"its certificate": {PeerCertificates: []*x509.Certificate{leaf}},
		"another":         {PeerCertificates: []*x509.Certificate{{Raw: []byte("other")}}}, "none": {},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.TLS = state
		r.Header.Set("Authorization", "Bearer "+mint(w.signer, c))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if got := rec.Code == 200; got != (name == "its certificate") {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
}

// TestOpenStreamLosesItsRight has a request that goes on for ever end when its token is revoked, or expires.
func TestOpenStreamLosesItsRight(t *testing.T) {
	for name, over := range map[string]struct {
		life time.Duration
		end  func(w *world)
	}{
		"revoked": {time.Hour, func(w *world) { w.revoke("other"); w.revoke("1") }},
		"expired": {time.Second, func(*world) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(nil)
				let, ended := false, make(chan error, 1)
				h := w.guard.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					let = true
					<-r.Context().Done()
					ended <- context.Cause(r.Context())
				}))
				raw := mint(w.signer, claims("1", over.life))
				go func() {
					r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
					r.Header.Set("Authorization", "Bearer "+raw)
					h.ServeHTTP(httptest.NewRecorder(), r)
				}()
				if synctest.Wait(); !let {
					t.Fatal("not let in")
				}
				over.end(w)
				select {
				case cause := <-ended:
					if token.ReasonOf(cause) == "" {
						t.Errorf("ended by %v", cause)
					}
				case <-time.After(30 * time.Second):
					t.Fatal("the stream goes on")
				}
			})
		})
	}
}

func TestRemoteKeys(t *testing.T) {
	a, b := signer(), signer()
	var set atomic.Pointer[[]byte]
	publish := func(all ...*token.Key) []byte {
		raw, err := token.WriteJWKS(all)
		if err != nil {
			t.Fatal(err)
		}
		set.Store(&raw)
		return raw
	}
	publish(a.Key())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = w.Write(*set.Load())
	}))
	defer srv.Close()
	k, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: secret.NewURL(srv.URL)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.Key(t.Context(), a.Key().ID)
	if err != nil || key == nil {
		t.Fatal(key, err)
	}
	if again, err := k.Key(t.Context(), a.Key().ID); again != key || err != nil {
		t.Error("another pointer for the same key")
	}
	publish(a.Key(), b.Key())
	if key, err := k.Key(t.Context(), b.Key().ID); key != nil || err != nil {
		t.Error("fetched again at once: a token with an unknown key costs a fetch")
	}
	moved, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: secret.NewURL(srv.URL + "/moved")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := moved.Key(t.Context(), a.Key().ID); err == nil {
		t.Error("a redirect was followed")
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, publish(b.Key()), 0o600); err != nil {
		t.Fatal(err)
	}
	local, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: secret.NewURL(file)})
	if err != nil {
		t.Fatal(err)
	}
	if key, err := local.Key(t.Context(), b.Key().ID); key == nil || err != nil {
		t.Error(key, err)
	}
	for _, source := range []string{"", "http://auth.acme.example/jwks.json"} {
		if _, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: secret.NewURL(source)}); err == nil {
			t.Errorf("%q: want an error", source)
		}
	}
}
