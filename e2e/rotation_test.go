//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/keys"
	authserver "github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// rotating is an organisation whose credentials change under load: b calls a service of a, through both Envoys.
type rotating struct {
	*lab.Lab
	t    *testing.T
	a, b *lab.Node
	old  string // a token from before every rotation
	load *steadyLoad
}

func newRotating(t *testing.T, auth ...string) *rotating {
	t.Helper()
	r := &rotating{Lab: members(t, "acme.example", "", auth), t: t}
	var err error
	r.a, err = r.Add(t.Context(), "a", "--policy-enforce", "on", "--policy-tokens", "organisation")
	must(t, err)
	r.b, err = r.Add(t.Context(), "b")
	must(t, err)
	must(t, lab.Peer(t.Context(), r.b, r.a))
	_, err = r.a.CLI(t.Context(), "policy", "apply", onlyAda(t, "ada", "books.acme.example"))
	must(t, err)
	_, err = r.a.CLI(t.Context(), "route", "add", "books", "--addr", tellsPrincipal(t))
	must(t, err)
	r.old = r.mint()
	answeredTo(t, r.b, "books.acme.example", r.old, 200, `USER::"ada"`)
	must(t, os.MkdirAll(filepath.Dir(r.carried()), 0o700))
	bound := r.mint("--bind", filepath.Join(r.b.Dir, "identity", disk.SVIDFile))
	must(t, os.WriteFile(r.carried(), []byte(bound), 0o600))
	answeredTo(t, r.b, "books.acme.example", bound, 200, `USER::"ada"`)
	r.load = r.begin()
	return r
}

// carried is the file of a token that is bound to b's certificate, and is minted anew with it.
func (r *rotating) carried() string { return filepath.Join(r.b.Dir, "identity", "bound", "books") }

func (r *rotating) mint(more ...string) string {
	r.t.Helper()
	out, err := r.OrgCLI(r.t.Context(), append([]string{"token", "mint", "ada", "--ttl", "2h"}, more...)...)
	must(r.t, err)
	return out
}

// steadyLoad is requests without pause; none of them may fail.
type steadyLoad struct {
	stop   func()
	calls  atomic.Int64
	mu     sync.Mutex
	failed []string // guarded by mu
}

func (l *steadyLoad) fail(what string, code int, body string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed,
		fmt.Sprintf("%s %s: %d %.200s %v", time.Now().Format(time.TimeOnly), what, code, body, err))
}

// begin starts the load: applications beside b over connections that stay and over new ones, and a client with b's
// certificate as it is on the disk, who dials a's mesh ingress for each request and so shows and sees the newest.
func (r *rotating) begin() *steadyLoad {
	l := &steadyLoad{}
	ctx, cancel := context.WithCancel(r.t.Context())
	var all sync.WaitGroup
	l.stop = func() { cancel(); all.Wait() }
	r.t.Cleanup(l.stop)
	repeat := func(what string, every time.Duration, call func(ctx context.Context) (int, string, error)) {
		all.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				code, body, err := call(ctx)
				if ctx.Err() != nil {
					return
				}
				l.calls.Add(1)
				if err != nil || code != http.StatusOK {
					l.fail(what, code, body, err)
				}
			}
		})
	}
	for range 2 {
		kept := &http.Client{Transport: &http.Transport{}}
		repeat("a kept connection", 5*time.Millisecond, func(ctx context.Context) (int, string, error) {
			return r.call(ctx, kept, "http://"+r.b.Egress, r.old)
		})
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		repeat("a new connection", 10*time.Millisecond, func(ctx context.Context) (int, string, error) {
			return r.call(ctx, fresh, "http://"+r.b.Egress, r.old)
		})
	}
	kept := &http.Client{Transport: &http.Transport{}}
	repeat("a token that is bound to b's certificate", 5*time.Millisecond, func(ctx context.Context) (int, string, error) {
		token, err := os.ReadFile(r.carried()) // over connections of b's Envoy, made with this certificate or a former
		if err != nil {
			return 0, "", err
		}
		return r.call(ctx, kept, "http://"+r.b.Egress, strings.TrimSpace(string(token)))
	})
	repeat("a new handshake", 50*time.Millisecond, func(ctx context.Context) (int, string, error) {
		return r.handshake(ctx, r.old)
	})
	return l
}

// handshake calls a's mesh ingress over a connection of its own, with b's certificate as it is on the disk.
func (r *rotating) handshake(ctx context.Context, token string) (int, string, error) {
	src, err := identity.Open(filepath.Join(r.b.Dir, "identity"))
	for ; err != nil && ctx.Err() == nil; src, err = identity.Open(filepath.Join(r.b.Dir, "identity")) {
		// The key and the certificate are replaced one after the other: a reader looks again.
	}
	if err != nil {
		return 0, "", err
	}
	cfg := src.IngressTLS(r.a.ID())
	cfg.NextProtos = []string{"h2"}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	return r.call(ctx, &http.Client{Transport: tr}, "https://"+r.a.Ingress, token)
}

func (r *rotating) call(ctx context.Context, c *http.Client, base, token string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, lab.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = "books.acme.example"
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// held says that no request failed, and that there were some since the last time.
func (r *rotating) held(what string) {
	r.t.Helper()
	before := r.load.calls.Load()
	must(r.t, lab.Eventually(r.t.Context(), "a hundred requests after "+what, func(context.Context) error {
		if n := r.load.calls.Load() - before; n < 100 {
			return fmt.Errorf("there were %d", n)
		}
		return nil
	}))
	r.load.mu.Lock()
	defer r.load.mu.Unlock()
	if n := len(r.load.failed); n > 0 {
		r.t.Fatalf("%s: %d of %d requests failed, such as\n%s", what, n, r.load.calls.Load(), r.load.failed[0])
	}
}

// shows returns the certificate that whoever dials an address is shown, to one who has a node's identity.
func (r *rotating) shows(as *lab.Node, address string) (*x509.Certificate, error) {
	src, err := identity.Open(filepath.Join(as.Dir, "identity"))
	if err != nil {
		return nil, err
	}
	cfg := src.OwnServerTLS() // for its client certificate; who answers is what is asked
	cfg.InsecureSkipVerify, cfg.VerifyConnection, cfg.VerifyPeerCertificate = true, nil, nil
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return src.Certificate() }
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// wire waits until both of a node's listeners show the certificate that is on its disk, and returns that.
func (r *rotating) wire(n, as *lab.Node, holds func(leaf *x509.Certificate) error) *x509.Certificate {
	r.t.Helper()
	var out *x509.Certificate
	must(r.t, lab.Eventually(r.t.Context(), "what "+n.Name+" shows", func(context.Context) error {
		pair, err := disk.Own(filepath.Join(n.Dir, "identity")).Pair()
		if err != nil {
			return err
		}
		for _, at := range []string{n.Ingress, n.Peering} {
			leaf, err := r.shows(as, at)
			if err == nil && !leaf.Equal(pair.Leaf) {
				err = fmt.Errorf("%s shows serial %x, on the disk is %x", at, leaf.SerialNumber, pair.Leaf.SerialNumber)
			}
			if err != nil {
				return err
			}
		}
		out = pair.Leaf
		return holds(out)
	}))
	return out
}

// authorities are the organisation's roots by slot, with the certificate of that which signs.
func (r *rotating) authorities() (bySlot map[string]int, current string) {
	r.t.Helper()
	out, err := r.OrgCLI(r.t.Context(), "org", "rotate-ca", "--show", "-o", "json")
	must(r.t, err)
	var all []authserver.AuthorityInfo
	must(r.t, json.Unmarshal([]byte(out), &all))
	bySlot = map[string]int{}
	for _, k := range all {
		bySlot[k.Slot]++
		if k.Slot == string(keys.Current) {
			current = k.ID
		}
	}
	return bySlot, current
}

func (r *rotating) leafs() map[*lab.Node]*x509.Certificate {
	any := func(*x509.Certificate) error { return nil }
	return map[*lab.Node]*x509.Certificate{r.a: r.wire(r.a, r.b, any), r.b: r.wire(r.b, r.a, any)}
}

// bound shows that a's Envoy sees b's newest certificate: a token that is bound to it passes, one of another does not.
func (r *rotating) bound() {
	r.t.Helper()
	for n, want := range map[*lab.Node]int{r.b: http.StatusOK, r.a: http.StatusUnauthorized} {
		token := r.mint("--bind", filepath.Join(n.Dir, "identity", disk.SVIDFile))
		if code, body, err := r.handshake(r.t.Context(), token); err != nil || code != want {
			r.t.Errorf("a token bound to the newest certificate of %s: %d %s, %v; want %d", n.Name, code, body, err, want)
		}
	}
}

// renew has both nodes renew their certificates.
func (r *rotating) renew() {
	r.t.Helper()
	before := r.leafs()
	for n, leaf := range before {
		_, err := n.CLI(r.t.Context(), "renew")
		must(r.t, err)
		as := map[*lab.Node]*lab.Node{r.a: r.b, r.b: r.a}[n]
		r.wire(n, as, func(now *x509.Certificate) error {
			if now.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
				return errors.New("it is the certificate from before")
			}
			return nil
		})
	}
}

// rotateCA has another root sign, by phases, and both nodes' certificates be by it.
func (r *rotating) rotateCA() {
	r.t.Helper()
	_, before := r.authorities()
	_, err := r.OrgCLI(r.t.Context(), "org", "rotate-ca")
	must(r.t, err)
	must(r.t, lab.Eventually(r.t.Context(), "the new root signs", func(context.Context) error {
		if slots, now := r.authorities(); now == before || slots[string(keys.Next)] > 0 {
			return fmt.Errorf("it is %v", slots)
		}
		return nil
	}))
	r.renew()
	for n, as := range map[*lab.Node]*lab.Node{r.a: r.b, r.b: r.a} {
		r.wire(n, as, func(leaf *x509.Certificate) error {
			roots, err := os.ReadFile(filepath.Join(n.Dir, "identity", disk.BundleFile("acme.example")))
			if err != nil {
				return err
			}
			return signedByFirst(roots, leaf)
		})
	}
}

// signedByFirst says whether the first of some roots, which is that which signs, signed a certificate.
func signedByFirst(roots []byte, leaf *x509.Certificate) error {
	block, _ := pem.Decode(roots)
	first, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(first)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// rotateKeys has the next token key sign, after its ten minutes in the key set, which are made to have passed.
func (r *rotating) rotateKeys(aged bool) {
	r.t.Helper()
	if !aged {
		st, err := store.Open(r.t.Context(), filepath.Join(r.OrgDir(), "auth.db"))
		must(r.t, err)
		must(r.t, st.Write(r.t.Context(), store.Entry{Actor: "test", Action: "clock"},
			func(ctx context.Context, tx *store.Tx) error {
				rows, err := tx.SigningKeys(ctx)
				for i := range rows {
					rows[i].Published = rows[i].Published.Add(-keys.Publish)
				}
				return errors.Join(err, tx.SetSigningKeys(ctx, rows))
			}))
		must(r.t, st.Close())
	}
	before := kidOf(r.t, r.mint())
	must(r.t, lab.Eventually(r.t.Context(), "the next key is old enough", func(ctx context.Context) error {
		_, err := r.OrgCLI(ctx, "keys", "rotate")
		return err
	}))
	fresh := r.mint()
	if kidOf(r.t, fresh) == before {
		r.t.Error("the key from before signs")
	}
	// At once: the key was there before it signed.
	if code, body, err := asks(r.t.Context(), r.b, "books.acme.example", fresh); err != nil || code != http.StatusOK {
		r.t.Errorf("a token of the new key: %d %s, %v", code, body, err)
	}
}

// kidOf is the key that signed a token.
func kidOf(t *testing.T, raw string) string {
	t.Helper()
	tok, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
	must(t, err)
	kid, _ := tok.Header["kid"].(string)
	return kid
}

// Every credential changes three times under load, and no request fails: certificates of nodes, the organisation's
// root, and the key of tokens. After each the wire shows the new one.
func TestRotationUnderLoad(t *testing.T) {
	r := newRotating(t)
	for i := range 3 {
		r.renew()
		r.bound()
		r.held(fmt.Sprintf("renewal %d", i+1))
	}
	for i := range 3 {
		r.rotateCA()
		r.bound()
		r.held(fmt.Sprintf("root %d", i+1))
	}
	for i := range 3 {
		r.rotateKeys(false)
		r.held(fmt.Sprintf("token key %d", i+1))
	}
	t.Logf("%d requests", r.load.calls.Load())
}
