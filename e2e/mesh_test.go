//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// issuer makes tokens, and the file of its keys.
type issuer struct {
	key  *ecdsa.PrivateKey
	jwks string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	point, err := key.PublicKey.Bytes()
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-384", "alg": "ES384",
		"use": "sig", "kid": "k1", "x": encode(point[1:49]), "y": encode(point[49:])}}})
	must(t, err)
	i := &issuer{key, filepath.Join(t.TempDir(), "jwks.json")}
	must(t, os.WriteFile(i.jwks, set, 0o600))
	return i
}

func (i *issuer) token(t *testing.T, scope string) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES384,
		jwt.MapClaims{"iss": "https://auth.acme.example", "aud": "mesh", "sub": "ada", "scope": scope,
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	tok.Header["kid"] = "k1"
	text, err := tok.SignedString(i.key)
	must(t, err)
	return text
}

// With permission one query asks every node of the organisation, each through its own operator API over the mesh;
// without it none of them says anything.
func TestOneQueryAsksEveryNode(t *testing.T) {
	t.Parallel()
	keys := newIssuer(t)
	_, node := world(t, "a b c", "a-b c-b", "--gateway-operator", "--gateway-jwks", keys.jwks, "--gateway-issuer",
		"https://auth.acme.example", "--gateway-audience", "mesh")
	a, c := node("a"), node("c")
	offer(t, a, "books", "one")
	const query = `{ meshNodes { id error peers { remote { id } state } } meshService(name: "books.acme.example") { offeredBy { id } routes { node { id } nodePath } } }`
	operatorToken, otherToken := keys.token(t, "catalyst:operator"), keys.token(t, "books:read")
	must(t, lab.Eventually(t.Context(), "every node answers at c", func(ctx context.Context) error {
		got, err := c.Query(ctx, query, operatorToken)
		if err != nil {
			return err
		}
		for _, want := range []string{
			`{"id":"acme.example/a","error":null,"peers":[{"remote":{"id":"acme.example/b"},"state":"Established"}]}`,
			`"offeredBy":[{"id":"acme.example/a"}]`,
			`{"node":{"id":"acme.example/c"},"nodePath":["acme.example/b","acme.example/a"]}`,
		} {
			if !strings.Contains(got, want) {
				return fmt.Errorf("got %s\nwant %s in it", got, want)
			}
		}
		return nil
	}))
	for name, token := range map[string][]string{"no token": nil, "a token without the scope": {otherToken}} {
		got, err := c.Query(t.Context(), query, token...)
		if err == nil && (strings.Contains(got, "acme.example/a") || !strings.Contains(got, "errors")) {
			err = errors.New(got)
		}
		if err != nil {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		status, body, err := c.Get(t.Context(), "a.nodes.acme.example", "/graphql?query={node{id}}")
		if err != nil || status != 401 {
			t.Errorf("%s: the service itself answers %d %s %v, want 401", name, status, body, err)
		}
	}
}
