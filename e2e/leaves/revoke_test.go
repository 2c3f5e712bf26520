//go:build e2e

package leaves

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// revokeNowAndThen revokes tokens, and certificates of simulated nodes, until ctx ends.
func (w *world) revokeNowAndThen(ctx context.Context) {
	tick := time.NewTicker(*every)
	defer tick.Stop()
	began, said := time.Now(), time.Now()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		rest := context.WithoutCancel(ctx)
		w.revokeToken(rest)
		if time.Since(said) > 5*time.Minute {
			said = time.Now()
			w.t.Logf("after %s: %v, failed: %v", time.Since(began).Round(time.Second), w.load.kinds(), w.load.failures())
		}
		if i%5 == 4 && len(w.sims) > 0 {
			w.revokeCertificate(rest, w.sims[i/5%len(w.sims)])
		}
	}
}

// revokeToken has a token that every node lets through refused by all of them.
func (w *world) revokeToken(ctx context.Context) {
	token, err := w.OrgCLI(ctx, "token", "mint", "ada", "--ttl", "1h")
	must(w.t, err)
	for i, n := range w.nodes {
		if err := w.call(ctx, n, service(w.next(i)), token); err != nil {
			w.load.fail("calls with a token that is revoked next", "%s: %v", n.Name, err)
		}
		w.load.done("calls with a token that is revoked next")
	}
	must(w.t, w.owner.Post(ctx, "/v1/revocations", map[string]string{"token": token}, nil))
	told := time.Now()
	for w.known(token) { // before calls are made without a pause, which leave the service no processor
	}
	w.revoked.at = append(w.revoked.at, time.Since(told))
	var all sync.WaitGroup
	took := make([]time.Duration, len(w.nodes))
	for i, n := range w.nodes {
		all.Go(func() { took[i] = w.refused(ctx, n, service(w.next(i)), token, told) })
	}
	all.Wait()
	w.revoked.envoys = append(w.revoked.envoys, took...)
	for i, n := range w.nodes { // after it was refused once
		if code, _, err := ask(ctx, http.DefaultClient, "http://"+n.Egress, service(w.next(i)), token); err != nil ||
			code != http.StatusUnauthorized {
			w.load.fail("calls with a revoked token", "%s: %d, %v", n.Name, code, err)
		}
		w.load.done("calls with a revoked token, all refused")
	}
}

// refused returns how long after the answer a call was refused first.
func (w *world) refused(ctx context.Context, n *lab.Node, service, token string, since time.Time) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, lab.Patience)
	defer cancel()
	for {
		code, _, err := ask(ctx, http.DefaultClient, "http://"+n.Egress, service, token)
		if err == nil && code == http.StatusUnauthorized {
			return time.Since(since)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return lab.Patience
		}
	}
}

// revokeCertificate has certificates of a simulated node refused until its session ends, which was shown the newest or
// the one before. It comes back by another.
func (w *world) revokeCertificate(ctx context.Context, s *sim) {
	watch, err := s.router.Watch(ctx)
	must(w.t, err)
	defer func() { _ = watch.Close(ctx) }()
	s.calling.Lock()
	defer s.calling.Unlock()
	s.mu.Lock()
	leaves := []*x509.Certificate{s.former, s.newest}
	s.wanted++
	s.mu.Unlock()
	for _, leaf := range leaves {
		if leaf == nil || time.Now().After(leaf.NotAfter) {
			continue
		}
		must(w.t, w.owner.Post(ctx, "/v1/revocations", map[string]string{
			"kind": string(revoke.Serial), "value": revoke.SerialText(leaf)}, nil))
		told := time.Now()
		select {
		case <-watch.Events():
			w.revoked.peers = append(w.revoked.peers, time.Since(told))
			must(w.t, lab.Eventually(ctx, "the session of "+s.id.Name+" is back", s.established))
			s.client.CloseIdleConnections()
			return
		case <-time.After(5 * sameOrg):
		}
	}
	w.load.fail("revoked certificates", "the session of %s goes on", s.id.Name)
}

// introspecting asks the identity service, over a connection that stays, whether a token is good (RFC 7662).
func (w *world) introspecting() func(token string) bool {
	admin := filepath.Join(w.OrgDir(), "admin")
	pair, err := tls.LoadX509KeyPair(filepath.Join(admin, "svid.pem"), filepath.Join(admin, "key.pem"))
	must(w.t, err)
	text, err := os.ReadFile(filepath.Join(admin, org+".bundle.pem"))
	must(w.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &http.Client{Timeout: lab.Patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
	}}
	w.t.Cleanup(client.CloseIdleConnections)
	return func(token string) bool {
		resp, err := client.PostForm("https://"+w.Auth+"/oauth/introspect", url.Values{"token": {token}})
		must(w.t, err)
		defer func() { _ = resp.Body.Close() }()
		var out struct{ Active bool }
		must(w.t, json.NewDecoder(resp.Body).Decode(&out))
		return out.Active
	}
}
