package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/tokens"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/policy"
)

var errReached = errors.New("the node was reached") //nolint:gochecknoglobals // a sentinel

// reached is a node of which every operation that is tried here says that it was permitted.
type reached struct{ operator.Backend }

func (reached) Node(context.Context) (*operator.Node, error)             { return nil, errReached }
func (reached) Peers(context.Context) ([]operator.Peer, error)           { return nil, errReached }
func (reached) Peer(context.Context, string) (*operator.Peer, error)     { return nil, errReached }
func (reached) RemovePeer(context.Context, string, string) (bool, error) { return false, errReached }
func (reached) ResetPeer(context.Context, string, string) (bool, error)  { return false, errReached }
func (reached) Services(context.Context) ([]operator.Service, error)     { return nil, errReached }
func (reached) RemoveService(context.Context, string) (bool, error)      { return false, errReached }
func (reached) Traffic(context.Context) (*operator.Traffic, error)       { return nil, errReached }
func (reached) Drain(context.Context, bool) (bool, error)                { return false, errReached }
func (reached) RenewCertificate(context.Context) (string, error)         { return "", errReached }
func (reached) RefreshGraph(context.Context) (bool, error)               { return false, errReached }
func (reached) Policy(context.Context) (*operator.PolicySet, error)      { return nil, errReached }
func (reached) SetPeer(context.Context, operator.PeerInput) (*operator.Peer, error) {
	return nil, errReached
}

func (reached) SetService(context.Context, operator.ServiceInput, bool) (*operator.Service, error) {
	return nil, errReached
}

func (reached) Changes(context.Context, []string, bool) (<-chan *operator.Change, error) {
	return nil, errReached
}

// issuer signs tokens of acme.example, and verifies them as a node does.
func issuer(t *testing.T) (*token.Signer, *tokens.Tokens) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := token.WriteJWKS([]*token.Key{signer.Key()})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	believed, err := tokens.New(t.Context(), tokens.Config{
		Audience: "operator", JWKS: secret.NewURL(file), Issuer: "acme.example", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return signer, believed
}

// asked is what the operator API of node acme.example/a answers to the holder of a token.
func asked(t *testing.T, h http.Handler, p policy.Bearer, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(operator.As(t.Context(), p), http.MethodPost, "/graphql",
		strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(text, "subscription") {
		r.Header.Set("Accept", "text/event-stream")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

func engineOf(t *testing.T, documents ...policy.Document) *policy.Engine {
	t.Helper()
	snap, err := policy.Compile(policy.Source{Policies: documents})
	if err != nil {
		t.Fatal(err)
	}
	e := &policy.Engine{}
	e.Publish(snap)
	return e
}

// keeping decides as a judge does, and keeps what it has decided.
type keeping struct {
	*policy.Engine
	kept []policy.Record
}

func (k *keeping) Order(o policy.Order) policy.Record {
	k.kept = append(k.kept, policy.Record{ID: policy.NewID(), Order: &o, Decision: k.Decide(o.Request())})
	return k.kept[len(k.kept)-1]
}

func (k *keeping) Refuse(o policy.Order, why error) policy.Record {
	k.kept = append(k.kept, policy.Record{ID: policy.NewID(), Order: &o,
		Decision: policy.Decision{Errors: []string{why.Error()}}})
	return k.kept[len(k.kept)-1]
}

func decidedBy(e *policy.Engine) byPolicy {
	a := New(Config{Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Log: slog.New(slog.DiscardHandler)})
	return byPolicy{a, &keeping{Engine: e}}
}

// leafOf is a certificate as a handshake leaves it.
func leafOf(t *testing.T, uri string) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{Raw: []byte(uri), URIs: []*url.URL{u}, NotAfter: time.Now().Add(time.Hour)}
}

// fromElsewhere is what the operator API answers to a request from elsewhere, with a token and the certificate of the
// connection.
func fromElsewhere(t *testing.T, h http.Handler, leaf *x509.Certificate, raw, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(text, "subscription") {
		r.Header.Set("Accept", "text/event-stream")
	}
	r.TLS = &tls.ConnectionState{}
	if leaf != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{leaf}
	}
	if raw != "" {
		r.Header.Set("Authorization", "Bearer "+raw)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

// operations has one or more operations for each action of the operator API, and to whom it is permitted:
// ADMIN, NODE, NODE_CUSTODIAN, DATA_CUSTODIAN, USER.
func operations() map[string]string {
	return map[string]string{
		`{ node { id } }`: "x...x", `{ traffic { fromNodes } }`: "x...x", `mutation { drain(on: true) }`: "x....", `{ policy { hash } }`: "x....",
		`mutation { renewCertificate }`: "x....",
		`{ peers { node } }`:            "x.x.x", `{ peer(node: "b") { node } }`: "x.x.x",
		`mutation { setPeer(input: {node: "b", addresses: []}) { node } }`: "x.x..",
		`mutation { removePeer(node: "b") }`:                               "x.x..",
		`mutation { resetPeer(node: "b") }`:                                "x.x..",
		`{ services { service } }`:                                         "x..xx",
		`subscription { changes { __typename } }`:                          "x..xx",
		`mutation { setService(input: {service: "books", protocol: "http", address: "127.0.0.1:80"}) { service } }`: "x..x.",
		`mutation { removeService(service: "books") }`:                                                              "x..x.", `mutation { refreshGraph }`: "xx...",
	}
}

// Every principal × every action of the operator API × trusted domains × trusted nodes, over the API that serves
// callers from elsewhere, with tokens that are signed, bound to the caller's certificate and verified there. Each
// operation is decided for itself, by its own action on its own resource; each refusal has an id of its own.
func TestOrdersByPolicy(t *testing.T) {
	signer, believed := issuer(t)
	decider := decidedBy(engineOf(t))
	kept := decider.decider.(*keeping) //nolint:forcetypeassert // it is one
	var fresh error
	cfg := RemoteConfig{Tokens: staleOr{believed, &fresh}}
	h, err := decider.api.remote(cfg, operator.Handler(reached{}, proven{decider, cfg}, operator.LargestOwn))
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, "spiffe://acme.example/operator/joe")
	for i, principal := range token.Principals() {
		for _, domains := range [][]string{nil, {"acme.example"}, {"bravo.example"}, {"bravo.example", "acme.example"}} {
			for _, nodes := range [][]string{nil, {"a"}, {"b"}, {"b", "a"}} {
				now := time.Now()
				raw, err := signer.Sign(&token.Claims{
					ID:        "1",
					Issuer:    "acme.example",
					Subject:   "joe",
					Audience:  []string{"operator"},
					IssuedAt:  now,
					Expires:   now.Add(time.Hour),
					Principal: principal,
					Entity:    token.Entity{ID: "joe", Name: "Joe", Type: "user", TrustedDomains: domains, TrustedNodes: nodes},
					Bound:     token.ThumbprintOf(leaf),
				})
				if err != nil {
					t.Fatal(err)
				}
				domain := slices.Contains(domains, "acme.example") || domains == nil && principal == token.Admin
				node := nodes == nil || slices.Contains(nodes, "a")
				for text, row := range operations() {
					want := row[i] == 'x' && domain && node
					got := fromElsewhere(t, h, leaf, raw, text)
					if strings.Contains(got, errReached.Error()) != want || strings.Contains(got, operator.Forbidden) == want {
						t.Errorf("%s of domains %v, nodes %v: %s: want %t, got %s", principal, domains, nodes, text, want, got)
					}
					if last := kept.kept[len(kept.kept)-1]; !want && (last.Decision.Allow ||
						!strings.Contains(got, "finds the reason as decision "+last.ID)) {
						t.Errorf("%s: %s: got %s, decided %+v", principal, text, got, last)
					}
				}
			}
		}
	}
	for text := range operations() {
		plain := operator.Handler(reached{}, decider, operator.LargestOwn)
		if got := asked(t, plain, policy.Bearer{}, text); !strings.Contains(got, operator.Forbidden) {
			t.Errorf("nobody may %s: %s", text, got)
		}
	}
}

// A policy about one peer holds however the peer is written, and from the next call on.
func TestResourcesHaveOneName(t *testing.T) {
	e := engineOf(t)
	h := operator.Handler(reached{}, decidedBy(e), operator.LargestOwn)
	admin := policy.Bearer{Principal: "ADMIN", Subject: "joe"}
	names := []string{"b", "acme.example/b", "spiffe://acme.example/node/b"}
	remove := func(name string) string { return asked(t, h, admin, `mutation { removePeer(node: "`+name+`") }`) }
	for _, name := range names {
		if got := remove(name); !strings.Contains(got, errReached.Error()) {
			t.Errorf("%s: %s", name, got)
		}
	}
	e.Publish(engineOf(t, policy.Document{Name: "own.cedar", Text: `
		@id("keep-b") forbid (principal, action == CATALYST::Action::"PEER_DELETE", resource == CATALYST::Peer::"acme.example/b");
		@id("keep-books") forbid (principal, action, resource == CATALYST::Route::"books.acme.example");`}).Snapshot())
	for _, name := range names {
		if got := remove(name); !strings.Contains(got, operator.Forbidden) || strings.Contains(got, "keep-b") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := remove("c"); !strings.Contains(got, errReached.Error()) {
		t.Errorf("another peer: %s", got)
	}
	for _, name := range []string{"books", "books.acme.example", "BOOKS.acme.example"} {
		if got := asked(t, h, admin, `mutation { removeService(service: "`+name+`") }`); strings.Contains(got,
			errReached.Error()) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Over the mesh a caller reads, as far as the node's policies let him by his name; the owner of the socket is bound
// by none.
func TestOrdersOverTheMeshAndOfTheOwner(t *testing.T) {
	m := &Mesh{cfg: MeshConfig{Node: bgp.NodeID{Org: "acme.example", Name: "a"}}}
	forbid := policy.Document{
		Name: "own.cedar",
		Text: `@id("mallory") forbid (principal == CATALYST::USER::"mallory", action, resource);`,
	}
	over := operator.Handler(reached{}, readOnly{decidedBy(engineOf(t, forbid))}, operator.LargestQuery)
	for text, want := range map[string]string{
		`{ node { id } }`: errReached.Error(), `{ peers { node } }`: errReached.Error(),
		`{ services { service } }`:                errReached.Error(),
		`mutation { removePeer(node: "b") }`:      "not offered over the mesh",
		`subscription { changes { __typename } }`: "not offered over the mesh",
	} {
		if got := asked(t, over, m.reader("ada"), text); !strings.Contains(got, want) {
			t.Errorf("ada: %s: %s", text, got)
		}
		if got := asked(t, over, m.reader("mallory"), text); strings.Contains(got, errReached.Error()) {
			t.Errorf("mallory: %s: %s", text, got)
		}
	}
	own := operator.Handler(reached{}, owner{}, operator.LargestOwn)
	for text := range operations() {
		if got := asked(t, own, policy.Bearer{}, text); !strings.Contains(got, errReached.Error()) {
			t.Errorf("the owner: %s: %s", text, got)
		}
	}
}
