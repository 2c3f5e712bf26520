package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/Khan/genqlient/graphql"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	gateways "github.com/catalyst-router/catalyst/cmd/internal/gateway"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/live"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/graphql/operator/mesh"
	"github.com/catalyst-router/catalyst/policy"
)

const (
	// meshScope is what a token has to hold to read a node over the mesh.
	meshScope = "catalyst:operator"
	// meshLabel is the label below which nodes offer their operator API: NODE.nodes.ORG.
	meshLabel = "nodes"
)

// MeshConfig is what a Mesh needs; all of it is required.
type MeshConfig struct {
	Node     bgp.NodeID
	Egress   string // HOST:PORT of the local Envoy's HTTP egress
	Offer    Offerer
	Verifier gateway.Verifier
	Identity *identity.Source
	Client   *http.Client // through the local Envoy
	Log      *slog.Logger
}

// Offerer announces a service of this node's own. offer.Offer is one.
type Offerer interface {
	SetForNow(ctx context.Context, s journal.Service) error
}

// Mesh offers this node's operator API to the organisation, for reading, and every node's as one subgraph of the
// graph. A caller shows a token with the scope meshScope to the node that he asks, and there it stays: that node asks
// the others by its own certificate, in the caller's name, and each of them decides.
type Mesh struct {
	cfg      MeshConfig
	vouchers *identity.Vouchers
	listener net.Listener // on loopback

	mu    sync.Mutex
	nodes map[string]bool // ids of nodes whose service has a route; guarded by mu
}

// NewMesh opens the listener of a mesh.
func NewMesh(ctx context.Context, cfg MeshConfig) (*Mesh, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("gateway.operator: %w", err)
	}
	return &Mesh{
		cfg:      cfg,
		vouchers: identity.NewVouchers(cfg.Identity),
		listener: l,
		nodes:    map[string]bool{cfg.Node.String(): true},
	}, nil
}

// service is the name under which a node offers its operator API.
func (m *Mesh) service(node bgp.NodeID) bgp.Service {
	return bgp.Service(node.Name + "." + meshLabel + "." + string(node.Org))
}

// Run offers the API, puts the subgraph into the graph, and answers until ctx ends.
func (m *Mesh) Run(ctx context.Context, a *API, registry *live.Registry) error {
	address := m.listener.Addr().String()
	own := journal.Service{Name: m.service(m.cfg.Node), Protocol: bgp.HTTP, Address: address}
	if err := m.cfg.Offer.SetForNow(ctx, own); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the node is stopping
		}
		return err
	}
	registry.Put(live.Source{Name: gateways.OperatorSubgraph, URL: "http://" + address + "/mesh"})
	mux := http.NewServeMux()
	mux.Handle("/graphql", operator.Handler(a, readOnly{a.ByPolicy()}, operator.LargestQuery))
	mux.Handle("/mesh", mesh.Handler(m))
	return listen.Serve(ctx, m.listener, m.permitted(mux))
}

// permitted lets requests with a good token through, and those without any: with such a one the gateway asks for the
// subgraph's schema, which is no secret. List and Client refuse to answer it.
func (m *Mesh) permitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mesh" && r.Header.Get("Authorization") == "" {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), anonymousKey{}, true)))
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if r.URL.Path == "/graphql" && strings.EqualFold(scheme, identity.VoucherScheme) {
			m.vouched(w, r, strings.TrimSpace(token), next)
			return
		}
		if !strings.EqualFold(scheme, "Bearer") {
			http.Error(w, errNoToken.Error(), http.StatusUnauthorized)
			return
		}
		// Envoy ends TLS: a token that is bound to a certificate does not pass
		p, err := m.cfg.Verifier.Verify(r.Context(), strings.TrimSpace(token), nil)
		switch {
		case errors.Is(err, gateway.ErrUnavailable):
			http.Error(w, "tokens cannot be verified at the moment", http.StatusServiceUnavailable)
		case err != nil:
			m.cfg.Log.Info("a token was refused", "reason", err)
			http.Error(w, "the bearer token is not valid", http.StatusUnauthorized)
		case !slices.Contains(p.Scopes, meshScope):
			http.Error(w, "the token lacks the scope "+meshScope, http.StatusForbidden)
		default:
			name := cmp.Or(p.Subject, nameless)
			ctx := operator.As(r.Context(), m.reader(name))
			next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, callerKey{}, name)))
		}
	})
}

// ForOperator answers questions of every node for whoever may do everything at this one, without a token: the others
// hear that the operator of this node asks, a USER of the organisation named operator@NODE, and each decides. It is not
// to be reached by anybody else.
func (m *Mesh) ForOperator() http.Handler {
	name := "operator@" + m.cfg.Node.Name
	next := mesh.Handler(m)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, name)))
	})
}

// vouched lets a request of another node through that vouches for its caller. Nodes of this organisation may read in
// anybody's name.
func (m *Mesh) vouched(w http.ResponseWriter, r *http.Request, text string, next http.Handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, operator.LargestQuery))
	if err != nil {
		http.Error(w, "the request is too large, or ended early", http.StatusRequestEntityTooLarge)
		return
	}
	v, err := m.vouchers.Verify(text, m.service(m.cfg.Node), body)
	if err != nil {
		m.cfg.Log.Info("a node's request was refused", "reason", err)
		http.Error(w, "the voucher is not valid", http.StatusUnauthorized)
		return
	}
	m.cfg.Log.Debug("asked over the mesh", "node", v.Node.String(), "caller", bgp.Printable(v.Caller))
	r.Body = io.NopCloser(bytes.NewReader(body))
	next.ServeHTTP(w, r.WithContext(operator.As(r.Context(), m.reader(v.Caller))))
}

type (
	anonymousKey struct{}
	callerKey    struct{} // the name of whoever asks this node
)

var errNoToken = errors.New("a bearer token with the scope " + meshScope +
	" is wanted") //nolint:gochecknoglobals // a sentinel

// nameless stands for callers whose token has no subject.
const nameless = "a caller without a name"

// reader is what policies take a caller for who reads over the mesh: a USER of this organisation, by his name.
func (m *Mesh) reader(name string) policy.Bearer {
	org := string(m.cfg.Node.Org)
	return policy.Bearer{
		Principal: string(token.User), Subject: cmp.Or(name, nameless), Organisation: org, TrustedDomains: []string{org},
	}
}

// Seen keeps the nodes that can be asked: those whose service has a route.
func (m *Mesh) Seen(svc bgp.Service, there bool) {
	name, ok := strings.CutSuffix(string(svc), "."+meshLabel+"."+string(m.cfg.Node.Org))
	if !ok || strings.Contains(name, ".") || name == m.cfg.Node.Name {
		return
	}
	id := string(m.cfg.Node.Org) + "/" + name
	m.mu.Lock()
	defer m.mu.Unlock()
	if there {
		m.nodes[id] = true
	} else {
		delete(m.nodes, id)
	}
}

// List implements mesh.Nodes.
func (m *Mesh) List(ctx context.Context) ([]string, error) {
	if ctx.Value(anonymousKey{}) != nil {
		return nil, errNoToken
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for id := range m.nodes {
		ids = append(ids, id)
	}
	return ids, nil
}

// Client implements mesh.Nodes.
func (m *Mesh) Client(ctx context.Context, id string) (graphql.Client, error) {
	node, err := bgp.ParseNodeID(id)
	if err != nil {
		return nil, err
	}
	if node.Org != m.cfg.Node.Org {
		return nil, fmt.Errorf("%s belongs to another organisation", id)
	}
	if ctx.Value(anonymousKey{}) != nil {
		return nil, errNoToken
	}
	caller, _ := ctx.Value(callerKey{}).(string)
	if caller == "" {
		return nil, errNoToken
	}
	call := inName{client: m.cfg.Client, vouch: m.cfg.Identity.Vouch, caller: caller, service: m.service(node)}
	url := "http://" + m.cfg.Egress + "/graphql"
	if node == m.cfg.Node {
		call.client, url = http.DefaultClient, "http://"+m.listener.Addr().String()+"/graphql"
	}
	return graphql.NewClient(url, call), nil
}

// inName sends requests in the name of a caller, to a node's service behind the local Envoy.
type inName struct {
	client  *http.Client
	vouch   func(caller string, audience bgp.Service, body []byte) (string, error)
	caller  string
	service bgp.Service
}

// Do implements graphql.Doer.
func (c inName) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	voucher, err := c.vouch(c.caller, c.service, body)
	if err != nil {
		return nil, err
	}
	r.Body, r.Host = io.NopCloser(bytes.NewReader(body)), string(c.service)
	r.Header.Set("Authorization", identity.VoucherScheme+" "+voucher)
	return c.client.Do(r)
}
