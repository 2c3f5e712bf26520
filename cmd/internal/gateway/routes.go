package gateway

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/live"
)

// graphPathTag is the tag of a route whose endpoint is not at /graphql.
const graphPathTag = "graphql-path="

// Router hands out the routes as they change. peering.Router is one.
type Router interface {
	Subscribe(ctx context.Context) (*peering.Feed, error)
}

// RoutesConfig is what Routes need.
type RoutesConfig struct {
	Router  Router
	Egress  string // HOST:PORT of the local Envoy's HTTP egress, through which subgraphs are asked
	Schemas string // folder with NAME.graphql for subgraphs that do not tell their own schema; "" for none
	// Seen is told of every route, whether or not it is a subgraph. Optional.
	Seen func(svc bgp.Service, there bool)
}

// Routes makes a gateway's graph of the routes: every route with protocol graphql is a subgraph, wherever its
// workload runs, and is asked through the local Envoy.
type Routes struct {
	cfg      RoutesConfig
	gateway  *Gateway
	registry *live.Registry
}

// Routes has the gateway serve the graph of the routes.
func (g *Gateway) Routes(cfg RoutesConfig) *Routes {
	r := &Routes{cfg: cfg, gateway: g}
	r.registry = g.Registry(func(src live.Source) exec.Subgraph {
		if src.Host == "" { // not behind Envoy
			return exec.Subgraph{URL: src.URL}
		}
		return exec.Subgraph{URL: src.URL, Host: src.Host, Transport: g.H2C()}
	})
	return r
}

// Registry holds the subgraphs and what was composed of them.
func (r *Routes) Registry() *live.Registry { return r.registry }

// Gateway serves the graph.
func (r *Routes) Gateway() *Gateway { return r.gateway }

// Run follows the routes and serves the gateway at l, which Gateway().Listen opened, until ctx ends.
func (r *Routes) Run(ctx context.Context, l net.Listener) error {
	tasks, ctx := errgroup.WithContext(ctx)
	feed, err := r.cfg.Router.Subscribe(ctx)
	if err != nil {
		return l.Close() // the node is stopping
	}
	tasks.Go(func() error { return r.registry.Run(ctx) })
	tasks.Go(func() error { return r.gateway.Run(ctx, l) })
	tasks.Go(func() error {
		for b := range feed.Batches() {
			for i := range b.Changed {
				r.route(&b.Changed[i])
			}
		}
		return nil
	})
	return tasks.Wait()
}

// route tells the registry of a route.
func (r *Routes) route(sel *rib.Selected) {
	name := string(sel.Service)
	best := bestOf(sel)
	if r.cfg.Seen != nil {
		r.cfg.Seen(sel.Service, best != nil)
	}
	if best == nil || best.Attrs.Protocol != bgp.GraphQL {
		r.registry.Gone(name)
		return
	}
	r.registry.Put(live.Source{
		Name:     name,
		URL:      "http://" + r.cfg.Egress + graphPath(best.Attrs.Tags),
		Host:     name,
		SDL:      r.given(name),
		Revision: revision(best),
	})
}

func bestOf(sel *rib.Selected) *rib.Path {
	for _, tier := range sel.Tiers {
		if len(tier) > 0 {
			return &tier[0]
		}
	}
	return nil
}

func graphPath(tags []string) string {
	for _, t := range tags {
		if p, ok := strings.CutPrefix(t, graphPathTag); ok && strings.HasPrefix(p, "/") {
			return p
		}
	}
	return "/graphql"
}

// revision changes when a route may lead to another schema: another origin, or other attributes of the originator's.
func revision(p *rib.Path) uint64 {
	h := fnv.New64a()
	if n := len(p.Attrs.NodePath); n > 0 {
		fmt.Fprint(h, p.Attrs.NodePath[n-1])
	}
	fmt.Fprint(h, p.Attrs.Tags, p.Attrs.Health)
	return h.Sum64()
}

// given returns the schema that the operator has put into the configured folder for a subgraph that does not tell its
// own; "" if there is none.
func (r *Routes) given(name string) string {
	if r.cfg.Schemas == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(r.cfg.Schemas, name+".graphql"))
	if err != nil {
		return ""
	}
	return string(b)
}
