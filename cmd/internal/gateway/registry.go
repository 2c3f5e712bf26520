package gateway

import (
	"cmp"
	"context"
	"net/http"

	"github.com/catalyst-router/catalyst/graphql/exec"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/live"
	"github.com/catalyst-router/catalyst/graphql/subgraph"
)

// Registry returns a registry of subgraphs whose graphs the gateway serves. Reach says how a subgraph is reached that
// the configuration does not name; nil means at its URL.
func (g *Gateway) Registry(reach func(live.Source) exec.Subgraph) *live.Registry {
	p := publisher{g, reach}
	var kept live.Memory
	if g.cfg.Memory != "" {
		kept = memory(g.cfg.Memory)
	}
	return live.New(live.Config{
		Memory: kept,
		Fetch:  p.fetch, Publish: p.publish, Log: g.tel.Log, FetchTimeout: g.cfg.FetchTimeout,
		Rules: live.Rules{Poll: g.cfg.Poll, Linger: cmp.Or(g.cfg.Linger, -1), StartWait: g.cfg.StartWait},
	})
}

// publisher is the registry's way to subgraphs and to the gateway.
type publisher struct {
	f     *Gateway
	reach func(live.Source) exec.Subgraph
}

// how says how a subgraph is reached, the configuration's word first.
func (p publisher) how(src live.Source) exec.Subgraph {
	if s, ok := p.f.cfg.Subgraphs[src.Name]; ok {
		return p.f.reach(s)
	}
	if p.reach != nil {
		return p.reach(src)
	}
	return exec.Subgraph{URL: src.URL, Host: src.Host}
}

func (p publisher) fetch(ctx context.Context, src live.Source) (schema, kind string, err error) {
	how := p.how(src)
	header := http.Header{}
	for name, values := range how.Header {
		header[name] = values
	}
	if how.Host != "" {
		header.Set("Host", how.Host)
	}
	client := &http.Client{Transport: how.Transport}
	if how.Transport == nil {
		client.Transport = p.f.plain
	}
	sdl, got, err := subgraph.Fetch(ctx, client, how.URL, header)
	return sdl, string(got), err
}

func (p publisher) publish(_ context.Context, g *live.Graph) error {
	if g == nil {
		p.f.gw.Swap(nil)
		return nil
	}
	reach := map[string]exec.Subgraph{}
	for _, s := range g.Sources {
		if _, configured := p.f.cfg.Subgraphs[s.Name]; !configured {
			reach[s.Name] = p.how(s)
		}
	}
	opts := p.f.options(g.Why, reach)
	var err error
	if opts.Graph, err = g.Read(); err != nil {
		p.f.gw.RefusedGraph(g.Why, err)
		return err
	}
	snapshot, err := server.NewSnapshot(g.SDL, opts)
	if err != nil {
		p.f.gw.RefusedGraph(g.Why, err)
		return err
	}
	p.f.gw.Swap(snapshot)
	return nil
}

// runSubgraphs serves the graph of gateway.subgraphs until ctx ends.
func (g *Gateway) runSubgraphs(ctx context.Context) error {
	r := g.Registry(nil)
	for name, s := range g.cfg.Subgraphs {
		url, _ := s.URL.Bare()
		r.Put(live.Source{Name: name, URL: url, Host: s.Host, Keys: s.Keys})
	}
	return r.Run(ctx)
}
