package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// tokens shows a token that is bound to a certificate, refused from another one, and revoked.
func (s *show) tokens(ctx context.Context) error {
	say("The organisation gives ada a token that is good with the certificate of c alone (RFC 8705), and one for " +
		"that of a. Both are shown in calls from c:")
	bound := func(n *lab.Node) (string, error) {
		return s.OrgCLI(ctx, "token", "mint", "ada", "--bind", filepath.Join(n.Dir, "identity", "svid.pem"))
	}
	good, err := bound(s.c)
	if err != nil {
		return err
	}
	stolen, err := bound(s.a)
	if err != nil {
		return err
	}
	for _, call := range []struct {
		token, what string
		want        int
	}{{good, "c's", 200}, {stolen, "a's", 401}} {
		if err := s.shown(ctx, call.token, call.want); err != nil {
			return err
		}
		shows("GET books.acme.example/books at c, with the token for %s certificate → %d", call.what, call.want)
	}
	if _, err := s.OrgCLI(ctx, "token", "revoke", good); err != nil {
		return err
	}
	began := time.Now()
	err = lab.Eventually(ctx, "the revoked token is refused", func(ctx context.Context) error {
		return s.shown(ctx, good, http.StatusUnauthorized)
	})
	if err != nil {
		return err
	}
	shows("catalyst token revoke …, and %d ms later: the same call at c → 401", time.Since(began).Milliseconds())
	return nil
}

// shown calls books at c with a token, and wants that status.
func (s *show) shown(ctx context.Context, token string, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.c.Egress+"/books", nil)
	if err != nil {
		return err
	}
	req.Host = "books.acme.example"
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode == want {
		return err
	}
	return fmt.Errorf("a call with a token is answered %d, want %d", resp.StatusCode, want)
}
