package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/Khan/genqlient/graphql"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/front"
	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/live"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/graphql/operator/mesh"
)

const (
	// meshScope is what a token has to hold to read a node over the mesh.
	meshScope = "catalyst:operator"
	// meshLabel is the label below which nodes offer their operator API: NODE.nodes.ORG.
	meshLabel = "nodes"
)

// meshAPI offers this node's operator API to the organisation, for reading, and every node's as one subgraph of the graph. Each request shows
// a token with the scope meshScope, which is checked here, whoever passed it on.
type meshAPI struct {
	d        *Daemon
	verifier gateway.Verifier
	client   *http.Client // through the local Envoy
	listener net.Listener // on loopback

	mu    sync.Mutex
	nodes map[string]bool // ids of nodes whose service has a route; guarded by mu
}

func newMeshAPI(d *Daemon, verifier gateway.Verifier, client *http.Client) (*meshAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("gateway.operator: %w", err)
	}
	return &meshAPI{d: d, verifier: verifier, client: client, listener: l, nodes: map[string]bool{d.self.String(): true}}, nil
}

// service is the name under which a node offers its operator API.
func (m *meshAPI) service(node bgp.NodeID) bgp.Service {
	return bgp.Service(node.Name + "." + meshLabel + "." + string(node.Org))
}

// announce offers the API, and puts the subgraph into the graph.
func (m *meshAPI) announce(ctx context.Context, registry *live.Registry) error {
	address := m.listener.Addr().String()
	own := journal.Service{Name: m.service(m.d.self), Protocol: bgp.HTTP, Address: address}
	m.d.fwd.setBackend(own)
	if err := m.d.router.Do(ctx, speaker.LocalSet{Service: own.Name, Attributes: attributesOf(own)}); err != nil {
		return err
	}
	registry.Put(live.Source{Name: front.OperatorSubgraph, URL: "http://" + address + "/mesh"})
	return nil
}

func (m *meshAPI) run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/graphql", operator.Handler(&backend{m.d}, readOnly{}))
	mux.Handle("/mesh", mesh.Handler(m))
	return serveHTTP(ctx, m.listener, m.permitted(mux))
}

// permitted lets requests with a good token through. The schema of the subgraph is no secret, and the gateway asks for it in nobody's name: such
// requests pass, and List and Client refuse them.
func (m *meshAPI) permitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mesh" && r.Header.Get("Authorization") == "" {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), anonymousKey{}, true)))
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			http.Error(w, errNoToken.Error(), http.StatusUnauthorized)
			return
		}
		p, err := m.verifier.Verify(r.Context(), strings.TrimSpace(token), nil) // Envoy ends TLS: a token that is bound to a certificate does not pass
		switch {
		case errors.Is(err, gateway.ErrUnavailable):
			http.Error(w, "tokens cannot be verified at the moment", http.StatusServiceUnavailable)
		case err != nil:
			m.d.tel.Log.Info("a token was refused", "reason", err)
			http.Error(w, "the bearer token is not valid", http.StatusUnauthorized)
		case !slices.Contains(p.Scopes, meshScope):
			http.Error(w, "the token lacks the scope "+meshScope, http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

type anonymousKey struct{}

var errNoToken = errors.New("a bearer token with the scope " + meshScope + " is wanted") //nolint:gochecknoglobals // a sentinel

// route keeps the nodes that can be asked.
func (m *meshAPI) route(svc bgp.Service, there bool) {
	name, ok := strings.CutSuffix(string(svc), "."+meshLabel+"."+string(m.d.self.Org))
	if !ok || strings.Contains(name, ".") || name == m.d.self.Name {
		return
	}
	id := string(m.d.self.Org) + "/" + name
	m.mu.Lock()
	defer m.mu.Unlock()
	if there {
		m.nodes[id] = true
	} else {
		delete(m.nodes, id)
	}
}

// List implements mesh.Nodes.
func (m *meshAPI) List(ctx context.Context) ([]string, error) {
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
func (m *meshAPI) Client(ctx context.Context, id string) (graphql.Client, error) {
	node, err := bgp.ParseNodeID(id)
	if err != nil {
		return nil, err
	}
	if node.Org != m.d.self.Org {
		return nil, fmt.Errorf("%s belongs to another organisation", id)
	}
	if ctx.Value(anonymousKey{}) != nil {
		return nil, errNoToken
	}
	call := inName{client: m.client, token: mesh.Header(ctx).Get("Authorization"), host: string(m.service(node))}
	url := "http://" + m.d.cfg.Envoy.Egress + "/graphql"
	if node == m.d.self {
		call.client, url = http.DefaultClient, "http://"+m.listener.Addr().String()+"/graphql"
	}
	return graphql.NewClient(url, call), nil
}

// inName sends requests in the name of a caller, to a service behind the local Envoy.
type inName struct {
	client      *http.Client
	token, host string
}

// Do implements graphql.Doer.
func (c inName) Do(r *http.Request) (*http.Response, error) {
	r.Host = c.host
	r.Header.Set("Authorization", c.token)
	return c.client.Do(r)
}

// readOnly allows what changes nothing.
type readOnly struct{}

// Authorize implements operator.Authorizer.
func (readOnly) Authorize(_ context.Context, operation string) error {
	switch operation {
	case "node", "peers", "peer", "routes", "route", "services", "envoys", "ports", "graph":
		return nil
	}
	return fmt.Errorf("%s is not offered over the mesh: use the node's own socket", operation)
}
