package daemon

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/live"
	"github.com/catalyst-router/catalyst/graphql/subgraph"
)

// graphPathTag is the tag of a route whose endpoint is not at /graphql.
const graphPathTag = "graphql-path="

// federation is the node's gateway: every route with protocol graphql is a subgraph, wherever its workload runs, and is asked through the local Envoy.
type federation struct {
	d         *Daemon
	gateway   *gateway.Gateway
	registry  *live.Registry
	transport *http.Transport
	client    *http.Client
	egress    string // URL of Envoy's HTTP egress
}

func newFederation(d *Daemon) *federation {
	g := gateway.New(gateway.Config{Log: d.tel.Log, Tracer: d.tel.Tracer, Meter: d.tel.Meter})
	f := &federation{d: d, gateway: g, egress: "http://" + d.cfg.Envoy.Egress, transport: exec.NewTransport(exec.TransportOptions{H2C: true})}
	f.client = &http.Client{Transport: f.transport}
	f.registry = live.New(live.Config{
		Fetch: f.fetch, Publish: f.publish, Log: d.tel.Log,
		Rules: live.Rules{Poll: d.cfg.Gateway.Poll, Linger: lingering(d.cfg.Gateway.Linger)},
	})
	return f
}

// lingering says in the registry's words how long a subgraph lingers: it takes zero for its default.
func lingering(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// run follows the routes until ctx ends.
func (f *federation) run(ctx context.Context) error {
	defer f.transport.CloseIdleConnections()
	defer f.gateway.Close()
	feed, err := f.d.router.Subscribe(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.registry.Run(ctx) })
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

// handler serves the graph at /graphql.
func (f *federation) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", f.gateway)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := f.gateway.Ready(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return mux
}

// route tells the registry of a route.
func (f *federation) route(sel *rib.Selected) {
	name := string(sel.Service)
	best := bestOf(sel)
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

func (f *federation) fetch(ctx context.Context, src live.Source) (string, string, error) {
	header := http.Header{}
	if src.Host != "" {
		header.Set("Host", src.Host)
	}
	sdl, kind, err := subgraph.Fetch(ctx, f.client, src.URL, header)
	return sdl, string(kind), err
}

// publish swaps the gateway's graph. Operations that run end on the one on which they began.
func (f *federation) publish(_ context.Context, g *live.Graph) error {
	if g == nil {
		f.gateway.Swap(nil)
		return nil
	}
	reach := map[string]exec.Subgraph{}
	for _, s := range g.Sources {
		reach[s.Name] = exec.Subgraph{URL: s.URL, Host: s.Host, Timeout: f.d.cfg.Gateway.SubgraphTimeout, Retries: 1}
	}
	snapshot, err := gateway.NewSnapshot(g.SDL, gateway.SnapshotOptions{Subgraphs: reach, Exec: exec.Config{Transport: f.transport}, Why: g.Why})
	if err != nil {
		f.gateway.RefusedGraph(g.Why, err)
		return err
	}
	f.gateway.Swap(snapshot)
	return nil
}
