// Package mesh is the operator API of a whole organisation as a federation subgraph: nodes, peers, sessions, services
// and routes are entities, and one query asks every node at once. Each node is asked through its own operator API, in
// the name of the caller, and decides for itself what the caller may see; one that does not answer costs its own
// fields and nothing else.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/Khan/genqlient/graphql"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// Nodes finds the nodes of an organisation.
type Nodes interface {
	// List returns the ids, ORG/NAME, of the nodes that can be asked, this one included.
	List(ctx context.Context) ([]string, error)
	// Client returns how to ask a node. The request's header, of which the token is part, is Header(ctx).
	Client(ctx context.Context, id string) (graphql.Client, error)
}

const (
	patience    = 5 * time.Second // for one node's answer
	atOnce      = 16              // nodes asked at one time by one request
	pageSize    = 500             // of client.ListRoutes
	maxRoutes   = 1000            // of one table field
	complexity  = 5000
	maxBodySize = 256 << 10
)

type headerKey struct{}

// Header returns the header of the request that ctx belongs to; nil outside of one.
func Header(ctx context.Context) http.Header {
	h, _ := ctx.Value(headerKey{}).(http.Header)
	return h
}

// Handler serves the subgraph.
func Handler(nodes Nodes) http.Handler {
	srv := handler.New(NewExecutableSchema(Config{Resolvers: &resolver{nodes}}))
	srv.AddTransport(transport.POST{})
	srv.Use(extension.Introspection{})
	srv.Use(extension.FixedComplexityLimit(complexity))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), headerKey{}, r.Header)
		ctx = context.WithValue(ctx, askKey{},
			&asked{nodes: nodes, slots: make(chan struct{}, atOnce), answers: map[string]*answer{}})
		r.Body = http.MaxBytesReader(w, r.Body, maxBodySize)
		srv.ServeHTTP(w, r.WithContext(ctx))
	})
}

type askKey struct{}

// asked is what the nodes have answered to one request, so that each question is asked once.
type asked struct {
	nodes Nodes
	slots chan struct{}

	mu      sync.Mutex
	answers map[string]*answer // guarded by mu; by node and question
}

type answer struct {
	once  sync.Once
	value any
	err   error
}

// ask puts a question to a node, once in a request.
func ask[T any](ctx context.Context, id, question string,
	do func(context.Context, graphql.Client) (T, error)) (T, error) {
	var zero T
	a, ok := ctx.Value(askKey{}).(*asked)
	if !ok {
		return zero, errors.New("not inside a request")
	}
	a.mu.Lock()
	key := id + " " + question
	ans := a.answers[key]
	if ans == nil {
		ans = &answer{}
		a.answers[key] = ans
	}
	a.mu.Unlock()
	ans.once.Do(func() {
		select {
		case a.slots <- struct{}{}:
			defer func() { <-a.slots }()
		case <-ctx.Done():
			ans.err = ctx.Err()
			return
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		c, err := a.nodes.Client(ctx, id)
		if err != nil {
			ans.err = err
			return
		}
		ans.value, ans.err = do(ctx, c)
	})
	if ans.err != nil {
		return zero, ans.err
	}
	return ans.value.(T), nil
}

func nodeOf(ctx context.Context, id string) (*client.GetNodeNode, error) {
	return ask(ctx, id, "node", func(ctx context.Context, c graphql.Client) (*client.GetNodeNode, error) {
		resp, err := client.GetNode(ctx, c)
		if err != nil {
			return nil, err
		}
		return resp.Node, nil
	})
}

func peersOf(ctx context.Context, id string) ([]MeshPeer, error) {
	return ask(ctx, id, "peers", func(ctx context.Context, c graphql.Client) ([]MeshPeer, error) {
		resp, err := client.ListPeers(ctx, c)
		if err != nil {
			return nil, err
		}
		peers := []MeshPeer{}
		for i := range resp.Peers {
			peers = append(peers, peer(id, &resp.Peers[i].PeerFields))
		}
		return peers, nil
	})
}

func peer(node string, p *client.PeerFields) MeshPeer {
	m := MeshPeer{
		ID:         node + ">" + p.Node,
		State:      p.State,
		LastError:  p.LastError,
		Received:   p.Received,
		Advertised: p.Advertised,
	}
	if p.Since != "" {
		m.Session = &MeshSession{
			ID:              m.ID + "@" + p.Since,
			Since:           p.Since,
			HoldTimeSeconds: p.HoldTimeSeconds,
			UpdatesIn:       p.UpdatesIn,
			UpdatesOut:      p.UpdatesOut,
			Pending:         p.Pending,
		}
	}
	return m
}

func routeOf(ctx context.Context, id, service string) (*MeshRoute, error) {
	return ask(ctx, id, "route "+service, func(ctx context.Context, c graphql.Client) (*MeshRoute, error) {
		resp, err := client.GetRoute(ctx, c, service)
		if err != nil || resp.Route == nil {
			return nil, err
		}
		m := route(id, &resp.Route.RouteFields)
		return &m, nil
	})
}

func route(node string, r *client.RouteFields) MeshRoute {
	m := MeshRoute{ID: node + ">" + r.Service, Protocol: r.Protocol, NodePath: []string{}, Problem: r.Problem}
	if len(r.Paths) > 0 {
		best := r.Paths[0]
		m.NodePath, m.Health, m.Stale = best.NodePath, best.Health, best.Stale
	}
	return m
}

// page returns services from one node's table.
func page(ctx context.Context, id string, after, first int) ([]MeshRoute, error) {
	return ask(ctx, id, fmt.Sprintf("table %d %d", after, first),
		func(ctx context.Context, c graphql.Client) ([]MeshRoute, error) {
			routes := []MeshRoute{}
			for next := after; len(routes) < first; {
				resp, err := client.ListRoutes(ctx, c, next)
				if err != nil {
					return nil, err
				}
				for i := range resp.Routes.Routes {
					routes = append(routes, route(id, &resp.Routes.Routes[i].RouteFields))
				}
				if next = resp.Routes.Next; next == 0 || len(resp.Routes.Routes) < pageSize {
					break
				}
			}
			return routes[:min(first, len(routes))], nil
		})
}

type resolver struct{ nodes Nodes }

func (r *resolver) Query() QueryResolver             { return query{r} }
func (r *resolver) Entity() EntityResolver           { return entity{r} }
func (r *resolver) MeshNode() MeshNodeResolver       { return node{r} }
func (r *resolver) MeshPeer() MeshPeerResolver       { return peerFields{r} }
func (r *resolver) MeshService() MeshServiceResolver { return service{r} }
func (r *resolver) MeshRoute() MeshRouteResolver     { return routeFields{r} }

func (r *resolver) list(ctx context.Context) ([]Node, error) {
	ids, err := r.nodes.List(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	all := make([]Node, 0, len(ids))
	for _, id := range ids {
		all = append(all, Node{id})
	}
	return all, nil
}

// known returns the node, if there is one of that name.
func (r *resolver) known(ctx context.Context, id string) (*Node, error) {
	ids, err := r.nodes.List(ctx)
	if err != nil || !slices.Contains(ids, id) {
		return nil, err
	}
	return &Node{id}, nil
}

type query struct{ *resolver }

func (q query) MeshNodes(ctx context.Context) ([]Node, error)          { return q.list(ctx) }
func (q query) MeshNode(ctx context.Context, id string) (*Node, error) { return q.known(ctx, id) }
func (q query) MeshService(_ context.Context, name string) (*MeshService, error) {
	return &MeshService{Name: name}, nil
}

type entity struct{ *resolver }

func (e entity) FindMeshNodeByID(ctx context.Context, id string) (*Node, error) {
	return e.known(ctx, id)
}

func (e entity) FindMeshPeerByID(ctx context.Context, id string) (*MeshPeer, error) {
	owner, _, ok := strings.Cut(id, ">")
	if !ok {
		return nil, fmt.Errorf("id: %q: want NODE>PEER", id)
	}
	peers, err := peersOf(ctx, owner)
	if i := slices.IndexFunc(peers, func(p MeshPeer) bool { return p.ID == id }); i >= 0 {
		return &peers[i], nil
	}
	return nil, err
}

func (e entity) FindMeshSessionByID(ctx context.Context, id string) (*MeshSession, error) {
	of, _, _ := strings.Cut(id, "@")
	p, err := e.FindMeshPeerByID(ctx, of)
	if p == nil || p.Session == nil || p.Session.ID != id {
		return nil, err
	}
	return p.Session, nil
}

func (e entity) FindMeshServiceByName(_ context.Context, name string) (*MeshService, error) {
	return &MeshService{Name: name}, nil
}

func (e entity) FindMeshRouteByID(ctx context.Context, id string) (*MeshRoute, error) {
	owner, name, ok := strings.Cut(id, ">")
	if !ok {
		return nil, fmt.Errorf("id: %q: want NODE>SERVICE", id)
	}
	return routeOf(ctx, owner, name)
}

type node struct{ *resolver }

func (n node) Error(ctx context.Context, obj *Node) (*string, error) {
	if _, err := nodeOf(ctx, obj.ID); err != nil {
		text := err.Error()
		return &text, nil //nolint:nilerr // the field is there to tell it
	}
	return nil, nil //nolint:nilnil // it answers
}

// of returns something of a node; null if it does not answer, since its error field says so.
func of[T any](ctx context.Context, obj *Node, get func(*client.GetNodeNode) T) (*T, error) {
	n, err := nodeOf(ctx, obj.ID)
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // null, and the field error has it
	}
	v := get(n)
	return &v, nil
}

func (n node) Version(ctx context.Context, obj *Node) (*string, error) {
	return of(ctx, obj, func(n *client.GetNodeNode) string { return n.Version })
}

func (n node) StartedAt(ctx context.Context, obj *Node) (*string, error) {
	return of(ctx, obj, func(n *client.GetNodeNode) string { return n.StartedAt })
}

func (n node) Routes(ctx context.Context, obj *Node) (*int, error) {
	return of(ctx, obj, func(n *client.GetNodeNode) int { return n.Routes })
}

func (n node) Draining(ctx context.Context, obj *Node) (*bool, error) {
	return of(ctx, obj, func(n *client.GetNodeNode) bool { return n.Draining })
}

func (n node) EnvoyReady(ctx context.Context, obj *Node) (*bool, error) {
	return of(ctx, obj, func(n *client.GetNodeNode) bool { return n.EnvoyReady })
}

func (n node) CertificateExpiresAt(ctx context.Context, obj *Node) (*string, error) {
	return of(ctx, obj, func(n *client.GetNodeNode) string { return n.CertificateExpiresAt })
}

func (n node) Missing(ctx context.Context, obj *Node) ([]string, error) {
	return list(of(ctx, obj, func(n *client.GetNodeNode) []string { return n.Missing }))
}

func (n node) Warnings(ctx context.Context, obj *Node) ([]string, error) {
	return list(of(ctx, obj, func(n *client.GetNodeNode) []string { return n.Warnings }))
}

// list is what of returns, as a list that is null if the node does not answer.
func list(v *[]string, err error) ([]string, error) {
	if v == nil {
		return nil, err
	}
	return *v, err
}

func (n node) Peers(ctx context.Context, obj *Node) ([]MeshPeer, error) {
	peers, err := peersOf(ctx, obj.ID)
	if err != nil {
		return nil, nil //nolint:nilerr // null, and the field error has it
	}
	return peers, nil
}

func (n node) Services(ctx context.Context, obj *Node) ([]MeshService, error) {
	names, err := offered(ctx, obj.ID)
	if err != nil {
		return nil, nil //nolint:nilerr // null, and the field error has it
	}
	all := []MeshService{}
	for _, name := range names {
		all = append(all, MeshService{Name: name})
	}
	return all, nil
}

func offered(ctx context.Context, id string) ([]string, error) {
	return ask(ctx, id, "services", func(ctx context.Context, c graphql.Client) ([]string, error) {
		resp, err := client.ListServices(ctx, c)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, s := range resp.Services {
			names = append(names, s.Service)
		}
		return names, nil
	})
}

func (n node) Table(ctx context.Context, obj *Node, after, first int) ([]MeshRoute, error) {
	if after < 0 || first < 1 || first > maxRoutes {
		return nil, fmt.Errorf("table: want after of at least 0 and first of 1 to %d", maxRoutes)
	}
	routes, err := page(ctx, obj.ID, after, first)
	if err != nil {
		return nil, nil //nolint:nilerr // null, and the field error has it
	}
	return routes, nil
}

type peerFields struct{ *resolver }

func (peerFields) Node(_ context.Context, obj *MeshPeer) (*Node, error) {
	owner, _, _ := strings.Cut(obj.ID, ">")
	return &Node{owner}, nil
}

func (peerFields) Remote(_ context.Context, obj *MeshPeer) (*Node, error) {
	_, remote, _ := strings.Cut(obj.ID, ">")
	return &Node{remote}, nil
}

type routeFields struct{ *resolver }

func (routeFields) Node(_ context.Context, obj *MeshRoute) (*Node, error) {
	owner, _, _ := strings.Cut(obj.ID, ">")
	return &Node{owner}, nil
}

func (routeFields) Service(_ context.Context, obj *MeshRoute) (*MeshService, error) {
	_, name, _ := strings.Cut(obj.ID, ">")
	return &MeshService{Name: name}, nil
}

type service struct{ *resolver }

// everywhere asks all nodes the same, at once, and leaves out those that do not answer.
func everywhere[T any](ctx context.Context, r *resolver, do func(context.Context, string) (*T, error)) ([]T, error) {
	nodes, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]*T, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { found[i], _ = do(ctx, n.ID) })
	}
	all.Wait()
	some := []T{}
	for _, v := range found {
		if v != nil {
			some = append(some, *v)
		}
	}
	return some, nil
}

func (s service) OfferedBy(ctx context.Context, obj *MeshService) ([]Node, error) {
	return everywhere(ctx, s.resolver, func(ctx context.Context, id string) (*Node, error) {
		names, err := offered(ctx, id)
		if err != nil || !slices.Contains(names, obj.Name) {
			return nil, err
		}
		return &Node{id}, nil
	})
}

func (s service) Routes(ctx context.Context, obj *MeshService) ([]MeshRoute, error) {
	return everywhere(ctx, s.resolver, func(ctx context.Context, id string) (*MeshRoute, error) {
		return routeOf(ctx, id, obj.Name)
	})
}
