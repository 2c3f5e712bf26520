package api

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/policy"
)

// staleOr believes tokens, whose revocations may be of a while ago.
type staleOr struct {
	Believer
	stale *error
}

func (s staleOr) CheckSensitive(*token.Claims) error { return *s.stale }

// What is asked of a caller from elsewhere: a token or a certificate for anything, a proof of a key and revocations of
// now for what changes something.
func TestOrdersFromElsewhere(t *testing.T) {
	signer, believed := issuer(t)
	var stale error
	decider := decidedBy(engineOf(t, policy.Document{Name: "all.cedar", Text: `permit (principal, action, resource);`}))
	a := decider.api
	cfg := RemoteConfig{Tokens: staleOr{believed, &stale}}
	h, err := a.remote(cfg, operator.Handler(reached{}, proven{decider, cfg}, operator.LargestOwn))
	if err != nil {
		t.Fatal(err)
	}
	admin, other := leafOf(t, "spiffe://acme.example/operator/root"), leafOf(t, "spiffe://acme.example/node/b")
	mint := func(bound *x509.Certificate) string {
		now := time.Now().Truncate(time.Second)
		c := &token.Claims{
			ID: "1", Issuer: "acme.example", Subject: "ada", Audience: []string{"operator"}, IssuedAt: now,
			Expires: now.Add(time.Hour), Principal: token.Admin, Entity: token.Entity{ID: "ada", Name: "Ada", Type: "user"},
		}
		if bound != nil {
			c.Bound = token.ThumbprintOf(bound)
		}
		raw, err := signer.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	const read, order = `{ peers { node } }`, `mutation { drain(on: true) }`
	there := errReached.Error()
	for name, tt := range map[string]struct {
		leaf  *x509.Certificate
		token string
		text  string
		stale error
		want  string
	}{
		"nobody":                           {nil, "", read, nil, "show a certificate"},
		"an operator's certificate orders": {admin, "", order, nil, there},
		"an Envoy's certificate":           {leafOf(t, "spiffe://acme.example/envoy/b/front"), "", read, nil, "neither"},
		"a token reads":                    {nil, mint(nil), read, nil, there},
		"and orders nothing":               {admin, mint(nil), order, nil, "bound to a certificate"},
		"a bound one orders":               {admin, mint(admin), order, nil, there},
		"from its certificate alone":       {other, mint(admin), read, nil, "not valid"},
		"and from some":                    {nil, mint(admin), read, nil, "not valid"},
		"not on old revocations":           {admin, mint(admin), order, errors.New("not known since noon"), "since noon"},
		"which are good enough to read by": {admin, mint(admin), read, errors.New("not known since noon"), there},
	} {
		stale = tt.stale
		if got := fromElsewhere(t, h, tt.leaf, tt.token, tt.text); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %q", name, got, tt.want)
		}
	}
	var who policy.Bearer
	if who, err = a.bearerOf(admin); err != nil || who.Principal != "ADMIN" || who.Name != "root" {
		t.Errorf("an operator is %+v, %v", who, err)
	}
}
