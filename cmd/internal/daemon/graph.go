package daemon

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/cmd/internal/front"
	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/live"
)

// graphPathTag is the tag of a route whose endpoint is not at /graphql.
const graphPathTag = "graphql-path="

// federation is the node's gateway: every route with protocol graphql is a subgraph, wherever its workload runs, and is asked through the local Envoy.
type federation struct {
	d        *Daemon
	front    *front.Front
	registry *live.Registry
	egress   string   // URL of Envoy's HTTP egress
	mesh     *meshAPI // nil unless gateway.operator
}

func newFederation(ctx context.Context, d *Daemon) (*federation, error) {
	g, err := front.New(ctx, d.cfg.Gateway, d.tel)
	if err != nil {
		return nil, err
	}
	f := &federation{d: d, front: g, egress: "http://" + d.cfg.Envoy.Egress}
	f.registry = g.Registry(func(src live.Source) exec.Subgraph {
		if src.Host == "" { // not behind Envoy
			return exec.Subgraph{URL: src.URL}
		}
		return exec.Subgraph{URL: src.URL, Host: src.Host, Transport: g.H2C()}
	})
	if d.cfg.Gateway.Operator {
		f.mesh, err = newMeshAPI(d, g.Verifier(), &http.Client{Transport: g.H2C()})
	}
	return f, err
}

// run follows the routes until ctx ends.
func (f *federation) run(ctx context.Context) error {
	feed, err := f.d.router.Subscribe(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.registry.Run(ctx) })
	g.Go(func() error { return f.front.Run(ctx) })
	if f.mesh != nil {
		g.Go(func() error { return f.mesh.run(ctx) })
		if err := f.mesh.announce(ctx, f.registry); err != nil && ctx.Err() == nil {
			return err
		}
	}
	g.Go(func() error {
		for {
			b, ok := feed.Next(ctx)
			if !ok {
				return nil
			}
			for i := range b.Changed {
				f.route(&b.Changed[i])
			}
		}
	})
	return g.Wait()
}

// route tells the registry of a route.
func (f *federation) route(sel *rib.Selected) {
	name := string(sel.Service)
	best := bestOf(sel)
	if f.mesh != nil {
		f.mesh.route(sel.Service, best != nil)
	}
	if best == nil || best.Attrs.Protocol != bgp.GraphQL {
		f.registry.Gone(name)
		return
	}
	f.registry.Put(live.Source{Name: name, URL: f.egress + graphPath(best.Attrs.Tags), Host: name, SDL: f.given(name), Revision: revision(best)})
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

// given returns the schema that the operator has put into the configured folder for a subgraph that does not tell its own; "" if there is none.
func (f *federation) given(name string) string {
	if f.d.cfg.Gateway.Schemas == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(f.d.cfg.Gateway.Schemas, name+".graphql"))
	if err != nil {
		return ""
	}
	return string(b)
}
