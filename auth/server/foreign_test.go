package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
)

// asked is what an identity service answers on an exchange of a token, by somebody who shows a certificate, or none.
func asked(t *testing.T, s *site, raw string, more url.Values, own ...tls.Certificate) (status int, out struct {
	AccessToken string `json:"access_token"`
	Description string `json:"error_description"`
}) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.Roots())
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, Certificates: own, MinVersion: tls.VersionTLS13,
	}}}
	defer c.CloseIdleConnections()
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {raw},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
	for name, values := range more {
		form[name] = values
	}
	resp, err := c.PostForm("https://"+s.address+"/oauth/token", form) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return resp.StatusCode, out
}

// exchanging starts acme's service, and bravo's, which exchanges acme's tokens.
func exchanging(t *testing.T, with func(f *service.Foreign)) (acme, bravo *site) {
	t.Helper()
	followers := t.TempDir()
	acme = start(t, options{followers: followers})
	ours := acme.enrol("a")
	// A node of bravo's stands for its identity service: what it hears is the same.
	shadow := start(t, options{org: "bravo.example"})
	dir := shadow.enrol("x")
	trusts(t, ours, org, dir)
	trusts(t, dir, "bravo.example", followers)
	feed := follows(t, acme, dir)
	f := service.Foreign{Org: org, Issuer: feed.Issuer(), Revocations: feed.Revocations(), Audience: []string{"mesh", "x"}}
	with(&f)
	bravo = start(t, options{org: "bravo.example", also: func(c *service.Config) { c.Foreign = []service.Foreign{f} }})
	eventually(t, func() bool { return len(feed.Keys()) > 0 && feed.Err() == nil })
	return acme, bravo
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it never is so")
		}
	}
}

func minted(t *testing.T, s *site, r service.MintRequest) string {
	t.Helper()
	raw, _, err := s.service.Mint(t.Context(), service.Owner(), r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A token of acme's, meant for bravo, becomes one of bravo's: of a USER whose organisation and subject it names, for
// the audiences that bravo's operator says, for minutes, and trusted with nothing. Nobody administers by it.
func TestATokenOfAnotherOrganisationIsExchanged(t *testing.T) {
	acme, bravo := exchanging(t, func(f *service.Foreign) { f.Life = time.Minute })
	raw := minted(t, acme, service.MintRequest{
		Principal: token.Admin, Subject: "ada", Audience: []string{"bravo.example"}, Scopes: []string{"read", "write"},
	})
	status, out := asked(t, bravo, raw, url.Values{"audience": {"mesh"}, "scope": {"read"}})
	if status != http.StatusOK {
		t.Fatalf("%d %+v", status, out)
	}
	c, err := bravo.service.Issued().Inspect(t.Context(), out.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != org+"/ada" || c.Organisation != org || c.Principal != token.User || len(c.Entity.TrustedDomains) > 0 ||
		!slices.Equal(c.Audience, []string{"mesh"}) || !slices.Equal(c.Scopes, []string{"read"}) || !c.Bound.IsZero() ||
		c.Expires.After(c.IssuedAt.Add(time.Minute)) {
		t.Errorf("the new token: %+v", c)
	}
	for what, c := range map[string]struct {
		raw  string
		more url.Values
		want string
	}{
		"meant for acme": {minted(t, acme, service.MintRequest{
			Principal: token.User, Subject: "ada",
		}), nil, "not valid"},
		"for another audience": {raw, url.Values{"audience": {"bravo.example"}}, "not meant for it"},
		"with another scope":   {raw, url.Values{"scope": {"admin"}}, "does not have it"},
		"bound, without its certificate": {minted(t, acme, service.MintRequest{
			Principal: token.User, Subject: "ada", Audience: []string{"bravo.example"}, Bound: token.Thumbprint{1},
		}), nil, "not valid"},
		"of nobody": {strings.Replace(raw, ".", "x.", 1), nil, ""},
	} {
		if status, out := asked(t, bravo, c.raw, c.more); status < 400 || !strings.Contains(out.Description, c.want) {
			t.Errorf("%s: %d %+v, want %q", what, status, out, c.want)
		}
	}
}

func exchangedFor(t *testing.T, s *site, raw string) string {
	t.Helper()
	status, out := asked(t, s, raw, nil)
	if status != http.StatusOK {
		t.Fatalf("%d %+v", status, out)
	}
	return out.AccessToken
}

// What acme revoked is exchanged no more, nor is what bravo's operator did not name.
func TestWhatIsNotExchanged(t *testing.T) {
	acme, bravo := exchanging(t, func(f *service.Foreign) {
		f.Subjects, f.Audience = []string{"ada"}, []string{"bravo.example"}
	})
	of := func(name string) string {
		return minted(t, acme, service.MintRequest{Principal: token.User, Subject: name, Audience: []string{"bravo.example"}})
	}
	if status, out := asked(t, bravo, of("joe"), nil); status != http.StatusBadRequest {
		t.Errorf("a subject that is not named: %d %+v", status, out)
	}
	ada := of("ada")
	fresh := exchangedFor(t, bravo, ada)
	if _, err := bravo.service.Verifier().Verify(t.Context(), fresh, token.Thumbprint{}); err != nil {
		t.Errorf("the new token is not valid: %v", err)
	}
	if c, err := bravo.service.CallerBy(t.Context(), fresh, token.Thumbprint{}); err == nil {
		t.Errorf("the new token speaks to the identity service as %+v", c)
	}
	if err := acme.service.RevokeToken(t.Context(), service.Owner(), ada); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { status, _ := asked(t, bravo, ada, nil); return status == http.StatusBadRequest })
	stranger := start(t, options{org: "charlie.example"})
	raw := minted(t, stranger, service.MintRequest{
		Principal: token.User, Subject: "ada", Audience: []string{"bravo.example"},
	})
	if status, out := asked(t, bravo, raw, nil); status != http.StatusUnauthorized {
		t.Errorf("a stranger's token: %d %+v", status, out)
	}
}
