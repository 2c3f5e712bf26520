package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
)

// trusts copies the roots of one organisation to where another looks for them.
func trusts(t *testing.T, from, org, to string) {
	t.Helper()
	name := org + ".bundle.pem"
	text, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// follows has the node in dir follow the identity service of acme.example, until the test ends.
func follows(t *testing.T, s *site, dir string) *follow.Feed {
	t.Helper()
	id, err := identity.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := follow.New(follow.Config{
		Issuer: s.service.Issuer(), Org: org, Log: log(t),
		Connect: func(context.Context) (authv1.IdentityClient, func(), error) {
			conn, err := grpc.NewClient("passthrough:///"+s.address,
				grpc.WithTransportCredentials(credentials.NewTLS(id.ServiceTLS(org))))
			if err != nil {
				return nil, nil, err
			}
			return authv1.NewIdentityClient(conn), func() { _ = conn.Close() }, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// A node of an organisation that was let in follows what another one revokes, and its token keys as they rotate, and
// is told nothing of its roots. One of an organisation that was not let in follows nothing, whatever its certificate
// says, and neither does whoever signs a certificate of that name himself.
func TestWhoFollows(t *testing.T) {
	followers := t.TempDir()
	s := start(t, options{followers: followers})
	ours := s.enrol("a")
	bravo, charlie := start(t, options{org: "bravo.example"}), start(t, options{org: "charlie.example"})
	forger := start(t, options{org: "bravo.example"})
	friend, stranger, forged := bravo.enrol("x"), charlie.enrol("x"), forger.enrol("x")
	for _, dir := range []string{friend, stranger, forged} {
		trusts(t, ours, org, dir)
	}
	trusts(t, friend, "bravo.example", followers)
	f := follows(t, s, friend)
	no := map[string]*follow.Feed{"a stranger": follows(t, s, stranger), "a forger": follows(t, s, forged)}
	raw, claims, err := s.service.Mint(t.Context(), service.Owner(),
		service.MintRequest{Principal: token.User, Subject: "ada", Audience: []string{"mesh"}})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{
		Audience: "mesh", Issuers: token.IssuerMap{s.service.Issuer(): f.Issuer()}, Revocations: f.Revocations(),
	})
	if err != nil {
		t.Fatal(err)
	}
	good := func(raw string) bool {
		_, err := verifier.Verify(t.Context(), raw, token.Thumbprint{})
		return err == nil
	}
	await(t, "the token is believed", func() bool { return good(raw) })
	if err := f.Revocations().CheckSensitive(time.Now()); err != nil || f.Err() != nil {
		t.Errorf("the feed: %v, %v", err, f.Err())
	}
	if err := s.service.Revoke(t.Context(), service.Owner(), revoke.Token, claims.ID, ""); err != nil {
		t.Fatal(err)
	}
	await(t, "it is revoked", func() bool { return !good(raw) })
	for range 3 {
		if _, err := s.service.RotateKeys(t.Context(), service.Owner(), keys.How{Immediate: true}); err != nil {
			t.Fatal(err)
		}
		fresh, _, err := s.service.Mint(t.Context(), service.Owner(),
			service.MintRequest{Principal: token.User, Subject: "ada", Audience: []string{"mesh"}})
		if err != nil {
			t.Fatal(err)
		}
		await(t, "the next key is known", func() bool { return good(fresh) })
	}
	for name, f := range no {
		await(t, name+" is refused", func() bool {
			return f.Err() != nil && strings.Contains(f.Err().Error(), "certificate")
		})
		if heard, _ := f.Revocations().Freshness(); !heard.IsZero() {
			t.Errorf("%s was told of revocations", name)
		}
	}
	before, err := os.ReadFile(filepath.Join(friend, disk.BundleFile(org)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.service.RotateCA(t.Context(), service.Owner(), true, false); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(friend, disk.BundleFile(org)))
	if err != nil || string(after) != string(before) {
		t.Error("the roots of another organisation were changed by its feed")
	}
}
